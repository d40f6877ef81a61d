//! Compensations that are refused: stuck, tried again, taken over.

use model::{SagaStatus, Side};

use data_plane::saga::operate;

use super::shop::Shop;
use super::{pace, place};
use crate::rig::{Replica, until};

/// A shop whose saga is stuck: somebody took the reservation away, so that it cannot be released.
async fn stuck() -> (Shop, Replica) {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    let legacy = shop.ground.stores.legacy.clone();
    // The reservation vanishes while the order is refused.
    legacy.on(
        testkit::faults::Call::Execute,
        2,
        testkit::faults::Fault::Latency(std::time::Duration::from_millis(100)),
    );
    let asked = place(&replica, 9);
    let meddled = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        shop.meddle(0);
    };
    let (reply, ()) = tokio::join!(asked, meddled);
    assert!(["SAGA_STUCK", "SAGA_UNDER_WAY"].contains(&reply.code()), "{}", reply.text);
    until("it is stuck", async || shop.statuses().await == [SagaStatus::Stuck]).await;
    assert_eq!(place(&replica, 9).await.code(), "SAGA_STUCK");
    (shop, replica)
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_is_refused_to_the_end_is_stuck_and_says_so() {
    let (shop, _replica) = stuck().await;
    let counts = model::SagaLog::count_sagas(&shop.ground.stores.legacy, crate::rig::WITHIN).await.unwrap();
    assert_eq!(counts.stuck, 1);
    assert_eq!(shop.told(Side::Legacy).await, (1, 0, 0, 0), "nothing was done behind the operator's back");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_saga_that_is_tried_again_after_its_cause_was_mended_is_undone() {
    let (shop, replica) = stuck().await;
    shop.meddle(9);
    let stores = shop.stores();
    let id = operate::list(&stores, Some(SagaStatus::Stuck), 1).await.unwrap()[0].row.id.to_string();
    let tried = operate::retry(&stores, operate::stuck(&stores, &id).await.unwrap()).await.unwrap();
    assert_eq!(tried.row.status, SagaStatus::Compensating);
    until("it is undone", async || shop.statuses().await == [SagaStatus::Undone]).await;
    assert_eq!(shop.told(Side::Legacy).await, (10, 0, 0, 0));
    assert_eq!(place(&replica, 9).await.code(), "TOO_MANY");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_saga_that_is_abandoned_is_left_alone_for_good() {
    let (shop, replica) = stuck().await;
    let stores = shop.stores();
    let id = operate::list(&stores, Some(SagaStatus::Stuck), 1).await.unwrap()[0].row.id.to_string();
    let seen = operate::stuck(&stores, &id).await.unwrap();
    operate::abandon(&stores, seen.clone()).await.unwrap();
    assert!(operate::retry(&stores, seen).await.is_err(), "somebody else was faster");
    shop.meddle(9);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(shop.statuses().await, [SagaStatus::Abandoned]);
    assert_eq!(shop.told(Side::Legacy).await, (1, 9, 0, 0));
    assert_eq!(place(&replica, 9).await.code(), "SAGA_ABANDONED");
    let again = operate::stuck(&stores, &id).await;
    assert!(again.is_err(), "one that has ended cannot be tried again");
}
