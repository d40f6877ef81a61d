//! Promises of a store as secondary.

use model::{Applied, Change, Epoch, Incarnation, StoreError, Version};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Subject, WITHIN, change, command, on_hand, read, refusal, with_key};
use crate::inventory::{self, level_key, product_key};

async fn apply(store: &Subject, change: Change) -> Applied {
    let mut applied = store.apply(&[change], WITHIN).await.expect("applied");
    assert_eq!(applied.len(), 1);
    applied.remove(0)
}

/// Position, incarnation and epoch each decide, the later the stronger; an equal version changes nothing.
pub async fn newer_wins_and_the_same_again_is_stale(store: Subject) {
    let baseline = Change { version: Version::baseline(3), ..change("A", "BER", 0, Some(1)) };
    assert_eq!(apply(&store, baseline).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 10, Some(2))).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 10, Some(3))).await, Applied::Stale);
    assert_eq!(apply(&store, change("A", "BER", 9, Some(3))).await, Applied::Stale);
    let mut later = change("A", "BER", 1, Some(4));
    later.version.incarnation = Incarnation(2);
    assert_eq!(apply(&store, later.clone()).await, Applied::Newer);
    assert_eq!(apply(&store, change("A", "BER", 11, Some(3))).await, Applied::Stale);
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
            store.apply(&call, WITHIN).await.expect("applied");
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
    assert_eq!(apply(&store, change("A", "BER", 6, Some(6))).await, Applied::Stale);
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    assert_eq!(apply(&store, change("A", "BER", 8, Some(8))).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(8));
    // A tombstone of what this side never had counts all the same.
    assert_eq!(apply(&store, change("B", "BER", 7, None)).await, Applied::Newer);
    assert_eq!(apply(&store, change("B", "BER", 6, Some(6))).await, Applied::Stale);
    assert_eq!(on_hand(&store, "B", "BER").await, None);
}

/// A deletion that waits for an older upsert in flight still removes what that one wrote.
pub async fn deletions_and_upserts_that_race_converge(store: Subject) {
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
    let applied = store.apply(&changes, WITHIN).await.expect("applied");
    use Applied::{Newer, Stale};
    assert_eq!(applied, [Stale, Newer, Newer, Newer, Newer]);
    assert_eq!(read(&store, &key).await, Some(product));
    assert_eq!(on_hand(&store, "STALE", "BER").await, Some(9));
    assert_eq!(on_hand(&store, "GONE", "BER").await, None);
    assert!(store.apply(&[], WITHIN).await.expect("nothing to do").is_empty());
    let twice = [change("X", "BER", 1, Some(1)), change("X", "BER", 2, Some(2))];
    let result = store.apply(&twice, WITHIN).await;
    assert!(matches!(result, Err(StoreError::Misfit { .. })), "{result:?}");
}

/// All or nothing: what does not fit takes the whole call with it.
pub async fn a_call_with_one_bad_change_changes_nothing(store: Subject) {
    let bad = change("A", "LOCATION-TOO-LONG", 1, Some(1));
    let changes = [change("A", "BER", 1, Some(1)), bad, change("A", "HAM", 1, None)];
    assert_eq!(refusal(store.apply(&changes, WITHIN).await), "TOO_LONG");
    assert_eq!(on_hand(&store, "A", "BER").await, None);
    // Nor is a version left behind that would keep the good ones out.
    assert_eq!(apply(&store, changes[0].clone()).await, Applied::Newer);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(1));
}

/// Write id, idempotency key and states are known on this side too, settled, also of stale changes.
pub async fn the_ledger_is_carried_along(store: Subject) {
    apply(&store, change("A", "BER", 9, Some(9))).await;
    let mut carried = change("A", "BER", 8, Some(8));
    let client = with_key(super::adjust(&store, "A", "BER", 1), "key", "print");
    carried.idempotency = client.idempotency.clone();
    assert_eq!(apply(&store, carried.clone()).await, Applied::Stale);
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
