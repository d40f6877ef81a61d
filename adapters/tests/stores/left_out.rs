//! Columns that the contract leaves out are listed with their type and how many rows have something in them.

use model::contract::Ignored;
use model::{EntityType, Side, Store};
use testkit::contract::{Subject, WITHIN, entity, set_level};
use testkit::inventory::level_key;
use testkit::postgres::Database;

use super::any_oracle;
use super::postgres::{Fixture, connect};

async fn told(store: &dyn Store, entity: &EntityType) -> Vec<(String, u64, u64)> {
    let found = store.snapshot(WITHIN).await.unwrap().left_out(entity, WITHIN).await.unwrap();
    assert_eq!(found, store.left_out(entity, WITHIN).await.unwrap());
    assert!(found.iter().all(|column| !column.column_type.is_empty()));
    found.into_iter().map(|column| (column.column.to_lowercase(), column.rows, column.filled)).collect()
}

async fn are_listed(store: Subject, database: &Database, table: &str) {
    let mut levels = EntityType::clone(&entity(&level_key("A", "BER")));
    for sku in ["A", "B", "C"] {
        set_level(&store, sku, "BER", 1).await;
    }
    let added = format!(
        "ALTER TABLE {table} ADD COLUMN shelf_txt varchar(20), ADD COLUMN weight numeric(9); \
         UPDATE {table} SET shelf_txt = 'left behind the door' WHERE ctid IN (SELECT ctid FROM {table} LIMIT 2)"
    );
    connect(database).await.batch_execute(&added).await.unwrap();
    let expected = [("shelf_txt".to_owned(), 3, 2), ("weight".to_owned(), 3, 0)];
    assert_eq!(told(&*store, &levels).await, expected);
    // An order of a person answers it, in any spelling that SQL takes for the same.
    levels.ignored = vec![Ignored { column: "Shelf_Txt".into(), reason: "a note for people".into() }];
    assert_eq!(told(&*store, &levels).await, expected[1..]);
    levels.ignored.push(Ignored { column: "WEIGHT".into(), reason: "never used".into() });
    assert_eq!(told(&*store, &levels).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_contract_leaves_out_on_postgres() {
    let legacy = Fixture::new(Side::Legacy).await;
    are_listed(legacy.subject(), &legacy.database, "INV_LOC_BAL").await;
    let modern = Fixture::new(Side::Modern).await;
    are_listed(modern.subject(), &modern.database, "stock_levels").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_contract_leaves_out_on_an_oracle() {
    let legacy = any_oracle::Fixture::new(Side::Legacy).await;
    are_listed(legacy.subject(), legacy.database.under(), "inv_loc_bal").await;
}
