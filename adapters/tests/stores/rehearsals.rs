//! Rehearsals that cannot go on: they keep their limit, and leave no lock behind.

use std::time::Duration;

use model::{Rehearsed, Side, StoreError};
use testkit::contract::{WITHIN, adjust, now, on_hand, set_level};
use tokio::time::Instant;

use super::postgres::{Fixture, SHORT, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_is_not_waited_for_beyond_half_of_the_limit() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 5).await;
    let command = adjust(&store, "A", "BER", -3);
    // A first one makes the connection and its statements.
    store.rehearse(&command, WITHIN).await.unwrap();
    let other = connect(&fixture.database).await;
    other.batch_execute("BEGIN; SELECT * FROM stock_levels FOR UPDATE").await.unwrap();
    let limit = Duration::from_secs(4);
    let began = Instant::now();
    let told = store.rehearse(&command, limit).await;
    assert!(matches!(told, Err(StoreError::Conflict { .. })), "{told:?}");
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    // The connection came to a clean end, and its limit on locks went with the transaction.
    let writes = store.rehearse(&command, WITHIN).await.unwrap();
    assert!(matches!(writes.outcome, Rehearsed::Done(_)));
    let client = connect(&fixture.database).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(client.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_hangs_is_stopped_and_its_locks_are_free() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    set_level(&store, "A", "BER", 5).await;
    let client = connect(&fixture.database).await;
    client
        .batch_execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_sleep(CASE WHEN NEW.on_hand = 2 THEN 60 ELSE 0 END); RETURN NEW; END';
             CREATE TRIGGER dawdle BEFORE UPDATE ON stock_levels FOR EACH ROW EXECUTE FUNCTION dawdle();",
        )
        .await
        .unwrap();
    let began = Instant::now();
    let late = store.rehearse(&adjust(&store, "A", "BER", -3), SHORT).await;
    assert!(matches!(late, Err(StoreError::NoAnswer { .. })), "{late:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Whoever writes the row next does not wait for the sleeper.
    now(store.execute(&adjust(&store, "A", "BER", -1), Duration::from_secs(10)).await);
    assert_eq!(on_hand(&store, "A", "BER").await, Some(4));
}
