//! Promises about rows that somebody else has changed on the secondary, past our applies.
//!
//! Somebody's script is played by the same store's `execute`: it changes rows and knows nothing of versions.

use model::foreign::Found;
use model::write::Work;
use model::{Applied, Change, Epoch, StoreError, Version};

use super::{Subject, WITHIN, change, command, entity, now, on_hand, set_level};
use crate::inventory::{level, level_key};

async fn apply(store: &Subject, change: Change) -> Applied {
    let applied = store.apply(&[change], WITHIN).await.expect("applied");
    assert_eq!(applied.len(), 1);
    applied.into_iter().next().expect("one")
}

async fn apply_over(store: &Subject, change: Change) -> Applied {
    let applied = store.apply_over(&[change], WITHIN).await.expect("applied");
    applied.into_iter().next().expect("one")
}

/// Somebody's script.
async fn script(store: &Subject, sku: &str, on_hand: Option<i64>) {
    match on_hand {
        Some(on_hand) => drop(set_level(store, sku, "BER", on_hand).await),
        None => drop(now(store.execute(&command(Work::Delete, vec![level_key(sku, "BER")]), WITHIN).await)),
    }
}

fn found(sku: &str, on_hand: i64) -> Found {
    Found::Record(level(sku, "BER", on_hand))
}

async fn as_left(store: &Subject, sku: &str) -> Option<bool> {
    let key = level_key(sku, "BER");
    store.as_left(&entity(&key), &key, Epoch(1), WITHIN).await.expect("an answer")
}

/// Update, delete, insert under a tombstone: each is left as it is and told, again and again, and leaves no ledger
/// row and no version.
pub async fn what_somebody_else_changed_is_left_and_told(store: Subject) {
    for (sku, before, theirs) in [("UP", Some(1), Some(50)), ("DEL", Some(1), None), ("INS", None, Some(50))] {
        assert_eq!(apply(&store, change(sku, "BER", 1, before)).await, Applied::Newer);
        if before.is_none() {
            // There is nothing to delete, and that is what the tombstone says.
            assert_eq!(as_left(&store, sku).await, Some(true));
        }
        script(&store, sku, theirs).await;
        let expected = Applied::Foreign(theirs.map_or(Found::Nothing, |on_hand| found(sku, on_hand)));
        for position in [2, 2, 3] {
            let newer = change(sku, "BER", position, Some(9));
            let write = newer.write;
            assert_eq!(apply(&store, newer).await, expected, "{sku}");
            assert!(store.standing(&[write], WITHIN).await.expect("an answer").is_empty());
        }
        assert_eq!(on_hand(&store, sku, "BER").await, theirs);
        // What is older is settled, whatever stands.
        assert_eq!(apply(&store, change(sku, "BER", 1, Some(7))).await, Applied::Stale);
        let history = store.history(&level_key(sku, "BER"), 9, WITHIN).await.expect("a history");
        assert_eq!(history.recorded, Some(change(sku, "BER", 1, None).version));
    }
    // A deletion of ours is newer than their state, too.
    assert_eq!(apply(&store, change("UP", "BER", 4, None)).await, Applied::Foreign(found("UP", 50)));
    assert_eq!(on_hand(&store, "UP", "BER").await, Some(50));
}

/// Who wrote the same as we are about to write is no rogue; and from then on his state is ours.
pub async fn a_row_that_is_what_we_would_leave_is_no_conflict(store: Subject) {
    apply(&store, change("A", "BER", 1, Some(1))).await;
    script(&store, "A", Some(2)).await;
    assert_eq!(apply(&store, change("A", "BER", 2, Some(2))).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 3, Some(3))).await, Applied::Newer);
    script(&store, "A", None).await;
    assert_eq!(apply(&store, change("A", "BER", 4, None)).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 5, Some(5))).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
}

/// Overwriting tells exactly what it has overwritten, once; then all is as usual.
pub async fn what_is_overwritten_is_told(store: Subject) {
    for (sku, before, theirs) in [("UP", Some(1), Some(50)), ("DEL", Some(1), None), ("INS", None, Some(50))] {
        apply(&store, change(sku, "BER", 1, before)).await;
        script(&store, sku, theirs).await;
        let expected = Applied::Over(theirs.map_or(Found::Nothing, |on_hand| found(sku, on_hand)));
        assert_eq!(apply_over(&store, change(sku, "BER", 2, Some(2))).await, expected);
        assert_eq!(on_hand(&store, sku, "BER").await, Some(2));
        assert_eq!(apply_over(&store, change(sku, "BER", 2, Some(2))).await, Applied::Stale);
        assert_eq!(apply(&store, change(sku, "BER", 3, Some(3))).await, Applied::Newer);
    }
    script(&store, "UP", Some(60)).await;
    assert_eq!(apply_over(&store, change("UP", "BER", 4, None)).await, Applied::Over(found("UP", 60)));
    assert_eq!(on_hand(&store, "UP", "BER").await, None);
}

/// All changes of one write stay together; those of others go on.
pub async fn a_write_with_one_foreign_key_is_not_half_applied(store: Subject) {
    for sku in ["A", "B", "C"] {
        apply(&store, change(sku, "BER", 1, Some(1))).await;
    }
    script(&store, "B", Some(50)).await;
    let transfer = |position| {
        let from = change("A", "BER", position, Some(0));
        let to = Change { write: from.write, ordinal: 1, ..change("B", "BER", position, Some(2)) };
        [from, to]
    };
    let [from, to] = transfer(2);
    let call = [change("C", "BER", 2, Some(2)), from, to, change("D", "BER", 2, None)];
    let applied = store.apply(&call, WITHIN).await.expect("applied");
    assert_eq!(applied, [Applied::Newer, Applied::Held, Applied::Foreign(found("B", 50)), Applied::Newer]);
    let stand = [("A", 1), ("B", 50), ("C", 2)];
    for (sku, expected) in stand {
        assert_eq!(on_hand(&store, sku, "BER").await, Some(expected), "{sku}");
    }
    assert!(store.standing(&[call[1].write], WITHIN).await.expect("an answer").is_empty());
    let over = store.apply_over(&call, WITHIN).await.expect("applied");
    assert_eq!(over, [Applied::Stale, Applied::Newer, Applied::Over(found("B", 50)), Applied::Stale]);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(0));
    assert_eq!(on_hand(&store, "B", "BER").await, Some(2));
}

/// A row that we never applied, or only under another epoch, is taken as it is: nobody knows whose it is.
pub async fn a_row_of_which_nothing_is_known_is_taken_as_it_is(store: Subject) {
    script(&store, "A", Some(50)).await;
    assert_eq!(as_left(&store, "A").await, None);
    assert_eq!(apply(&store, change("A", "BER", 1, Some(1))).await, Applied::Newer);
    assert_eq!(as_left(&store, "A").await, Some(true));
    script(&store, "A", Some(50)).await;
    assert_eq!(as_left(&store, "A").await, Some(false));
    // This side was primary meanwhile, and its clients wrote.
    let mut later = change("A", "BER", 1, Some(3));
    later.version.epoch = Epoch(3);
    assert_eq!(apply(&store, later).await, Applied::Newer);
    assert_eq!(as_left(&store, "A").await, None, "under epoch 1");
}

/// A copied row is known as well, in the first epoch.
pub async fn a_baseline_is_remembered(store: Subject) {
    let baseline = |sku, on_hand| Change { version: Version::baseline(1), ..change(sku, "BER", 0, Some(on_hand)) };
    apply(&store, baseline("A", 1)).await;
    script(&store, "A", Some(50)).await;
    assert_eq!(apply(&store, change("A", "BER", 1, Some(2))).await, Applied::Foreign(found("A", 50)));
    apply(&store, baseline("B", 1)).await;
    assert_eq!(apply(&store, change("B", "BER", 1, Some(2))).await, Applied::Newer);
}

/// A script that runs at the same moment either comes before, and is met, or after, and stands: it is never lost.
pub async fn a_script_that_races_with_an_apply_is_never_lost(store: Subject) {
    for round in 0..12_i64 {
        let sku = format!("RACE-{round}");
        // Odd rounds: under a tombstone.
        let before = (round % 2 == 0).then_some(1);
        apply(&store, change(&sku, "BER", 1, before)).await;
        let ours = tokio::spawn({
            let (store, ours) = (store.clone(), change(&sku, "BER", 2, Some(2)));
            async move {
                loop {
                    match store.apply(std::slice::from_ref(&ours), WITHIN).await {
                        Ok(applied) => return applied,
                        Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
                    }
                }
            }
        });
        loop {
            let theirs = command(Work::Set(level(&sku, "BER", 50)), vec![level_key(&sku, "BER")]);
            match store.execute(&theirs, WITHIN).await {
                Ok(_) => break,
                // We have inserted the row between his look and his insert: he tries again.
                Err(error) => {
                    assert!(matches!(error, StoreError::Conflict { .. } | StoreError::Refused { .. }), "{error}");
                }
            }
        }
        let applied = ours.await.expect("no panic");
        assert!(applied == [Applied::Newer] || applied == [Applied::Foreign(found(&sku, 50))], "{applied:?}");
        assert_eq!(on_hand(&store, &sku, "BER").await, Some(50), "round {round}: {applied:?}");
        assert_eq!(as_left(&store, &sku).await, Some(false));
    }
}
