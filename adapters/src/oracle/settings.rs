//! Where the server is, where its client library is, and how many sessions each lane may hold.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::Lane;

/// How to reach an Oracle server, and how hard.
#[derive(Clone)]
pub struct Settings {
    /// `host:port/service`, a name of tnsnames.ora, or a whole `(DESCRIPTION=…)`.
    pub connect: String,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The folder that holds Oracle's client library; `None`: where the system looks. One per process.
    pub client_lib_dir: Option<PathBuf>,
    /// Sessions for clients' reads.
    pub reads: NonZeroUsize,
    /// Sessions for clients' writes and for applying them here.
    pub writes: NonZeroUsize,
    /// Sessions for shadow reads. They can take none of the others.
    pub shadow: NonZeroUsize,
    /// Sessions for baseline copies, checksums and reports.
    pub scan: NonZeroUsize,
    /// Sessions for relay, settled marks and bookkeeping.
    pub admin: NonZeroUsize,
    /// Calls that may wait for a session of a lane. One more is shed at once.
    pub queue: NonZeroUsize,
    /// Statements that each session keeps parsed.
    pub statement_cache: u32,
    /// How long a call that is over its limit may take to be broken off before its thread is given up.
    pub grace: Duration,
    /// Threads given up and not yet back, at most. Beyond it a lane goes on with fewer sessions.
    pub abandoned: usize,
    /// Shown by the server in `V$SESSION.MODULE`.
    pub module: String,
}

impl Settings {
    /// Settings with the defaults: 8 reads, 8 writes, 4 shadow, 2 scan, 2 admin, 256 waiting, 150 statements.
    pub fn new(connect: impl Into<String>, user: impl Into<String>, password: impl Into<String>) -> Self {
        let count = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            connect: connect.into(),
            user: user.into(),
            password: password.into(),
            client_lib_dir: None,
            reads: count(8),
            writes: count(8),
            shadow: count(4),
            scan: count(2),
            admin: count(2),
            queue: count(256),
            statement_cache: 150,
            grace: Duration::from_secs(2),
            abandoned: 16,
            module: "strangler".into(),
        }
    }

    pub(super) fn sessions(&self, track: Track) -> usize {
        let count = match track {
            Track::Read => self.reads,
            Track::Write => self.writes,
            Track::Shadow => self.shadow,
            Track::Scan => self.scan,
            Track::Admin => self.admin,
        };
        count.get()
    }
}

impl fmt::Debug for Settings {
    /// Without account and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("connect", &self.connect)
            .field("client_lib_dir", &self.client_lib_dir)
            .field("queue", &self.queue)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// The threads that serve a call: a lane, with clients' reads and writes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// Clients' reads.
    Read,
    /// Clients' writes.
    Write,
    /// Shadow reads.
    Shadow,
    /// Reading at large.
    Scan,
    /// Short steps that nobody waits for.
    Admin,
}

impl Track {
    /// Every track.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Shadow, Self::Scan, Self::Admin];

    /// The track of a call in `lane`.
    pub(super) fn of(lane: Lane, writes: bool) -> Self {
        match (lane, writes) {
            (Lane::Client, false) => Self::Read,
            (Lane::Client, true) => Self::Write,
            (Lane::Shadow, _) => Self::Shadow,
            (Lane::Scan, _) => Self::Scan,
            (Lane::Admin, _) => Self::Admin,
        }
    }

    /// Its name in metrics and threads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Shadow => "shadow",
            Self::Scan => "scan",
            Self::Admin => "admin",
        }
    }
}
