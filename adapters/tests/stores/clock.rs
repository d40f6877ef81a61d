//! A server's wall clock is put back: what was written, begun or leased before is finished all the same.

use std::time::Duration;

use model::{Instant, SagaId, SagaRow, SagaStatus, Side, Stand};
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
        let leased =
            store.lease_unsettled(&inventory::group(), Stand::Open, Duration::ZERO, lease, 10, WITHIN).await.unwrap();
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

/// As above, of sagas.
async fn what_was_begun_and_leased_before_goes_on(store: Subject, database: &Database) {
    let client = connect(database).await;
    // Longer than any step, and no longer than the clock is put back.
    let pause = Duration::from_secs(3_600);
    let put_back = async || {
        let ahead = "UPDATE strangler_saga SET due_at = due_at + interval '3 days', changed_at = changed_at + interval '3 days'";
        client.batch_execute(ahead).await.unwrap();
    };
    let taken = async || store.lease_sagas(pause, 10, WITHIN).await.unwrap().sagas.into_iter().next();
    let saga = SagaRow {
        id: SagaId::new("a-1").unwrap(),
        route: "Mutation.placeOrder".into(),
        status: SagaStatus::Running,
        revision: 0,
        document: "{}".into(),
        began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
    };
    // GIVEN a saga that its beginner works on, WHEN the clock is put back, THEN it is taken, and no more while it is leased
    store.begin_saga(&saga, pause, WITHIN).await.unwrap();
    assert_eq!(taken().await, None);
    put_back().await;
    assert!(taken().await.is_some());
    assert_eq!(taken().await, None);
    // GIVEN a lease, WHEN the clock is put back, THEN it is over
    put_back().await;
    let leased = taken().await.unwrap();
    // GIVEN a saga that rests between two attempts, WHEN the clock is put back, THEN it is taken
    assert!(store.save_saga(&leased, pause, WITHIN).await.unwrap());
    assert_eq!(taken().await, None);
    put_back().await;
    assert!(taken().await.is_some());
    assert_eq!(taken().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_whose_clock_is_put_back_keeps_no_saga_waiting() {
    let fixture = postgres::Fixture::new(Side::Legacy).await;
    what_was_begun_and_leased_before_goes_on(fixture.subject(), &fixture.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oracle_whose_clock_is_put_back_keeps_no_saga_waiting() {
    let fixture = any_oracle::Fixture::new(Side::Legacy).await;
    what_was_begun_and_leased_before_goes_on(fixture.subject(), fixture.database.under()).await;
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
