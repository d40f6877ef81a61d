use std::time::Duration;

use model::Side;
use testkit::postgres::Database;
use tokio_postgres::NoTls;

use super::*;
use crate::Lane;
use crate::postgres::Settings;
use crate::postgres::session::{Pools, Use};

const WITHIN: Duration = Duration::from_secs(10);

const TABLE: &str = "CREATE TABLE t (n int); INSERT INTO t VALUES (0); CREATE SEQUENCE s; \
    CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE t SET n = n + 1'; \
    CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; END'; \
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER late AFTER DELETE ON t DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW EXECUTE FUNCTION late()";

async fn database() -> (Database, tokio_postgres::Client) {
    let database = Database::fresh("pipeline").await;
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(TABLE).await.unwrap();
    (database, client)
}

async fn session(database: &Database, lane: Lane, purpose: Use) -> Session {
    let pools = Pools::new(Side::Modern, &Settings::new(database.url())).unwrap();
    pools.session(lane, purpose, WITHIN).await.unwrap()
}

async fn step(session: &Session, text: &str) -> Prepared {
    (session.prepare(&[text]).await.unwrap().remove(0), Vec::new())
}

/// As the statements that follow a `BEGIN` which was cancelled before it ran.
#[tokio::test]
async fn what_runs_without_its_transaction_changes_nothing_on_any_lane() {
    let (database, client) = database().await;
    for lane in [Lane::Client, Lane::Shadow, Lane::Scan, Lane::Admin] {
        for purpose in [Use::Read, Use::Write] {
            let session = session(&database, lane, purpose).await;
            for text in [
                "INSERT INTO t VALUES (1)",
                "UPDATE t SET n = n + 1",
                "DELETE FROM t",
                "SELECT n FROM t FOR UPDATE",
                "SELECT nextval('s')",
                "SELECT f()",
                "CALL p()",
                "WITH w AS (INSERT INTO t VALUES (2) RETURNING n) SELECT * FROM w",
                "CREATE TABLE u (n int)",
            ] {
                let step = step(&session, text).await;
                let error = prepared(&session, &step).await.err().unwrap();
                assert_eq!(error.code().unwrap().code(), "25006", "{text} on {lane:?} for {purpose:?}");
            }
        }
    }
    let row = client.query_one("SELECT count(*), sum(n) FROM t", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 0));
}

/// "There is no transaction in progress" is answered like success.
#[tokio::test]
async fn a_commit_without_a_transaction_is_an_unknown_outcome() {
    let (database, _client) = database().await;
    let session = session(&database, Lane::Client, Use::Write).await;
    let ended = close(&session, &[]).await;
    assert!(matches!(ended, Err(StoreError::NoAnswer { .. })));
    // And what says so of one does not say so of the next.
    let step = step(&session, "SELECT f()").await;
    whole(&session, "", &[step], End::Commit).await.unwrap();
}

/// A `COMMIT` that is cancelled before it has committed leaves an open transaction: it is not given to the next caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_leaves_nothing_behind_and_nothing_open() {
    let (database, client) = database().await;
    let session = session(&database, Lane::Client, Use::Write).await;
    let gone = step(&session, "DELETE FROM t").await;
    let canceller = tokio::spawn(async move {
        let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        loop {
            if let Some(row) = client.query_opt(waits, &[]).await.unwrap() {
                let pid: i32 = row.get(0);
                client.execute("SELECT pg_cancel_backend($1)", &[&pid]).await.unwrap();
                return client;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let ended = whole(&session, "", &[gone], End::Commit).await;
    assert!(matches!(ended, Err(StoreError::Conflict { .. })));
    let client = canceller.await.unwrap();
    assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 1);
    let raised = step(&session, "SELECT f()").await;
    whole(&session, "", &[raised], End::Commit).await.unwrap();
    assert_eq!(client.query_one("SELECT n FROM t", &[]).await.unwrap().get::<_, i32>(0), 1);
}
