//! A server of somebody's, given by its address: each test has an account with a schema of its own on it.
//!
//! `ORACLE_TEST_URL=user/password@host:port/service` names the server and an account that may make accounts;
//! `ORACLE_CLIENT_LIB_DIR` the folder of Oracle's client library. `docs/oracle.md` has the steps.
//!
//! Promise: nothing is dropped but what this process has made, under a name that nobody else has. Nobody takes the
//! stand-in for a real server: a server that names itself as the stand-in is refused, unless `ORACLE_TEST_STAND_IN=1`
//! asks for it to try this road; then every other is refused.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use adapters::oracle::{OracleStore, Settings};
use model::Side;
use oracle::Connection;
use uuid::Uuid;

use super::client_lib_dir;
use crate::inventory;

/// What an account of a test needs: `docs/oracle.md` has the account that makes it grant these.
const RIGHTS: [&str; 6] = [
    "CREATE SESSION, CREATE TABLE, UNLIMITED TABLESPACE",
    "EXECUTE ON SYS.DBMS_LOCK",
    "EXECUTE ON SYS.DBMS_FLASHBACK",
    "SELECT ON SYS.V_$DATABASE",
    "SELECT ON SYS.V_$INSTANCE",
    "SELECT ON SYS.V_$PARAMETER",
];

/// ORA-01940: somebody is logged in with the account that is to go.
const STILL_CONNECTED: i32 = 1940;

/// Which server is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An Oracle.
    Oracle,
    /// The stand-in, to try the road to an Oracle.
    StandIn,
}

/// A server, and the account on it that makes accounts.
#[derive(Debug, Clone)]
pub struct Server {
    settings: Settings,
}

impl Server {
    /// The one that the environment names, if it names one.
    ///
    /// # Panics
    /// When it cannot be used; the text says what to do.
    pub fn named() -> Option<Self> {
        let url = std::env::var("ORACLE_TEST_URL").ok()?;
        let stand_in = std::env::var_os("ORACLE_TEST_STAND_IN").is_some_and(|value| value == "1");
        let expected = if stand_in { Expected::StandIn } else { Expected::Oracle };
        let server = library(expected).and_then(|library| Self::at(&url, library, expected));
        Some(server.unwrap_or_else(|problem| panic!("ORACLE_TEST_URL: {problem}")))
    }

    /// The one at `user/password@address`, by the client library in `library`.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn at(url: &str, library: PathBuf, expected: Expected) -> Result<Self, String> {
        let (user, password, address) = parts(url)
            .ok_or("must be user/password@host:port/service, such as tester/secret@localhost:1521/FREEPDB1")?;
        let settings = Settings { client_lib_dir: Some(library), ..Settings::new(address, user, password) };
        let connection = connect(&settings)?;
        let (_, banner) = connection.server_version().map_err(|error| format!("tells no version: {error}"))?;
        match (banner.contains(clntsh::BANNER), expected) {
            (true, Expected::Oracle) => Err(format!(
                "`{banner}` answered, which proves nothing about an Oracle: \
                 name the folder of Oracle's own client library in ORACLE_CLIENT_LIB_DIR"
            )),
            (false, Expected::StandIn) => {
                Err(format!("`{banner}` answered, not the stand-in: take ORACLE_TEST_STAND_IN away"))
            }
            (true, Expected::StandIn) | (false, Expected::Oracle) => Ok(Self { settings }),
        }
    }

    /// Makes an account with an empty schema.
    ///
    /// # Errors
    /// Which statement the server refused.
    pub fn schema(&self) -> Result<Schema, String> {
        let unique = Uuid::new_v4().simple().to_string().to_uppercase();
        let (user, password) = (format!("STRANGLER_TEST_{}", &unique[..12]), format!("Pw1_{}", &unique[12..30]));
        let connection = connect(&self.settings)?;
        run(&connection, &format!("CREATE USER {user} IDENTIFIED BY \"{password}\""))?;
        // From here on it goes with the value.
        let schema = Schema { server: self.clone(), settings: Settings { user, password, ..self.settings.clone() } };
        for right in RIGHTS {
            run(&connection, &format!("GRANT {right} TO {}", schema.user()))?;
        }
        Ok(schema)
    }
}

/// An account with a schema. Dropping it drops both.
#[derive(Debug)]
pub struct Schema {
    server: Server,
    settings: Settings,
}

impl Schema {
    /// How the adapter reaches it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The account's name.
    pub fn user(&self) -> &str {
        &self.settings.user
    }

    fn drop_account(&self) -> Result<(), String> {
        let connection = connect(&self.server.settings)?;
        let text = format!("DROP USER {} CASCADE", self.user());
        // Sessions of a store end a moment after it.
        for _ in 0..100 {
            match connection.execute(&text, &[]) {
                Err(error) if error.oci_code() == Some(STILL_CONNECTED) => thread::sleep(Duration::from_millis(100)),
                other => return other.map(drop).map_err(|error| error.to_string()),
            }
        }
        Err("somebody is logged in with it".to_owned())
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Err(problem) = self.drop_account() {
            eprintln!("{problem}: left behind, to be removed by `DROP USER {} CASCADE`", self.user());
        }
    }
}

/// User, password, address. The password may hold both signs; the address holds no `@`, the user no `/`.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (account, address) = url.rsplit_once('@')?;
    let (user, password) = account.split_once('/')?;
    let all = [user, password, address];
    all.iter().all(|part| !part.is_empty()).then_some((user, password, address))
}

fn connect(settings: &Settings) -> Result<Connection, String> {
    // The library is found by whoever comes first; the store says why it cannot be.
    OracleStore::connect(Side::Legacy, inventory::contract(), settings).map_err(|error| error.to_string())?;
    let session = Connection::connect(&settings.user, &settings.password, &settings.connect);
    session.map_err(|error| format!("{} at {}: {error}", settings.user, settings.connect))
}

fn run(connection: &Connection, text: &str) -> Result<(), String> {
    // A password must not be told.
    let shown = text.split(" IDENTIFIED").next().unwrap_or_default().to_owned();
    connection.execute(text, &[]).map(drop).map_err(|error| format!("`{shown}`: {error}"))
}

/// The folder of the client library. Without one the driver would take the stand-in, which lies beside the tests.
fn library(expected: Expected) -> Result<PathBuf, String> {
    let stand_in = client_lib_dir();
    if expected == Expected::StandIn {
        return Ok(stand_in);
    }
    if let Some(given) = std::env::var_os("ORACLE_CLIENT_LIB_DIR") {
        return Ok(PathBuf::from(given));
    }
    let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let home = std::env::var_os("ORACLE_HOME").map(|home| PathBuf::from(home).join("lib"));
    // Cargo lists its own folders too.
    let ours = |folder: &Path| stand_in.starts_with(folder) || folder.starts_with(&stand_in);
    let mut folders = std::env::split_paths(&listed).chain(home);
    let found = folders.find(|folder| !ours(folder) && folder.join("libclntsh.so").exists());
    found.ok_or_else(|| {
        "no client library of Oracle's was found: install Instant Client and name its folder in ORACLE_CLIENT_LIB_DIR"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_three_parts_and_a_password_may_hold_any_sign() {
        let expected = Some(("tester", "p@ss/w@rd", "db:1521/FREEPDB1"));
        assert_eq!(parts("tester/p@ss/w@rd@db:1521/FREEPDB1"), expected);
        for bad in ["", "db:1521/FREEPDB1", "tester@db", "/secret@db", "tester/@db", "tester/secret@"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
