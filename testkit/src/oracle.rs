//! An Oracle for tests: the stand-in for its client library over a PostgreSQL database of one's own, or a schema on the
//! server that `ORACLE_TEST_URL` names; see `server`.

pub mod server;

use crate::begin::Begin as _;
use std::path::PathBuf;

use adapters::oracle::{OracleStore, Settings};
// Named, so that it is built wherever tests are.
use clntsh as _;
use model::Side;

use self::server::{Schema, Server};
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
    Given(Box<Schema>),
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

/// How the adapter reaches a PostgreSQL database through the stand-in, as if it were an Oracle.
pub fn settings_over(database: &Database) -> Settings {
    let connect = format!("127.0.0.1:{}/{}", database.port(), database.name());
    Settings { client_lib_dir: Some(client_lib_dir()), ..Settings::new(connect, OWNER, OWNER) }
}

/// What `role` needs to come through the stand-in to a database; said by a superuser who came that way before.
pub const COMES_THROUGH: &str = "GRANT ALL ON SCHEMA oracle TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA oracle TO {role}; \
                                 GRANT ALL ON ALL SEQUENCES IN SCHEMA oracle TO {role}";

/// Comes through the stand-in as its owner, which makes what it needs there.
///
/// # Panics
/// When no session can be had.
pub fn come_through(settings: &Settings) -> oracle::Connection {
    // The library is found by whoever comes first; the store says why it cannot be.
    OracleStore::connect(Side::Legacy, inventory::contract(), settings).expect("the client library");
    oracle::Connection::connect(&settings.user, &settings.password, &settings.connect).expect("a session")
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

impl ErpDatabase {
    /// Makes one in the shared PostgreSQL, or on the server that `ORACLE_TEST_URL` names.
    ///
    /// # Panics
    /// When there is no server to be had.
    pub async fn fresh(prefix: &str) -> Self {
        match Server::named() {
            Some(server) => Self::on(&server),
            None => Self { home: Home::StandIn(Database::fresh(prefix).await) },
        }
    }

    /// Makes one on a server.
    ///
    /// # Panics
    /// When the server refuses; the text says what.
    pub fn on(server: &Server) -> Self {
        Self { home: Home::Given(Box::new(server.schema().expect("an account"))) }
    }

    /// How the adapter reaches it.
    pub fn settings(&self) -> Settings {
        match &self.home {
            Home::StandIn(database) => settings_over(database),
            Home::Given(schema) => schema.settings().clone(),
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
        come_through(&self.settings())
    }

    /// Plans faults of the stand-in; see `clntsh::fault`.
    ///
    /// # Panics
    /// On a server that was given: it is somebody's, and what needs faults is not in nextest's profile `oracle`.
    pub fn plan_faults(&self, faults: &str) {
        assert!(matches!(self.home, Home::StandIn(_)), "faults are planned on the stand-in only: --profile oracle");
        plan_faults(&self.settings(), faults);
    }

    /// The PostgreSQL under the stand-in, to kill sessions in.
    ///
    /// # Panics
    /// On a server that was given.
    pub fn under(&self) -> &Database {
        match &self.home {
            Home::StandIn(database) => database,
            Home::Given(_) => panic!("what is under a server is asked on the stand-in only: --profile oracle"),
        }
    }

    /// A store of an empty inventory, prepared as primary.
    ///
    /// # Panics
    /// When the tables cannot be made.
    pub async fn inventory(&self, side: Side) -> OracleStore {
        let store = OracleStore::connect(side, inventory::contract(), &self.settings()).expect("the client library");
        self.run(&inventory::oracle_ddl(side));
        let prepared = store.begin_as(&[inventory::group()], model::Role::Primary, crate::contract::WITHIN).await;
        prepared.expect("prepared");
        store
    }
}
