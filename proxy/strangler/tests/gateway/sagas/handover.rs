//! A saga's client repeats after the authority has changed hands: the log where it began still answers.

use model::{Holder, SagaLog, SagaStatus, Side};
use serde_json::json;
use testkit::faults::{Call, Fault};

use super::shop::{Shop, clearing};
use super::{PLACED, pace, place};
use crate::handover::hand_over_group;
use crate::rig::{Pace, Replica, WITHIN, until};

/// Gives every group to `to`, and tells the replicas.
async fn hand_over(shop: &Shop, to: Side) {
    let hearer = shop.ground.hearer();
    for group in shop.ground.loaded.contract.groups() {
        let handed = hand_over_group(&shop.ground, &group, to, false).await.unwrap();
        hearer(&group, Holder { side: to, epoch: handed.epoch, alone: false });
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_after_a_handover_tells_the_same_and_does_nothing() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    let before = shop.rests().await;
    hand_over(&shop, Side::Modern).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(shop.rests().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_stays_undone_after_a_handover() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 9).await.code(), "TOO_MANY");
    let before = shop.rests().await;
    hand_over(&shop, Side::Modern).await;
    assert_eq!(place(&replica, 9).await.code(), "TOO_MANY");
    assert_eq!(shop.rests().await, before);
    assert_eq!(shop.statuses().await, [SagaStatus::Undone]);
    let on_modern = model::SagaLog::sagas(&shop.ground.stores.modern, None, 100, crate::rig::WITHIN).await.unwrap();
    assert!(on_modern.is_empty(), "it was not begun anew: {on_modern:?}");
}

#[tokio::test(start_paused = true)]
async fn sagas_go_on_while_the_side_that_was_primary_once_is_away() {
    for quantity in [3, 6, 9] {
        let shop = Shop::in_memory().await;
        let replica = Replica::ready(&shop.ground, &pace()).await;
        hand_over(&shop, Side::Modern).await;
        hand_over(&shop, Side::Legacy).await;
        shop.ground.stores.modern.down(true);
        let reply = place(&replica, quantity).await;
        let again = place(&replica, quantity).await;
        assert_eq!(reply.text, again.text);
        let stands = if quantity == 3 { (7, 3, 1, 1) } else { (10, 0, 0, 0) };
        assert_eq!(shop.told(Side::Legacy).await, stands, "{}", reply.text);
        shop.ground.stores.modern.heal();
        assert_eq!(shop.rests().await, stands);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_a_saga_that_began_on_the_side_which_is_away_does_nothing_twice() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    hand_over(&shop, Side::Modern).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    hand_over(&shop, Side::Legacy).await;
    shop.ground.stores.modern.down(true);
    assert_eq!(place(&replica, 3).await.code(), "UNAVAILABLE", "only that side knows how it ended");
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 1, 1));
    shop.ground.stores.modern.heal();
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(place(&replica, 4).await.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_is_begun_in_both_logs_does_its_steps_once() {
    // GIVEN one that began on legacy and has not done its first step when the authority moves
    let shop = Shop::in_memory().await;
    let first = Replica::ready(&shop.ground, &Pace { resumes: false, ..pace() }).await;
    shop.ground.stores.legacy.on(Call::Execute, 1, Fault::CrashBefore);
    tokio::select! {
        _ = place(&first, 3) => panic!("it was not to be answered"),
        () = shop.ground.stores.legacy.crashed() => {}
    }
    hand_over(&shop, Side::Modern).await;
    // WHEN its client repeats it, and the first is taken up
    let second = Replica::ready(&shop.ground, &pace()).await;
    let reply = place(&second, 3).await;
    // THEN one of them was done, and the client is told of that one
    assert_eq!(reply.text, PLACED);
    until("both rest", async || {
        let mut under_way = 0;
        for side in Side::BOTH {
            let sagas = SagaLog::sagas(shop.ground.stores.get(side), None, 100, WITHIN).await.unwrap();
            under_way += sagas.iter().filter(|saga| saga.status.is_under_way()).count();
        }
        under_way == 0
    })
    .await;
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&second, 3).await.text, PLACED);
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_changed_nothing_is_not_done_again_on_the_new_primary() {
    // GIVEN a saga whose replica dies when its second step stands, which found no order to clear away
    let shop = Shop::of(clearing()).await;
    let first = Replica::ready(&shop.ground, &Pace { resumes: false, ..pace() }).await;
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::CrashAfter);
    let tidy = "mutation { tidy(id: \"O-1\", sku: \"A\", quantity: 3) { free } }";
    let (none, key) = (json!({}), [("idempotency-key", "k")]);
    tokio::select! {
        _ = first.ask_with(tidy, &none, &key) => panic!("it was not to be answered"),
        () = shop.ground.stores.legacy.crashed() => {}
    }
    hand_over(&shop, Side::Modern).await;
    // WHEN somebody makes that order on the new primary, and the saga is taken up
    let reply = first.ask("mutation { createOrder(id: \"O-1\", sku: \"A\", quantity: 1) { id } }").await;
    assert_eq!(reply.text, r#"{"data":{"createOrder":{"id":"O-1"}}}"#);
    let second = Replica::ready(&shop.ground, &pace()).await;
    // THEN the step is done, and the order stands
    assert_eq!(shop.rests().await, (7, 3, 1, 0));
    assert_eq!(shop.statuses().await, [SagaStatus::Done]);
    assert_eq!(second.ask_with(tidy, &none, &key).await.text, r#"{"data":{"tidy":{"free":7}}}"#);
    assert_eq!(shop.rests().await, (7, 3, 1, 0));
}
