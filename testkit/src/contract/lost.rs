//! What holds of a side that has gone back, while it gets back what it has lost; and of the other side, where that is given
//! up.

use model::foreign::Found;
use model::life::{Memory, Over};
use model::{Applied, Change, Incarnation, Instant, Position, StoreError, Version, Written};

use super::life::{after, look, memory};
use super::{Subject, WITHIN, adjust, bare, change, foreign, now, on_hand, set_level, with_key, write_id};
use crate::inventory;

async fn suspend(store: &Subject) -> Incarnation {
    let of = memory(store).await.incarnation;
    store.suspend(of, "a test", WITHIN).await.expect("suspended");
    of
}

async fn bring_back(store: &Subject, of: Incarnation, changes: &[Change], over: Over) -> Vec<Applied> {
    store.bring_back(of, changes, over, WITHIN).await.expect("an answer")
}

/// Raises it; it takes no writes yet.
async fn raise(store: &Subject) -> Incarnation {
    let life = look(store, &[]).await.life.expect("a life");
    let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark: after(life.mark, 2) };
    assert!(store.raise(life.incarnation, to, WITHIN).await.expect("an answer"));
    to.incarnation
}

/// Behind its own gate only: suspended, and of the life that was judged; whatever the fences say. With keys and versions,
/// settled, and harmless to repeat; what came too late has its ledger row all the same.
pub async fn what_was_lost_is_brought_back_while_the_side_is_suspended(store: Subject) {
    let before = set_level(&store, "A", "BER", 10).await;
    store.settle(&[before.write], WITHIN).await.expect("settled");
    let of = memory(&store).await.incarnation;
    let client = with_key(adjust(&store, "A", "BER", 1), "key", "print");
    let at = |position: u64| Version { position: Position(before.version.position.0 + position), ..before.version };
    let lost = |sku, position, on_hand| Change { version: at(position), ..change(sku, "BER", 0, on_hand) };
    let newest = Change { idempotency: client.idempotency.clone(), ..lost("A", 9, Some(12)) };
    let older = lost("A", 8, Some(11));
    let made = lost("B", 7, Some(5));
    let all = [newest.clone(), made.clone()];
    assert_eq!(bring_back(&store, of, &all, Over::Nobody).await, [Applied::Barred, Applied::Barred], "it takes writes");
    suspend(&store).await;
    let other = Incarnation(of.0 + 1);
    assert_eq!(bring_back(&store, other, &all, Over::Nobody).await, [Applied::Barred, Applied::Barred], "another life");
    assert_eq!(on_hand(&store, "A", "BER").await, Some(10));

    assert_eq!(bring_back(&store, of, &all, Over::Nobody).await, [Applied::Newer, Applied::Newer]);
    assert_eq!(bring_back(&store, of, &all, Over::Nobody).await, [Applied::There, Applied::There]);
    let late = bring_back(&store, of, std::slice::from_ref(&older), Over::Nobody).await;
    assert_eq!(super::overtaken_by(&late[0]), newest.write);
    let writes = [newest.write, older.write, made.write];
    assert_eq!(store.standing(&writes, WITHIN).await.expect("an answer").len(), 3);
    assert_eq!(super::unsettled(&store).await, 0);
    assert_eq!((on_hand(&store, "A", "BER").await, on_hand(&store, "B", "BER").await), (Some(12), Some(5)));
    let told = store.changes_of(&[made.write, write_id(), newest.write], WITHIN).await.expect("changes");
    assert_eq!(told.len(), 2);
    assert!(told.contains(&newest) && told.contains(&made), "{told:?}");

    let raised = raise(&store).await;
    let late = [lost("A", 99, Some(1))];
    assert_eq!(bring_back(&store, of, &late, Over::Anybody).await, [Applied::Barred], "it is being raised");
    store.resume(raised, WITHIN).await.expect("resumed");
    assert_eq!(bring_back(&store, raised, &late, Over::Anybody).await, [Applied::Barred], "it takes writes");
    let repeat = store.execute(&client, WITHIN).await.expect("a repeat");
    assert_eq!(repeat, Written::Before(vec![newest]));
    let written = now(store.execute(&adjust(&store, "A", "BER", -1), WITHIN).await);
    assert!(written[0].version.incarnation > of);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(11));
}

/// The numbers of the copy say which rows somebody has changed on it: these are left, or overwritten and told.
pub async fn what_somebody_changed_on_the_copy_is_not_overwritten_unasked(store: Subject) {
    let mut lost = Vec::new();
    for (sku, theirs) in [("UP", Some(50)), ("DEL", None)] {
        let before = set_level(&store, sku, "BER", 10).await;
        foreign::script(&store, sku, theirs).await;
        let version = Version { position: Position(before.version.position.0 + 1_000_000), ..before.version };
        lost.push(Change { version, ..change(sku, "BER", 0, Some(9)) });
    }
    let of = suspend(&store).await;
    let found = [Found::Record(inventory::level("UP", "BER", 50)), Found::Nothing];
    for _ in 0..2 {
        let applied = bring_back(&store, of, &lost, Over::Nobody).await;
        assert_eq!(applied, found.clone().map(Applied::Foreign));
    }
    assert_eq!((on_hand(&store, "UP", "BER").await, on_hand(&store, "DEL", "BER").await), (Some(50), None));
    let writes = [lost[0].write, lost[1].write];
    assert!(store.standing(&writes, WITHIN).await.expect("an answer").is_empty());
    assert_eq!(bring_back(&store, of, &lost, Over::Anybody).await, found.map(Applied::Over));
    assert_eq!((on_hand(&store, "UP", "BER").await, on_hand(&store, "DEL", "BER").await), (Some(9), Some(9)));
    assert_eq!(store.standing(&writes, WITHIN).await.expect("an answer").len(), 2);
}

/// What is brought back stands before the side takes writes, or not at all.
pub async fn whoever_raises_waits_for_what_is_brought_back_and_none_comes_after_it(store: Subject) {
    for round in 0..6_u32 {
        let of = suspend(&store).await;
        let tasks: Vec<_> = (0..4_u64)
            .map(|task| {
                let (store, sku) = (store.clone(), format!("R{round}-{task}"));
                tokio::spawn(async move {
                    let mut position = 0_u64;
                    loop {
                        position += 1;
                        // A store in memory never waits.
                        tokio::task::yield_now().await;
                        let change = change(&sku, "BER", position, Some(position.cast_signed()));
                        match store.bring_back(of, &[change], Over::Nobody, WITHIN).await.as_deref() {
                            Ok([Applied::Newer]) => {}
                            Ok([Applied::Barred]) => return (sku, position - 1),
                            Err(StoreError::Conflict { .. }) => position -= 1,
                            other => panic!("{other:?}"),
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        raise(&store).await;
        let mut at_the_raise = Vec::new();
        for task in 0..4 {
            at_the_raise.push(on_hand(&store, &format!("R{round}-{task}"), "BER").await.unwrap_or(0));
        }
        for (task, then) in tasks.into_iter().zip(at_the_raise) {
            let (sku, last) = task.await.expect("no panic");
            assert_eq!(last.cast_signed(), then, "{sku}");
        }
    }
}

/// A given-up write is told no more and holds no key: a repeat of it is carried like any other write. One whose key alone
/// is freed stands.
pub async fn what_was_given_up_holds_no_idempotency_key(store: Subject) {
    let begin = Instant::new(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    let client = with_key(adjust(&store, "A", "BER", 1), "key", "print").idempotency;
    let keyed = |position| Change { idempotency: client.clone(), ..change("A", "BER", position, Some(1)) };
    let (lost, waits) = (keyed(1), set_level(&store, "B", "BER", 1).await);
    assert_eq!(super::bring(&store, std::slice::from_ref(&lost)).await.expect("applied"), [Applied::Newer]);
    for _ in 0..2 {
        store.give_up(&[lost.write, waits.write, write_id()], WITHIN).await.expect("given up");
        assert_eq!(store.standing(&[lost.write], WITHIN).await.expect("an answer"), []);
        let told = store.writes_since(begin, None, 10, WITHIN).await.expect("writes");
        assert_eq!(told.iter().map(|noted| noted.write).collect::<Vec<_>>(), [waits.write], "what waits is kept");
        assert_eq!(store.changes_of(&[lost.write], WITHIN).await.expect("changes"), []);
    }
    let (key, _) = client.clone().expect("a key");
    assert_eq!(store.keyed(&key, WITHIN).await.expect("an answer"), None);
    let [freed, repeat] = [keyed(2), keyed(3)];
    assert_eq!(super::bring(&store, std::slice::from_ref(&freed)).await.expect("applied"), [Applied::Newer]);
    store.free_keys(&[freed.write, waits.write, write_id()], WITHIN).await.expect("freed");
    assert_eq!(store.keyed(&key, WITHIN).await.expect("an answer"), None);
    assert_eq!(store.standing(&[freed.write], WITHIN).await.expect("an answer"), [freed.write]);
    assert_eq!(super::bring(&store, std::slice::from_ref(&repeat)).await.expect("applied"), [Applied::Newer]);
    assert_eq!(store.keyed(&key, WITHIN).await.expect("an answer").map(|keyed| keyed.write), Some(repeat.write));
}

/// Where nothing of ours was recorded, nobody knows whose a row is: it is left, overwritten and told, or overwritten as
/// somebody else's. A row that nobody has made is nobody's.
pub async fn what_nobody_knows_is_not_overwritten_unasked_either(store: Subject) {
    let at = |sku, position| {
        let version = Version {
            position: Position(u64::from(u32::MAX) * 1_000 + position),
            ..change(sku, "BER", 0, None).version
        };
        Change { version, ..change(sku, "BER", 0, Some(9)) }
    };
    for sku in ["MADE", "OTHER"] {
        foreign::script(&store, sku, Some(77)).await;
    }
    let (made, other, free) = (at("MADE", 1), at("OTHER", 2), at("FREE", 3));
    let gone = Change { state: None, ..at("MADE", 4) };
    let of = suspend(&store).await;
    let theirs = |sku| Found::Record(inventory::level(sku, "BER", 77));
    for _ in 0..2 {
        let applied = bring_back(&store, of, &[made.clone(), other.clone()], Over::Nobody).await;
        assert_eq!(applied, [Applied::Foreign(theirs("MADE")), Applied::Foreign(theirs("OTHER"))]);
        let deleted = bring_back(&store, of, std::slice::from_ref(&gone), Over::Nobody).await;
        assert_eq!(deleted, [Applied::Foreign(theirs("MADE"))]);
    }
    assert_eq!(bring_back(&store, of, &[free], Over::Nobody).await, [Applied::Newer]);
    assert_eq!((on_hand(&store, "MADE", "BER").await, on_hand(&store, "FREE", "BER").await), (Some(77), Some(9)));
    assert_eq!(bring_back(&store, of, &[made], Over::Unproven).await, [Applied::Unproven]);
    assert_eq!(bring_back(&store, of, &[other], Over::Anybody).await, [Applied::Unproven]);
    assert_eq!((on_hand(&store, "MADE", "BER").await, on_hand(&store, "OTHER", "BER").await), (Some(9), Some(9)));
}

/// What a write that changed nothing has left is its idempotency key: it is told, brought back behind the same gate, and
/// found by a repeat; given up it holds no key.
pub async fn the_key_of_a_lost_write_that_changed_nothing_is_brought_back(store: Subject) {
    let idempotency = with_key(bare::remove(&store, "A"), "key", "print").idempotency;
    let lost = bare::bare(Some("key"));
    let keep = |of| store.keep_back(of, std::slice::from_ref(&lost), WITHIN);
    let of = memory(&store).await.incarnation;
    assert_eq!(keep(of).await.expect("an answer"), [Applied::Barred], "it takes writes");
    suspend(&store).await;
    assert_eq!(keep(Incarnation(of.0 + 1)).await.expect("an answer"), [Applied::Barred], "another life");
    for _ in 0..2 {
        assert_eq!(keep(of).await.expect("an answer"), [Applied::There]);
    }
    let other = bare::bare(Some("key"));
    let taken = store.keep_back(of, &[other], WITHIN).await.expect("an answer");
    assert_eq!(taken, [Applied::KeyTaken(lost.write)]);
    let told = store.bare_of(&[lost.write, write_id()], WITHIN).await.expect("an answer");
    assert_eq!(told, std::slice::from_ref(&lost));
    assert_eq!(store.changes_of(&[lost.write], WITHIN).await.expect("changes"), []);

    let raised = raise(&store).await;
    assert_eq!(keep(of).await.expect("an answer"), [Applied::Barred], "it is being raised");
    store.resume(raised, WITHIN).await.expect("resumed");
    let repeat = model::Command { idempotency, ..bare::remove(&store, "A") };
    assert_eq!(store.execute(&repeat, WITHIN).await.expect("a repeat"), Written::Before(vec![]));

    store.free_keys(&[lost.write], WITHIN).await.expect("freed");
    assert_eq!(store.bare_of(&[lost.write], WITHIN).await.expect("an answer"), []);
    assert_eq!(now(store.execute(&repeat, WITHIN).await), []);
}
