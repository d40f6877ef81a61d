//! Promises of a primary's ledger: who finishes what, and what is remembered for how long.

use std::time::Duration;

use model::saga::OpenSagas;
use model::store::Forget;
use model::write::Work;
use model::{GroupName, Stand};

use super::{Subject, WITHIN, command, entity, now, set_level, unsettled, write_id};
use crate::inventory::{self, level_key};

/// The backlog empties by settling, and settling is harmless to repeat or to ask of nobody.
pub async fn settled_writes_are_not_leased_and_settling_twice_is_harmless(store: Subject) {
    let first = set_level(&store, "A", "BER", 5).await;
    let second = set_level(&store, "B", "BER", 5).await;
    assert_eq!(unsettled(&store).await, 2);
    for _ in 0..2 {
        store.settle(&[first.write, write_id()], WITHIN).await.expect("settled");
    }
    assert_eq!(unsettled(&store).await, 1);
    let group = inventory::group();
    let lease = Duration::from_secs(60);
    let young = store.lease_unsettled(&group, Stand::Open, lease, lease, 10, WITHIN).await;
    assert!(young.expect("a lease").is_empty());
    let leased = store.lease_unsettled(&group, Stand::Open, Duration::ZERO, lease, 10, WITHIN).await;
    let leased = leased.expect("a lease");
    assert_eq!((leased.len(), leased[0].attempts), (1, 0));
    assert_eq!(leased[0].changes, [second]);
    let other = GroupName::from("other");
    let none = store.lease_unsettled(&other, Stand::Open, Duration::ZERO, lease, 10, WITHIN).await;
    assert!(none.expect("a lease").is_empty());
}

/// No write is given to two callers, and all are given again when the lease is over.
pub async fn leases_are_exclusive_until_they_are_over(store: Subject) {
    let mut writes = Vec::new();
    for number in 0..20 {
        writes.push(set_level(&store, "A", &format!("L{number}"), 1).await.write);
    }
    let lease = Duration::from_secs(2);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            let group = inventory::group();
            tokio::spawn(
                async move { store.lease_unsettled(&group, Stand::Open, Duration::ZERO, lease, 5, WITHIN).await },
            )
        })
        .collect();
    let mut given = Vec::new();
    for caller in callers {
        let leased = caller.await.expect("no panic").expect("a lease");
        given.extend(leased.iter().map(|unsettled| unsettled.changes[0].write));
    }
    // A caller may find rows of another locked and go with fewer; the rest is still due.
    let group = inventory::group();
    let rest = store.lease_unsettled(&group, Stand::Open, Duration::ZERO, lease, 100, WITHIN).await;
    given.extend(rest.expect("a lease").iter().map(|unsettled| unsettled.changes[0].write));
    given.sort_unstable();
    writes.sort_unstable();
    assert_eq!(given, writes);
    tokio::time::sleep(lease + Duration::from_millis(100)).await;
    let again = store.lease_unsettled(&group, Stand::Open, Duration::ZERO, lease, 100, WITHIN).await;
    let again = again.expect("a lease");
    assert_eq!(again.len(), 20);
    assert!(again.iter().all(|unsettled| unsettled.attempts == 1));
}

fn forget(retention: Duration, limit: usize) -> Forget {
    Forget { retention, limit, sagas: OpenSagas::Unknown }
}

/// States in the ledger come newest first; forgetting spares what is unsettled.
pub async fn old_states_are_kept_and_settled_ones_forgotten(store: Subject) {
    let key = level_key("A", "BER");
    let mut writes = Vec::new();
    for number in 1..=3 {
        writes.push(set_level(&store, "A", "BER", number).await.write);
    }
    now(store.execute(&command(Work::Delete, vec![key.clone()]), WITHIN).await);
    let states = store.past_states(&entity(&key), &key, 3, WITHIN).await.expect("states");
    let expected = [None, Some(3), Some(2)].map(|n| n.map(|n| inventory::level("A", "BER", n)));
    assert_eq!(states, expected);
    let history = store.history(&key, 3, WITHIN).await.expect("a history");
    assert_eq!(history.states.iter().map(|past| past.state.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(history.states[1].write, writes[2]);
    assert!(history.states.is_sorted_by_key(|past| std::cmp::Reverse(past.version)));
    assert!(history.states.iter().all(|past| (chrono::Utc::now() - past.at.to_utc()).num_minutes().abs() < 5));
    assert_eq!(history.recorded, Some(history.states[0].version));
    store.settle(&writes, WITHIN).await.expect("settled");
    let kept = store.forget(&forget(Duration::from_secs(3600), 10), WITHIN).await.expect("forgotten");
    assert_eq!(kept, 0);
    let mut gone = 0;
    for limit in [2, 10] {
        gone += store.forget(&forget(Duration::ZERO, limit), WITHIN).await.expect("forgotten");
        assert!(gone <= 3);
    }
    assert_eq!(gone, 3);
    assert_eq!(unsettled(&store).await, 1);
}
