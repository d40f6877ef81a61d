//! Rows that no look-up by key can find are counted and named, and no walk ends at them: a part of the key is null, or
//! the ERP's number is none that a key can be.

use model::checksum::Chunk;
use model::{EntityType, Side};
use testkit::contract::{Subject, WITHIN, entity, set_level};
use testkit::inventory::level_key;
use testkit::oracle::ErpDatabase;
use testkit::postgres::Database;
use testkit::{inventory, orders};

use super::postgres::{Fixture, connect};
use super::{any_oracle, own_keys};

/// Takes the key off a table of levels and adds rows without one; the three columns are its key and its quantity.
async fn loosen(database: &Database, table: &str, [sku, location, quantity]: [&str; 3]) {
    let client = connect(database).await;
    let text = format!(
        "DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE {table} DROP CONSTRAINT ' || quote_ident(conname) FROM pg_constraint \
         WHERE conrelid = '{table}'::regclass AND contype = 'p'); END $$; \
         ALTER TABLE {table} ALTER COLUMN {sku} DROP NOT NULL, ALTER COLUMN {location} DROP NOT NULL; \
         INSERT INTO {table} ({sku}, {location}, {quantity}) \
         VALUES ('A', NULL, 1), (NULL, 'BER', 2), (NULL, NULL, 3), ('M', NULL, 4)"
    );
    client.batch_execute(&text).await.unwrap();
}

/// Every row with a key is seen once, whatever the size of a page; those without are counted.
async fn are_counted_and_end_no_walk(store: Subject, entity: &EntityType, keyed: usize, keyless: u64) {
    let snapshot = store.snapshot(WITHIN).await.unwrap();
    for limit in [1, 2, 3, 100] {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = snapshot.scan(entity, after.as_ref(), limit, WITHIN).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key(entity).expect("a key"));
            seen.extend(page.iter().map(|record| record.key(entity).expect("a key")));
        }
        assert_eq!(seen.len(), keyed, "pages of {limit}: {seen:?}");
        let found = store.fetch(entity, &seen, entity.key_fields(), WITHIN).await.unwrap();
        assert!(found.iter().all(Option::is_some), "every row of a walk can be looked up");
    }
    for scan in [&*snapshot as &dyn model::Scan, &*store as &dyn model::Scan] {
        let found = scan.keyless(entity, 2, WITHIN).await.unwrap();
        assert_eq!((found.rows, found.some.len()), (keyless, keyless.min(2) as usize));
        assert_eq!(scan.keyless(entity, 0, WITHIN).await.unwrap().rows, keyless, "the count needs no name");
        let sums = scan.sums(entity, &Chunk::whole(), WITHIN).await.unwrap();
        assert_eq!(sums.iter().map(|(_, sum)| sum.records).sum::<u64>(), keyed as u64);
        let members = scan.members(entity, &Chunk::whole(), 100, WITHIN).await.unwrap();
        assert_eq!(members.len(), keyed);
    }
}

async fn levels_of(store: Subject, database: &Database, table: &str, columns: [&str; 3]) {
    for sku in ["A", "B", "Z"] {
        set_level(&store, sku, "BER", 5).await;
    }
    let levels = entity(&level_key("A", "BER"));
    loosen(database, table, columns).await;
    are_counted_and_end_no_walk(store.clone(), &levels, 3, 4).await;
    connect(database)
        .await
        .batch_execute(&format!("DELETE FROM {table} WHERE {} IS NULL OR {} IS NULL", columns[0], columns[1]))
        .await
        .unwrap();
    are_counted_and_end_no_walk(store, &levels, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_a_null_in_their_key_on_postgres() {
    let legacy = Fixture::new(Side::Legacy).await;
    levels_of(legacy.subject(), &legacy.database, "INV_LOC_BAL", ["ITM_NO", "LOC_CD", "OH_QTY"]).await;
    let modern = Fixture::new(Side::Modern).await;
    levels_of(modern.subject(), &modern.database, "stock_levels", ["sku", "location", "on_hand"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_a_null_in_their_key_on_an_oracle() {
    let legacy = any_oracle::Fixture::new(Side::Legacy).await;
    levels_of(legacy.subject(), legacy.database.under(), "inv_loc_bal", ["itm_no", "loc_cd", "oh_qty"]).await;
}

const NUMBERS: &str = "INSERT INTO ORDHDR (ORDNO, ORDQTY) VALUES (-5, 1), (0, 2), (1, 3), (7, 4), (1200, 5)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_number_can_be_no_key() {
    let (erp, database) = own_keys::postgres(Side::Legacy).await;
    connect(&database).await.batch_execute(NUMBERS).await.unwrap();
    are_counted_and_end_no_walk(erp, &orders::order(), 3, 2).await;

    let database = ErpDatabase::fresh("orders").await;
    database.run(&orders::oracle_ddl());
    let erp = own_keys::oracle(&database).await;
    connect(database.under()).await.batch_execute(NUMBERS).await.unwrap();
    are_counted_and_end_no_walk(erp, &orders::order(), 3, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_a_null_in_their_key_in_memory() {
    let memory = inventory::in_memory(Side::Legacy);
    memory.meddle(|rows| {
        for (sku, location) in [("A", Some("BER")), ("B", Some("BER")), ("Z", Some("BER")), ("A", None), ("M", None)] {
            let level = inventory::level(sku, location.unwrap_or_default(), 1);
            let parts = vec![sku.into(), location.map_or(model::Value::Null, model::Value::text)];
            rows.insert(model::EntityKey::new("StockLevel".into(), parts), level);
        }
    });
    let levels = entity(&level_key("A", "BER"));
    are_counted_and_end_no_walk(std::sync::Arc::new(memory), &levels, 3, 2).await;
}
