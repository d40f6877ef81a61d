//! Two transactions that meet: who waits, who wins, and what is left open when somebody gives up.

use std::time::Duration;

use adapters::postgres::fence_lock;
use model::contract::Statement;
use model::sql::NamedSql;
use model::write::{Claim, Work};
use model::{Applied, Side, StoreError, WriteId, Written};
use testkit::contract::{self, WITHIN};
use testkit::inventory;

use super::postgres::{Fixture, SHORT, connect};

/// How many of this database's connections match a condition on `pg_stat_activity`.
async fn sessions(client: &tokio_postgres::Client, condition: &str) -> i64 {
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND application_name = 'strangler' AND {condition}"
    );
    client.query_one(&text, &[]).await.unwrap().get(0)
}

/// Waits until something that another process does has happened.
pub(super) async fn until(client: &tokio_postgres::Client, condition: &str, count: i64) {
    for _ in 0..200 {
        if sessions(client, condition).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {count} sessions: {condition}");
}

pub(super) const BLOCKED: &str = "wait_event_type = 'Lock'";
const OPEN: &str = "xact_start IS NOT NULL";

/// Somebody else's transaction that holds the row of stock level A/BER.
async fn hold_row(client: &tokio_postgres::Client, side: Side) {
    let table = match side {
        Side::Legacy => "INV_LOC_BAL WHERE ITM_NO = 'A'",
        Side::Modern => "stock_levels WHERE sku = 'A'",
    };
    client.batch_execute(&format!("BEGIN; SELECT FROM {table} FOR UPDATE")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_too_long_has_no_answer_and_leaves_no_transaction_open() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let other = connect(&fixture.database).await;
    hold_row(&other, Side::Legacy).await;
    let write = contract::adjust(&store, "A", "BER", -1);
    let started = tokio::time::Instant::now();
    let result = store.execute(&write, SHORT).await;
    assert!(matches!(result, Err(StoreError::NoAnswer { .. })), "{result:?}");
    assert!(started.elapsed() < SHORT * 3);
    // The row is still held, and yet nobody of ours waits for it any more.
    let watcher = connect(&fixture.database).await;
    until(&watcher, OPEN, 0).await;
    let claim = store.claim(write.write, WITHIN).await.unwrap();
    assert_eq!(claim, Claim::Abandoned);
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_future_leaves_no_transaction_open() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    hold_row(&other, Side::Modern).await;
    for _ in 0..12 {
        // More often than the pool has connections: each is given up, none is lost.
        let write = contract::adjust(&store, "A", "BER", -1);
        let dropped = tokio::time::timeout(Duration::from_millis(50), store.execute(&write, WITHIN));
        assert!(dropped.await.is_err());
    }
    until(&watcher, OPEN, 0).await;
    other.batch_execute("COMMIT").await.unwrap();
    let write = contract::adjust(&store, "A", "BER", -1);
    contract::now(store.execute(&write, WITHIN).await);
    assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_beats_a_first_attempt_that_has_not_written_its_ledger_row() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    hold_row(&other, Side::Legacy).await;
    let write = contract::adjust(&store, "A", "BER", -1);
    let first = tokio::spawn({
        let (store, write) = (store.clone(), write.clone());
        async move { store.execute(&write, WITHIN).await }
    });
    until(&watcher, BLOCKED, 1).await;
    assert_eq!(store.claim(write.write, WITHIN).await.unwrap(), Claim::Abandoned);
    other.batch_execute("COMMIT").await.unwrap();
    let result = first.await.unwrap();
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
    assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_a_first_attempt_whose_ledger_row_is_not_committed() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    let write = contract::write_id();
    let insert = format!(
        "BEGIN; INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, state) \
         VALUES ('{write}', 0, 'inventory', '', '', 1, 1, 1, 'settled')"
    );
    for (end, expected) in [("ROLLBACK", Claim::Abandoned), ("COMMIT", Claim::Stands(vec![]))] {
        let insert = insert.replace(&write.to_string(), &contract::write_id().to_string());
        other.batch_execute(&insert).await.unwrap();
        let id = insert.split('\'').nth(1).unwrap().parse().unwrap();
        let hurried = store.claim(WriteId(id), SHORT).await;
        assert!(matches!(hurried, Err(StoreError::NoAnswer { .. })), "{hurried:?}");
        let claim = tokio::spawn({
            let store = store.clone();
            async move { store.claim(WriteId(id), WITHIN).await }
        });
        until(&watcher, BLOCKED, 1).await;
        other.batch_execute(end).await.unwrap();
        assert_eq!(claim.await.unwrap().unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_the_fence_waits_for_writers_in_flight_and_stops_later_ones() {
    let fixture = Fixture::new(Side::Legacy).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    contract::set_level(&store, "B", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    hold_row(&other, Side::Legacy).await;
    let spawn = |sku: &str| {
        let (store, write) = (store.clone(), contract::adjust(&store, sku, "BER", -1));
        tokio::spawn(async move { store.execute(&write, WITHIN).await })
    };
    let early = spawn("A");
    until(&watcher, BLOCKED, 1).await;
    let freezer = connect(&fixture.database).await;
    let lock = fence_lock(&inventory::group());
    let freeze = tokio::spawn(async move {
        let close =
            format!("BEGIN; SELECT pg_advisory_xact_lock({lock}); UPDATE strangler_fence SET state = 'frozen'; COMMIT");
        freezer.batch_execute(&close).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!freeze.is_finished());
    let late = spawn("B");
    until(&watcher, BLOCKED, 2).await;
    other.batch_execute("COMMIT").await.unwrap();
    contract::now(early.await.unwrap());
    freeze.await.unwrap();
    let late = late.await.unwrap();
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(4));
    assert_eq!(contract::on_hand(&store, "B", "BER").await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_is_moved_without_its_lock_still_stops_the_commit() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    hold_row(&other, Side::Modern).await;
    let write = contract::adjust(&store, "A", "BER", -1);
    let early = tokio::spawn({
        let store = store.clone();
        async move { store.execute(&write, WITHIN).await }
    });
    until(&watcher, BLOCKED, 1).await;
    // Past the look at the fence, before the ledger row that proves it.
    watcher.execute("UPDATE strangler_fence SET epoch = 2", &[]).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    let early = early.await.unwrap();
    assert!(matches!(early, Err(StoreError::Fenced { .. })), "{early:?}");
    assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waited_for_an_upsert_in_flight_removes_its_row() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::close(&store).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    let upsert = format!(
        "BEGIN; INSERT INTO strangler_version VALUES ('StockLevel', '[\"A\",\"BER\"]', 1, 1, 1, '{}', false); \
         INSERT INTO stock_levels VALUES ('A', 'BER', 5)",
        contract::write_id()
    );
    other.batch_execute(&upsert).await.unwrap();
    let deletion = tokio::spawn({
        let store = store.clone();
        async move { store.apply(&[contract::change("A", "BER", 2, None)], WITHIN).await }
    });
    until(&watcher, BLOCKED, 1).await;
    other.batch_execute("COMMIT").await.unwrap();
    // The other one has left no number of the row.
    assert_eq!(deletion.await.unwrap().unwrap(), [Applied::Unproven]);
    assert_eq!(contract::on_hand(&store, "A", "BER").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_waits_for_a_first_attempt_that_touches_other_keys() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let (other, watcher) = (connect(&fixture.database).await, connect(&fixture.database).await);
    hold_row(&other, Side::Modern).await;
    let attempt = |touched: &str| {
        let mut write = contract::with_key(contract::adjust(&store, "A", "BER", -5), "key", "print");
        write.touches = vec![inventory::level_key(touched, "BER")];
        let store = store.clone();
        tokio::spawn(async move { store.execute(&write, WITHIN).await })
    };
    let first = attempt("A");
    until(&watcher, BLOCKED, 1).await;
    let repeat = attempt("ELSEWHERE");
    until(&watcher, BLOCKED, 2).await;
    other.batch_execute("COMMIT").await.unwrap();
    // By now there is too little on hand; the repeat is told of the first success all the same.
    let changes = contract::now(first.await.unwrap());
    assert_eq!(repeat.await.unwrap().unwrap(), Written::Before(changes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_inside_a_function_is_noticed() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let client = connect(&fixture.database).await;
    let function =
        "CREATE FUNCTION purge(item text) RETURNS void LANGUAGE sql AS 'DELETE FROM stock_levels WHERE sku = item'";
    client.batch_execute(function).await.unwrap();
    let statement = Statement { sql: NamedSql::parse("SELECT purge(:sku)").unwrap(), refuse: None };
    let work = Work::Run { statements: vec![statement], params: inventory::at("A", "BER", 0) };
    let purge = contract::command(work, vec![inventory::level_key("A", "BER")]);
    let changes = contract::now(store.execute(&purge, WITHIN).await);
    assert_eq!((changes.len(), changes[0].state.as_ref()), (1, None));
}
