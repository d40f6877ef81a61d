//! Sagas around the end of retention: what proves how a step stands is kept for as long as somebody may need it.

use std::sync::Arc;
use std::time::Duration;

use data_plane::breaker::BreakerSettings;
use data_plane::catchup::retention::Retention;
use data_plane::saga::{SagaSettings, operate};
use model::saga::OpenSagas;
use model::store::Forget;
use model::{SagaLog, SagaStatus, Side, Store};
use testkit::faults::{Call, Fault};
use tokio_util::sync::CancellationToken;

use super::shop::Shop;
use super::{PLACED, pace, place};
use crate::rig::{Pace, Replica, WITHIN, until};

/// Everything is old after so long.
const RETENTION: Duration = Duration::from_secs(30);

/// Lets so much time go by that every ledger row is old, and has a replica clean up.
async fn time_goes_by(shop: &Shop) {
    let retention = Arc::new(Retention { stores: shop.stores(), keep: RETENTION, portion: 1_000, within: WITHIN });
    let stop = CancellationToken::new();
    let forgetting = tokio::spawn(retention.run(stop.clone()));
    tokio::time::sleep(RETENTION * 8).await;
    stop.cancel();
    forgetting.await.unwrap();
}

fn short() -> Pace {
    // A breaker that is open as long as a saga's attempts take would answer them all.
    let breaker = BreakerSettings { pause: Duration::from_millis(20), ..BreakerSettings::default() };
    Pace { sagas: SagaSettings { limit: Duration::from_secs(5), ..pace().sagas }, breaker, ..pace() }
}

async fn retry(shop: &Shop) {
    let saga = operate::list(&shop.stores(), Some(SagaStatus::Stuck), 1).await.unwrap().remove(0);
    operate::retry(&shop.stores(), saga).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_step_that_stands_is_found_when_its_saga_is_tried_again_after_the_retention() {
    let shop = Shop::in_memory().await;
    // Nobody asks for it again until that is in vain.
    let first = Replica::ready(&shop.ground, &Pace { resumes: false, ..short() }).await;
    // GIVEN an order that stands, of which nobody was told until the saga was stuck
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::FailAfter);
    shop.ground.stores.legacy.always(Call::Claim, Fault::Hang);
    assert_eq!(place(&first, 3).await.code(), "SAGA_UNDER_WAY");
    shop.ground.stores.legacy.always(Call::Execute, Fault::Down);
    let replica = Replica::ready(&shop.ground, &short()).await;
    until("it is stuck", async || shop.statuses().await == [SagaStatus::Stuck]).await;
    shop.ground.stores.legacy.heal();
    time_goes_by(&shop).await;
    // WHEN somebody tries it again
    retry(&shop).await;
    // THEN the order is a part of it
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&replica, 3).await.text, PLACED);
    // and when it has ended, its rows go like any others.
    time_goes_by(&shop).await;
    let all = Forget { retention: Duration::ZERO, limit: 1_000, sagas: OpenSagas::These(Vec::new()) };
    assert_eq!(shop.ground.stores.legacy.forget(&all, WITHIN).await.unwrap(), 0, "nothing was left to forget");
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_stands_is_not_done_again_after_the_retention() {
    let shop = Shop::in_memory().await;
    // Nobody asks for it again until that is in vain.
    let first = Replica::ready(&shop.ground, &Pace { resumes: false, ..short() }).await;
    // GIVEN stock that was given back, of which nobody was told: stock, order refused, closing, release.
    shop.ground.stores.legacy.on(Call::Execute, 4, Fault::FailAfter);
    shop.ground.stores.legacy.always(Call::Claim, Fault::Hang);
    assert_eq!(place(&first, 9).await.code(), "SAGA_UNDER_WAY");
    shop.ground.stores.legacy.always(Call::Execute, Fault::Down);
    let _replica = Replica::ready(&shop.ground, &short()).await;
    until("it is stuck", async || shop.statuses().await == [SagaStatus::Stuck]).await;
    shop.ground.stores.legacy.heal();
    assert_eq!(shop.told(Side::Legacy).await, (10, 0, 0, 0));
    // Somebody else has reserved as much meanwhile: releasing it would not be refused.
    shop.meddle(9);
    time_goes_by(&shop).await;
    retry(&shop).await;
    until("it is undone", async || shop.statuses().await == [SagaStatus::Undone]).await;
    assert_eq!(shop.told(Side::Legacy).await, (10, 9, 0, 0), "released once, not twice");
}

#[tokio::test(start_paused = true)]
async fn while_a_log_does_not_answer_no_sagas_rows_are_forgotten() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &short()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    shop.rests().await;
    shop.ground.stores.modern.always(Call::OpenSagas, Fault::Down);
    time_goes_by(&shop).await;
    shop.ground.stores.modern.heal();
    let all = Forget { retention: Duration::ZERO, limit: 1_000, sagas: OpenSagas::These(Vec::new()) };
    assert_eq!(shop.ground.stores.legacy.forget(&all, WITHIN).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_saga_is_forgotten_and_whose_steps_are_not_begins_nothing() {
    for quantity in [3, 9] {
        let shop = Shop::in_memory().await;
        let replica = Replica::ready(&shop.ground, &pace()).await;
        place(&replica, quantity).await;
        let stands = shop.rests().await;
        let forgotten = shop.ground.stores.legacy.forget_sagas(Duration::ZERO, 100, WITHIN).await.unwrap();
        assert_eq!(forgotten, 1);
        // Other arguments, and the same: how it ended is not known any more.
        for again in [4, quantity] {
            assert_eq!(place(&replica, again).await.code(), "IDEMPOTENCY_KEY_REUSED", "{quantity} {again}");
            assert_eq!(shop.rests().await, stands);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_is_begun_anew_does_not_take_what_an_older_one_has_left_for_its_own() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    shop.rests().await;
    // Saga and first step are forgotten, on both sides; order and parcel are not yet.
    shop.ground.stores.legacy.forget_sagas(Duration::ZERO, 100, WITHIN).await.unwrap();
    let one = Forget { retention: Duration::ZERO, limit: 1, sagas: OpenSagas::These(Vec::new()) };
    for side in Side::BOTH {
        assert_eq!(shop.ground.stores.get(side).forget(&one, WITHIN).await.unwrap(), 1);
    }
    assert_eq!(place(&replica, 3).await.text, PLACED);
    // The order has the same key and is written once more; stock and parcel go together.
    assert_eq!(shop.rests().await, (4, 6, 1, 2));
}
