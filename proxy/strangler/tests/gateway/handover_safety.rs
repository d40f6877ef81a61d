//! What a handover would cost is counted exactly, in few round trips and little memory, however much would be lost.

use std::sync::Arc;
use std::time::Duration;

use control_plane::handover::safety::{self, NAMED, PAGE, Safety};
use model::{EntityKey, PerSide, Side, Stage, Store};
use testkit::faults::{Call, Fault};

use crate::rig::{Ground, Pace, Replica, WITHIN};
use crate::shelves::{Shelves, key, shelf, shelf_type};

async fn look(ground: &Ground) -> Safety {
    let stores: PerSide<Arc<dyn Store>> = ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
    safety::look(&ground.loaded.contract, &stores, &ground.group(), Side::Legacy, WITHIN).await.unwrap()
}

/// A replica under which every write stays on legacy alone.
async fn unsettling(ground: &Ground) -> Replica {
    ground.set(Stage::Shift, 100.0, 0.0);
    ground.stores.modern.always(Call::Apply, Fault::Reject);
    Replica::ready(ground, &Pace { relay: None, answer_budget: Duration::ZERO, ..Pace::default() }).await
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_missing_rows_cost_a_few_round_trips_for_each_page_and_are_counted_exactly() {
    // GIVEN three shelves on both sides, and 10,000 on legacy alone
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    let entity = shelf_type(&ground.loaded);
    shelves.memory.legacy.meddle(|rows| {
        for number in 0..10_000 {
            let id = format!("M{number:05}");
            rows.insert(key(&id), shelf(&entity, &id, 1));
        }
    });
    // WHEN somebody asks
    let found = look(ground).await;
    // THEN every one is counted, a few are named
    assert_eq!((found.rows, found.missing, found.undecided), (10_003, 10_000, 0));
    assert!(!found.is_safe());
    let first: Vec<EntityKey> = (0..NAMED).map(|number| key(&format!("M{number:05}"))).collect();
    assert_eq!(found.missing_keys, first);
    // and no key cost a round trip of its own: here three for a page, there two
    let pages = 10_003_usize.div_ceil(PAGE);
    let PerSide { legacy, modern } = &ground.stores;
    assert_eq!(modern.calls(Call::Fetch), 2 * pages);
    assert_eq!(legacy.calls(Call::Fetch), pages);
    assert_eq!(legacy.calls(Call::UnsettledKeys), pages + 1, "and once for those that wait");
    assert_eq!(legacy.calls(Call::Scan), pages + 1, "the last page is empty");
}

#[tokio::test(start_paused = true)]
async fn nothing_missing_costs_two_round_trips_for_each_page() {
    let shelves = Shelves::new().await;
    let found = look(&shelves.ground).await;
    assert_eq!((found.rows, found.missing, found.is_safe()), (3, 0, true));
    let PerSide { legacy, modern } = &shelves.ground.stores;
    assert_eq!((modern.calls(Call::Fetch), legacy.calls(Call::Fetch)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_row_on_its_way_waits_and_is_not_missing() {
    let shelves = Shelves::new().await;
    let replica = unsettling(&shelves.ground).await;
    let put = replica.ask("mutation { put(id: \"N\", onHand: 1) { onHand } }").await;
    assert!(put.body["errors"].is_null(), "{}", put.text);
    let found = look(&shelves.ground).await;
    assert_eq!((found.rows, found.unsettled, found.missing, found.is_safe()), (4, 1, 0, true));
    assert_eq!(found.unsettled_keys, [key("N")]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_no_key_finds_are_counted_named_and_not_safe() {
    // GIVEN a row with a null for a key, and one that is read under a key by which nothing is found
    let shelves = Shelves::new().await;
    let entity = shelf_type(&shelves.ground.loaded);
    let (nothing, elsewhere) = (EntityKey::new(entity.name.clone(), vec![model::Value::Null]), key("0 elsewhere"));
    shelves.memory.legacy.meddle(|rows| {
        rows.insert(nothing.clone(), shelf(&entity, "", 1));
        rows.insert(elsewhere, shelf(&entity, "LOST", 1));
    });
    // THEN neither can come over, and nobody says that nothing would be lost
    let found = look(&shelves.ground).await;
    assert_eq!((found.rows, found.missing, found.keyless, found.is_safe()), (5, 0, 2, false));
    assert_eq!(found.keyless_keys, [nothing, key("LOST")]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_from_a_row_on_its_way_is_undecided_and_not_safe() {
    // GIVEN a shelf on legacy alone, and more changes on their way than are looked through
    let shelves = Shelves::new().await;
    let replica = unsettling(&shelves.ground).await;
    for _ in 0..2_501 {
        let moved = replica.ask("mutation { move(from: \"A\", to: \"B\", quantity: 0) { onHand } }").await;
        assert!(moved.body["errors"].is_null(), "{}", moved.text);
    }
    let entity = shelf_type(&shelves.ground.loaded);
    shelves.memory.legacy.meddle(|rows| drop(rows.insert(key("M"), shelf(&entity, "M", 1))));
    // THEN it is not said to be lost, nor that nothing is
    let found = look(&shelves.ground).await;
    assert_eq!((found.unsettled, found.missing, found.undecided, found.is_safe()), (2_501, 0, 1, false));
}
