//! How groups begin, are refused, and are taken up by order. In memory.

use std::sync::Arc;
use std::time::Duration;

use control_plane::handover::begin::{NotBegun, begin, waiting};
use data_plane::fences::Fences;
use data_plane::fences::were_there_writes;
use model::fence::{Authority, Fence, Move, Unclear};
use model::{Epoch, Holder, PerSide, Side, Stage, Stand, Store};

use crate::rig::{Ground, Pace, Replica, WITHIN};
use crate::shelves::Shelves;

fn stores(ground: &Ground) -> PerSide<Arc<dyn Store>> {
    ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>)
}

async fn fences(ground: &Ground) -> PerSide<Fence> {
    let group = ground.group();
    let one = async |side: Side| ground.stores.get(side).fence(&group, WITHIN).await.unwrap().fence;
    PerSide { legacy: one(Side::Legacy).await, modern: one(Side::Modern).await }
}

/// As somebody's hand, a restore or another contract would leave it.
async fn put(ground: &Ground, side: Side, epoch: u32, stand: Stand) {
    let from = *fences(ground).await.get(side);
    let step = Move { side, from, to: Fence::new(Epoch(epoch), stand), takes_over: false };
    ground.stores.get(side).move_fence(&ground.group(), &step, WITHIN).await.unwrap();
}

async fn born(ground: &Ground, sides: &[Side]) {
    for side in sides {
        put(ground, *side, 0, Stand::Closed).await;
    }
}

fn holder(side: Side, epoch: u32) -> Holder {
    Holder { side, epoch: Epoch(epoch), alone: false }
}

const PUT: &str = "mutation { put(id: \"A\", onHand: 7) { onHand } }";

#[tokio::test]
async fn a_fresh_pair_begins_with_legacy_by_one_order_and_the_same_again_changes_nothing() {
    let shelves = Shelves::new().await;
    let (ground, contract) = (&shelves.ground, &shelves.ground.loaded.contract);
    born(ground, &Side::BOTH).await;
    for _ in 0..2 {
        let begun = begin(contract, &stores(ground), None, WITHIN).await.unwrap();
        assert_eq!(begun, [(ground.group(), holder(Side::Legacy, 1))]);
    }
    assert!(!were_there_writes(contract, &stores(ground), WITHIN).await.unwrap());
}

#[tokio::test]
async fn a_side_that_lost_its_fence_is_never_opened_beside_an_open_one() {
    let shelves = Shelves::new().await;
    let (ground, contract) = (&shelves.ground, &shelves.ground.loaded.contract);
    for lost in Side::BOTH {
        put(ground, lost.other(), 4, Stand::Open).await;
        born(ground, &[lost]).await;
        let begun = begin(contract, &stores(ground), None, WITHIN).await.unwrap();
        assert_eq!(begun, [(ground.group(), holder(lost.other(), 4))]);
        assert_eq!(fences(ground).await.get(lost).stand, Stand::Closed);
    }
    assert!(were_there_writes(contract, &stores(ground), WITHIN).await.unwrap(), "a group that was handed over");
}

#[tokio::test]
async fn types_that_come_from_a_group_of_greater_epochs_are_refused_and_adopted_above_them() {
    let shelves = Shelves::new().await;
    let (ground, contract) = (&shelves.ground, &shelves.ground.loaded.contract);
    // GIVEN rows that were written under epoch 5, and a group that is at 1: renamed, or the type was moved
    put(ground, Side::Modern, 5, Stand::Closed).await;
    put(ground, Side::Legacy, 5, Stand::Open).await;
    ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(ground, &Pace::default()).await;
    assert!(replica.ask(PUT).await.body["errors"].is_null());
    put(ground, Side::Legacy, 1, Stand::Open).await;
    put(ground, Side::Modern, 1, Stand::Closed).await;
    // THEN it is named with its types, and is not begun
    let unclear = waiting(contract, &stores(ground), WITHIN).await.unwrap();
    assert_eq!(unclear[0].why, Unclear::Older { fences: Epoch(1), types: Epoch(5) });
    let said = unclear[0].to_string();
    assert!(said.contains("Shelf") && said.contains("init --adopt"), "{said}");
    let refused = begin(contract, &stores(ground), None, WITHIN).await;
    assert!(matches!(refused, Err(NotBegun::Person(_))), "{refused:?}");
    // WHEN it is adopted, every new write is newer than what stands on either side
    let begun = begin(contract, &stores(ground), Some(Side::Legacy), WITHIN).await.unwrap();
    assert_eq!(begun, [(ground.group(), holder(Side::Legacy, 6))]);
    assert!(waiting(contract, &stores(ground), WITHIN).await.unwrap().is_empty());
    // Also where the fences are new, and only the other side remembers.
    born(ground, &Side::BOTH).await;
    let unclear = waiting(contract, &stores(ground), WITHIN).await.unwrap();
    assert_eq!(unclear[0].why, Unclear::Anew { newest: Epoch(5) });
}

#[tokio::test]
async fn a_replica_that_has_just_started_writes_nothing_while_both_fences_are_open() {
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    ground.set(Stage::Shift, 0.0, 0.0);
    // GIVEN a legacy side that was restored to a copy from before the handover, and a replica that remembers the same
    let replica = Replica::ready(ground, &Pace { deadline: Duration::from_millis(300), ..Pace::default() }).await;
    put(ground, Side::Modern, 2, Stand::Open).await;
    let before = shelves.told(Side::Legacy);
    assert!(!replica.ask(PUT).await.body["errors"].is_null());
    assert_eq!(shelves.told(Side::Legacy), before);
    // A side that is only out of reach stops nobody.
    put(ground, Side::Modern, 1, Stand::Closed).await;
    ground.stores.modern.down(true);
    assert!(replica.ask(PUT).await.body["errors"].is_null());
}

#[tokio::test]
async fn fences_that_were_seen_together_need_no_look_until_this_machine_has_slept() {
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    let seen = Fences::new(stores(ground), Arc::new(|_, _| {}), WITHIN);
    assert!(seen.may_write(&ground.group()).await);
    put(ground, Side::Modern, 2, Stand::Open).await;
    assert!(seen.may_write(&ground.group()).await, "seen a moment ago");
    let started = Fences::new(stores(ground), Arc::new(|_, _| {}), WITHIN);
    assert!(!started.may_write(&ground.group()).await, "not seen since it started");
    assert_eq!(Authority::of(&fences(ground).await), Authority::Broken);
}

/// The side that it would write may be an old copy: nobody can tell.
#[tokio::test]
async fn a_replica_that_has_nothing_to_compare_a_side_with_writes_nothing_and_reads_go_on() {
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    ground.set(Stage::Shift, 0.0, 0.0);
    let pace = Pace { name: "knows", ..Pace::default() };
    assert!(Replica::ready(ground, &pace).await.ask(PUT).await.body["errors"].is_null());
    let replica = Replica::ready(ground, &Pace { name: "new", remembers: false, ..Pace::default() }).await;
    let before = shelves.told(Side::Legacy);
    let reply = replica.ask(PUT).await;
    assert_eq!(reply.code(), "NOTHING_REMEMBERED", "{}", reply.text);
    assert_eq!(shelves.told(Side::Legacy), before);
    let read = replica.ask("{ shelf(id: \"A\") { onHand } }").await;
    assert_eq!(read.body["data"]["shelf"]["onHand"], 7, "{}", read.text);
}
