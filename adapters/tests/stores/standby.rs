//! A primary that waits for a standby which does not answer: nobody is told of a write that the standby may not have.
//!
//! The standby of these tests is named and was never there, which to the primary is one that is frozen.

use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::postgres::{PostgresStore, Settings};
use model::write::Claim;
use model::{Role, Side, Stand, StoreError, Written};
use testkit::contract::{self, Subject, WITHIN};
use testkit::inventory;
use testkit::postgres::{Database, own_server};

use super::postgres::{SHORT, connect};

/// A store on a server of its own, and a connection of its administrator.
struct Waiting {
    store: Subject,
    admin: tokio_postgres::Client,
    database: Database,
    _server: adapters::local_server::LocalServer,
}

impl Waiting {
    async fn new(setting: Option<&str>) -> Self {
        let server = own_server().await;
        let database = Database::fresh_in(&server, "standby").await;
        let admin = connect(&database).await;
        admin.batch_execute(inventory::ddl(Side::Legacy)).await.unwrap();
        if let Some(setting) = setting {
            admin.batch_execute(&format!("ALTER DATABASE {} SET {setting}", database.name())).await.unwrap();
        }
        let store =
            PostgresStore::connect(Side::Legacy, inventory::contract(), &Settings::new(database.url())).unwrap();
        store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        let store: Subject = std::sync::Arc::new(store);
        contract::set_level(&store, "A", "BER", 5).await;
        Self { store, admin, database, _server: server }
    }

    /// The standby freezes, or comes back.
    async fn frozen(&self, frozen: bool) {
        let names = if frozen { "ghost" } else { "" };
        let alter = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        self.admin.batch_execute(&alter).await.unwrap();
        self.admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
        // Until every session has heard it.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    async fn waiting_for_the_standby(&self) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        self.admin.query_one(count, &[]).await.unwrap().get(0)
    }

    /// A DBA breaks off whoever waits.
    async fn break_off(&self) {
        let broken = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        self.admin.execute(broken, &[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// What somebody else sees.
    async fn on_hand(&self) -> i64 {
        let client = connect(&self.database).await;
        client.query_one("SELECT OH_QTY::bigint FROM INV_LOC_BAL", &[]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_its_standby_is_not_cancelled_and_nobody_is_told_of_it() {
    let side = Waiting::new(None).await;
    side.frozen(true).await;
    let write = contract::adjust(&side.store, "A", "BER", -1);
    let result = side.store.execute(&write, Duration::from_secs(1)).await;
    assert!(matches!(result, Err(StoreError::NoAnswer { .. })), "{result:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(side.on_hand().await, 5, "a commit that waits is seen by nobody");
    let claim = side.store.claim(write.write, SHORT).await;
    assert!(matches!(claim, Err(StoreError::NoAnswer { .. } | StoreError::Conflict { .. })), "{claim:?}");
    // The standby is back: what waited stands.
    side.frozen(false).await;
    let claim = side.store.claim(write.write, WITHIN).await.unwrap();
    assert!(matches!(claim, Claim::Stands(ref changes) if changes.len() == 1), "{claim:?}");
    assert_eq!(side.on_hand().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_wait_was_broken_off_is_acknowledged_by_nobody_before_the_standby_has_it() {
    let side = Waiting::new(None).await;
    side.frozen(true).await;
    let write = contract::with_key(contract::adjust(&side.store, "A", "BER", -1), "key", "print");
    let first = tokio::spawn({
        let (store, write) = (side.store.clone(), write.clone());
        async move { store.execute(&write, WITHIN).await }
    });
    while side.waiting_for_the_standby().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    side.break_off().await;
    // The server answers COMMIT as if nothing had happened.
    let first = first.await.unwrap();
    assert!(matches!(first, Err(StoreError::NoAnswer { .. })), "{first:?}");
    assert_eq!(side.on_hand().await, 4, "it can be seen, and would be lost with this server");
    let claim = side.store.claim(write.write, SHORT).await;
    assert!(matches!(claim, Err(StoreError::NoAnswer { .. })), "{claim:?}");
    let mut again = write.clone();
    again.write = contract::write_id();
    let repeat = side.store.execute(&again, SHORT).await;
    assert!(matches!(repeat, Err(StoreError::NoAnswer { .. })), "{repeat:?}");
    side.frozen(false).await;
    again.write = contract::write_id();
    let repeat = side.store.execute(&again, WITHIN).await.unwrap();
    assert!(matches!(repeat, Written::Before(ref changes) if changes.len() == 1), "{repeat:?}");
    let claim = side.store.claim(write.write, WITHIN).await.unwrap();
    assert!(matches!(claim, Claim::Stands(_)), "{claim:?}");
    assert_eq!(side.on_hand().await, 4);
}

/// A database that answers before it has written, and a function of the ERP that asks for it: a write of ours waits.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_acknowledged_before_the_server_has_written_it() {
    let side = Waiting::new(Some("synchronous_commit = off")).await;
    side.admin
        .batch_execute(
            "CREATE FUNCTION hurry() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN SET LOCAL synchronous_commit = off; RETURN NEW; END';
             CREATE TRIGGER hurry BEFORE UPDATE ON INV_LOC_BAL FOR EACH ROW EXECUTE FUNCTION hurry();",
        )
        .await
        .unwrap();
    side.frozen(true).await;
    let write = contract::adjust(&side.store, "A", "BER", -1);
    let result = side.store.execute(&write, Duration::from_secs(1)).await;
    assert!(matches!(result, Err(StoreError::NoAnswer { .. })), "{result:?}");
    // What may be lost, since it is done again, waits for nobody.
    side.store.settle(&[contract::write_id()], WITHIN).await.unwrap();
    let group = inventory::group();
    side.store.lease_unsettled(&group, Stand::Open, Duration::ZERO, Duration::ZERO, 1, WITHIN).await.unwrap();
    side.frozen(false).await;
    assert!(matches!(side.store.claim(write.write, WITHIN).await.unwrap(), Claim::Stands(_)));
}
