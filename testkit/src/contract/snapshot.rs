//! A snapshot keeps its moment, and costs no writer a wait.

use model::checksum::Chunk;
use model::{EntityKey, Record, Scan, Work};

use super::{Subject, WITHIN, command, entity, now, set_level};
use crate::inventory::level_key;

async fn all(view: &dyn Scan, key: &EntityKey) -> Vec<Record> {
    view.scan(&entity(key), None, 100, WITHIN).await.expect("a page")
}

/// What is written, changed or deleted after the moment is not seen, by no way of reading.
pub async fn a_snapshot_stays_as_it_was(store: Subject) {
    let key = level_key("A", "BER");
    let entity = entity(&key);
    set_level(&store, "A", "BER", 1).await;
    set_level(&store, "B", "BER", 2).await;
    let before = all(&*store, &key).await;
    let sums = store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();

    let snapshot = store.snapshot(WITHIN).await.unwrap();
    set_level(&store, "A", "BER", 10).await;
    set_level(&store, "C", "BER", 3).await;
    now(store.execute(&command(Work::Delete, vec![level_key("B", "BER")]), WITHIN).await);

    assert_eq!(all(&*snapshot, &key).await, before);
    assert_eq!(snapshot.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap(), sums);
    let mut members = snapshot.members(&entity, &Chunk::whole(), 10, WITHIN).await.unwrap();
    members.sort_by_key(|record| record.key(&entity));
    assert_eq!(members, before);
    let last = snapshot.scan(&entity, Some(&key), 10, WITHIN).await.unwrap();
    assert_eq!(last, before[1..]);
    assert_ne!(store.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap(), sums);
}

/// Each snapshot has a moment of its own, and they do not disturb each other.
pub async fn snapshots_are_of_different_moments(store: Subject) {
    let key = level_key("A", "BER");
    set_level(&store, "A", "BER", 1).await;
    let first = store.snapshot(WITHIN).await.unwrap();
    set_level(&store, "A", "BER", 2).await;
    let second = store.snapshot(WITHIN).await.unwrap();
    set_level(&store, "A", "BER", 3).await;

    let (early, late, now) = (all(&*first, &key).await, all(&*second, &key).await, all(&*store, &key).await);

    assert!(early != late && late != now && early != now);
    drop(first);
    assert_eq!(all(&*second, &key).await, late);
}
