//! Promises of a store as secondary.

use model::fence::{Fence, Move};
use model::life::{Mark, Memory};
use model::{Applied, Change, Epoch, Incarnation, Recorded, Stand, StoreError, Version, WriteId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{
    Subject, WITHIN, bring, bring_over, change, close, command, now, on_hand, open, overtaken_by, read, refusal,
    with_key,
};
use crate::inventory::{self, level_key, product_key};

async fn apply(store: &Subject, change: Change) -> Applied {
    let mut applied = bring(store, &[change]).await.expect("applied");
    assert_eq!(applied.len(), 1);
    applied.remove(0)
}

/// Position, incarnation and epoch each decide, the later the stronger; an equal version changes nothing.
pub async fn newer_wins_and_the_same_again_is_stale(store: Subject) {
    let baseline = Change { version: Version::baseline(3), ..change("A", "BER", 0, Some(1)) };
    assert_eq!(apply(&store, baseline).await, Applied::Newer);
    let newer = change("A", "BER", 10, Some(2));
    assert_eq!(apply(&store, newer.clone()).await, Applied::Newer);
    assert_eq!(apply(&store, newer.clone()).await, Applied::There);
    assert_eq!(overtaken_by(&apply(&store, change("A", "BER", 10, Some(3))).await), newer.write);
    assert_eq!(overtaken_by(&apply(&store, change("A", "BER", 9, Some(3))).await), newer.write);
    let mut later = change("A", "BER", 1, Some(4));
    later.version.incarnation = Incarnation(2);
    assert_eq!(apply(&store, later.clone()).await, Applied::Newer);
    overtaken_by(&apply(&store, change("A", "BER", 11, Some(3))).await);
    later.version = Version { epoch: Epoch(2), incarnation: Incarnation(1), ..later.version };
    later.write = super::write_id();
    assert_eq!(apply(&store, later).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(4));
}

/// Any interleaving of single and batched calls, with repeats, ends in the newest state of each key.
pub async fn any_order_with_repeats_converges(store: Subject) {
    let mut runner = TestRunner::deterministic();
    for round in 0..12 {
        let skus: Vec<_> = (0..3).map(|key| format!("R{round}-{key}")).collect();
        let states = proptest::collection::vec(proptest::option::of(0_i64..100), 5);
        let mut all = Vec::new();
        let mut expected = Vec::new();
        for sku in &skus {
            let states = states.new_tree(&mut runner).expect("states").current();
            expected.push(states[states.len() - 1]);
            let numbered = (1_u64..).zip(states);
            all.extend(numbered.map(|(position, state)| change(sku, "BER", position, state)));
        }
        let twice: Vec<_> = all.iter().chain(&all).cloned().collect();
        let order = Just(twice).prop_shuffle().new_tree(&mut runner).expect("an order").current();
        // Neighbours of different keys travel in one call.
        let mut calls: Vec<Vec<Change>> = Vec::new();
        for change in order {
            match calls.last_mut() {
                Some(call) if call.iter().all(|other| other.key != change.key) => call.push(change),
                Some(_) | None => calls.push(vec![change]),
            }
        }
        for call in calls {
            bring(&store, &call).await.expect("applied");
        }
        for (sku, state) in skus.iter().zip(expected) {
            assert_eq!(on_hand(&store, sku, "BER").await, state, "{sku}");
        }
    }
}

/// What was deleted does not come back by an older state, only by a newer one.
pub async fn a_tombstone_outlives_older_states(store: Subject) {
    assert_eq!(apply(&store, change("A", "BER", 5, Some(5))).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 7, None)).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    overtaken_by(&apply(&store, change("A", "BER", 6, Some(6))).await);
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    assert_eq!(apply(&store, change("A", "BER", 8, Some(8))).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(8));
    // A tombstone of what this side never had counts all the same.
    assert_eq!(apply(&store, change("B", "BER", 7, None)).await, Applied::Newer);
    overtaken_by(&apply(&store, change("B", "BER", 6, Some(6))).await);
    assert_eq!(on_hand(&store, "B", "BER").await, None);
}

/// A deletion that waits for an older upsert in flight still removes what that one wrote.
pub async fn deletions_and_upserts_that_race_converge(store: Subject) {
    close(&store).await;
    for round in 0..15 {
        let sku = format!("RACE-{round}");
        let last = if round % 2 == 0 { None } else { Some(99) };
        let tasks: Vec<_> = (1..=8_u64)
            .map(|position| {
                let state = match position {
                    8 => last,
                    odd if odd % 2 == 1 => Some(i64::try_from(odd).expect("small")),
                    _ => None,
                };
                let (store, change) = (store.clone(), change(&sku, "BER", position, state));
                tokio::spawn(async move {
                    // To give way is allowed, to be applied again then is the rule.
                    while let Err(error) = store.apply(std::slice::from_ref(&change), WITHIN).await {
                        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(on_hand(&store, &sku, "BER").await, last, "round {round}");
    }
}

/// One answer per change, in their order, whatever they are.
pub async fn one_call_takes_changes_of_several_types_and_shapes(store: Subject) {
    let key = product_key("A");
    let entity = super::entity(&key);
    let mut product = model::Record::empty(&entity);
    for index in entity.all_fields().iter() {
        product.set(index, model::Value::Null);
    }
    product.set(entity.index("sku").expect("a field"), "A".into());
    product.set(entity.index("active").expect("a field"), model::Value::Bool(false));
    apply(&store, change("STALE", "BER", 9, Some(9))).await;
    apply(&store, change("GONE", "BER", 9, Some(9))).await;
    let changes = [
        change("STALE", "BER", 8, Some(8)),
        change("NEW", "BER", 8, Some(8)),
        change("GONE", "BER", 10, None),
        Change { key: key.clone(), state: Some(product.clone()), ..change("A", "BER", 1, None) },
        change("STALE", "HAM", 8, None),
    ];
    let applied = bring(&store, &changes).await.expect("applied");
    overtaken_by(&applied[0]);
    assert_eq!(applied[1..], [Applied::Newer, Applied::Newer, Applied::Newer, Applied::Newer]);
    assert_eq!(read(&store, &key).await, Some(product));
    assert_eq!(on_hand(&store, "STALE", "BER").await, Some(9));
    assert_eq!(on_hand(&store, "GONE", "BER").await, None);
    assert!(bring(&store, &[]).await.expect("nothing to do").is_empty());
    let twice = [change("X", "BER", 1, Some(1)), change("X", "BER", 2, Some(2))];
    let result = bring(&store, &twice).await;
    assert!(matches!(result, Err(StoreError::Misfit { .. })), "{result:?}");
}

/// All or nothing: what does not fit takes the whole call with it.
pub async fn a_call_with_one_bad_change_changes_nothing(store: Subject) {
    let bad = change("A", "LOCATION-TOO-LONG", 1, Some(1));
    let changes = [change("A", "BER", 1, Some(1)), bad, change("A", "HAM", 1, None)];
    assert_eq!(refusal(bring(&store, &changes).await), "TOO_LONG");
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    // Nor is a version left behind that would keep the good ones out.
    assert_eq!(apply(&store, changes[0].clone()).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(1));
}

/// Write id, idempotency key and states are known on this side too, settled; of what came too late once that is proven.
pub async fn the_ledger_is_carried_along(store: Subject) {
    apply(&store, change("A", "BER", 9, Some(9))).await;
    let mut carried = change("A", "BER", 8, Some(8));
    let client = with_key(super::adjust(&store, "A", "BER", 1), "key", "print");
    carried.idempotency = client.idempotency.clone();
    overtaken_by(&apply(&store, carried.clone()).await);
    for _ in 0..2 {
        assert_eq!(carry(&store, std::slice::from_ref(&carried)).await, None);
    }
    let stands = store.standing(&[carried.write], WITHIN).await.expect("an answer");
    assert_eq!(stands, [carried.write]);
    let group = inventory::group();
    assert_eq!(store.backlog(&group, WITHIN).await.expect("a backlog").writes, 0);
    let key = level_key("A", "BER");
    let states = store.past_states(&super::entity(&key), &key, 9, WITHIN).await;
    let expected = [9, 8].map(|n| Some(inventory::level("A", "BER", n)));
    assert_eq!(states.expect("states"), expected);
    // The recorded version is the newest one, whatever came last.
    let history = store.history(&key, 9, WITHIN).await.expect("a history");
    assert_eq!(history.states.len(), 2);
    assert_eq!(history.recorded, Some(history.states[0].version));
    assert_eq!(history.states[1].version, carried.version);
    // After a handover, a repeat that comes here gets the first result.
    let work = model::write::Work::Delete;
    let mut repeat = command(work, vec![key]);
    repeat.idempotency = client.idempotency;
    let before = store.execute(&repeat, WITHIN).await.expect("a repeat");
    assert_eq!(before, model::Written::Before(vec![carried]));
}

async fn carry(store: &Subject, changes: &[Change]) -> Option<WriteId> {
    let before = close(store).await.expect("it was open");
    let key_of = store.carry(changes, WITHIN).await.expect("carried");
    open(store, before.epoch).await;
    key_of
}

async fn stands(store: &Subject, write: WriteId) -> bool {
    !store.standing(&[write], WITHIN).await.expect("an answer").is_empty()
}

/// What nothing newer of the primary has overtaken is on no ledger here: nobody may take it for there.
pub async fn what_came_too_late_is_not_sworn_to_before_it_is_proven(store: Subject) {
    // A state of a history that the primary lost.
    let lost = change("A", "BER", 900, Some(9));
    assert_eq!(apply(&store, lost.clone()).await, Applied::Newer);
    let late = change("A", "BER", 8, Some(8));
    for _ in 0..2 {
        assert_eq!(overtaken_by(&apply(&store, late.clone()).await), lost.write);
        assert!(!stands(&store, late.write).await);
    }
    let over = bring_over(&store, std::slice::from_ref(&late)).await.expect("applied");
    assert_eq!(overtaken_by(&over[0]), lost.write);
    // A deletion, and the first write of a key under a tombstone.
    let deletion = change("A", "BER", 7, None);
    overtaken_by(&apply(&store, deletion.clone()).await);
    assert!(!stands(&store, deletion.write).await);
    let tombstone = change("B", "BER", 900, None);
    assert_eq!(apply(&store, tombstone.clone()).await, Applied::Newer);
    let first = change("B", "BER", 1, Some(1));
    assert_eq!(overtaken_by(&apply(&store, first.clone()).await), tombstone.write);
    assert!(!stands(&store, first.write).await);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(9));
}

/// One of two changes is overtaken: the other stands, and the ledger waits for both.
pub async fn a_write_that_came_too_late_in_part_is_carried_as_a_whole_or_not_at_all(store: Subject) {
    apply(&store, change("A", "BER", 9, Some(9))).await;
    let first = change("A", "BER", 8, Some(8));
    let second = Change { write: first.write, ordinal: 1, ..change("B", "BER", 8, Some(8)) };
    let both = [first, second];
    let applied = bring(&store, &both).await.expect("applied");
    overtaken_by(&applied[0]);
    assert_eq!(applied[1], Applied::Newer);
    assert!(!stands(&store, both[0].write).await);
    let again = bring(&store, &both).await.expect("applied");
    assert_eq!(again[1], Applied::There);
    assert!(!stands(&store, both[0].write).await);
    assert_eq!(carry(&store, &both).await, None);
    assert!(stands(&store, both[0].write).await);
    let history = store.history(&both[1].key, 9, WITHIN).await.expect("a history");
    assert_eq!(history.states.len(), 1);
}

/// A repeat after a handover would be told the result of the wrong write.
pub async fn another_write_under_the_same_idempotency_key_is_an_answer(store: Subject) {
    let client = with_key(super::adjust(&store, "A", "BER", 1), "key", "print").idempotency;
    let keyed = |sku, position| Change { idempotency: client.clone(), ..change(sku, "BER", position, Some(1)) };
    let first = keyed("A", 1);
    assert_eq!(apply(&store, first.clone()).await, Applied::Newer);
    assert_eq!(apply(&store, first.clone()).await, Applied::There);
    let second = keyed("B", 2);
    for _ in 0..2 {
        assert_eq!(apply(&store, second.clone()).await, Applied::KeyTaken(first.write));
        assert!(!stands(&store, second.write).await);
        assert_eq!(carry(&store, std::slice::from_ref(&second)).await, Some(first.write));
    }
    // Others in the call are not held up.
    let call = [keyed("C", 3), change("D", "BER", 3, Some(3))];
    let applied = bring(&store, &call).await.expect("applied");
    assert_eq!(applied, [Applied::KeyTaken(first.write), Applied::Newer]);
    assert!(stands(&store, call[1].write).await);
}

/// Nothing of another primary changes a side that is primary itself, or of which nobody knows: no state, no copy, no
/// order to overwrite, no ledger row.
pub async fn a_side_that_takes_writes_takes_no_changes(store: Subject) {
    let copy = Change { version: Version::baseline(3), ..change("B", "BER", 0, Some(1)) };
    let late = [change("A", "BER", 1, Some(1)), copy, change("C", "BER", 1, None)];
    let barred = [Applied::Barred, Applied::Barred, Applied::Barred];
    assert_eq!(store.apply(&late, WITHIN).await.expect("an answer"), barred);
    assert_eq!(store.apply_over(&late, WITHIN).await.expect("an answer"), barred);
    let carried = store.carry(&late, WITHIN).await;
    assert!(matches!(carried, Err(StoreError::Fenced { .. })), "{carried:?}");
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    assert_eq!(on_hand(&store, "B", "BER").await, None);
    let keys: Vec<_> = late.iter().map(|change| change.key.clone()).collect();
    assert_eq!(store.recorded(&keys, WITHIN).await.expect("an answer"), [None, None, None]);
    assert!(!stands(&store, late[0].write).await);
    // Frozen is not open: the drain goes on.
    let (group, step) = (inventory::group(), |to| Move { side: store.side(), from: OPEN, to, takes_over: false });
    let frozen = Fence { epoch: Epoch(2), stand: Stand::Frozen };
    store.move_fence(&group, &step(frozen), WITHIN).await.expect("a move");
    let applied = store.apply(&late, WITHIN).await.expect("an answer");
    assert_eq!(applied, [Applied::Newer, Applied::Newer, Applied::Newer]);
    // Nor does one that has gone back, whatever its fence says.
    let of = store.incarnation(WITHIN).await.expect("an incarnation");
    store.suspend(of, "it has gone back", WITHIN).await.expect("suspended");
    let late = [change("A", "BER", 2, Some(2)), change("E", "BER", 2, Some(2))];
    assert_eq!(store.apply(&late, WITHIN).await.expect("an answer"), [Applied::Barred, Applied::Barred]);
    assert!(matches!(store.carry(&late, WITHIN).await, Err(StoreError::Fenced { .. })));
}

/// An old instance of the primary lives on somewhere, and replicas that reach it bring what it has acknowledged: nothing
/// of it is taken once this side has heard of the primary's later life. What was written before that life and comes from
/// the present primary is.
pub async fn what_an_old_instance_of_the_primary_brings_is_barred(store: Subject) {
    close(&store).await;
    let other = store.side().other();
    let lives = |incarnation| Memory { incarnation: Incarnation(incarnation), mark: Mark { counter: 5, random: 7 } };
    store.remember(other, lives(2), WITHIN).await.expect("remembered");
    let old = [change("A", "BER", 1, Some(1)), change("B", "BER", 1, None)];
    let barred = [Applied::Barred, Applied::Barred];
    for read in [Incarnation(0), Incarnation(1)] {
        store.brings_from(read);
        assert_eq!(store.apply(&old, WITHIN).await.expect("an answer"), barred);
        assert_eq!(store.apply_over(&old, WITHIN).await.expect("an answer"), barred);
        assert!(matches!(store.carry(&old, WITHIN).await, Err(StoreError::Fenced { .. })));
    }
    let keys: Vec<_> = old.iter().map(|change| change.key.clone()).collect();
    assert_eq!(store.recorded(&keys, WITHIN).await.expect("an answer"), [None, None]);
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    assert!(!stands(&store, old[0].write).await);

    // A replica that knows the present life brings the same: written before the raise, it belongs to its history.
    assert!(store.brings_from(Incarnation(2)));
    assert!(!store.brings_from(Incarnation(2)), "that is no news");
    assert_eq!(store.apply(&old, WITHIN).await.expect("an answer"), [Applied::Newer, Applied::Newer]);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(1));
    assert!(stands(&store, old[0].write).await);
    // Nor does one wait that has heard of a still later life before this side has.
    store.brings_from(Incarnation(3));
    let next = change("A", "BER", 2, Some(2));
    assert_eq!(store.apply(&[next], WITHIN).await.expect("an answer"), [Applied::Newer]);
    // Reached again by way of the old instance, it is barred again; a later life is remembered at once.
    store.remember(other, lives(4), WITHIN).await.expect("remembered");
    let late = change("A", "BER", 3, Some(3));
    assert_eq!(store.apply(std::slice::from_ref(&late), WITHIN).await.expect("an answer"), [Applied::Barred]);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(2));
}

const OPEN: Fence = Fence { epoch: Epoch(1), stand: Stand::Open };

/// Whatever is applied while somebody opens the side stands before it is open, or not at all.
pub async fn whoever_opens_the_fence_waits_for_applies_and_none_comes_after_it(store: Subject) {
    for round in 0..8_u32 {
        close(&store).await;
        let applies: Vec<_> = (0..4_u64)
            .map(|task| {
                let (store, sku) = (store.clone(), format!("R{round}-{task}"));
                tokio::spawn(async move {
                    let mut position = 0;
                    loop {
                        position += 1;
                        // A store in memory never waits.
                        tokio::task::yield_now().await;
                        let change = change(&sku, "BER", position, Some(position.cast_signed()));
                        match store.apply(&[change], WITHIN).await.as_deref() {
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
        open(&store, Epoch(round + 1)).await;
        let mut at_the_move = Vec::new();
        for task in 0..4 {
            at_the_move.push(on_hand(&store, &format!("R{round}-{task}"), "BER").await.unwrap_or(0));
        }
        for (apply, then) in applies.into_iter().zip(at_the_move) {
            let (sku, last) = apply.await.expect("no panic");
            assert_eq!(last.cast_signed(), then, "{sku}");
            assert_eq!(on_hand(&store, &sku, "BER").await.unwrap_or(0), then, "{sku}");
        }
    }
}

/// One slot per key, of any types; nothing where nothing was recorded.
pub async fn what_is_recorded_is_told_for_each_key(store: Subject) {
    let written = super::set_level(&store, "A", "BER", 1).await;
    let brought = change("B", "BER", 7, None);
    apply(&store, brought.clone()).await;
    let keys = [level_key("GHOST", "BER"), brought.key.clone(), product_key("A"), written.key.clone(), brought.key];
    let recorded = store.recorded(&keys, WITHIN).await.expect("an answer");
    let of = |change: &Change, write| Some(Recorded { write, version: change.version });
    let brought = of(&change("B", "BER", 7, None), brought.write);
    assert_eq!(recorded, [None, brought, None, of(&written, written.write), brought]);
    now(store.execute(&super::adjust(&store, "A", "BER", 1), WITHIN).await);
    let later = store.recorded(&keys[3..4], WITHIN).await.expect("an answer");
    assert!(later[0].is_some_and(|later| later.version > written.version && later.write != written.write));
}
