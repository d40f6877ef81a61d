//! What is measured: one database, and three ways to look a stock level up in it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::local_server::LocalServer;
use adapters::oracle::{OracleStore, Settings};
use adapters::postgres::{self, PostgresStore};
use model::{EntityType, Role, Side, Store};
use oracle::Connection;
use oracle::sql_type::{OracleType, ToSql};
use testkit::contract::{WITHIN, entity};
use testkit::inventory::{self, level_key};
use testkit::load::Worker;
use testkit::oracle::settings_over;
use testkit::postgres::{Database, own_server};

/// Stock levels in the table.
pub(crate) const LEVELS: usize = 10_000;
/// Where they all are.
pub(crate) const LOCATION: &str = "BER";

/// As the adapter asks for one key.
const LOOK: &str =
    "SELECT t.ITM_NO, t.LOC_CD, t.OH_QTY, t.CNT_DT FROM INV_LOC_BAL t WHERE (t.ITM_NO, t.LOC_CD) IN ((:1, :2))";

/// The item of the `number`th level.
pub(crate) fn sku(number: usize) -> String {
    format!("ITEM-{:05}", number % LEVELS)
}

/// Everything that runs.
pub(crate) struct Site {
    server: LocalServer,
    database: Database,
}

impl Site {
    /// Brings everything up.
    pub(crate) async fn build() -> Self {
        let server = own_server().await;
        let database = Database::fresh_in(&server, "erp").await;
        let site = Self { server, database };
        let store = site.oracle(8);
        let connection = site.connection();
        for statement in inventory::oracle_ddl(Side::Legacy) {
            connection.execute(statement, &[]).expect("the tables are new");
        }
        store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await.expect("the stand-in is up");
        let fill = format!(
            "INSERT INTO INV_LOC_BAL SELECT 'ITEM-' || lpad((n - 1)::text, 5, '0'), '{LOCATION}', 1000000, NULL \
             FROM generate_series(1, {LEVELS}) n; ANALYZE"
        );
        site.server.run(site.database.name(), &fill).await.expect("the table is empty");
        site
    }

    /// How the Oracle adapter reaches the database, with so many sessions for clients' reads.
    pub(crate) fn settings(&self, reads: usize) -> Settings {
        let reads = NonZeroUsize::new(reads).expect("somebody asks");
        Settings { reads, ..settings_over(&self.database) }
    }

    /// The Oracle adapter.
    pub(crate) fn oracle(&self, reads: usize) -> OracleStore {
        let store = OracleStore::connect(Side::Legacy, inventory::contract(), &self.settings(reads));
        store.expect("the stand-in lies beside this program")
    }

    /// The PostgreSQL adapter, on the same tables.
    pub(crate) fn postgres(&self, reads: usize) -> PostgresStore {
        let reads = NonZeroUsize::new(reads).expect("somebody asks");
        let settings = postgres::Settings { reads, ..postgres::Settings::new(self.database.url()) };
        PostgresStore::connect(Side::Legacy, inventory::contract(), &settings).expect("a good address")
    }

    /// The bare driver.
    pub(crate) fn connection(&self) -> Connection {
        let Settings { user, password, connect, .. } = self.settings(1);
        Connection::connect(user, password, connect).expect("the stand-in is up")
    }

    /// Ends everything.
    pub(crate) async fn end(self) {
        let Self { server, database } = self;
        drop(database);
        server.stop().await.expect("the server is ours to stop");
    }
}

/// Looks levels up through a store.
pub(crate) struct Fetch {
    store: Arc<dyn Store>,
    entity: Arc<EntityType>,
    next: usize,
}

impl Fetch {
    /// The `number`th caller of `store`.
    pub(crate) fn new(store: Arc<dyn Store>, number: usize) -> Self {
        Self { store, entity: entity(&level_key("", "")), next: number * 1_009 }
    }
}

impl Worker for Fetch {
    async fn once(&mut self) {
        self.next += 7;
        let keys = [level_key(&sku(self.next), LOCATION)];
        let found = self.store.fetch(&self.entity, &keys, self.entity.all_fields(), WITHIN).await;
        assert!(found.expect("nothing is broken")[0].is_some(), "the level is there");
    }
}

/// The same by the bare driver, with a call timeout for each as the adapter sets one. Blocks.
pub(crate) fn bare(connection: Connection, number: usize) -> impl FnMut() + Send {
    let mut next = number * 1_009;
    move || {
        next += 7;
        let limit = Duration::from_secs(20);
        connection.set_call_timeout(Some(limit)).expect("a session");
        let sku = sku(next);
        let of_type = OracleType::Char(32);
        let binds: [&dyn ToSql; 2] = [&(&sku, &of_type), &(&LOCATION, &of_type)];
        let mut statement = connection.statement(LOOK).fetch_array_size(1).prefetch_rows(2).build().expect("a text");
        let row = statement.query_row(&binds).expect("the level is there");
        let on_hand: String = row.get(2).expect("a number");
        assert!(!on_hand.is_empty());
    }
}
