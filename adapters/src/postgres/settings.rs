//! Where the server is and how many connections each lane may hold.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::address::TlsWords;

/// How to reach a PostgreSQL server, and how hard.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`, or libpq's `key=value` form.
    pub url: String,
    /// What is said of TLS beside the address.
    pub tls: TlsWords,
    /// Connections for clients' reads.
    pub reads: NonZeroUsize,
    /// Connections for clients' writes and for applying them here.
    pub writes: NonZeroUsize,
    /// Connections for shadow reads. They can take none of the others.
    pub shadow: NonZeroUsize,
    /// Connections for baseline copies, checksums and reports. A snapshot keeps one for itself.
    pub scan: NonZeroUsize,
    /// Connections for relay, settled marks and bookkeeping.
    pub admin: NonZeroUsize,
    /// Longest time to make one connection. A call's own limit may be shorter.
    pub connect_timeout: Duration,
    /// Shown by the server in `pg_stat_activity`.
    pub application_name: String,
}

impl Settings {
    /// Settings for `url` with the defaults: 8 reads, 8 writes, 4 shadow, 3 scan, 3 admin, 2 s.
    pub fn new(url: impl Into<String>) -> Self {
        let count = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            url: url.into(),
            tls: TlsWords::default(),
            reads: count(8),
            writes: count(8),
            shadow: count(4),
            scan: count(3),
            admin: count(3),
            connect_timeout: Duration::from_secs(2),
            application_name: "strangler".into(),
        }
    }

    /// The most connections that one replica opens to the server.
    pub fn connections(&self) -> usize {
        [self.reads, self.writes, self.shadow, self.scan, self.admin].map(NonZeroUsize::get).iter().sum()
    }
}

impl fmt::Debug for Settings {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("tls", &self.tls)
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .field("shadow", &self.shadow)
            .field("scan", &self.scan)
            .field("admin", &self.admin)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
