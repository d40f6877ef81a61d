//! One value, two engines: what is written through one is the same when it comes back through the other.

use std::sync::Arc;

use model::checksum::Chunk;
use model::{Change, EntityKey, Incarnation, Position, Record, Side, Value, Version};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use testkit::contract::{Subject, WITHIN, bring, checksum, entity, reads, write_id};
use testkit::inventory::product_key;

use super::{any_oracle, postgres};

/// The ERP on an Oracle, the new store on PostgreSQL.
struct Pair {
    erp: any_oracle::Fixture,
    shop: postgres::Fixture,
}

impl Pair {
    async fn new() -> Self {
        Self { erp: any_oracle::Fixture::new(Side::Legacy).await, shop: postgres::Fixture::new(Side::Modern).await }
    }

    fn subjects(&self) -> [Subject; 2] {
        [self.erp.subject(), self.shop.subject()]
    }
}

fn changes(records: &[Record], epoch: u32) -> Vec<Change> {
    let entity = entity(&product_key("A"));
    let change = |(position, record): (u64, &Record)| Change {
        write: write_id(),
        ordinal: 0,
        key: record.key(&entity).unwrap(),
        version: Version { epoch: model::Epoch(epoch), incarnation: Incarnation(1), position: Position(position) },
        state: Some(record.clone()),
        idempotency: None,
        base: None,
    };
    (1..).zip(records).map(change).collect()
}

async fn all(store: &Subject) -> Vec<Record> {
    let entity = entity(&product_key("A"));
    let mut records = store.scan(&entity, None, 1_000, WITHIN).await.unwrap();
    records.sort_by_key(|record| record.key(&entity));
    records
}

/// Copies what `from` holds to `to`, and checks records, look-ups and checksums of both.
async fn copy_and_compare(from: &Subject, to: &Subject, epoch: u32) {
    let entity = entity(&product_key("A"));
    let records = all(from).await;
    bring(to, &changes(&records, epoch)).await.unwrap();
    assert_eq!(all(to).await, records);
    let keys: Vec<EntityKey> = records.iter().filter_map(|record| record.key(&entity)).collect();
    let found = to.fetch(&entity, &keys, entity.all_fields(), WITHIN).await.unwrap();
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), records);
    let sums = from.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap();
    assert_eq!(to.sums(&entity, &Chunk::whole(), WITHIN).await.unwrap(), sums);
    assert_eq!(sums, checksum::specified(&entity, &records, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_records_are_the_same_on_both_engines_either_way() {
    let pair = Pair::new().await;
    let [erp, shop] = pair.subjects();
    let mut runner = TestRunner::deterministic();
    let mut random = || reads::products().new_tree(&mut runner).unwrap().current();
    let mut records: Vec<Record> = (0..60).map(|_| random()).collect();
    let entity = entity(&product_key("A"));
    records.sort_by_key(|record| record.key(&entity));
    records.dedup_by_key(|record| record.key(&entity));
    bring(&erp, &changes(&records, 1)).await.unwrap();
    assert_eq!(all(&erp).await, records);
    copy_and_compare(&erp, &shop, 1).await;
    copy_and_compare(&shop, &erp, 2).await;
}

/// What fifteen years of an ERP look like: both hours of an autumn night, the hour that spring left out, '' and
/// blanks, numbers with more and less zeros, days that mean never, the first and the last year.
#[tokio::test(flavor = "multi_thread")]
async fn rows_as_an_erp_keeps_them_are_the_same_on_the_new_side() {
    let pair = Pair::new().await;
    let [erp, shop] = pair.subjects();
    let insert = |values: &str| {
        format!(
            "INSERT INTO INV_ITM_MST (ITM_NO, ITM_DSC, ACT_FL, ITM_CLS, PRC, WGT, UPD_DT, END_DT) VALUES ({values})"
        )
    };
    let rows = [
        "'TWICE', 'x', 'Y', 'F', 1.50, .5, TIMESTAMP '2026-10-25 02:30:00', TIMESTAMP '9999-12-31 00:00:00'",
        "'AFTER', 'x', 'Y', 'SL', 100, -0.5, TIMESTAMP '2026-10-25 03:00:00', TIMESTAMP '2026-10-25 02:00:00'",
        "'NEVER', '', 'N', NULL, 0.0, NULL, TIMESTAMP '2026-03-29 02:30:00', TIMESTAMP '9999-12-31 00:00:00'",
        "'SUMMER', ' y ', 'N', 'F', NULL, 2, TIMESTAMP '2026-07-01 00:00:00.000001', TIMESTAMP '1999-12-31 23:59:59'",
        "'OLD', 'ä é', 'Y', 'F', 12345678.1234, 0.0001, TIMESTAMP '1900-01-01 00:00:00', TIMESTAMP '1970-01-01 00:00:00'",
        "'LAST', 'z', 'Y', 'F', -7, 100, TIMESTAMP '9999-12-30 23:59:59', TIMESTAMP '9999-12-30 22:00:00'",
    ];
    let rows: Vec<String> = rows.into_iter().map(insert).collect();
    pair.erp.database.run(&rows.iter().map(String::as_str).collect::<Vec<_>>());

    copy_and_compare(&erp, &shop, 1).await;

    let records = all(&erp).await;
    let entity = entity(&product_key("A"));
    let of = |sku: &str, field: &str| {
        let record = records.iter().find(|record| record.key(&entity) == Some(product_key(sku))).unwrap();
        record.get(entity.index(field).unwrap()).cloned().unwrap()
    };
    let instant = |text: &str| Value::Instant(model::Instant::parse(text).unwrap());
    assert_eq!(of("NEVER", "name"), Value::Null);
    assert_eq!(of("SUMMER", "name"), Value::text(" y "));
    assert_eq!(of("TWICE", "price"), Value::Decimal("1.5".parse().unwrap()));
    assert_eq!(of("AFTER", "weight"), Value::Decimal("-0.5".parse().unwrap()));
    assert_eq!(of("TWICE", "discontinuedAt"), Value::Null);
    assert_eq!(of("SUMMER", "discontinuedAt"), instant("1999-12-31T22:59:59Z"));
    assert_eq!(of("TWICE", "updatedAt"), instant("2026-10-25T00:30:00Z"));
    assert_eq!(of("NEVER", "updatedAt"), instant("2026-03-29T01:30:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_erp_is_found_by_a_key_of_any_length_of_list() {
    let pair = Pair::new().await;
    let [erp, _] = pair.subjects();
    let mut runner = TestRunner::deterministic();
    let entity = Arc::clone(&entity(&product_key("A")));
    let record = reads::products().new_tree(&mut runner).unwrap().current();
    bring(&erp, &changes(std::slice::from_ref(&record), 1)).await.unwrap();
    let key = record.key(&entity).unwrap();
    for count in [1, 2, 3, 17, 512, 513, 1_000] {
        let mut keys: Vec<EntityKey> = (1..count).map(|number| product_key(&format!("NONE-{number}"))).collect();
        keys.push(key.clone());
        let found = erp.fetch(&entity, &keys, entity.key_fields(), WITHIN).await.unwrap();
        assert_eq!(found.iter().flatten().count(), 1, "{count}");
        assert!(found[count - 1].is_some());
    }
}
