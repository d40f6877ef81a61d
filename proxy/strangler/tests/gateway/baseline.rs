//! The first copy reads as of one moment, and outlives the loss of it.

use std::sync::Arc;
use testkit::begin::Begin as _;

use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::baseline;
use data_plane::write::apply::Door;
use model::{PerSide, Record, Role, Side, Store};
use testkit::faults::{Call, Fault, FaultyStore};
use testkit::inventory;

use crate::rig::WITHIN;

/// More than two pages.
const ROWS: i64 = 2_500;

#[tokio::test]
async fn a_copy_whose_moment_is_lost_goes_on_from_a_new_one() {
    let (legacy, modern) = (inventory::in_memory(Side::Legacy), inventory::in_memory(Side::Modern));
    for (store, role) in [(&legacy, Role::Primary), (&modern, Role::Secondary)] {
        store.begin_as(&[inventory::group()], role, WITHIN).await.unwrap();
    }
    let contract = inventory::contract();
    let entity = contract.entity(&"StockLevel".into()).unwrap();
    legacy.meddle(|rows| {
        let levels = (0..ROWS).map(|number| inventory::level(&format!("SKU-{number:05}"), "BER", number));
        rows.extend(levels.filter_map(|level: Record| Some((level.key(entity)?, level))));
    });
    let faulty = FaultyStore::new(Arc::new(legacy.clone()));
    faulty.on(Call::Scan, 2, Fault::Lost);
    let primary: Arc<dyn Store> = Arc::new(faulty.clone());
    let stores = PerSide { legacy: Arc::clone(&primary), modern: Arc::new(modern.clone()) as Arc<dyn Store> };
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    let door = Door::both(&contract, &stores, breaker, WITHIN, None).modern;

    let copied = baseline::copy(&primary, &door, entity, 1, WITHIN, |_| {}).await.unwrap();

    assert_eq!(copied.filled, ROWS.unsigned_abs());
    assert_eq!(modern.rows(), legacy.rows());
    assert_eq!(faulty.calls(Call::Snapshot), 2);
}
