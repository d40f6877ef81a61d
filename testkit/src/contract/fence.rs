//! Promises of a side's fence.

use std::time::Duration;

use model::fence::{Fence, Move};
use model::write::Work;
use model::{Applied, Epoch, GroupName, Stand, StoreError, Version};

use super::{Subject, WITHIN, adjust, change, command, now, on_hand, set_level, unsettled};
use crate::inventory;

const OPEN: Fence = Fence { epoch: Epoch(1), stand: Stand::Open };
const FROZEN: Fence = Fence { epoch: Epoch(2), stand: Stand::Frozen };

async fn moved(store: &Subject, from: Fence, to: Fence) -> Fence {
    let step = Move { side: store.side(), from, to };
    store.move_fence(&inventory::group(), &step, WITHIN).await.expect("a move")
}

/// A move from elsewhere changes nothing and tells how the fence stands.
pub async fn a_fence_moves_only_from_where_it_stands(store: Subject) {
    let group = inventory::group();
    assert_eq!(store.fence(&group, WITHIN).await.expect("a fence").fence, OPEN);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let aged = store.fence(&group, WITHIN).await.expect("a fence").age;
    assert!(aged >= Duration::from_millis(50), "{aged:?}");
    assert_eq!(moved(&store, FROZEN, Fence::new(Epoch(9), Stand::Open)).await, OPEN);
    assert_eq!(moved(&store, Fence::new(Epoch(1), Stand::Closed), FROZEN).await, OPEN);
    let unmoved = store.fence(&group, WITHIN).await.expect("a fence").age;
    assert!(unmoved >= aged, "a move that was none does not make it younger");
    assert_eq!(moved(&store, OPEN, FROZEN).await, FROZEN);
    let young = store.fence(&group, WITHIN).await.expect("a fence");
    assert_eq!(young.fence, FROZEN);
    assert!(young.age < aged + Duration::from_secs(10));
    assert_eq!(moved(&store, OPEN, FROZEN).await, FROZEN, "the same again");
    let unknown = store.fence(&GroupName::from("other"), WITHIN).await;
    assert!(matches!(unknown, Err(StoreError::Misfit { .. })), "{unknown:?}");
}

/// Nothing is written behind a frozen fence, nor under the older epoch behind one that was opened again.
pub async fn a_frozen_fence_stops_writes_and_an_opened_one_takes_those_of_its_epoch(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    moved(&store, OPEN, FROZEN).await;
    let under = |epoch| {
        let mut command = adjust(&store, "A", "BER", -1);
        command.epoch = Epoch(epoch);
        command
    };
    for epoch in [1, 2, 3] {
        let written = store.execute(&under(epoch), WITHIN).await;
        assert!(matches!(written, Err(StoreError::Fenced { .. })), "{written:?}");
    }
    moved(&store, FROZEN, Fence::new(Epoch(3), Stand::Open)).await;
    let written = store.execute(&under(1), WITHIN).await;
    assert!(matches!(written, Err(StoreError::Fenced { .. })), "{written:?}");
    let changes = now(store.execute(&under(3), WITHIN).await);
    assert_eq!(changes[0].version.epoch, Epoch(3));
    assert_eq!(on_hand(&store, "A", "BER").await, Some(4));
}

/// A side that has become primary keeps its own newer writes, whatever the other one's relay or a copy brings late.
pub async fn what_arrives_late_does_not_overwrite_what_this_side_took_as_primary(store: Subject) {
    moved(&store, OPEN, Fence::new(Epoch(2), Stand::Open)).await;
    let mut set = command(Work::Set(inventory::level("A", "BER", 5)), vec![inventory::level_key("A", "BER")]);
    set.epoch = Epoch(2);
    now(store.execute(&set, WITHIN).await);
    let mut make = command(Work::Set(inventory::level("B", "BER", 5)), vec![inventory::level_key("B", "BER")]);
    make.epoch = Epoch(2);
    now(store.execute(&make, WITHIN).await);
    let mut delete = command(Work::Delete, vec![inventory::level_key("B", "BER")]);
    delete.epoch = Epoch(2);
    now(store.execute(&delete, WITHIN).await);
    let mut copied = change("A", "BER", 7, Some(99));
    copied.version = Version::baseline(7);
    let late = [change("A", "BER", u64::MAX >> 2, Some(77)), change("B", "BER", u64::MAX >> 2, Some(77))];
    for late in [&[copied][..], &late] {
        let applied = store.apply(late, WITHIN).await.expect("an apply");
        assert!(applied.iter().all(|applied| *applied == Applied::Stale), "{applied:?}");
    }
    assert_eq!(on_hand(&store, "A", "BER").await, Some(5));
    assert_eq!(on_hand(&store, "B", "BER").await, None);
}

/// What stands when the fence is frozen is all that ever stands under its epoch.
pub async fn whoever_freezes_waits_for_writers_and_none_commits_after_it(store: Subject) {
    for writer in 0..4 {
        set_level(&store, &format!("W{writer}"), "BER", 0).await;
    }
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut acknowledged = 0;
                loop {
                    // A store in memory never waits.
                    tokio::task::yield_now().await;
                    let command = adjust(&store, &format!("W{writer}"), "BER", 1);
                    match store.execute(&command, WITHIN).await {
                        Ok(_) => acknowledged += 1,
                        Err(StoreError::Fenced { .. }) => return acknowledged,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(moved(&store, OPEN, FROZEN).await, FROZEN);
    let at_the_freeze = unsettled(&store).await;
    let mut acknowledged = 4;
    for (number, writer) in writers.into_iter().enumerate() {
        let own = writer.await.expect("no panic");
        acknowledged += u64::try_from(own).expect("few");
        assert_eq!(on_hand(&store, &format!("W{number}"), "BER").await, Some(own));
    }
    assert_eq!(at_the_freeze, acknowledged);
    assert_eq!(unsettled(&store).await, acknowledged);
}
