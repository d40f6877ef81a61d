//! Statements that are cancelled at any moment: what was acknowledged stands once, what was not stands nowhere.
//!
//! The business statements of these tests raise a counter, so that one which ran without its transaction shows in the
//! books: the row must say what the ledger says, and the ledger what the clients were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::write::Claim;
use model::{Applied, Side, StoreError};
use testkit::contract::{self, Subject, WITHIN};
use testkit::inventory;

use super::postgres::{Fixture, connect};

const WRITERS: i64 = 8;

/// Adds one until it is known that it stands or that it does not; whether it does.
async fn add_one(store: &Subject, sku: &str) -> bool {
    let write = contract::adjust(store, sku, "BER", 1);
    match store.execute(&write, WITHIN).await {
        Ok(_) => true,
        Err(StoreError::Conflict { .. } | StoreError::Unreachable { .. }) => false,
        Err(StoreError::NoAnswer { .. }) => loop {
            match store.claim(write.write, WITHIN).await {
                Ok(Claim::Stands(_)) => break true,
                Ok(Claim::Abandoned) => break false,
                Err(_) => {}
            }
        },
        Err(error) => panic!("{error:?}"),
    }
}

/// The books of one key: what the row says, and how many writes of it the ledger has.
async fn books(fixture: &Fixture, side: Side, sku: &str) -> (i64, i64) {
    // The database's own limit would be one for us, too, from the first statement on.
    let mut config: tokio_postgres::Config = fixture.database.url().parse().unwrap();
    let (client, connection) = config.options("-c statement_timeout=0").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let (table, column, key) = match side {
        Side::Legacy => ("INV_LOC_BAL", "OH_QTY", "ITM_NO"),
        Side::Modern => ("stock_levels", "on_hand", "sku"),
    };
    let row = format!(
        "SELECT (SELECT {column}::bigint FROM {table} WHERE {key} = '{sku}'), \
         (SELECT count(*) FROM strangler_ledger WHERE entity = 'StockLevel' AND key = '[\"{sku}\",\"BER\"]')"
    );
    let row = client.query_one(&row, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Rows to write to; before anything is cancelled.
async fn rows(fixture: &Fixture) {
    for sku in 0..4 {
        contract::set_level(&fixture.subject(), &format!("W{sku}"), "BER", 0).await;
    }
}

/// Lets writers loose on the rows and looks at the books. How many writes stand, and how many there were.
async fn writers(fixture: &Fixture, side: Side, turns: i64) -> (i64, i64) {
    let store = fixture.subject();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut stand = 0;
                for turn in 0..turns {
                    stand += i64::from(add_one(&store, &format!("W{}", (writer + turn) % 4)).await);
                }
                stand
            })
        })
        .collect();
    let mut told = 0;
    for task in tasks {
        told += task.await.unwrap();
    }
    let (mut rows, mut ledger) = (0, -4);
    for sku in 0..4 {
        let (row, entries) = books(fixture, side, &format!("W{sku}")).await;
        (rows, ledger) = (rows + row, ledger + entries);
    }
    assert_eq!(rows, told, "{side}: rows against what was told");
    assert_eq!(rows, ledger, "{side}: rows against the ledger");
    (rows, WRITERS * turns)
}

/// Cancels whatever our sessions run, as quickly as it can, until it is dropped.
struct Canceller(Arc<AtomicBool>);

impl Canceller {
    async fn new(fixture: &Fixture) -> Self {
        let client = connect(&fixture.database).await;
        let over = Arc::new(AtomicBool::new(false));
        let canceller = Self(Arc::clone(&over));
        tokio::spawn(async move {
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                          AND application_name = 'strangler' AND random() < 0.3";
            while !over.load(Ordering::Relaxed) {
                client.execute(cancel, &[]).await.unwrap();
                tokio::time::sleep(Duration::from_micros(700)).await;
            }
        });
        canceller
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_are_cancelled_at_random_are_booked_once_or_not_at_all() {
    for side in Side::BOTH {
        let fixture = Fixture::new(side).await;
        rows(&fixture).await;
        let canceller = Canceller::new(&fixture).await;
        let (stand, tried) = writers(&fixture, side, 60).await;
        drop(canceller);
        assert!(stand > 0 && stand < tried, "{side}: {stand} of {tried}: nothing was cancelled, or everything");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_under_a_tiny_statement_timeout_are_booked_once_or_not_at_all() {
    for (side, setting) in [(Side::Legacy, "statement_timeout = 2"), (Side::Modern, "statement_timeout = 1")] {
        let fixture = Fixture::new(side).await;
        rows(&fixture).await;
        let alter = format!("ALTER DATABASE {} SET {setting}", fixture.database.name());
        connect(&fixture.database).await.batch_execute(&alter).await.unwrap();
        let settings = adapters::postgres::Settings::new(fixture.database.url());
        let store = adapters::postgres::PostgresStore::connect(side, inventory::contract(), &settings).unwrap();
        let fixture = Fixture { database: fixture.database, store };
        writers(&fixture, side, 40).await;
    }
}

/// As secondary: what was said to be applied is what the row says, and no version names a state that the row never had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_that_are_cancelled_at_random_leave_rows_and_versions_of_one_mind() {
    for side in Side::BOTH {
        let fixture = Fixture::new(side).await;
        let store = fixture.subject();
        contract::close(&store).await;
        let canceller = Canceller::new(&fixture).await;
        let mut applied = 0;
        let position = std::sync::atomic::AtomicU64::new(1);
        let apply = async |sku: &str| {
            let mut done = 0;
            for _ in 0..80 {
                let at = position.fetch_add(1, Ordering::Relaxed);
                let on_hand = i64::try_from(at).unwrap();
                match store.apply(&[contract::change(sku, "BER", at, Some(on_hand))], WITHIN).await {
                    Ok(slots) => done += i32::from(slots == [Applied::Newer]),
                    Err(StoreError::Conflict { .. } | StoreError::NoAnswer { .. } | StoreError::Unreachable { .. }) => {
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            done
        };
        for done in futures::future::join_all(["A", "A", "B", "B"].map(&apply)).await {
            applied += done;
        }
        drop(canceller);
        assert!(applied > 0, "{side}: everything was cancelled");
        let client = connect(&fixture.database).await;
        for sku in ["A", "B"] {
            let key = format!("[\"{sku}\",\"BER\"]");
            let version = "SELECT position FROM strangler_version WHERE key = $1";
            let version: i64 = client.query_one(version, &[&key]).await.unwrap().get(0);
            assert_eq!(contract::on_hand(&store, sku, "BER").await, Some(version), "{side} {sku}");
        }
    }
}
