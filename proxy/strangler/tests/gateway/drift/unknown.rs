//! What reconcile cannot know is never called equal: rows without key, rows that no look-up finds, rows whose write does
//! not reach the other side, sums that no row explains.

use model::checksum::Chunk;
use model::{EntityKey, Scan as _, Value};

use super::*;

/// A row whose key is partly null, as a table without key may hold it.
fn null_row(memory: &MemoryStore, number: usize) {
    let key = EntityKey::new("StockLevel".into(), vec![Value::Text(sku(number)), Value::Null]);
    memory.meddle(|rows| drop(rows.insert(key, level(&sku(number), "", 1))));
}

/// A row that is read under one key and found under another, as where a number is no key or letters are folded.
fn lost_row(memory: &MemoryStore, number: usize) {
    let found_under = level_key(&format!("hidden-{number}"), "BER");
    memory.meddle(|rows| drop(rows.insert(found_under, level(&format!("LOST-{number}"), "BER", 1))));
}

async fn is_unknown(site: &Site, what: &str) -> Reconciled {
    let found = site.reconcile().await;
    assert!(!found.findings.is_complete(), "{what}: {:?}", found.findings);
    assert_eq!(site.known_equal().await, None, "{what}");
    found
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_key_are_counted_on_either_side_and_also_where_both_have_them() {
    for (on_legacy, on_modern) in [(2, 0), (0, 1), (2, 2)] {
        let (site, stores) = in_memory(20).await;
        (0..on_legacy).for_each(|number| null_row(&stores.legacy, number));
        (0..on_modern).for_each(|number| null_row(&stores.modern, number));
        let found = is_unknown(&site, "null in a key").await;
        let counts = PerSide { legacy: on_legacy as u64, modern: on_modern as u64 };
        assert_eq!((found.findings.keyless, found.findings.drift), (counts, 0));
        assert_eq!(found.findings.rows, PerSide { legacy: 20, modern: 20 }, "the others were compared");
        assert!(found.findings.named[0].contains(",null]"), "{:?}", found.findings.named);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_read_and_that_no_look_up_finds_is_named() {
    for side in Side::BOTH {
        let (site, stores) = in_memory(20).await;
        (0..3).for_each(|number| lost_row(stores.get(side), number));
        let found = is_unknown(&site, "lost rows").await;
        assert_eq!(*found.findings.keyless.get(side), 3, "{:?}", found.findings);
        assert!(found.findings.named.iter().all(|row| row.contains("LOST-")), "{:?}", found.findings.named);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_deleted_while_we_looked_is_no_lost_row() {
    let (site, stores) = in_memory(20).await;
    stores.modern.meddle(|rows| drop(rows.remove(&level_key(&sku(3), "BER"))));
    let (legacy, site) = (stores.legacy.clone(), Arc::new(site));
    let running = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.reconcile().await }
    });
    // Read by now, and looked up for the first time after a quarter of a second.
    tokio::time::sleep(Duration::from_millis(100)).await;
    legacy.meddle(|rows| drop(rows.remove(&level_key(&sku(3), "BER"))));
    let found = running.await.unwrap();
    assert_eq!((found.findings.drift, found.findings.keyless), (0, PerSide::default()));
    assert!(found.findings.is_complete(), "{:?}", found.findings);
}

#[tokio::test(start_paused = true)]
async fn sums_that_differ_while_no_row_does_are_a_problem() {
    for side in Side::BOTH {
        let (site, stores) = in_memory(20).await;
        site.stores.get(side).wrong_sums();
        let found = is_unknown(&site, "wrong sums").await;
        assert!(found.findings.problem.as_deref().unwrap().contains("adds up otherwise"), "{:?}", found.findings);
        site.stores.get(side).heal();
        assert!(site.known_equal().await.is_none());
        assert!(site.reconcile().await.findings.is_complete());
        // GIVEN a row that differs beside them, THEN it is found
        site.stores.get(side).wrong_sums();
        stores.modern.meddle(|rows| drop(rows.insert(level_key(&sku(4), "BER"), level(&sku(4), "BER", 7))));
        assert_eq!(site.reconcile().await.findings.drift, 1);
        assert!(stores.modern.sums(&levels(), &Chunk::whole(), WITHIN).await.is_ok());
    }
}

/// Writes that stay on the primary alone.
async fn unsettle(site: &Site, count: usize, began: chrono::DateTime<chrono::Utc>) {
    for number in 0..count {
        let seconds = began.timestamp().cast_unsigned();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, u32::try_from(number).unwrap() * 10);
        let command = Command {
            write: WriteId(Uuid::new_v7(time)),
            group: inventory::group(),
            epoch: Epoch(1),
            work: Work::Set(level(&sku(number), "BER", 55)),
            touches: vec![level_key(&sku(number), "BER")],
            must_fit: &Side::BOTH,
            must_exist: Vec::new(),
            idempotency: None,
        };
        site.stores.legacy.execute(&command, WITHIN).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_write_does_not_reach_the_other_side_is_held_back_and_not_equal() {
    let (site, _) = in_memory(30).await;
    unsettle(&site, 25, chrono::Utc::now() - chrono::TimeDelta::minutes(5)).await;
    let found = is_unknown(&site, "held back").await;
    assert_eq!((found.findings.undecided, found.findings.held_back, found.findings.drift), (25, 25, 0));
    assert!(found.findings.why_incomplete().unwrap().contains("held back"));
    assert!(found.findings.named[0].starts_with("held back: "), "{:?}", found.findings.named);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_just_written_and_stays_unsettled_is_undecided_and_not_equal() {
    let (site, _) = in_memory(30).await;
    // A clock that is ahead of ours: nobody can tell how long they have waited.
    unsettle(&site, 3, chrono::Utc::now() + chrono::TimeDelta::hours(1)).await;
    let found = is_unknown(&site, "unsettled").await;
    assert_eq!((found.findings.undecided, found.findings.held_back), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn drift_among_more_unsettled_writes_than_are_read_is_never_taken_for_movement() {
    // GIVEN more writes on their way than are looked through, and a hundred rows that modern lost
    let (mut site, stores) = in_memory(200).await;
    site.settings.most_unsettled = 30;
    unsettle(&site, 31, chrono::Utc::now() - chrono::TimeDelta::minutes(5)).await;
    stores.modern.meddle(|rows| (50..150).for_each(|n| drop(rows.remove(&level_key(&sku(n), "BER")))));
    // THEN the run says what it does not know, and closes the gate
    let found = is_unknown(&site, "too many").await;
    assert!(found.findings.problem.as_deref().unwrap().contains("more than 30 writes"), "{:?}", found.findings.problem);
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_run_takes_back_what_an_older_one_has_proven() {
    let (site, stores) = in_memory(20).await;
    assert!(site.reconcile().await.findings.is_complete());
    assert!(site.known_equal().await.is_some());
    null_row(&stores.legacy, 1);
    is_unknown(&site, "newer and incomplete").await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_neither_side_has_is_not_level() {
    let (site, _) = in_memory(3).await;
    assert_eq!(site.level(&level_key("TYPO", "BER")).await, Levelled::NoSuchRecord);
    let count = site.repair(&[level_key("TYPO", "BER"), level_key(&sku(1), "BER")]).await;
    assert_eq!((count.absent, count.level, count.is_level()), (1, 1, true));
}
