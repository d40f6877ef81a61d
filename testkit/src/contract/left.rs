//! Promises about what waits in a ledger, and what is left behind there by a handover.

use crate::begin::Begin as _;
use std::time::Duration;

use model::fence::{Fence, Move};
use model::store::Backlog;
use model::write::Work;
use model::{Epoch, GroupName, Role, Stand, WriteId};

use super::{Subject, WITHIN, command, now, set_level};
use crate::inventory::{self, level_key};

async fn moved(store: &Subject, from: (u32, Stand), to: (u32, Stand), takes_over: bool) {
    let (from, to) = (Fence::new(Epoch(from.0), from.1), Fence::new(Epoch(to.0), to.1));
    let step = Move { side: store.side(), from, to, takes_over };
    assert_eq!(store.move_fence(&inventory::group(), &step, WITHIN).await.expect("a move"), to);
}

/// The writes that are given behind a fence that stands so, each for no time.
async fn given(store: &Subject, stand: Stand) -> Vec<WriteId> {
    let group = inventory::group();
    let leased = store.lease_unsettled(&group, stand, Duration::ZERO, Duration::ZERO, 10, WITHIN).await;
    leased.expect("a lease").iter().map(|unsettled| unsettled.changes[0].write).collect()
}

async fn counted(store: &Subject) -> Backlog {
    let backlog = store.backlog(&inventory::group(), WITHIN).await.expect("a backlog");
    assert_eq!(backlog.oldest.is_some(), backlog.writes > 0, "{backlog:?}");
    backlog
}

/// The relay takes from an open side, a drain from a frozen one, and nobody from a closed one. A handover that was
/// undone leaves nothing behind.
pub async fn a_write_is_given_only_behind_the_fence_that_stands_as_it_must(store: Subject) {
    let write = set_level(&store, "A", "BER", 5).await.write;
    assert_eq!((given(&store, Stand::Open).await, given(&store, Stand::Frozen).await), (vec![write], vec![]));
    moved(&store, (1, Stand::Open), (2, Stand::Frozen), false).await;
    assert_eq!((given(&store, Stand::Open).await, given(&store, Stand::Frozen).await), (vec![], vec![write]));
    moved(&store, (2, Stand::Frozen), (3, Stand::Open), false).await;
    assert_eq!(given(&store, Stand::Open).await, [write]);
    assert_eq!((counted(&store).await.writes, counted(&store).await.left_behind), (1, 0));
    moved(&store, (3, Stand::Open), (4, Stand::Frozen), false).await;
    moved(&store, (4, Stand::Frozen), (5, Stand::Closed), false).await;
    assert_eq!((given(&store, Stand::Open).await, given(&store, Stand::Frozen).await), (vec![], vec![]));
    let left = store.left_behind(&inventory::group(), None, 10, WITHIN).await.expect("a list");
    assert_eq!(left[0].changes[0].write, write, "a side without the authority has left behind all that is unsettled");
}

/// When the authority comes back, what the side held unsettled before it went is given to nobody, is counted apart, and
/// listed by whole writes.
pub async fn what_was_written_before_the_other_side_had_the_authority_is_left_behind_whole(store: Subject) {
    let (a, b) = (level_key("A", "BER"), level_key("B", "BER"));
    for sku in ["A", "B"] {
        let write = set_level(&store, sku, "BER", 5).await.write;
        store.settle(&[write], WITHIN).await.expect("settled");
    }
    let both = now(store.execute(&command(Work::Touch, vec![a.clone(), b.clone()]), WITHIN).await);
    let one = set_level(&store, "C", "BER", 5).await;
    moved(&store, (1, Stand::Open), (2, Stand::Frozen), false).await;
    // The other side was opened under 2, has frozen under 3, and gives the authority back.
    moved(&store, (2, Stand::Frozen), (3, Stand::Open), true).await;
    assert_eq!(given(&store, Stand::Open).await, []);
    assert_eq!((counted(&store).await.writes, counted(&store).await.left_behind), (0, 2));
    let mut touch = command(Work::Touch, vec![a.clone()]);
    touch.epoch = Epoch(3);
    let newer = now(store.execute(&touch, WITHIN).await)[0].write;
    assert_eq!(given(&store, Stand::Open).await, [newer]);
    assert_eq!((counted(&store).await.writes, counted(&store).await.left_behind), (1, 2));
    let group = inventory::group();
    let first = store.left_behind(&group, None, 1, WITHIN).await.expect("a list");
    assert_eq!((first.len(), &first[0].changes), (1, &both), "a page has whole writes");
    let rest = store.left_behind(&group, Some(both[0].write), 10, WITHIN).await.expect("a list");
    assert_eq!((rest.len(), &rest[0].changes), (1, &vec![one.clone()]));
    // Their keys are unsettled still, so that the primary answers them.
    let keys = store.unsettled_keys(&group, 10, WITHIN).await.expect("keys");
    assert_eq!(keys.iter().filter(|(key, _)| *key == b).count(), 1);
    store.settle(&[both[0].write, one.write], WITHIN).await.expect("settled");
    assert_eq!((counted(&store).await.writes, counted(&store).await.left_behind), (1, 0));
}

/// A copy of the other side from before it gave the authority away lacks writes of that time, its own among them: they were
/// on both sides, so they are no writes that were left behind.
pub async fn what_the_other_side_has_lost_is_brought_again_whatever_epoch_it_is_of(store: Subject) {
    let settled = set_level(&store, "A", "BER", 5).await.write;
    store.settle(&[settled], WITHIN).await.expect("settled");
    let left = set_level(&store, "B", "BER", 5).await.write;
    moved(&store, (1, Stand::Open), (2, Stand::Frozen), false).await;
    moved(&store, (2, Stand::Frozen), (3, Stand::Open), true).await;
    store.unsettle(&[settled, left], WITHIN).await.expect("unsettled");
    assert_eq!(given(&store, Stand::Open).await, [settled]);
    assert_eq!((counted(&store).await.writes, counted(&store).await.left_behind), (1, 1));
    let listed = store.left_behind(&inventory::group(), None, 10, WITHIN).await.expect("a list");
    assert_eq!(listed.iter().map(|unsettled| unsettled.write).collect::<Vec<_>>(), [left]);
    store.settle(&[settled], WITHIN).await.expect("settled");
    assert_eq!(counted(&store).await.writes, 0);
}

/// A release renames a group while writes of it are unsettled: they are given all the same.
pub async fn a_write_is_its_types_groups_whatever_its_group_was_called(store: Subject) {
    let old = GroupName::from("stock");
    store.begin_as(std::slice::from_ref(&old), Role::Primary, WITHIN).await.expect("prepared");
    let mut set = command(Work::Set(inventory::level("A", "BER", 5)), vec![level_key("A", "BER")]);
    set.group = old.clone();
    let write = now(store.execute(&set, WITHIN).await)[0].write;
    assert_eq!(given(&store, Stand::Open).await, [write]);
    assert_eq!(counted(&store).await.writes, 1);
    let keys = store.unsettled_keys(&inventory::group(), 10, WITHIN).await.expect("keys");
    assert_eq!(keys, [(level_key("A", "BER"), write)]);
    assert_eq!(store.backlog(&old, WITHIN).await.expect("a backlog").all(), 0, "no type is in that group");
    assert_eq!(store.strays(WITHIN).await.expect("strays"), [], "its type is known");
}
