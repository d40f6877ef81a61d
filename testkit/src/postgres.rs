//! Real PostgreSQL for tests: an empty database of one's own in a server shared by all test processes of a run.
//!
//! ```no_run
//! # async fn test() {
//! let database = testkit::postgres::Database::fresh("ledger").await;
//! let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
//! # }
//! ```
//!
//! The server is started by whichever test process comes first, under nextest and plain `cargo test` alike, and goes two
//! seconds after the last one is gone, however it went: a process counts as a user by an open pipe, which the kernel
//! closes (see `adapters::local_server`). Tests that kill or pause a server take [`own_server`].
//!
//! `STRANGLER_TEST_POSTGRES` says which programs to use: a folder, to run the tests against another version, or
//! `fetched` for the pinned ones whatever is installed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use adapters::local_server::{self, Lifeline, Lifetime, LocalServer, LocalServerError, Options, Programs};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Bridges the gaps between test processes, and spares the next run after a quick edit a start.
const LINGER: Duration = Duration::from_secs(2);

/// A server for the caller alone, to be killed, paused and restarted.
///
/// # Panics
/// When there is none to be had; the text says what to install.
pub async fn own_server() -> LocalServer {
    own_server_with(Vec::new()).await
}

/// The same, with no more than `max_connections` connections, three of them for superusers.
///
/// # Panics
/// As [`own_server`].
pub async fn own_server_for(max_connections: u16) -> LocalServer {
    or_panic(LocalServer::start(Options { max_connections, ..options() }).await)
}

/// The same, with variables for its processes.
///
/// # Panics
/// As [`own_server`].
pub async fn own_server_with(environment: Vec<(String, String)>) -> LocalServer {
    or_panic(LocalServer::start(Options { environment, ..options() }).await)
}

/// Whether the shared server was built with ICU, which collations that take two texts for one need. The pinned programs
/// are not: such a test says that it was skipped.
///
/// # Panics
/// When the server cannot be asked.
pub async fn knows_icu() -> bool {
    let database = Database::fresh("icu").await;
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.expect("a server");
    tokio::spawn(connection);
    let made = "CREATE COLLATION probe (provider = icu, locale = 'und', deterministic = false)";
    let knows = client.batch_execute(made).await.is_ok();
    if !knows {
        eprintln!("SKIPPED: this PostgreSQL has no ICU (apt install postgresql)");
    }
    knows
}

/// An empty database. Dropping it drops it.
#[derive(Debug)]
pub struct Database {
    name: String,
    port: u16,
}

impl Database {
    /// Makes one in the shared server, named `<prefix>_<unique>`.
    ///
    /// # Panics
    /// When there is no server to be had; the text says what to install.
    pub async fn fresh(prefix: &str) -> Self {
        Self::fresh_on(shared_server().await, prefix).await
    }

    /// Makes one in the shared server, in another way than usual: `made` follows the name in `CREATE DATABASE`.
    ///
    /// # Panics
    /// When there is no server to be had, or it refuses.
    pub async fn made(prefix: &str, made: &str) -> Self {
        let port = shared_server().await;
        let name = format!("{prefix}_{}", Uuid::new_v4().simple());
        let url = local_server::url(port, "postgres");
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the server answers");
        let driving = tokio::spawn(connection);
        let text = format!("CREATE DATABASE {name} TEMPLATE template0 {made}");
        client.batch_execute(&text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        drop(client);
        // Waited for, so that nobody is left on the server; how it ended does not matter.
        let _ = driving.await;
        Self { name, port }
    }

    /// Makes one in `server`, which must be running.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn fresh_in(server: &LocalServer, prefix: &str) -> Self {
        Self::fresh_on(server.port(), prefix).await
    }

    async fn fresh_on(port: u16, prefix: &str) -> Self {
        let name = format!("{prefix}_{}", Uuid::new_v4().simple());
        or_panic(local_server::create_database(port, &name).await);
        Self { name, port }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to reach it.
    pub fn url(&self) -> String {
        local_server::url(self.port, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (port, name) = (self.port, std::mem::take(&mut self.name));
        // On a thread with a runtime of its own, since a destructor cannot wait on the test's.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // A test may have killed the server, and a database that stays goes with it: nothing to report.
            let _ = runtime.map(|runtime| runtime.block_on(local_server::drop_database(port, &name)));
        });
        let _ = dropping.join();
    }
}

/// How this process holds on to the shared server.
#[derive(Debug)]
enum Hold {
    Started(LocalServer),
    Joined { port: u16, _lifeline: Lifeline },
}

/// The port of the shared server.
async fn shared_server() -> u16 {
    static HELD: OnceCell<Hold> = OnceCell::const_new();
    let held = HELD.get_or_init(|| async { or_panic(hold(&meeting_place()).await) }).await;
    match held {
        Hold::Started(server) => server.port(),
        Hold::Joined { port, .. } => *port,
    }
}

/// Beside the test binaries: the same for all of one build, another for another checkout or profile.
fn meeting_place() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    program.parent().expect("a program is in a folder").join("shared-postgres")
}

async fn hold(place: &Path) -> Result<Hold, LocalServerError> {
    let io = |source| LocalServerError::Io { doing: "looking for the shared server", source };
    // Held until we have a server: of several processes that find none, one starts it.
    let lock = take_turn(place.to_owned()).await.map_err(io)?;
    let note = place.join("current");
    if let Some(joined) = fs::read_to_string(&note).ok().and_then(|note| join(&note)) {
        return Ok(joined);
    }
    let server = LocalServer::start(Options { lifetime: Lifetime::Shared { linger: LINGER }, ..options() }).await?;
    fs::write(&note, format!("{}\n{}", server.port(), server.folder().display())).map_err(io)?;
    drop(lock);
    Ok(Hold::Started(server))
}

/// `note` is port and folder, as [`hold`] writes them.
fn join(note: &str) -> Option<Hold> {
    let (port, folder) = note.split_once('\n')?;
    let lifeline = Lifeline::join(Path::new(folder))?;
    let port = port.parse().ok()?;
    // Somebody may have killed the server and not its watchdog.
    std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    Some(Hold::Joined { port, _lifeline: lifeline })
}

async fn take_turn(place: PathBuf) -> io::Result<File> {
    let wait = move || {
        fs::create_dir_all(&place)?;
        let lock = File::create(place.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    };
    tokio::task::spawn_blocking(wait).await?
}

fn options() -> Options {
    let programs = match std::env::var_os("STRANGLER_TEST_POSTGRES") {
        None => Programs::Found,
        Some(word) if word == "fetched" => Programs::Fetched,
        Some(folder) => Programs::In(folder.into()),
    };
    Options { programs, max_connections: 400, ..Options::default() }
}

fn or_panic<T>(outcome: Result<T, LocalServerError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    }
}
