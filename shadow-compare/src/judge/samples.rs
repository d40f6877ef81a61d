//! Entities, records and strategies for the tests of this crate.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use model::contract::{ColumnType, Compare, EntityType, Excuse, Field, Home};
use model::{Decimal, Instant, Kind, PerSide, Record, Value};
use proptest::prelude::*;

use crate::excuses::Excuses;

/// The day of all tests.
pub(crate) fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 31).unwrap()
}

/// The excuses of the contract on a day.
pub(crate) fn excuses(today: NaiveDate) -> Excuses {
    Excuses::of_contract(today)
}

/// An excuse that ends on `until`.
pub(crate) fn excused(until: NaiveDate) -> Compare {
    let excuse = Excuse { reason: "tax tables".into(), owner: "finance".into(), until };
    Compare { excused: Some(excuse), ..Compare::default() }
}

/// A field that is compared as `compare` says.
pub(crate) fn field(name: &str, kind: Kind, compare: Compare) -> Field {
    let home = || Home::new(name, ColumnType::Varchar(None));
    Field {
        name: name.into(),
        kind,
        nullable: true,
        home: PerSide { legacy: home(), modern: home() },
        compare,
        sensitive: false,
        stamped: false,
    }
}

/// An entity type with these fields.
pub(crate) fn entity(name: &str, fields: Vec<Field>, key: &[&str]) -> Arc<EntityType> {
    let table = PerSide { legacy: "T".into(), modern: "t".into() };
    Arc::new(EntityType::new(name.into(), "inventory".into(), table, fields, key).unwrap())
}

/// `StockLevel`: sku (key), onHand, price (excused until today), checksum (ignored).
pub(crate) fn stock_level() -> Arc<EntityType> {
    let ignored = Compare { ignore: true, ..Compare::default() };
    let fields = vec![
        field("sku", Kind::Text, Compare::default()),
        field("onHand", Kind::Int, Compare::default()),
        field("price", Kind::Decimal, excused(today())),
        field("checksum", Kind::Text, ignored),
    ];
    entity("StockLevel", fields, &["sku"])
}

/// A record of `entity`.
pub(crate) fn record(entity: &EntityType, pairs: &[(&str, Value)]) -> Record {
    Record::of(entity, pairs.iter().cloned())
}

/// A whole `StockLevel`.
pub(crate) fn level(sku: &str, on_hand: i64, price: &str) -> Record {
    let price = Value::Decimal(price.parse().unwrap());
    let pairs = [("sku", sku.into()), ("onHand", on_hand.into()), ("price", price)];
    record(&stock_level(), &pairs)
}

prop_compose! {
    /// Points in time of the last and next decades, to the microsecond.
    pub(crate) fn text_instants()(micros in -2_000_000_000_000_000_i64..4_000_000_000_000_000) -> Instant {
        Instant::new(DateTime::from_timestamp_micros(micros).unwrap())
    }
}

/// Any value that a record may hold.
pub(crate) fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (any::<i64>(), 0_u32..20)
            .prop_map(|(units, scale)| { Value::Decimal(format!("{units}e-{scale}").parse::<Decimal>().unwrap()) }),
        any::<String>().prop_map(Value::Text),
        text_instants().prop_map(Value::Instant),
    ]
}

prop_compose! {
    /// Any comparison rule, without excuse.
    pub(crate) fn compares()(
        scale in prop::option::of(0_u32..10),
        ignore_case in any::<bool>(),
        to_seconds in any::<bool>(),
    ) -> Compare {
        Compare { scale, ignore_case, to_seconds, ..Compare::default() }
    }
}
