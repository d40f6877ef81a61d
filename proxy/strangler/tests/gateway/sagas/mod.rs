//! Sagas over HTTP, with every fault: whole or undone, once, whoever dies when.

mod contracts;
mod crash;
mod forgotten;
mod handover;
mod operate;
mod outage;
pub(crate) mod shop;
mod waiting;

use std::time::Duration;

use data_plane::saga::SagaSettings;
use model::{SagaStatus, Side};
use serde_json::json;
use testkit::faults::{Call, Fault};

use crate::fake::Reply;
use crate::rig::{Pace, Replica};
use shop::Shop;

/// Paces that no test waits long for.
fn pace() -> Pace {
    let sagas = SagaSettings {
        step_within: Duration::from_secs(1),
        lease: Duration::from_millis(400),
        undo_attempts: 3,
        pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
        interval: Duration::from_millis(50),
        ..SagaSettings::default()
    };
    Pace { sagas, ..Pace::default() }
}

/// Asks for so many pieces, under the key `k`.
async fn place(replica: &Replica, quantity: i64) -> Reply {
    let query = "mutation($n: Int!) { placeOrder(id: \"O-1\", sku: \"A\", quantity: $n) { id quantity } }";
    replica.ask_with(query, &json!({ "n": quantity }), &[("idempotency-key", "k")]).await
}

const PLACED: &str = r#"{"data":{"placeOrder":{"id":"O-1","quantity":3}}}"#;

#[tokio::test(start_paused = true)]
async fn a_saga_does_all_of_its_steps_and_a_repeat_tells_the_same_and_does_nothing() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&replica, 4).await.code(), "IDEMPOTENCY_KEY_REUSED");
    let parcels = shop.memory.as_ref().unwrap().modern.rows();
    let parcel = parcels.iter().find(|(key, _)| key.entity().as_str() == "Parcel").unwrap().1;
    let entity = shop.ground.loaded.contract.entity(&"Parcel".into()).unwrap();
    assert_eq!(parcel.get(entity.index("orderId").unwrap()), Some(&"O-1".into()), "what a step before it answered");
}

#[tokio::test(start_paused = true)]
async fn a_step_refused_at_any_place_undoes_those_before_it_and_the_client_gets_its_code() {
    for (quantity, code) in [(11, "OUT_OF_STOCK"), (9, "TOO_MANY"), (6, "TOO_HEAVY")] {
        let shop = Shop::in_memory().await;
        let replica = Replica::ready(&shop.ground, &pace()).await;
        assert_eq!(place(&replica, quantity).await.code(), code);
        assert_eq!(shop.rests().await, (10, 0, 0, 0), "{code}");
        assert_eq!(shop.statuses().await, [SagaStatus::Undone]);
        assert_eq!(place(&replica, quantity).await.code(), code, "a repeat is told the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_side_does_not_answer_goes_on_by_itself() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    // The second step is not answered, nor is its claim.
    shop.ground.stores.legacy.on(Call::Execute, 2, Fault::Late);
    shop.ground.stores.legacy.always(Call::Claim, Fault::Hang);
    let reply = place(&replica, 3).await;
    assert_eq!(reply.code(), "SAGA_UNDER_WAY", "{}", reply.text);
    shop.ground.stores.legacy.heal();
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
    assert_eq!(place(&replica, 3).await.text, PLACED, "a repeat tells how it ended");
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_no_step_can_take_are_refused_before_anything_is_stored() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    let query = "mutation($id: ID!, $sku: ID!) { placeOrder(id: $id, sku: $sku, quantity: 1) { id } }";
    let (much, long) = ("x".repeat(300_000), "x".repeat(41));
    // Of the second step, whose first would have stood; and too much for any.
    for (id, sku, code) in [("O-1", "ABCDEFGHI", "TOO_LONG"), (&long, "A", "TOO_LONG"), (&much, "A", "BAD_USER_INPUT")]
    {
        for headers in [&[][..], &[("idempotency-key", "k")]] {
            let reply = replica.ask_with(query, &json!({ "id": id, "sku": sku }), headers).await;
            assert_eq!(reply.code(), code, "{}", reply.text);
        }
    }
    assert_eq!(shop.ground.stores.legacy.calls(Call::BeginSaga), 0);
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_client_sent_is_not_kept_when_its_saga_has_ended() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    assert_eq!(place(&replica, 3).await.text, PLACED);
    let sagas = data_plane::saga::operate::list(&shop.stores(), None, 10).await.unwrap();
    assert!(sagas[0].row.document.contains("\"arguments\":{}"), "{}", sagas[0].row.document);
    assert_eq!(place(&replica, 3).await.text, PLACED, "a repeat is told the same");
    assert_eq!(place(&replica, 4).await.code(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_while_the_log_cannot_be_written() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    shop.ground.stores.legacy.always(Call::BeginSaga, Fault::Down);
    assert_eq!(place(&replica, 3).await.code(), "UNAVAILABLE");
    assert_eq!(shop.ground.stores.legacy.calls(Call::Execute), 0);
    assert_eq!(shop.rests().await, (10, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_secondary_does_not_hold_a_saga_up() {
    let shop = Shop::in_memory().await;
    let replica = Replica::ready(&shop.ground, &pace()).await;
    shop.ground.stores.modern.down(true);
    assert_eq!(place(&replica, 3).await.text, PLACED);
    assert_eq!(shop.told(Side::Legacy).await, (7, 3, 1, 1));
    shop.ground.stores.modern.heal();
    assert_eq!(shop.rests().await, (7, 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn two_replicas_that_work_on_one_saga_at_once_do_it_once() {
    for quantity in [3, 6] {
        let shop = Shop::in_memory().await;
        // Leases are over at once: both take whatever is under way, again and again.
        let sagas = SagaSettings { lease: Duration::ZERO, interval: Duration::from_millis(1), ..pace().sagas };
        let pace = Pace { sagas, ..pace() };
        let own = shop.ground.with_faults_of_its_own();
        let (one, two) = (Replica::ready(&own, &pace).await, Replica::ready(&shop.ground, &pace).await);
        own.stores.legacy.always(Call::Execute, Fault::Latency(Duration::from_millis(20)));
        shop.ground.stores.legacy.always(Call::Execute, Fault::Latency(Duration::from_millis(7)));
        let (first, second) = tokio::join!(place(&one, quantity), place(&two, quantity));
        assert_eq!(first.text, second.text);
        let stands = if quantity == 3 { (7, 3, 1, 1) } else { (10, 0, 0, 0) };
        assert_eq!(shop.rests().await, stands);
    }
}
