//! A server's wall clock is put back: what was written or leased before is finished all the same.

use std::time::Duration;

use model::Side;
use testkit::contract::{Subject, WITHIN, set_level};
use testkit::inventory;
use testkit::postgres::Database;

use super::postgres::connect;
use super::{any_oracle, postgres};

/// `store` is over `database`; to put the clock back by three days is to put all times three days ahead.
async fn what_was_written_and_leased_before_is_due(store: Subject, database: &Database) {
    let client = connect(database).await;
    let lease = Duration::from_secs(60);
    let given = async || {
        let leased = store.lease_unsettled(&[inventory::group()], Duration::ZERO, lease, 10, WITHIN).await.unwrap();
        leased.into_iter().map(|unsettled| unsettled.changes[0].write).collect::<Vec<_>>()
    };
    let write = set_level(&store, "A", "BER", 5).await.write;
    // GIVEN a write, WHEN the clock is put back, THEN it is given out, and no more while it is leased
    client.batch_execute("UPDATE strangler_ledger SET created_at = created_at + interval '3 days'").await.unwrap();
    assert_eq!(given().await, [write]);
    assert_eq!(given().await, []);
    // GIVEN a lease, WHEN the clock is put back, THEN it is over
    client
        .batch_execute("UPDATE strangler_ledger SET next_attempt_at = next_attempt_at + interval '3 days'")
        .await
        .unwrap();
    assert_eq!(given().await, [write]);
    assert_eq!(given().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_whose_clock_is_put_back_keeps_no_write_unsettled() {
    let fixture = postgres::Fixture::new(Side::Legacy).await;
    what_was_written_and_leased_before_is_due(fixture.subject(), &fixture.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_whose_clock_is_put_back_keeps_no_write_unsettled() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    what_was_written_and_leased_before_is_due(fixture.subject(), fixture.database.under()).await;
}
