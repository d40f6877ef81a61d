//! The configuration as written: every key optional or with its default, nothing checked yet.

use serde::Deserialize;

/// Last parts of the keys that hold text.
const TEXTS: [&str; 41] = [
    "kind",
    "connect",
    "user",
    "password",
    "password_file",
    "client_lib_dir",
    "contract",
    "state_dir",
    "url",
    "url_file",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "listen",
    "stick_header",
    "secret",
    "secret_file",
    "id",
    "admin_address",
    "filter",
    "cert_file",
    "key_file",
    "ca_file",
    "token_file",
    "tokens_file",
    "session_secret",
    "session_secret_file",
    "issuer",
    "audience",
    "jwks_url",
    "jwks_file",
    "role_claim",
    "who_claim",
    "format",
    "currency",
    "otlp_endpoint",
    "provider",
    "source",
    "service_name",
];

/// Whether the variable called `name` gives a key that holds text.
pub(super) fn is_text(name: &str) -> bool {
    let key = name.rsplit("__").next().unwrap_or_default().to_lowercase();
    TEXTS.contains(&key.as_str())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default = "default_contract")]
    pub(super) contract: String,
    #[serde(default = "default_state_dir")]
    pub(super) state_dir: String,
    pub(super) sides: RawSides,
    #[serde(default)]
    pub(super) control: RawControl,
    #[serde(default)]
    pub(super) gateway: RawGateway,
    #[serde(default)]
    pub(super) admin: RawAdmin,
    #[serde(default)]
    pub(super) writes: RawWrites,
    #[serde(default)]
    pub(super) foreign_writes: RawForeignWrites,
    #[serde(default)]
    pub(super) sagas: RawSagas,
    #[serde(default)]
    pub(super) reads: RawReads,
    #[serde(default)]
    pub(super) shadow: RawShadow,
    #[serde(default)]
    pub(super) evidence: RawEvidence,
    #[serde(default)]
    pub(super) approvals: RawApprovals,
    #[serde(default)]
    pub(super) promotion: RawPromotion,
    #[serde(default)]
    pub(super) handover: RawHandover,
    #[serde(default)]
    pub(super) reconcile: RawReconcile,
    #[serde(default)]
    pub(super) guard: RawGuard,
    #[serde(default)]
    pub(super) breakeven: RawBreakeven,
    #[serde(default)]
    pub(super) openfeature: RawOpenFeature,
    #[serde(default)]
    pub(super) webhooks: Vec<RawWebhook>,
    #[serde(default)]
    pub(super) fleet: RawFleet,
    #[serde(default)]
    pub(super) telemetry: RawTelemetry,
    #[serde(default)]
    pub(super) log: RawLog,
}

fn default_contract() -> String {
    "schema.graphql".into()
}

fn default_state_dir() -> String {
    "strangler-state".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSides {
    pub(super) legacy: RawSide,
    pub(super) modern: RawSide,
}

macro_rules! section {
    ($name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $(pub(super) $key: $type),*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default),* }
            }
        }
    };
}

section!(RawSide {
    kind: String = "postgres".into(),
    url: Option<String> = None,
    url_file: Option<String> = None,
    sslmode: Option<String> = None,
    sslrootcert: Option<String> = None,
    sslcert: Option<String> = None,
    sslkey: Option<String> = None,
    channel_binding: Option<String> = None,
    connect: Option<String> = None,
    user: Option<String> = None,
    password: Option<String> = None,
    password_file: Option<String> = None,
    client_lib_dir: Option<String> = None,
    statement_cache: Option<usize> = None,
    queue: Option<usize> = None,
    reads: Option<usize> = None,
    writes: Option<usize> = None,
    shadow: Option<usize> = None,
    scan: Option<usize> = None,
    admin: Option<usize> = None,
    connect_timeout_ms: Option<u64> = None,
});

section!(RawControl {
    url: Option<String> = None,
    url_file: Option<String> = None,
    sslmode: Option<String> = None,
    sslrootcert: Option<String> = None,
    sslcert: Option<String> = None,
    sslkey: Option<String> = None,
    channel_binding: Option<String> = None,
});

section!(RawGateway {
    listen: String = "0.0.0.0:8080".into(),
    introspection: bool = false,
    development: bool = false,
    deadline_ms: u64 = 5_000,
    body_bytes: usize = 1_048_576,
    body_timeout_ms: u64 = 10_000,
    header_timeout_ms: u64 = 75_000,
    drain_ms: u64 = 25_000,
    connections: usize = 10_000,
    socket_operations: usize = 32,
    stick_header: String = "x-customer-id".into(),
    plan_cache: usize = 1_000,
    plan_cache_bytes: usize = 67_108_864,
    body_budget_bytes: u64 = 67_108_864,
    connection_budget_bytes: u64 = 67_108_864,
    memory_budget_bytes: u64 = 268_435_456,
    request_bytes: u64 = 33_554_432,
    address_share: f64 = 0.25,
    trusted_proxies: Vec<String> = Vec::new(),
    fan_out: usize = 16,
    limits: RawLimits = RawLimits::default(),
    tls: RawTls = RawTls::default(),
});

section!(RawLimits {
    depth: usize = 15,
    complexity: u64 = 20_000,
    selections: usize = 5_000,
    assumed_list: u64 = 50,
    aliases: usize = 100,
    root_fields: usize = 50,
    tokens: usize = 5_000,
    recursion: usize = 200,
    batch: usize = 10,
    list: usize = 500,
    first: u64 = 500,
});

section!(RawTls { cert_file: Option<String> = None, key_file: Option<String> = None });

section!(RawAdmin {
    listen: String = "127.0.0.1:9090".into(),
    tokens_file: Option<String> = None,
    metrics_need_token: bool = false,
    session_secret: Option<String> = None,
    session_secret_file: Option<String> = None,
    session_idle_minutes: u64 = 30,
    session_hours: u64 = 12,
    secure_cookies: Option<bool> = None,
    tls: RawTls = RawTls::default(),
    jwt: Option<RawJwt> = None,
});

section!(RawJwt {
    issuer: Option<String> = None,
    audience: Option<String> = None,
    jwks_url: Option<String> = None,
    jwks_file: Option<String> = None,
    ca_file: Option<String> = None,
    who_claim: String = "sub".into(),
    role_claim: String = "roles".into(),
    viewers: Vec<String> = Vec::new(),
    operators: Vec<String> = Vec::new(),
    admins: Vec<String> = Vec::new(),
});

section!(RawWrites {
    answer_budget_ms: u64 = 50,
    apply_timeout_ms: u64 = 2_000,
    claim_timeout_ms: u64 = 2_000,
    retention_hours: u64 = 168,
    relay_interval_ms: u64 = 250,
    relay_lease_ms: u64 = 3_000,
    rehearsal_timeout_ms: u64 = 25,
    rehearsals_at_once: usize = 4,
    unsettled_limit: u64 = 0,
    refused_numbers: u32 = 100,
});

section!(RawForeignWrites { primary_wins: Vec<String> = Vec::new() });

section!(RawSagas {
    step_timeout_ms: u64 = 5_000,
    limit_ms: u64 = 600_000,
    undo_attempts: u32 = 8,
    longest_pause_ms: u64 = 30_000,
});

section!(RawReads { modern_share: f64 = 0.5, breaker_failures: u32 = 5, breaker_pause_ms: u64 = 1_000 });

section!(RawShadow {
    queue: usize = 1_000,
    queue_bytes: u64 = 67_108_864,
    in_flight: usize = 64,
    legacy_at_once: usize = 4,
    modern_at_once: usize = 4,
    timeout_ms: u64 = 2_000,
    confirm_first_wait_ms: u64 = 250,
    confirm_longest_wait_ms: u64 = 4_000,
    confirm_looks: u32 = 5,
});

section!(RawEvidence {
    secret: Option<String> = None,
    secret_file: Option<String> = None,
    flush_ms: u64 = 1_000,
});

section!(RawApprovals { stages: Vec<String> = Vec::new(), open_hours: u64 = 24 });

section!(RawPromotion {
    steps: Vec<f64> = vec![1.0, 5.0, 25.0, 50.0, 100.0],
    hold_minutes: Vec<u64> = vec![60, 240, 1_440, 1_440, 1_440],
    objective: f64 = 99.99,
    evidence_hours: u64 = 24,
    comparisons_per_route: u64 = 100,
    keys: f64 = 10.0,
    reconciled_within_hours: u64 = 24,
    unsettled_age_ms: u64 = 10_000,
    cdc_lag_ms: u64 = 500,
    errors: f64 = 0.1,
});

section!(RawReconcile {
    every_hours: Option<u64> = None,
    at: Option<String> = None,
    groups: Vec<String> = Vec::new(),
    pause_ms: u64 = 20,
});

section!(RawHandover { freeze_ms: u64 = 2_500, limit_ms: u64 = 2_000 });

section!(RawGuard {
    enabled: bool = true,
    window_s: u64 = 30,
    samples: u64 = 100,
    events: u64 = 3,
    mismatch_percent: f64 = 0.1,
    wrong_records: u64 = 20,
    error_percent: f64 = 1.0,
    latency_ratio: f64 = 2.0,
    latency_floor_ms: u64 = 100,
    unsettled_age_s: u64 = 60,
    cdc_lag_s: u64 = 60,
    sigmas: f64 = 3.0,
    baseline_hours: u64 = 24,
    baseline_windows: usize = 20,
    canary_s: u64 = 60,
});

section!(RawBreakeven {
    currency: String = "EUR".into(),
    daily_transactions: Option<f64> = None,
    cost_per_error: Option<f64> = None,
    licences_per_day: Option<f64> = None,
    missed_revenue_per_day: Option<f64> = None,
    team_per_day: Option<f64> = None,
    horizon_days: u32 = 365,
});

section!(RawOpenFeature {
    provider: Option<String> = None,
    source: Option<String> = None,
    interval_ms: u64 = 2_000,
    settle_ms: u64 = 300_000,
    raises_per_hour: u64 = 6,
    past_gates: bool = false,
});

section!(RawWebhook {
    name: String = String::new(),
    url: Option<String> = None,
    url_file: Option<String> = None,
    secret: Option<String> = None,
    secret_file: Option<String> = None,
    events: Vec<String> = Vec::new(),
    timeout_ms: u64 = 5_000,
    give_up_hours: u64 = 24,
});

section!(RawFleet {
    id: Option<String> = None,
    admin_address: Option<String> = None,
    replicas: Vec<String> = Vec::new(),
    ca_file: Option<String> = None,
    token_file: Option<String> = None,
});

section!(RawTelemetry {
    otlp_endpoint: Option<String> = None,
    service_name: String = "strangler".into(),
    sample_ratio: f64 = 0.1,
});

section!(RawLog { format: String = "text".into(), filter: String = "info".into() });
