//! A saga's client repeats after the authority has changed hands: the log where it began still answers.

use model::{SagaStatus, Side};

use super::shop::Shop;
use super::{PLACED, pace, place};
use crate::handover::hand_over_group;
use crate::rig::Replica;

/// Gives every group to modern, and tells the replicas.
async fn hand_over(shop: &Shop) {
    let hearer = shop.ground.hearer();
    for group in shop.ground.loaded.contract.groups() {
        let handed = hand_over_group(&shop.ground, &group, Side::Modern, false).await.unwrap();
        hearer(&group, Side::Modern, handed.epoch);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_after_a_handover_tells_the_same_and_does_nothing() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    let before = shop.rests().await;
    hand_over(&shop).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(shop.rests().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_stays_undone_after_a_handover() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 9).await.code(), "TOO_MANY");
    let before = shop.rests().await;
    hand_over(&shop).await;
    assert_eq!(place(&replica, 9).await.code(), "TOO_MANY");
    assert_eq!(shop.rests().await, before);
    assert_eq!(shop.statuses().await, [SagaStatus::Undone]);
    let on_modern = model::SagaLog::sagas(&shop.ground.stores.modern, None, 100, crate::rig::WITHIN).await.unwrap();
    assert!(on_modern.is_empty(), "it was not begun anew: {on_modern:?}");
}
