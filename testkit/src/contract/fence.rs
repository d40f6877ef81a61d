//! Promises of a side's fence.

use std::time::Duration;

use model::fence::{Fence, Move, Traces};
use model::store::Bare;
use model::write::Work;
use model::{Applied, Command, Epoch, GroupName, Stand, StoreError, Version, Written};

use super::{
    Subject, WITHIN, adjust, bring, change, command, now, on_hand, overtaken_by, set_level, unsettled, with_key,
    write_id,
};
use crate::inventory::{self, level_key};

const OPEN: Fence = Fence { epoch: Epoch(1), stand: Stand::Open };
const FROZEN: Fence = Fence { epoch: Epoch(2), stand: Stand::Frozen };

async fn moved(store: &Subject, from: Fence, to: Fence) -> Fence {
    let step = Move { side: store.side(), from, to, takes_over: false };
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
        assert!(applied.iter().all(|applied| *applied == Applied::Barred), "{applied:?}");
        let applied = bring(&store, late).await.expect("an apply");
        for applied in &applied {
            overtaken_by(applied);
        }
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

/// Whatever the side was before: a fence that was lost and is made again must not be a second primary.
pub async fn a_fence_is_born_closed_and_nothing_is_written_behind_it(store: Subject) {
    let other = GroupName::from("other");
    for _ in 0..2 {
        store.prepare(std::slice::from_ref(&other), WITHIN).await.expect("prepared");
        assert_eq!(store.fence(&other, WITHIN).await.expect("a fence").fence, Fence::BORN);
    }
    for epoch in [0, 1] {
        let mut set = command(Work::Set(inventory::level("A", "BER", 5)), vec![inventory::level_key("A", "BER")]);
        (set.group, set.epoch) = (other.clone(), Epoch(epoch));
        let written = store.execute(&set, WITHIN).await;
        assert!(matches!(written, Err(StoreError::Fenced { .. })), "{written:?}");
    }
    // What is there already is left as it is.
    store.prepare(&[inventory::group()], WITHIN).await.expect("prepared");
    let fences = store.fences(WITHIN).await.expect("fences");
    assert_eq!(fences, [(inventory::group(), OPEN), (other, Fence::BORN)]);
}

/// By type, whatever their group was called.
pub async fn a_side_remembers_under_which_epochs_a_groups_types_were_written(store: Subject) {
    let group = inventory::group();
    let nothing = store.traces(&group, WITHIN).await.expect("traces");
    assert_eq!(nothing, Traces { epoch: Epoch(0), writes: false });
    let mut late = change("A", "BER", 7, Some(7));
    late.version.epoch = Epoch(4);
    super::bring(&store, &[late]).await.expect("an apply");
    set_level(&store, "B", "BER", 5).await;
    let both = store.traces(&group, WITHIN).await.expect("traces");
    assert_eq!(both, Traces { epoch: Epoch(4), writes: true });
    let other = store.traces(&GroupName::from("other"), WITHIN).await.expect("traces");
    assert_eq!(other, nothing);
}

/// Nobody keeps another side equal: what is written there waits for nobody, and says so from its first moment. What was
/// written before, and not brought over, is left behind.
pub async fn behind_an_alone_fence_a_write_is_born_settled(store: Subject) {
    let group = inventory::group();
    let before = set_level(&store, "A", "BER", 5).await;
    assert_eq!(unsettled(&store).await, 1);
    let alone = Fence::new(Epoch(2), Stand::Alone);
    let step = Move { side: store.side(), from: OPEN, to: alone, takes_over: true };
    assert_eq!(store.move_fence(&group, &step, WITHIN).await.expect("a move"), alone);
    // Whoever works under the old epoch is stopped by the side itself.
    let late = store.execute(&adjust(&store, "A", "BER", 1), WITHIN).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    let under = |command: Command| Command { epoch: alone.epoch, ..command };
    let written = now(store.execute(&under(adjust(&store, "A", "BER", 1)), WITHIN).await).remove(0);
    assert!(written.version > before.version);
    let remove = Work::Run { statements: vec![inventory::remove(store.side())], params: inventory::at("Z", "BER", 0) };
    let bare = with_key(under(command(remove, vec![level_key("Z", "BER")])), "key", "print");
    assert_eq!(now(store.execute(&bare, WITHIN).await), []);
    let backlog = store.backlog(&group, WITHIN).await.expect("a backlog");
    assert_eq!((backlog.writes, backlog.left_behind), (0, 1));
    let keys = store.unsettled_keys(&group, 9, WITHIN).await.expect("keys");
    assert_eq!(keys.iter().map(|(_, write)| *write).collect::<Vec<_>>(), [before.write]);
    for stand in Stand::ALL {
        let none = Duration::ZERO;
        assert_eq!(store.lease_unsettled(&group, stand, none, none, 9, WITHIN).await.expect("a lease"), []);
    }
    let left = store.left_behind(&group, None, 9, WITHIN).await.expect("a list");
    assert_eq!(left.iter().map(|one| one.write).collect::<Vec<_>>(), [before.write]);
    // It stands and is found like any other.
    let stands = store.standing(&[written.write, bare.write], WITHIN).await.expect("an answer");
    assert_eq!(stands.len(), 2);
    assert_eq!(store.execute(&bare, WITHIN).await.expect("a repeat"), Written::Before(vec![]));
    assert_eq!(store.fence(&group, WITHIN).await.expect("a fence").fence, alone);
    assert_eq!(store.fences(WITHIN).await.expect("fences"), [(group, alone)]);
}

/// A side that is alone takes nothing of another one: no state, no ledger row.
pub async fn a_side_that_is_alone_takes_no_changes(store: Subject) {
    let step = Move { side: store.side(), from: OPEN, to: Fence::new(Epoch(2), Stand::Alone), takes_over: true };
    store.move_fence(&inventory::group(), &step, WITHIN).await.expect("a move");
    let late = [change("A", "BER", 1, Some(1))];
    assert_eq!(store.apply(&late, WITHIN).await.expect("an answer"), [Applied::Barred]);
    assert_eq!(store.apply_over(&late, WITHIN).await.expect("an answer"), [Applied::Barred]);
    assert!(matches!(store.carry(&late, WITHIN).await, Err(StoreError::Fenced { .. })));
    let version = late[0].version;
    let bare = Bare { write: write_id(), group: inventory::group(), version, idempotency: None };
    assert_eq!(store.keep(&[bare], WITHIN).await.expect("an answer"), [Applied::Barred]);
    assert_eq!(on_hand(&store, "A", "BER").await, None);
}
