//! What an operator may set about the gateway. Checked types; raw parsing is done in `config`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use axum::http::HeaderName;

use net::budget::Share;
use net::client::TrustedProxies;

/// How the gateway behaves.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// What one request may ask for.
    pub limits: Limits,
    /// Whether clients may read the schema with `__schema` and `__type`. Off by default: the schema
    /// is no secret, but production traffic has no use for it.
    pub introspection: bool,
    /// Serves the explorer page to browsers. Never in production: it invites people to play.
    pub development: bool,
    /// How long a client waits at most for its answer.
    pub deadline: Duration,
    /// Largest request body. Larger ones get 413.
    pub body_bytes: usize,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// How long a connection may take to send the head of its next request, idle time included; also
    /// how long a WebSocket may say nothing. Keep it above the idle time of the load balancer in front, or clients see resets.
    pub header_timeout: Duration,
    /// How long requests under way may take after shutdown has begun.
    pub drain: Duration,
    /// Client connections at once; further ones wait to be accepted. As many WebSockets again.
    pub connections: NonZeroUsize,
    /// Operations at once on one WebSocket; further ones wait.
    pub socket_operations: NonZeroUsize,
    /// The header whose value places queries without a key.
    pub stick_header: HeaderName,
    /// Compiled documents kept. Too low: every request is parsed (`strangler_plan_cache_total`).
    pub plan_cache: NonZeroUsize,
    /// Bytes that they may hold together.
    pub plan_cache_bytes: NonZeroUsize,
    /// Bytes of all bodies that have not come to their end.
    pub body_budget: NonZeroU64,
    /// Bytes of heads and messages that have not come to their end, and of WebSockets.
    pub connection_budget: NonZeroU64,
    /// Bytes that all requests under way may hold. What does not fit is told `OVERLOADED`.
    pub memory_budget: NonZeroU64,
    /// Bytes that one request may hold: `ANSWER_LIMIT`.
    pub request_bytes: u64,
    /// The part of connections, sockets, bodies and memory that one address may have.
    pub address_share: Share,
    /// Proxies in front, which have no share and say whom they pass on.
    pub trusted_proxies: TrustedProxies,
    /// List links asked at once for one level of one request. Protects the sides' sessions.
    pub fan_out: NonZeroUsize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let count = |n| NonZeroUsize::new(n).expect("literals above zero");
        Self {
            limits: Limits::default(),
            introspection: false,
            development: false,
            deadline: Duration::from_secs(5),
            body_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(75),
            drain: Duration::from_secs(25),
            connections: count(10_000),
            socket_operations: count(32),
            stick_header: HeaderName::from_static("x-customer-id"),
            plan_cache: count(1_000),
            plan_cache_bytes: count(64 * 1024 * 1024),
            body_budget: NonZeroU64::new(64 * 1024 * 1024).expect("literals above zero"),
            connection_budget: NonZeroU64::new(64 * 1024 * 1024).expect("literals above zero"),
            memory_budget: NonZeroU64::new(256 * 1024 * 1024).expect("literals above zero"),
            request_bytes: 32 * 1024 * 1024,
            address_share: Share::new(0.25).expect("a literal between 0 and 1"),
            trusted_proxies: TrustedProxies::default(),
            fan_out: count(16),
        }
    }
}

/// What one request may ask for. Beyond a limit it is refused before anything runs.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Levels of fields: `DEPTH_LIMIT`.
    pub depth: usize,
    /// Fields, each counted as often as its lists can repeat it, of a request or of all in a batch: `COMPLEXITY_LIMIT`.
    pub complexity: u64,
    /// Selections that one operation may stand for once its fragments are inlined: `COMPLEXITY_LIMIT`. Counted before a
    /// plan is built.
    pub selections: usize,
    /// Items that a list without `first` is taken to have when complexity is counted.
    pub assumed_list: u64,
    /// Fields that are given another name: `ALIAS_LIMIT`.
    pub aliases: usize,
    /// Fields at the root: `ROOT_FIELD_LIMIT`.
    pub root_fields: usize,
    /// Tokens of a document: `TOKEN_LIMIT`.
    pub tokens: usize,
    /// Nesting that the parser follows: `TOKEN_LIMIT`.
    pub recursion: usize,
    /// Requests in one batch: `BATCH_LIMIT`.
    pub batch: usize,
    /// Items of a list argument, such as keys: `LIST_LIMIT`.
    pub list: usize,
    /// Largest `first` of a paged list: `FIRST_LIMIT`.
    pub first: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 15,
            complexity: 20_000,
            selections: 5_000,
            assumed_list: 50,
            aliases: 100,
            root_fields: 50,
            tokens: 5_000,
            recursion: 200,
            batch: 10,
            list: 500,
            first: 500,
        }
    }
}
