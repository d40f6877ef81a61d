//! Every control store keeps what `model::control` promises; and what only PostgreSQL can break.

use std::num::NonZeroUsize;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use adapters::postgres::TlsWords;
use adapters::postgres::control::{ControlSettings, PostgresControl};
use model::Rollout;
use model::control::{
    BatchId, ControlError, ControlStore, DifferenceKind, EvidenceFilter, ReconciliationStore as _, Seen, Sums,
};
use model::evidence::{Cause, Verdict};
use testkit::control_contract::{self, publication};
use testkit::postgres::Database;

fn settings(url: String) -> ControlSettings {
    ControlSettings {
        url,
        tls: TlsWords::default(),
        connections: NonZeroUsize::new(4).unwrap(),
        connect_timeout: Duration::from_secs(2),
        limit: Duration::from_secs(10),
    }
}

async fn fresh_postgres() -> (PostgresControl, Database) {
    let database = Database::fresh("control").await;
    let store = PostgresControl::new(&settings(database.url())).unwrap();
    store.prepare().await.unwrap();
    (store, database)
}

async fn fresh_memory() -> (MemoryControl, ()) {
    (MemoryControl::new(), ())
}

mod in_memory {
    testkit::control_contract!(super::fresh_memory);
}

mod on_postgres {
    testkit::control_contract!(super::fresh_postgres);
}

#[tokio::test]
async fn missing_tables_are_named_with_what_to_do() {
    let database = Database::fresh("control").await;
    let store = PostgresControl::new(&settings(database.url())).unwrap();
    let error = store.newest().await.unwrap_err();
    assert_eq!(error.to_string(), "the control store is not set up: its tables are missing, run `strangler init`");
    assert!(!error.is_outage());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_a_wrong_address_a_misfit() {
    let gone = PostgresControl::new(&settings("postgres://u:secret@127.0.0.1:1/x".into())).unwrap();
    let error = gone.newest().await.unwrap_err();
    assert!(matches!(error, ControlError::Unreachable { .. }));
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert!(PostgresControl::new(&settings("not an address".into())).is_err());
}

#[tokio::test]
async fn rollouts_that_were_published_cannot_be_changed_or_deleted() {
    let (store, database) = fresh_postgres().await;
    store.publish(&publication(None, Rollout::initial(["inventory".into()]))).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    assert!(client.execute("UPDATE strangler_rollout SET who = 'nobody'", &[]).await.is_err());
    assert!(client.execute("DELETE FROM strangler_rollout", &[]).await.is_err());
}

/// As a release counts that knows rows only: it names no column, and leaves the last one empty.
const OLDER: &str = "INSERT INTO strangler_evidence_difference AS sum \
    SELECT 'Query.product', 'name', 'case', 'mismatch', date_trunc('minute', now()), 5, now(), now() \
    ON CONFLICT (route, field, cause, verdict, minute) DO UPDATE SET count = sum.count + excluded.count";

#[tokio::test]
async fn rows_that_an_older_release_has_counted_are_in_nobody_knows_how_many_answers() {
    let (store, database) = fresh_postgres().await;
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let kind = DifferenceKind {
        route: "Query.product".into(),
        field: Some("name".into()),
        cause: Cause::Case,
        verdict: Verdict::Mismatch,
    };
    let hour_ago = model::Instant::new(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    let mut ours = Sums::default();
    ours.add_rows(kind.clone(), Seen { count: 3, first: hour_ago, last: hour_ago }, Some(2));
    let found = async || {
        let sums = store.evidence(&EvidenceFilter::default()).await.unwrap();
        (sums.differences[&kind].count, sums.answers.get(&kind).copied())
    };
    store.add_evidence(BatchId(uuid::Uuid::new_v4()), &ours).await.unwrap();
    assert_eq!(found().await, (3, Some(2)));
    client.execute(OLDER, &[]).await.unwrap();
    assert_eq!(found().await, (8, None));
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_within_the_limit() {
    // Accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/x", listener.local_addr().unwrap());
    let store = PostgresControl::new(&ControlSettings { limit: Duration::from_millis(200), ..settings(url) }).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(store.newest().await.unwrap_err().is_outage());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn tables_of_the_first_releases_are_brought_up_to_this_one_by_init_or_by_a_dba() {
    for by_dba in [false, true] {
        let database = Database::fresh("control").await;
        let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(include_str!("upgrades/first-control.sql")).await.unwrap();
        // Older still: before webhooks, and before a second person was on record.
        client
            .batch_execute("DROP TABLE strangler_webhook; ALTER TABLE strangler_rollout DROP approved_by")
            .await
            .unwrap();
        let store = PostgresControl::new(&settings(database.url())).unwrap();
        let found = store.bookkeeping().await.unwrap();
        let problem = found.problem("control").unwrap();
        for name in ["strangler_webhook", "strangler_rollout.approved_by", "strangler_control_bookkeeping"] {
            assert!(problem.contains(name), "{problem}");
        }
        if by_dba {
            client.batch_execute(&store.ddl(Some(&found))).await.unwrap();
        } else {
            store.prepare().await.unwrap();
        }
        assert_eq!(store.bookkeeping().await.unwrap().problem("control"), None);
        store.publish(&publication(None, Rollout::initial(["inventory".into()]))).await.unwrap();
    }
}

/// The clock of the control database was ahead while an older run began, and was put back.
#[tokio::test]
async fn a_clock_that_is_put_back_makes_no_older_reconciliation_the_newest() {
    let (store, database) = fresh_postgres().await;
    control_contract::the_newest_ended_reconciliation_of_each_type_decides(&store).await;
    let runs = async || {
        let newest = store.newest_reconciliations(&"inventory".into()).await.unwrap();
        let listed = store.reconciliations(None, 100).await.unwrap();
        (newest.into_iter().map(|one| one.reconciliation.run).collect::<Vec<_>>(), listed[0].run)
    };
    let before = runs().await;
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let ahead = "UPDATE strangler_reconciliation SET begun_at = begun_at + interval '1 hour' WHERE run <> $1";
    assert!(client.execute(ahead, &[&before.1.0]).await.unwrap() > 0);
    assert_eq!(runs().await, before);
}
