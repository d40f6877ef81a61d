//! An Oracle for tests: the stand-in for its client library over a PostgreSQL database of one's own, or a real one.
//!
//! `ORACLE_TEST_URL` (`host:port/service`) with `ORACLE_TEST_USER` and `ORACLE_TEST_PASSWORD` names a real server, and an
//! account that may create tables; `ORACLE_TEST_CLIENT` the folder of its client library. See `docs/oracle.md`.
//! Tests on a real server share its account and run one after the other.

use std::path::PathBuf;

use adapters::oracle::{OracleStore, Settings};
// Named, so that it is built wherever tests are.
use clntsh as _;
use model::{Side, Store};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::inventory;
use crate::postgres::Database;

/// The account that test databases belong to.
const OWNER: &str = "postgres";

/// An empty ERP database.
pub struct ErpDatabase {
    home: Home,
}

enum Home {
    StandIn(Database),
    Real(RealServer),
}

struct RealServer {
    settings: Settings,
    /// One account, one test at a time.
    _turn: OwnedMutexGuard<()>,
}

/// Where the stand-in lies: beside test binaries; among the dependencies of other programs and of examples.
///
/// # Panics
/// When it is not there: it is built with whatever uses this crate.
pub fn client_lib_dir() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program is in a folder");
    let places = [folder.to_owned(), folder.join("deps"), folder.with_file_name("deps")];
    let found = places.into_iter().find(|place| place.join("libclntsh.so").exists());
    found.unwrap_or_else(|| panic!("no libclntsh.so beside {}", program.display()))
}

/// Whether tests run against a real server.
pub fn is_real() -> bool {
    std::env::var_os("ORACLE_TEST_URL").is_some()
}

/// How the adapter reaches a PostgreSQL database through the stand-in, as if it were an Oracle.
pub fn settings_over(database: &Database) -> Settings {
    let connect = format!("127.0.0.1:{}/{}", database.port(), database.name());
    Settings { client_lib_dir: Some(client_lib_dir()), ..Settings::new(connect, OWNER, OWNER) }
}

/// Plans faults of the stand-in for the database behind `settings`; see `clntsh::fault`.
///
/// # Panics
/// When they cannot be read, or no session can be had.
pub fn plan_faults(settings: &Settings, faults: &str) {
    let session = oracle::Connection::connect(&settings.user, &settings.password, &settings.connect);
    let planned = session.expect("a session").execute(&format!("BEGIN STAND_IN.FAULTS('{faults}'); END;"), &[]);
    planned.expect("faults that can be read");
}

fn real_settings() -> Option<Settings> {
    let variable = |name: &str| std::env::var(name).ok();
    let url = variable("ORACLE_TEST_URL")?;
    let user = variable("ORACLE_TEST_USER").expect("ORACLE_TEST_USER names the account");
    let password = variable("ORACLE_TEST_PASSWORD").expect("ORACLE_TEST_PASSWORD is its password");
    let client_lib_dir = variable("ORACLE_TEST_CLIENT").map(PathBuf::from);
    Some(Settings { client_lib_dir, ..Settings::new(url, user, password) })
}

impl ErpDatabase {
    /// Makes one in the shared server, or empties the account on the real one.
    ///
    /// # Panics
    /// When there is no server to be had.
    pub async fn fresh(prefix: &str) -> Self {
        if let Some(settings) = real_settings() {
            static TURN: std::sync::LazyLock<std::sync::Arc<Mutex<()>>> = std::sync::LazyLock::new(Default::default);
            let turn = std::sync::Arc::clone(&TURN).lock_owned().await;
            let database = Self { home: Home::Real(RealServer { settings, _turn: turn }) };
            database.empty();
            return database;
        }
        Self { home: Home::StandIn(Database::fresh(prefix).await) }
    }

    /// How the adapter reaches it.
    pub fn settings(&self) -> Settings {
        match &self.home {
            Home::StandIn(database) => settings_over(database),
            Home::Real(server) => server.settings.clone(),
        }
    }

    /// Runs statements of Oracle's SQL, one after the other, and commits.
    ///
    /// # Panics
    /// When one fails; the text says which.
    pub fn run(&self, statements: &[&str]) {
        let connection = self.connection();
        for statement in statements {
            let done = connection.execute(statement, &[]);
            done.map(drop).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.commit().unwrap();
    }

    /// A connection of the test's own, past the store.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn connection(&self) -> oracle::Connection {
        let settings = self.settings();
        // The library is found by whoever comes first; the store says why it cannot be.
        OracleStore::connect(Side::Legacy, inventory::contract(), &settings).expect("the client library");
        oracle::Connection::connect(&settings.user, &settings.password, &settings.connect).expect("a session")
    }

    /// Plans faults of the stand-in; see `clntsh::fault`. Without effect on a real server.
    pub fn plan_faults(&self, faults: &str) {
        plan_faults(&self.settings(), faults);
    }

    /// The PostgreSQL under the stand-in, to kill sessions in.
    ///
    /// # Panics
    /// On a real server.
    pub fn under(&self) -> &Database {
        match &self.home {
            Home::StandIn(database) => database,
            Home::Real(_) => panic!("there is no PostgreSQL under a real Oracle"),
        }
    }

    /// A store of an empty inventory, prepared as primary.
    ///
    /// # Panics
    /// When the tables cannot be made.
    pub async fn inventory(&self, side: Side) -> OracleStore {
        let store = OracleStore::connect(side, inventory::contract(), &self.settings()).expect("the client library");
        self.run(&inventory::oracle_ddl(side));
        let prepared = store.prepare(&[inventory::group()], model::Role::Primary, crate::contract::WITHIN).await;
        prepared.expect("prepared");
        store
    }

    fn empty(&self) {
        let connection = self.connection();
        let tables = connection.query_as::<String>("SELECT table_name FROM user_tables", &[]).unwrap();
        for table in tables.collect::<Result<Vec<_>, _>>().unwrap() {
            connection.execute(&format!("DROP TABLE {table} PURGE"), &[]).unwrap();
        }
    }
}
