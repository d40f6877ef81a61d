//! Look-ups of many clients go out together: a key that cannot be asked for is the trouble of who asks for it.

use std::sync::Arc;
use std::time::Duration;

use data_plane::read::batch::Batch;
use futures::future::join_all;
use model::{Side, StoreError};
use testkit::begin::Begin as _;
use testkit::contract::{entity, set_level};
use testkit::faults::{Call, Fault, FaultyStore};
use testkit::inventory::{self, level_key};

use crate::rig::WITHIN;

const CLIENTS: usize = 200;

#[tokio::test(start_paused = true)]
async fn a_key_that_the_side_refuses_fails_nobody_elses_look_up() {
    let store = FaultyStore::new(Arc::new(inventory::in_memory(Side::Legacy)));
    store.begin_as(&[inventory::group()], model::Role::Primary, WITHIN).await.unwrap();
    let inner: Arc<dyn model::Store> = Arc::new(store.clone());
    set_level(&inner, "A", "BER", 7).await;
    let entity = entity(&level_key("A", "BER"));
    let batch = Batch::new(inner, Arc::clone(&entity));
    // GIVEN two keys that the side refuses, among those of many clients, which wait together behind slow look-ups
    for bad in ["bad", "worse"] {
        store.poison(level_key(bad, "BER"));
    }
    for call in 1..3 {
        store.on(Call::Fetch, call, Fault::Latency(Duration::from_millis(50)));
    }
    let before = store.calls(Call::Fetch);
    let asked = (0..CLIENTS).map(|number| {
        let sku = match number {
            77 => "bad",
            150 => "worse",
            _ => "A",
        };
        batch.fetch(vec![level_key(sku, "BER")], entity.all_fields(), WITHIN)
    });
    let answers = join_all(asked).await;
    // THEN these two are refused, and all others answered
    for (number, answer) in answers.into_iter().enumerate() {
        match number {
            77 | 150 => assert!(matches!(&*answer.unwrap_err(), StoreError::Refused { .. }), "{number}"),
            _ => assert!(answer.unwrap()[0].is_some(), "{number}"),
        }
    }
    // AND nobody asked for each: halving finds one among two hundred in eight steps
    let calls = store.calls(Call::Fetch) - before;
    assert!(calls < 2 * 2 * 8 + 4, "{calls} calls");
}
