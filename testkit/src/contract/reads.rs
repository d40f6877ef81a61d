//! Promises of reads and of the bookkeeping.

use crate::begin::Begin as _;
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use model::sql::Params;
use model::write::Work;
use model::{EntityKey, FieldSet, Instant, Record, Role, Side, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Subject, WITHIN, command, entity, now, read, set_level};
use crate::inventory::{self, level_key, product_key};

/// One slot per key, in order; none for what is not there; the same key may be asked twice.
pub async fn answers_are_aligned_with_the_keys_and_repeats_are_allowed(store: Subject) {
    for (sku, location) in [("A", "BER"), ("A", "HAM"), ("B", "BER")] {
        set_level(&store, sku, location, 1).await;
    }
    let keys = [("B", "BER"), ("A", "MUC"), ("A", "HAM"), ("B", "BER"), ("A", "BER")];
    let keys: Vec<_> = keys.iter().map(|(sku, location)| level_key(sku, location)).collect();
    let entity = entity(&keys[0]);
    let found = store.fetch(&entity, &keys, FieldSet::default(), WITHIN).await;
    let found: Vec<_> = found.expect("a fetch").iter().map(|r| r.as_ref()?.key(&entity)).collect();
    let expected: Vec<_> = keys.iter().map(|key| (*key != keys[1]).then(|| key.clone())).collect();
    assert_eq!(found, expected);
    let none = store.fetch(&entity, &[], FieldSet::default(), WITHIN).await;
    assert!(none.expect("a fetch of nothing").is_empty());
}

/// A record holds the fields asked for and the key, no more.
pub async fn only_the_fields_asked_for_and_the_key_are_read(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    let key = level_key("A", "BER");
    let entity = entity(&key);
    let wanted = FieldSet::default().with(entity.index("onHand").expect("a field"));
    for keys in [vec![key.clone()], vec![key.clone(), level_key("B", "BER")]] {
        let found = store.fetch(&entity, &keys, wanted, WITHIN).await.expect("a fetch");
        let record = found[0].as_ref().expect("the record");
        assert_eq!(record.fields(), wanted.union(entity.key_fields()));
        assert_eq!(record.key(&entity), Some(key.clone()));
    }
}

/// A key that the columns could not hold, or that only padding makes equal, is no error and no record.
pub async fn a_key_that_fits_no_row_names_no_record(store: Subject) {
    set_level(&store, "A", "BER", 5).await;
    for sku in ["A-KEY-THAT-IS-LONGER-THAN-THE-COLUMN", "A ", "a", "A\0", ""] {
        assert_eq!(read(&store, &level_key(sku, "BER")).await, None, "{sku:?}");
    }
}

/// List parameters work, and the answer has the query's order.
pub async fn a_list_query_takes_lists_and_keeps_its_order(store: Subject) {
    for (sku, location) in [("B", "BER"), ("A", "HAM"), ("C", "BER"), ("A", "BER")] {
        set_level(&store, sku, location, 1).await;
    }
    let entity = entity(&level_key("A", "BER"));
    let query = inventory::levels_of(store.side());
    let skus = Value::List(vec!["A".into(), "B".into()]);
    let params = Params::from([("skus".to_owned(), skus)]);
    let found = store.list(&entity, &query, &params, FieldSet::default(), WITHIN).await;
    let found: Vec<_> = found.expect("a list").iter().map(|r| r.key(&entity)).collect();
    let expected = [("A", "BER"), ("A", "HAM"), ("B", "BER")];
    assert_eq!(found, expected.map(|(sku, location)| Some(level_key(sku, location))));
}

/// Page by page, every record comes once, whole, in the same order each time.
pub async fn a_scan_visits_every_record_once_in_one_order(store: Subject) {
    for number in 0..23 {
        set_level(&store, &format!("SKU-{}", number % 7), &format!("L{number}"), number).await;
    }
    let entity = entity(&level_key("A", "BER"));
    let mut orders = Vec::new();
    for limit in [5, 100] {
        let mut seen: Vec<EntityKey> = Vec::new();
        loop {
            let page = store.scan(&entity, seen.last(), limit, WITHIN).await.expect("a page");
            assert!(page.iter().all(|record| record.fields() == entity.all_fields()));
            let full = page.len() == limit;
            seen.extend(page.iter().filter_map(|record| record.key(&entity)));
            if !full {
                break;
            }
        }
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 23);
        orders.push(seen);
    }
    assert_eq!(orders[0], orders[1]);
}

fn instants() -> impl Strategy<Value = Value> {
    // Not the hour that Berlin's clocks show twice: no column without zone tells its two halves apart.
    let twice = |time: DateTime<Utc>| {
        let zone = model::Zone::named("Europe/Berlin").expect("a zone");
        zone.local(time.naive_utc()).is_some_and(|local| zone.shows_twice(local))
    };
    (0_i64..4_000_000_000, 0_u32..1_000_000).prop_filter_map("told twice", move |(second, micro)| {
        let time = DateTime::from_timestamp(second, micro * 1_000)?;
        (!twice(time)).then(|| Value::Instant(Instant::new(time)))
    })
}

fn decimals() -> impl Strategy<Value = Value> {
    (-99_999_999_i64..99_999_999, 0_u32..5).prop_map(|(digits, scale)| {
        let text = format!("{digits}e-{scale}");
        Value::Decimal(text.parse().expect("a decimal"))
    })
}

fn or_null(values: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => values]
}

/// Whole products, with nulls and letters of one to four bytes.
pub fn products() -> impl Strategy<Value = Record> {
    let text = "[ -~äöüß€😀]{0,58}[!-~é]".prop_map(Value::Text);
    let class = prop_oneof![Just("FAST".into()), Just("SLOW".into())];
    let whole_seconds = instants().prop_map(|value| match value {
        Value::Instant(time) => {
            let second = DateTime::from_timestamp(time.to_utc().timestamp(), 0);
            Value::Instant(Instant::new(second.expect("a second")))
        }
        other => other,
    });
    let fields = (
        "[!-~]([ -~]{0,16}[!-~])?",
        or_null(text),
        any::<bool>().prop_map(Value::Bool),
        or_null(class),
        or_null(decimals()),
        or_null(decimals()),
        or_null(instants()),
        or_null(whole_seconds),
    );
    fields.prop_map(|(sku, name, active, class, price, weight, updated, discontinued)| {
        Record::of(
            &entity(&product_key("A")),
            [
                ("sku", sku.as_str().into()),
                ("name", name),
                ("active", active),
                ("class", class),
                ("price", price),
                ("weight", weight),
                ("updatedAt", updated),
                ("discontinuedAt", discontinued),
            ],
        )
    })
}

/// A few records that were just made are counted as they are; a type without records has none.
pub async fn records_are_counted_roughly(store: Subject) {
    let (level, product) = (entity(&level_key("A", "BER")), entity(&product_key("A")));
    for sku in ["A", "B", "C"] {
        set_level(&store, sku, "BER", 1).await;
    }
    assert_eq!(store.rough_count(&level, WITHIN).await.unwrap(), 3);
    assert_eq!(store.rough_count(&product, WITHIN).await.unwrap(), 0);
}

/// What is written comes back equal, for every type of column, with one exception: see `instants`.
pub async fn values_survive_the_round_trip(store: Subject) {
    let entity = entity(&product_key("A"));
    let mut runner = TestRunner::deterministic();
    for _ in 0..100 {
        let record = products().new_tree(&mut runner).expect("a record").current();
        let key = record.key(&entity).expect("a key");
        let set = command(Work::Set(record.clone()), vec![key.clone()]);
        let changes = now(store.execute(&set, WITHIN).await);
        assert_eq!(changes[0].state.as_ref(), Some(&record));
        assert_eq!(read(&store, &key).await, Some(record));
    }
}

/// `inspect` is silent about a store that fits.
pub async fn a_prepared_store_has_nothing_to_complain_about(store: Subject) {
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    let found = store.inspect(&names, WITHIN).await.expect("an inspection");
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(!found.server.is_empty());
    let strange = store.inspect(&["Ghost".into()], WITHIN).await.expect("an inspection");
    assert_eq!(strange.problems.len(), 1, "{:?}", strange.problems);
}

/// Replicas that start at once do not trip over each other, and nothing that exists is changed.
pub async fn preparing_can_be_repeated_by_many_at_once(store: Subject) {
    let many = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.begin_as(&[inventory::group()], Role::Secondary, WITHIN).await })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.expect("no panic").expect("prepared");
    }
    // Still open, as it was: the later role changed nothing.
    set_level(&store, "A", "BER", 1).await;
    let incarnation = store.incarnation(WITHIN).await.expect("an incarnation");
    assert!(incarnation.0 >= 1);
    assert!(Side::BOTH.contains(&store.side()));
}
