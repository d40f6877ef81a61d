//! What only a real server can show.

use std::sync::Arc;
use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::Lane;
use adapters::postgres::{PostgresStore, Settings};
use model::write::{Claim, Work};
use model::{Record, Role, Side, Store, StoreError, Value};
use testkit::contract::{self, Subject, WITHIN};
use testkit::inventory;
use testkit::postgres::Database;

use super::races::{BLOCKED, until};

/// A store of an empty inventory in a database of its own.
pub(super) struct Fixture {
    pub(super) database: Database,
    pub(super) store: PostgresStore,
}

impl Fixture {
    pub(super) async fn new(side: Side) -> Self {
        Self::in_database(Database::fresh("stores").await, side).await
    }

    /// In a database with a setting of its own, as a DBA gives it: `statement_timeout = 4`.
    pub(super) async fn with_setting(side: Side, setting: &str) -> Self {
        let database = Database::fresh("stores").await;
        let alter = format!("ALTER DATABASE {} SET {setting}", database.name());
        connect(&database).await.batch_execute(&alter).await.unwrap();
        Self::in_database(database, side).await
    }

    async fn in_database(database: Database, side: Side) -> Self {
        let settings = Settings::new(database.url());
        let store = PostgresStore::connect(side, inventory::contract(), &settings).unwrap();
        let client = connect(&database).await;
        client.batch_execute(inventory::ddl(side)).await.unwrap();
        store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.unwrap();
        Self { database, store }
    }

    pub(super) fn subject(&self) -> Subject {
        Arc::new(self.store.clone())
    }
}

/// A connection of the test's own, past the store.
pub(super) async fn connect(database: &Database) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

pub(super) const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_store_refuse_with_stable_codes_and_leave_nothing() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    let client = connect(&fixture.database).await;
    client
        .batch_execute(
            "CREATE TABLE orders (sku varchar(18) REFERENCES products (sku)); \
             CREATE UNIQUE INDEX one_name ON products (name)",
        )
        .await
        .unwrap();
    let key = inventory::product_key("A");
    let entity = contract::entity(&key);
    let set = |sku: &str, name: Value| {
        let record = Record::of(&entity, [("name", name)]);
        contract::command(Work::Set(record), vec![inventory::product_key(sku)])
    };
    contract::now(store.execute(&set("A", "4711".into()), WITHIN).await);
    client.execute("INSERT INTO orders VALUES ('A')", &[]).await.unwrap();
    let negative = {
        let record = inventory::level("A", "BER", -4711);
        contract::command(Work::Set(record), vec![inventory::level_key("A", "BER")])
    };
    let unknown_level = {
        let counted = Record::of(&contract::entity(&negative.touches[0]), [("countedAt", Value::Null)]);
        contract::command(Work::Set(counted), vec![inventory::level_key("A", "BER")])
    };
    let cases = [
        (set("B", "4711".into()), "ALREADY_EXISTS"),
        (contract::command(Work::Delete, vec![key.clone()]), "STILL_REFERENCED"),
        (negative, "REFUSED_BY_RULE"),
        (unknown_level, "MISSING_VALUE"),
    ];
    for (command, code) in cases {
        let error = store.execute(&command, WITHIN).await.unwrap_err();
        assert!(!error.to_string().contains("4711"), "{error}");
        assert_eq!(contract::refusal::<()>(Err(error)), code);
        assert!(store.standing(&[command.write], WITHIN).await.unwrap().is_empty());
    }
    let backlog = store.backlog(&inventory::group(), WITHIN).await.unwrap();
    assert_eq!(backlog.writes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_reads_take_no_connection_from_clients() {
    let fixture = Fixture::new(Side::Modern).await;
    let store = fixture.subject();
    contract::set_level(&store, "A", "BER", 5).await;
    let other = connect(&fixture.database).await;
    other.batch_execute("BEGIN; LOCK TABLE products").await.unwrap();
    let key = inventory::product_key("A");
    let shadows: Vec<_> = (0..20)
        .map(|_| {
            let (shadow, key) = (fixture.store.lane(Lane::Shadow), key.clone());
            tokio::spawn(async move {
                let entity = contract::entity(&key);
                shadow.fetch(&entity, &[key], entity.all_fields(), WITHIN).await
            })
        })
        .collect();
    until(&connect(&fixture.database).await, BLOCKED, 4).await;
    for _ in 0..10 {
        assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
        contract::set_level(&store, "A", "BER", 5).await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    for shadow in shadows {
        assert_eq!(shadow.await.unwrap().unwrap(), [None]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unreachable_at_once() {
    let settings = Settings::new("postgres://nobody@127.0.0.1:1/nowhere");
    let store = PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap();
    let started = tokio::time::Instant::now();
    let error = store.incarnation(WITHIN).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_by_index_in_padded_and_numeric_columns() {
    let fixture = Fixture::new(Side::Legacy).await;
    let client = connect(&fixture.database).await;
    client
        .batch_execute(
            "INSERT INTO INV_LOC_BAL SELECT 'SKU-' || n, 'BER', n FROM generate_series(1, 20000) n; \
             INSERT INTO INV_ITM_MST (ITM_NO) SELECT 'SKU-' || n FROM generate_series(1, 20000) n; \
             ANALYZE; SELECT pg_stat_reset()",
        )
        .await
        .unwrap();
    let store = fixture.subject();
    for count in [1, 10, 100] {
        let levels: Vec<_> = (1..=count).map(|n| inventory::level_key(&format!("SKU-{n}"), "BER")).collect();
        let products: Vec<_> = (1..=count).map(|n| inventory::product_key(&format!("SKU-{n}"))).collect();
        for keys in [levels, products] {
            let entity = contract::entity(&keys[0]);
            let found = store.fetch(&entity, &keys, entity.all_fields(), WITHIN).await.unwrap();
            assert!(found.iter().all(Option::is_some));
        }
    }
    contract::now(store.execute(&contract::adjust(&store, "SKU-7", "BER", -1), WITHIN).await);
    contract::set_level(&store, "SKU-8", "BER", 1).await;
    let changes: Vec<_> = (1..=50).map(|n| contract::change(&format!("SKU-{n}"), "BER", 1 << 60, Some(1))).collect();
    contract::bring(&store, &changes).await.unwrap();
    let gone: Vec<_> = (1..=50).map(|n| contract::change(&format!("SKU-{n}"), "BER", 1 << 61, None)).collect();
    contract::bring(&store, &gone).await.unwrap();
    let scanned = store.scan(&contract::entity(&gone[0].key), Some(&gone[9].key), 10, WITHIN).await;
    assert_eq!(scanned.unwrap().len(), 10);
    drop(store);
    // Statistics are sent when a session has been idle for a moment or ends.
    drop(fixture.store);
    let text = "SELECT coalesce(sum(seq_tup_read), 0)::int8, coalesce(sum(idx_scan), 0)::int8 \
                FROM pg_stat_user_tables WHERE relname LIKE 'inv%'";
    for _ in 0..100 {
        let row = client.query_one(text, &[]).await.unwrap();
        let (whole, by_index): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(whole, 0, "a table was read from end to end");
        if by_index > 100 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no look-up by index was counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let database = Database::fresh("stores").await;
    let client = connect(&database).await;
    let settings = Settings::new(database.url());
    let store = PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).unwrap();
    client
        .batch_execute(
            "CREATE TABLE INV_ITM_MST (ITM_NO char(12), ITM_DSC varchar(60), ACT_FL char(1), PRC numeric(8, 2), \
             WGT numeric(12, 4), UPD_DT timestamptz, END_DT timestamp, CMPNY char(2) NOT NULL)",
        )
        .await
        .unwrap();
    let names: Vec<_> = inventory::contract().entities.keys().cloned().collect();
    let found = store.inspect(&names, WITHIN).await.unwrap();
    insta::assert_snapshot!(found.problems.join("\n"), @r"
    INV_ITM_MST.itm_no is bpchar(12), the contract says char(18): correct one of them
    INV_ITM_MST.itm_no is part of the key and may be null: rows without it have no key, and are not compared, copied or handed over; give them one and ALTER TABLE INV_ITM_MST ALTER COLUMN itm_no SET NOT NULL
    INV_ITM_MST.itm_cls is missing: add the column, or correct class in the contract
    INV_ITM_MST.prc is numeric(8, 2), the contract says numeric: correct one of them
    INV_ITM_MST.upd_dt is timestamptz, the contract says timestamp without time zone: correct one of them
    INV_ITM_MST.cmpny is not null, has no default and is not in the contract: new rows from the other side would be refused; give it a default or a field
    INV_ITM_MST has no unique index on exactly (ITM_NO): create one, applying changes needs it
    INV_LOC_BAL is missing: create it, or correct the table of StockLevel in the contract
    there is no bookkeeping: run `strangler init`, or let a DBA run what `strangler init --print-ddl legacy` prints
    ");
    // The tables alone, without the groups' rows.
    client.batch_execute(&store.bookkeeping_ddl(None, &[])).await.unwrap();
    let found = store.inspect(&names, WITHIN).await.unwrap();
    let last = format!("group {} has no fence, its writes would be refused: run `strangler init`", inventory::group());
    assert_eq!(found.problems.last(), Some(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_session_ends_is_lost_and_a_new_one_can_be_taken() {
    let fixture = Fixture::new(Side::Legacy).await;
    let entity = contract::entity(&inventory::level_key("A", "BER"));
    let snapshot = fixture.store.snapshot(WITHIN).await.unwrap();
    let client = connect(&fixture.database).await;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND state = 'idle in transaction'";
    assert_eq!(client.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 1);

    for _ in 0..2 {
        let lost = snapshot.scan(&entity, None, 10, WITHIN).await;
        assert!(matches!(lost, Err(StoreError::SnapshotLost { .. })), "{lost:?}");
    }
    let again = fixture.store.snapshot(WITHIN).await.unwrap();
    assert_eq!(again.scan(&entity, None, 10, WITHIN).await.unwrap(), []);
}

/// Tests with a server of their own, to be paused and killed.
mod own_server {
    use model::Incarnation;
    use model::life::{Mark, Memory};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn limits_are_kept_when_the_server_hangs_or_dies_and_the_store_comes_back() {
        let server = testkit::postgres::own_server().await;
        let database = Database::fresh_in(&server, "stores").await;
        let fixture = Fixture::in_database(database, Side::Legacy).await;
        let store = fixture.subject();
        contract::set_level(&store, "A", "BER", 5).await;
        assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
        let write = contract::adjust(&store, "A", "BER", -1);
        let keys = [write.touches[0].clone()];
        let entity = contract::entity(&keys[0]);
        let changes = [contract::change("A", "BER", 1 << 60, Some(1))];

        server.pause().await.unwrap();
        let started = tokio::time::Instant::now();
        for _ in 0..3 {
            let fetched = store.fetch(&entity, &keys, entity.all_fields(), SHORT).await.unwrap_err();
            let executed = store.execute(&write, SHORT).await.unwrap_err();
            let applied = store.apply(&changes, SHORT).await.unwrap_err();
            let claimed = store.claim(write.write, SHORT).await.unwrap_err();
            for error in [fetched, executed, applied, claimed] {
                assert!(error.is_outage(), "{error:?}");
            }
        }
        assert!(started.elapsed() < SHORT * 12 + Duration::from_secs(1), "{:?}", started.elapsed());
        server.resume().await.unwrap();
        assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));

        server.kill().await.unwrap();
        let started = tokio::time::Instant::now();
        for _ in 0..20 {
            let error = store.execute(&write, WITHIN).await.unwrap_err();
            assert!(error.is_outage(), "{error:?}");
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        server.restart().await.unwrap();
        // Connections from before are found dead and replaced.
        let mut tries = 0;
        while store.backlog(&inventory::group(), WITHIN).await.is_err() {
            tries += 1;
            assert!(tries < 20);
        }
        // What the start has lost nobody knows, until somebody has compared.
        let claim = store.claim(write.write, WITHIN).await;
        assert!(matches!(claim, Err(StoreError::Unwritable { .. })), "{claim:?}");
        let life = store.life(&[], WITHIN).await.unwrap().life.unwrap();
        let mark = Mark { counter: life.mark.counter + 1, random: 1 };
        let to = Memory { incarnation: Incarnation(life.incarnation.0 + 1), mark };
        assert!(store.raise(life.incarnation, to, WITHIN).await.unwrap());
        store.resume(to.incarnation, WITHIN).await.unwrap();
        assert_eq!(store.claim(write.write, WITHIN).await.unwrap(), Claim::Abandoned);
        assert_eq!(contract::on_hand(&store, "A", "BER").await, Some(5));
    }
}
