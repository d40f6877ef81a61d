//! The configuration: `strangler.toml`, overlaid by `STRANGLER__SECTION__KEY` variables.
//!
//! Parsed raw, then checked into types that cannot be wrong. A mistake names the key, the rule, and the
//! file or variable it stands in; it never shows the value, which may be a secret. Every key, its
//! meaning and its default stand in `docs/strangler.example.toml`, which a test compares with the code.
//!
//! Not here: percentages and stages. They live in the rollout; no config can change them.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use model::{PerSide, Percentage, ReplicaId};

mod check;
mod load;
mod raw;
#[cfg(test)]
mod tests;
mod values;

pub use load::{InvalidConfig, Sources, load};
pub use values::{ConnectionUrl, Secret};

/// Everything that a `strangler` process is told by its operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the contract stands.
    pub contract: PathBuf,
    /// The folder for what must survive a restart; each replica its own.
    pub state_dir: PathBuf,
    /// How each side is reached.
    pub sides: PerSide<SideConfig>,
    /// How the control store is reached.
    pub control: ControlConfig,
    /// The GraphQL endpoint.
    pub gateway: GatewaySection,
    /// The admin endpoint.
    pub admin: AdminConfig,
    /// Writes and the relay.
    pub writes: WritesConfig,
    /// Reads: fallback and breaker.
    pub reads: ReadsConfig,
    /// Shadow reads.
    pub shadow: ShadowConfig,
    /// What is kept of comparisons.
    pub evidence: EvidenceConfig,
    /// This replica among the others.
    pub fleet: FleetConfig,
    /// Logs.
    pub log: LogConfig,
}

/// How a side is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct SideConfig {
    /// Its address, which may hold a password.
    pub url: ConnectionUrl,
    /// Connections for clients' reads, per replica.
    pub read_connections: NonZeroUsize,
    /// Connections for writes and for applying them, per replica.
    pub write_connections: NonZeroUsize,
    /// Connections for shadow reads, per replica. They can take none of the others.
    pub shadow_connections: NonZeroUsize,
    /// Connections for the relay and other work nobody waits for, per replica.
    pub background_connections: NonZeroUsize,
    /// Longest time to make one connection.
    pub connect_timeout: Duration,
}

/// How the control store is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlConfig {
    /// Its address; modern's unless set.
    pub url: ConnectionUrl,
    /// Connections, per replica; one more listens for changes.
    pub connections: NonZeroUsize,
    /// Longest time to make one connection.
    pub connect_timeout: Duration,
    /// Longest time of one call.
    pub timeout: Duration,
}

/// The GraphQL endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewaySection {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// How long a client waits at most for its answer.
    pub deadline: Duration,
    /// The header whose value places queries without a key.
    pub stick_header: axum::http::HeaderName,
    /// Whether clients may read the schema.
    pub introspection: bool,
    /// Serves the explorer page.
    pub development: bool,
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// How long a connection may idle before its next request.
    pub header_timeout: Duration,
    /// How long requests under way may take after shutdown has begun.
    pub drain: Duration,
    /// Client connections at once.
    pub connections: NonZeroUsize,
    /// Operations at once on one WebSocket.
    pub socket_operations: NonZeroUsize,
    /// Compiled documents kept.
    pub plan_cache: NonZeroUsize,
    /// List links asked at once for one level of one request.
    pub fan_out: NonZeroUsize,
    /// What one request may ask for.
    pub limits: LimitsSection,
}

/// What one request may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsSection {
    /// Levels of fields.
    pub depth: usize,
    /// Fields, each counted as often as its lists can repeat it.
    pub complexity: u64,
    /// Items that a list without `first` is taken to have.
    pub assumed_list: u64,
    /// Fields that are given another name.
    pub aliases: usize,
    /// Fields at the root.
    pub root_fields: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Nesting that the parser follows.
    pub recursion: usize,
    /// Requests in one batch.
    pub batch: usize,
    /// Items of a list argument.
    pub list: usize,
    /// Largest `first` of a paged list.
    pub first: u64,
}

/// The admin endpoint. It has no users yet, so it listens on loopback unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where operators and probes connect.
    pub listen: SocketAddr,
    /// Allows an address that other machines reach.
    pub allow_remote: bool,
}

/// Writes and the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritesConfig {
    /// How long an answer waits for the secondary before it leaves the key unsettled.
    pub secondary_budget: Duration,
    /// How long settled ledger rows and idempotency keys are kept.
    pub retention: Duration,
    /// How often the relay looks for unsettled writes.
    pub relay_interval: Duration,
    /// How long the relay keeps what it took before another replica may take it.
    pub relay_lease: Duration,
    /// Writes that the relay takes at once.
    pub relay_batch: NonZeroUsize,
}

/// Reads: fallback and breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadsConfig {
    /// Modern's share of the deadline; after it legacy is asked.
    pub modern_share: Percentage,
    /// Whether legacy answers when modern cannot.
    pub fallback: bool,
    /// Failures in a row after which a side is left alone.
    pub breaker_failures: NonZeroU32,
    /// For how long it is left alone.
    pub breaker_pause: Duration,
}

/// Shadow reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowConfig {
    /// Shadow reads that wait; when full, further ones are dropped and counted.
    pub queue: NonZeroUsize,
    /// Shadow reads at once on each side, per replica.
    pub in_flight: PerSide<NonZeroUsize>,
    /// When a difference is looked at again, each time counted from the last.
    pub confirm_delays: Vec<Duration>,
}

/// What is kept of comparisons.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceConfig {
    /// The secret with which sensitive values are hashed; `None`: one of this replica's own.
    pub hash_key: Option<Secret>,
    /// How often evidence is sent to the control store.
    pub flush: Duration,
    /// How long it is kept.
    pub retention: Duration,
}

/// This replica among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetConfig {
    /// Its name; `None`: made up once and kept in `state_dir`.
    pub replica: Option<ReplicaId>,
    /// Where its admin port is reached by the others; `None`: as it listens.
    pub advertise: Option<String>,
    /// Admin addresses of replicas, for rollbacks while the control store is down.
    pub replicas: Vec<String>,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// As `RUST_LOG`: `info`, or `warn,proxy=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object.
    Json,
}
