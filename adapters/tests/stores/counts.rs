//! How many rows there are is told by fresh statistics or by counting, and never by what a server once knew.

use model::{Side, Store as _};
use testkit::contract::{Subject, WITHIN, entity, set_level};
use testkit::inventory::level_key;
use testkit::postgres::Database;

use super::any_oracle;
use super::postgres::{Fixture, connect};

/// Statistics of a day on which the table was empty, and of one that nobody knows any more.
async fn old_statistics_say_nothing(store: Subject, database: &Database) {
    let levels = entity(&level_key("A", "BER"));
    let client = connect(database).await;
    client.batch_execute("ANALYZE INV_LOC_BAL").await.unwrap();
    for sku in ["A", "B", "C"] {
        set_level(&store, sku, "BER", 1).await;
    }
    assert_eq!(store.rough_count(&levels, WITHIN).await.unwrap(), 3, "it was empty then");
    for once in ["5000000", "0", "-1"] {
        let told = format!(
            "SELECT pg_stat_reset_single_table_counters('INV_LOC_BAL'::regclass); \
             UPDATE pg_class SET reltuples = {once} WHERE oid = 'INV_LOC_BAL'::regclass"
        );
        client.batch_execute(&told).await.unwrap();
        assert_eq!(store.rough_count(&levels, WITHIN).await.unwrap(), 3, "{once} rows, at a time that is not known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_statistics_are_no_count_on_postgres() {
    let fixture = Fixture::new(Side::Legacy).await;
    old_statistics_say_nothing(fixture.subject(), &fixture.database).await;
    let levels = entity(&level_key("A", "BER"));
    connect(&fixture.database).await.batch_execute("DROP TABLE INV_LOC_BAL").await.unwrap();
    assert!(fixture.store.rough_count(&levels, WITHIN).await.is_err(), "no table is not no rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_statistics_are_no_count_on_an_oracle() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    old_statistics_say_nothing(fixture.subject(), fixture.database.under()).await;
}
