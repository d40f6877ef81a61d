//! Sagas whose steps are on sides that stay away: nothing is tried for ever.
//!
//! Orders are modern's here, stock and parcels the ERP's, which has the log: an outage of modern stops a saga midway.

use std::time::Duration;

use data_plane::breaker::BreakerSettings;
use data_plane::saga::{SagaSettings, operate};
use model::{SagaLog, SagaStatus, Side};
use testkit::faults::{Call, Fault};

use super::shop::Shop;
use super::{PLACED, pace, place};
use crate::handover::hand_over_group;
use crate::rig::{Pace, Replica, WITHIN, until};

/// When sagas are given up.
const LIMIT: Duration = Duration::from_secs(5);

fn short() -> Pace {
    // A breaker that is open as long as a saga's attempts take would answer them all.
    let breaker = BreakerSettings { pause: Duration::from_millis(20), ..BreakerSettings::default() };
    Pace { sagas: SagaSettings { limit: LIMIT, ..pace().sagas }, breaker, ..pace() }
}

/// A shop whose orders have moved.
async fn moved() -> Shop {
    let shop = Shop::in_memory().await;
    let orders = "orders".into();
    let handed = hand_over_group(&shop.ground, &orders, Side::Modern, false).await.unwrap();
    shop.ground.hearer()(&orders, model::Holder { side: Side::Modern, epoch: handed.epoch, alone: false });
    shop
}

async fn is(shop: &Shop, status: SagaStatus) {
    until(&format!("it is {status}"), async || shop.statuses().await == [status]).await;
}

#[tokio::test(start_paused = true)]
async fn a_side_that_comes_back_in_time_costs_a_saga_nothing_but_time() {
    let shop = moved().await;
    let replica = Replica::ready(&shop.ground, &short()).await;
    shop.ground.stores.modern.down(true);
    assert_eq!(place(&replica, 3).await.code(), "SAGA_UNDER_WAY");
    shop.ground.stores.modern.heal();
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&replica, 3).await.text, PLACED);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_meets_only_outages_is_undone_after_its_limit() {
    let shop = moved().await;
    let replica = Replica::ready(&shop.ground, &short()).await;
    // Orders are taken by nobody, though modern lives: no answer says whether one stands.
    shop.ground.stores.modern.always(Call::Execute, Fault::Hang);
    shop.ground.stores.modern.always(Call::Claim, Fault::Hang);
    assert_eq!(place(&replica, 3).await.code(), "SAGA_UNDER_WAY");
    tokio::time::sleep(LIMIT - Duration::from_secs(3)).await;
    assert_eq!(shop.statuses().await, [SagaStatus::Running]);
    until("it was given up", async || {
        let sagas = operate::list(&shop.stores(), None, 1).await.unwrap();
        sagas[0].refused.as_deref() == Some("SAGA_TIMED_OUT")
    })
    .await;
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 0, 0), "nothing is undone before the step is closed");
    shop.ground.stores.modern.heal();
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
    assert_eq!(shop.statuses().await, [SagaStatus::Undone]);
    assert_eq!(place(&replica, 3).await.code(), "SAGA_TIMED_OUT", "a repeat does not begin it anew");
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_arrives_when_its_step_was_given_up_leaves_the_saga_whole_or_undone() {
    for late in 1..8 {
        let shop = moved().await;
        let replica = Replica::ready(&shop.ground, &short()).await;
        let modern = &shop.ground.stores.modern;
        modern.always(Call::Execute, Fault::Hang);
        modern.always(Call::Claim, Fault::Hang);
        modern.on(Call::Execute, late, Fault::Late);
        assert_eq!(place(&replica, 3).await.code(), "SAGA_UNDER_WAY");
        let given_up = async || operate::list(&shop.stores(), None, 1).await.unwrap()[0].refused.is_some();
        until("it was given up", given_up).await;
        modern.heal();
        let stands = shop.rests().await;
        let reply = place(&replica, 3).await;
        match shop.statuses().await[..] {
            [SagaStatus::Done] => assert_eq!((stands, reply.text.as_str()), ((7, 3, 1, 1), PLACED), "{late}"),
            [SagaStatus::Undone] => assert_eq!((stands, reply.code()), ((10, 0, 0, 0), "SAGA_TIMED_OUT"), "{late}"),
            ref other => panic!("{late}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_side_stays_away_is_stuck_and_can_be_tried_again_when_it_is_back() {
    let shop = moved().await;
    let replica = Replica::ready(&shop.ground, &short()).await;
    shop.ground.stores.modern.down(true);
    assert_eq!(place(&replica, 3).await.code(), "SAGA_UNDER_WAY");
    is(&shop, SagaStatus::Stuck).await;
    assert_eq!(SagaLog::count_sagas(&shop.ground.stores.legacy, WITHIN).await.unwrap().stuck, 1);
    assert_eq!(place(&replica, 3).await.code(), "SAGA_STUCK");
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 0, 0));
    shop.ground.stores.modern.heal();
    let stores = shop.stores();
    let saga = operate::list(&stores, Some(SagaStatus::Stuck), 1).await.unwrap().remove(0);
    assert_eq!(saga.problem.as_deref(), Some("UNAVAILABLE"));
    operate::retry(&stores, saga).await.unwrap();
    is(&shop, SagaStatus::Undone).await;
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
    assert_eq!(place(&replica, 3).await.code(), "SAGA_TIMED_OUT");
}

#[tokio::test(start_paused = true)]
async fn a_compensation_whose_side_stays_away_is_waited_for_until_the_limit_and_stuck_then() {
    let shop = moved().await;
    let replica = Replica::ready(&shop.ground, &short()).await;
    // Modern goes away while the parcel, which is too heavy, is on its way.
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::Latency(Duration::from_millis(100)));
    let outage = async {
        until("the order stands", async || shop.told(Side::Modern).await.2 == 1).await;
        shop.ground.stores.modern.down(true);
    };
    let (reply, ()) = tokio::join!(place(&replica, 6), outage);
    assert_eq!(reply.code(), "SAGA_UNDER_WAY", "{}", reply.text);
    tokio::time::sleep(LIMIT - Duration::from_secs(3)).await;
    assert_eq!(shop.statuses().await, [SagaStatus::Compensating]);
    is(&shop, SagaStatus::Stuck).await;
    shop.ground.stores.modern.heal();
    let stores = shop.stores();
    let saga = operate::list(&stores, Some(SagaStatus::Stuck), 1).await.unwrap().remove(0);
    operate::retry(&stores, saga).await.unwrap();
    is(&shop, SagaStatus::Undone).await;
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
    assert_eq!(place(&replica, 6).await.code(), "TOO_HEAVY", "the client is told why it was undone first");
}
