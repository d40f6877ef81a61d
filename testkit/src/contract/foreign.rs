//! Promises about rows that somebody else has changed on the secondary, past us.
//!
//! Somebody's script is played by a write that changes more than it says that it touches: of the row that it keeps
//! quiet about, no version is recorded.

use crate::begin::Begin as _;
use model::Stand::Open;
use model::fence::{Fence, Move};
use std::collections::HashSet;

use model::foreign::Found;
use model::write::Work;
use model::{Applied, Change, Command, Epoch, GroupName, Role, StoreError, Version};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::{
    Subject, WITHIN, adjust, bring, bring_over, change, close, command, entity, now, on_hand, overtaken_by, reads,
    set_level,
};
use crate::inventory::{self, level, level_key, product_key};

pub(super) async fn apply(store: &Subject, change: Change) -> Applied {
    let applied = bring(store, &[change]).await.expect("applied");
    assert_eq!(applied.len(), 1);
    applied.into_iter().next().expect("one")
}

pub(super) async fn apply_over(store: &Subject, change: Change) -> Applied {
    let applied = bring_over(store, &[change]).await.expect("applied");
    applied.into_iter().next().expect("one")
}

/// The group that scripts write under, whatever becomes of ours.
fn scripts() -> GroupName {
    GroupName::from("scripts")
}

/// Somebody's script: gives a level so much on hand, or removes it.
fn scripted(store: &Subject, sku: &str, on_hand: Option<i64>) -> Command {
    let statements = match on_hand {
        Some(_) => inventory::put_level(store.side()),
        None => vec![inventory::remove(store.side())],
    };
    let params = inventory::at(sku, "BER", on_hand.unwrap_or_default());
    Command { group: scripts(), ..command(Work::Run { statements, params }, vec![product_key("SAYS")]) }
}

/// Opens the group of scripts, and makes what a script says that it touches: a write that changes rows and leaves none
/// that it names is refused.
pub(super) async fn say(store: &Subject) {
    store.begin_as(&[scripts()], Role::Primary, WITHIN).await.expect("prepared");
    let from = store.fence(&scripts(), WITHIN).await.expect("a fence").fence;
    let step = Move { side: store.side(), from, to: Fence::new(Epoch(1), Open), takes_over: false };
    store.move_fence(&scripts(), &step, WITHIN).await.expect("a move");
    let says = product_key("SAYS");
    let record = model::Record::of(&entity(&says), [("name", "it says".into())]);
    now(store.execute(&Command { group: scripts(), ..command(Work::Set(record), vec![says]) }, WITHIN).await);
}

pub(super) async fn script(store: &Subject, sku: &str, on_hand: Option<i64>) {
    say(store).await;
    let told = now(store.execute(&scripted(store, sku, on_hand), WITHIN).await);
    assert!(told.iter().all(|change| change.key == product_key("SAYS")), "{told:?}");
}

/// A change under a later epoch, as it comes after a handover.
pub(super) fn later(epoch: u32, position: u64, sku: &str, on_hand: Option<i64>) -> Change {
    let mut change = change(sku, "BER", position, on_hand);
    change.version.epoch = Epoch(epoch);
    change
}

pub(super) fn found(sku: &str, on_hand: i64) -> Found {
    Found::Record(level(sku, "BER", on_hand))
}

pub(super) async fn as_left(store: &Subject, sku: &str) -> Option<bool> {
    let key = level_key(sku, "BER");
    store.as_left(&entity(&key), &key, WITHIN).await.expect("an answer")
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
        overtaken_by(&apply(&store, change(sku, "BER", 1, Some(7))).await);
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
        overtaken_by(&apply_over(&store, change(sku, "BER", 2, Some(2))).await);
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
    let applied = bring(&store, &call).await.expect("applied");
    assert_eq!(applied, [Applied::Newer, Applied::Held, Applied::Foreign(found("B", 50)), Applied::Newer]);
    let stand = [("A", 1), ("B", 50), ("C", 2)];
    for (sku, expected) in stand {
        assert_eq!(on_hand(&store, sku, "BER").await, Some(expected), "{sku}");
    }
    assert!(store.standing(&[call[1].write], WITHIN).await.expect("an answer").is_empty());
    let over = bring_over(&store, &call).await.expect("applied");
    assert_eq!(over, [Applied::There, Applied::Newer, Applied::Over(found("B", 50)), Applied::There]);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(0));
    assert_eq!(on_hand(&store, "B", "BER").await, Some(2));
}

/// A row that we never wrote, and the primary neither: nobody knows whose it is. A write takes it and says so.
pub async fn a_row_of_which_nothing_is_known_is_taken_as_it_is(store: Subject) {
    for (sku, ours) in [("A", Some(1)), ("B", None)] {
        script(&store, sku, Some(50)).await;
        assert_eq!(as_left(&store, sku).await, None);
        assert_eq!(apply(&store, change(sku, "BER", 1, ours)).await, Applied::Unproven);
        assert_eq!(on_hand(&store, sku, "BER").await, ours);
        assert_eq!(as_left(&store, sku).await, Some(true));
        script(&store, sku, Some(50)).await;
        assert_eq!(as_left(&store, sku).await, Some(false));
    }
    // Nothing is nobody's, and what is as we would leave it is nothing to argue about.
    assert_eq!(apply(&store, change("NEW", "BER", 1, Some(1))).await, Applied::Newer);
    assert_eq!(apply(&store, change("NONE", "BER", 1, None)).await, Applied::Newer);
    script(&store, "SAME", Some(50)).await;
    assert_eq!(apply(&store, change("SAME", "BER", 1, Some(50))).await, Applied::Newer);
}

/// Whatever a side wrote as primary is ours when it is secondary: after a handover, there and back.
pub async fn what_a_side_wrote_as_primary_is_not_foreign_after_a_handover(store: Subject) {
    // GIVEN rows that it was brought as secondary, and others that it wrote first
    apply(&store, later(0, 1, "BROUGHT", Some(1))).await;
    set_level(&store, "MADE", "BER", 1).await;
    // WHEN it writes them in every way, and is told a rehearsal
    for sku in ["BROUGHT", "MADE"] {
        assert_eq!(as_left(&store, sku).await, Some(true));
        now(store.execute(&adjust(&store, sku, "BER", 4), WITHIN).await);
        store.rehearse(&adjust(&store, sku, "BER", 4), WITHIN).await.expect("a rehearsal");
        assert_eq!(as_left(&store, sku).await, Some(true));
    }
    set_level(&store, "GONE", "BER", 1).await;
    now(store.execute(&command(Work::Delete, vec![level_key("GONE", "BER")]), WITHIN).await);
    set_level(&store, "AGAIN", "BER", 1).await;
    now(store.execute(&command(Work::Delete, vec![level_key("AGAIN", "BER")]), WITHIN).await);
    set_level(&store, "AGAIN", "BER", 2).await;
    set_level(&store, "TOUCHED", "BER", 1).await;
    now(store.execute(&command(Work::Touch, vec![level_key("TOUCHED", "BER")]), WITHIN).await);
    let skus = ["BROUGHT", "MADE", "GONE", "AGAIN", "TOUCHED"];
    // THEN what the other side wrote as primary is applied
    for sku in skus {
        assert_eq!(apply(&store, later(2, 1, sku, Some(7))).await, Applied::Newer, "{sku}");
    }
    // AND again, when it was primary once more
    let step =
        Move { side: store.side(), from: Fence::new(Epoch(1), Open), to: Fence::new(Epoch(3), Open), takes_over: true };
    store.move_fence(&inventory::group(), &step, WITHIN).await.expect("a move");
    for sku in skus {
        now(store.execute(&Command { epoch: Epoch(3), ..adjust(&store, sku, "BER", -1) }, WITHIN).await);
        overtaken_by(&apply(&store, later(2, 9, sku, Some(70))).await);
        assert_eq!(apply(&store, later(4, 1, sku, None)).await, Applied::Newer, "{sku}");
        assert_eq!(on_hand(&store, sku, "BER").await, None);
    }
}

/// Values of every kind, as a store keeps them, are the values that it read back.
pub async fn no_value_that_a_primary_wrote_is_foreign_after_a_handover(store: Subject) {
    let entity = entity(&product_key("A"));
    let mut runner = TestRunner::deterministic();
    let mut keys = HashSet::new();
    for _ in 0..100 {
        let record = reads::products().new_tree(&mut runner).expect("a record").current();
        let key = record.key(&entity).expect("a key");
        now(store.execute(&command(Work::Set(record), vec![key.clone()]), WITHIN).await);
        keys.insert(key);
    }
    for key in keys {
        let change = Change { key, state: None, ..later(2, 1, "A", None) };
        assert_eq!(bring(&store, &[change]).await.expect("applied"), [Applied::Newer]);
    }
}

/// A change past a side that was primary would be lost by the first apply after the handover: it is met like any other.
pub async fn a_change_past_a_primary_is_met_after_a_handover(store: Subject) {
    for (sku, before, theirs) in [("UP", Some(1), Some(50)), ("DEL", Some(1), None), ("INS", None, Some(50))] {
        set_level(&store, sku, "BER", 1).await;
        if before.is_none() {
            now(store.execute(&command(Work::Delete, vec![level_key(sku, "BER")]), WITHIN).await);
        }
        script(&store, sku, theirs).await;
        assert_eq!(as_left(&store, sku).await, Some(false));
        let expected = theirs.map_or(Found::Nothing, |on_hand| found(sku, on_hand));
        assert_eq!(apply(&store, later(2, 1, sku, Some(9))).await, Applied::Foreign(expected.clone()), "{sku}");
        // What the side writes after the script, as primary, is what stands.
        assert_eq!(apply_over(&store, later(2, 1, sku, Some(9))).await, Applied::Over(expected));
        assert_eq!(apply(&store, later(2, 2, sku, Some(10))).await, Applied::Newer);
    }
}

/// Two replicas that bring the same keys at once never take each other for somebody else.
pub async fn applies_of_the_same_key_at_once_are_not_foreign_to_each_other(store: Subject) {
    close(&store).await;
    for round in 0..12_u64 {
        let replica = |first: u64| {
            let store = store.clone();
            async move {
                for place in 0..4 {
                    let position = round * 10 + first + 2 * place;
                    // Some delete, in either order of the keys.
                    let state =
                        |sku: &str| (!position.is_multiple_of(3) || sku == "A").then_some(position.cast_signed());
                    let mut call: Vec<_> =
                        ["A", "B"].map(|sku| change(sku, "BER", position, state(sku))).into_iter().collect();
                    if first == 2 {
                        call.reverse();
                    }
                    loop {
                        match store.apply(&call, WITHIN).await {
                            Ok(applied) => break assert!(applied.iter().all(|a| a.found().is_none()), "{applied:?}"),
                            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
                        }
                    }
                }
            }
        };
        let (one, other) = (tokio::spawn(replica(1)), tokio::spawn(replica(2)));
        one.await.expect("no panic");
        other.await.expect("no panic");
        assert_eq!(as_left(&store, "A").await, Some(true));
        assert_eq!(as_left(&store, "B").await, Some(true));
    }
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
    close(&store).await;
    say(&store).await;
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
            match store.execute(&scripted(&store, &sku, Some(50)), WITHIN).await {
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
