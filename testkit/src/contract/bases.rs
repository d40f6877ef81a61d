//! Promises about rows that no write of ours has touched on the secondary: what the primary's row was before says whose
//! they are; and a copy at rest overwrites none.

use crate::begin::Begin as _;
use std::sync::Arc;
use std::time::Duration;

use model::foreign::Found;
use model::write::Work;
use model::{Applied, Base, Change, Command, Epoch, Role, Version};

use super::foreign::{apply, apply_over, as_left, found, later, script};
use super::{Subject, WITHIN, adjust, bring, change, command, now, on_hand, open, overtaken_by, set_level};
use crate::inventory::{self, level_key};

/// A copy at rest fills what nobody has: a row that stands is taken for ours if it is equal, and left if it differs.
pub async fn a_copy_overwrites_nothing_that_nobody_knows(store: Subject) {
    let copied = |sku, on_hand| Change { version: Version::baseline(1), ..change(sku, "BER", 0, Some(on_hand)) };
    script(&store, "A", Some(50)).await;
    script(&store, "B", Some(1)).await;
    let call = [copied("A", 1), copied("B", 1), copied("C", 1)];
    for _ in 0..2 {
        let applied = bring(&store, &call).await.expect("an answer");
        assert_eq!(applied[0], Applied::Foreign(found("A", 50)));
        assert!(applied[1..].iter().all(Applied::is_done), "{applied:?}");
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(50));
    assert_eq!((as_left(&store, "A").await, as_left(&store, "B").await), (None, Some(true)));
    // The next copy renews what the last one has filled, and nothing that somebody has changed since.
    script(&store, "C", Some(50)).await;
    let next = |sku| Change { version: Version::baseline(2), ..copied(sku, 2) };
    assert_eq!(apply(&store, next("B")).await, Applied::Newer);
    assert_eq!(apply(&store, next("C")).await, Applied::Foreign(found("C", 50)));
}

/// The other side as primary, with these levels; nothing waits.
async fn primary_of(store: &Subject, skus: &[&str]) -> Subject {
    let primary: Subject = Arc::new(inventory::in_memory(store.side().other()));
    primary.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.expect("prepared");
    open(&primary, Epoch(1)).await;
    for sku in skus {
        let level = set_level(&primary, sku, "BER", 1).await;
        primary.settle(&[level.write], WITHIN).await.expect("settled");
    }
    primary
}

/// After a first copy only one side has numbers. When it becomes primary, what it had says whose the other's rows are.
pub async fn what_the_primary_had_says_whose_a_row_is_that_we_never_wrote(store: Subject) {
    let primary = primary_of(&store, &["SAME", "UP", "DEL", "LATE", "GONE"]).await;
    for (sku, on_hand) in [("SAME", 1), ("UP", 50), ("LATE", 1), ("GONE", 1)] {
        script(&store, sku, Some(on_hand)).await;
    }
    // A row that is what the write was made from; one that somebody has changed; one that he has deleted.
    let same = set_level(&primary, "SAME", "BER", 2).await;
    assert_eq!(apply(&store, same).await, Applied::Newer);
    let up = set_level(&primary, "UP", "BER", 2).await;
    assert_eq!(apply(&store, up.clone()).await, Applied::Foreign(found("UP", 50)));
    let deleted = set_level(&primary, "DEL", "BER", 2).await;
    assert_eq!(apply(&store, deleted.clone()).await, Applied::Foreign(Found::Nothing));
    assert_eq!(apply_over(&store, up).await, Applied::Over(found("UP", 50)));
    assert_eq!(apply_over(&store, deleted).await, Applied::Over(Found::Nothing));
    let gone = now(primary.execute(&command(Work::Delete, vec![level_key("GONE", "BER")]), WITHIN).await).remove(0);
    assert_eq!(apply(&store, gone).await, Applied::Newer);
    // Of two writes the later one may come first: what stands is what the first was made from.
    let (first, second) = (set_level(&primary, "LATE", "BER", 2).await, set_level(&primary, "LATE", "BER", 3).await);
    assert_eq!(second.base, first.base);
    assert_eq!(apply(&store, second.clone()).await, Applied::Newer);
    assert_eq!(overtaken_by(&apply(&store, first).await), second.write);
    assert_eq!(on_hand(&store, "LATE", "BER").await, Some(3));
    // Numbers that were made by other rules prove nothing.
    script(&store, "RULES", Some(1)).await;
    let level = set_level(&primary, "RULES", "BER", 1).await;
    primary.settle(&[level.write], WITHIN).await.expect("settled");
    let mut other = set_level(&primary, "RULES", "BER", 2).await;
    other.base = other.base.map(|base| Base { rules: base.rules + 1, ..base });
    assert_eq!(apply(&store, other).await, Applied::Unproven);
}

/// A write that the other side never takes (a row it cannot hold, one left behind) does not stand in the way of those
/// behind it; and what somebody has changed there is met all the same.
pub async fn a_write_that_never_comes_makes_no_row_somebody_elses(store: Subject) {
    let primary = primary_of(&store, &["B", "C", "D"]).await;
    for (sku, on_hand) in [("B", 1), ("C", 50), ("D", 1)] {
        script(&store, sku, Some(on_hand)).await;
    }
    // Neither the first write of a key that the side has never had, nor the second of one that it has, ever comes.
    for sku in ["A", "B", "C", "D"] {
        set_level(&primary, sku, "BER", 2).await;
    }
    let later = set_level(&primary, "A", "BER", 3).await;
    assert_eq!(apply(&store, later).await, Applied::Newer);
    let later = set_level(&primary, "B", "BER", 3).await;
    assert_eq!(apply(&store, later).await, Applied::Newer);
    let later = set_level(&primary, "C", "BER", 3).await;
    assert_eq!(apply(&store, later).await, Applied::Foreign(found("C", 50)));
    let gone = now(primary.execute(&command(Work::Delete, vec![level_key("D", "BER")]), WITHIN).await).remove(0);
    assert_eq!(apply(&store, gone).await, Applied::Newer);
    let again = set_level(&primary, "D", "BER", 4).await;
    assert_eq!(apply(&store, again).await, Applied::Newer);
    for (sku, on_hand) in [("A", Some(3)), ("B", Some(3)), ("C", Some(50)), ("D", Some(4))] {
        assert_eq!(self::on_hand(&store, sku, "BER").await, on_hand, "{sku}");
    }
}

/// What the version row said before the key's oldest write that is not settled; it is kept in the ledger of both sides.
pub async fn a_write_carries_what_the_other_side_can_have(store: Subject) {
    let first = set_level(&store, "A", "BER", 1).await;
    assert_eq!(first.base, None);
    let waits = set_level(&store, "A", "BER", 1).await;
    assert_eq!(waits.base, None, "the other side has nothing of it yet");
    store.settle(&[first.write], WITHIN).await.expect("settled");
    let behind = set_level(&store, "A", "BER", 1).await;
    assert_eq!(behind.base, waits.base);
    store.settle(&[waits.write, behind.write], WITHIN).await.expect("settled");
    let second = now(store.execute(&adjust(&store, "A", "BER", 1), WITHIN).await).remove(0);
    let base = second.base.expect("a base");
    assert_eq!(base.version, behind.version);
    let third = set_level(&store, "A", "BER", 7).await;
    assert_eq!(third.base, second.base, "while the second waits");
    store.settle(&[second.write, third.write], WITHIN).await.expect("settled");
    let gone = now(store.execute(&command(Work::Delete, vec![level_key("A", "BER")]), WITHIN).await).remove(0);
    assert_eq!(gone.base.map(|base| base.version), Some(third.version));
    store.settle(&[gone.write], WITHIN).await.expect("settled");
    let again = set_level(&store, "A", "BER", 1).await;
    assert_eq!(again.base.map(|base| base.number), Some(model::foreign::NOTHING));
    let last = set_level(&store, "A", "BER", 2).await;
    let group = inventory::group();
    let taken =
        store.lease_unsettled(&group, model::Stand::Open, Duration::ZERO, Duration::from_secs(9), 9, WITHIN).await;
    let taken: Vec<_> = taken.expect("leased").into_iter().flat_map(|write| write.changes).collect();
    assert_eq!(taken, [again, last]);
    // As secondary: what it was brought is the base of what it writes next.
    let brought = later(2, 1, "A", Some(7));
    assert_eq!(apply(&store, brought.clone()).await, Applied::Newer);
    open(&store, Epoch(3)).await;
    let own = now(store.execute(&Command { epoch: Epoch(3), ..adjust(&store, "A", "BER", 1) }, WITHIN).await).remove(0);
    assert_eq!(own.base.map(|base| base.version), Some(brought.version));
}
