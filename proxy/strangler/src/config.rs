//! Configuration: `strangler.toml` and `STRANGLER__SECTION__KEY`, parsed raw, then checked into types
//! that cannot be wrong.
//!
//! An unknown key, a wrong type or a broken rule is an error that names the key, and the file or
//! variable it came from. Nothing starts with a configuration that is only partly understood.
//! Not here: percentages and stages. They are no configuration; the control store has them.

mod admin;
mod breakeven;
mod check;
mod database_tls;
mod flags;
mod gateway;
mod guard;
mod promotion;
mod raw;
mod reconcile;
mod side;
mod traces;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::postgres::TlsWords;
use config::{ConfigError, Environment, File, FileFormat};
use model::{GroupName, PerSide};
use thiserror::Error;

use ::admin::settings::AdminSettings;
use ::gateway::GatewayConfig;
use control_plane::breakeven::Given;
use control_plane::desk::ApprovalRules;
use control_plane::desk::schedule::Schedule;
use control_plane::guard::GuardSettings;
use control_plane::handover::coordinate::HandoverSettings;
use control_plane::openfeature::Flags;
use control_plane::promotion::PromotionRules;
use control_plane::rollout::fleet::Fleet;
use control_plane::webhooks::Webhook;
use data_plane::breaker::BreakerSettings;
use data_plane::catchup::relay::RelaySettings;
use data_plane::read::shadow::ShadowSettings;
use data_plane::saga::SagaSettings;
use data_plane::write::rehearse::RehearsalSettings;
use net::tls::TlsFiles;
use telemetry::traces::Traces;

use raw::RawConfig;
pub use side::SideSettings;

/// The example file, with every key at its default.
pub const EXAMPLE: &str = include_str!("../../../docs/strangler.example.toml");

/// Everything an operator may set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `schema.graphql` is.
    pub contract: PathBuf,
    /// Where the replica keeps its last rollout and its own name.
    pub state_dir: PathBuf,
    /// How to reach both sides.
    pub sides: PerSide<SideSettings>,
    /// Address of the control database.
    pub control_url: String,
    /// What is said of TLS beside that address.
    pub control_tls: TlsWords,
    /// Where clients come in.
    pub listen: SocketAddr,
    /// How the gateway behaves.
    pub gateway: GatewayConfig,
    /// The certificate of the GraphQL port; `None`: plain HTTP.
    pub graphql_tls: Option<TlsFiles>,
    /// Where health, metrics and the admin API are, and who may use them.
    pub admin: AdminSettings,
    /// The write road and its relay.
    pub writes: Writes,
    /// Groups whose primary overwrites what somebody else has made of a row of the secondary.
    pub primary_wins: BTreeSet<GroupName>,
    /// Writes in steps.
    pub sagas: SagaSettings,
    /// The read road.
    pub reads: Reads,
    /// Shadow reads.
    pub shadow: ShadowSettings,
    /// What becomes of verdicts.
    pub evidence: EvidenceSettings,
    /// Which changes need a second person.
    pub approvals: ApprovalRules,
    /// The declared plan of promotions, and its gates.
    pub promotion: PromotionRules,
    /// Limits of handovers.
    pub handover: HandoverSettings,
    /// When rows at rest are compared without an order, if they are.
    pub reconcile: Option<Schedule>,
    /// The guard.
    pub guard: GuardSettings,
    /// What errors and waiting cost.
    pub breakeven: Given,
    /// Flags of an external provider that govern percentages, if any do.
    pub flags: Option<Flags>,
    /// Who is told of changes.
    pub webhooks: Vec<Webhook>,
    /// This replica among the others.
    pub fleet: Fleet,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
    /// The log.
    pub log: Log,
}

/// Limits of the write road and pace of the relay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writes {
    /// How long an answer waits for the secondary after the primary has committed.
    pub answer_budget: Duration,
    /// Limit of one apply on the secondary.
    pub apply_timeout: Duration,
    /// How long a claim of a write with unknown outcome may wait.
    pub claim_timeout: Duration,
    /// How long settled ledger rows, and so idempotency keys, are kept.
    pub retention: Duration,
    /// The relay's pace.
    pub relay: RelaySettings,
    /// Limits of rehearsals, for mutations that replay.
    pub rehearsals: RehearsalSettings,
    /// How many writes of a group may wait for the secondary; `None`: as many as there are.
    pub unsettled_limit: Option<NonZeroU64>,
    /// Numbers of the ERP that one address may use up in an hour by writes that are refused.
    pub refused_numbers: u32,
}

/// Limits of the read road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reads {
    /// Share of the remaining time that a side may use while the primary could still stand in.
    pub modern_share: f64,
    /// When a side's breaker opens.
    pub breaker: BreakerSettings,
}

/// What becomes of verdicts.
#[derive(Debug, Clone)]
pub struct EvidenceSettings {
    /// Key of the hashes that stand for sensitive values. The same on every replica, or their hashes
    /// cannot be compared. `None`: one that the state directory keeps.
    pub secret: Option<Vec<u8>>,
    /// Pause between two flushes to the control store.
    pub flush: Duration,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One JSON object a line, for machines.
    pub json: bool,
    /// What is logged, such as `info` or `info,strangler=debug` (all of ours) or `info,data_plane::read=debug`.
    pub filter: String,
}

/// The configuration cannot be used.
#[derive(Debug, Error)]
pub enum InvalidConfig {
    /// The file is not there or cannot be read.
    #[error("{path} cannot be read: {reason}; give another file with --config")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {reason}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A key is unknown, missing or of another type.
    #[error("`{key}` ({origin}): {reason}")]
    Shape {
        /// The key with its sections.
        key: String,
        /// The file or variable.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A value breaks a rule.
    #[error("`{key}` ({origin}): {rule}")]
    Rule {
        /// The key with its sections.
        key: &'static str,
        /// The file or variable.
        origin: String,
        /// The rule.
        rule: String,
    },
}

/// Where a key's value comes from, for messages.
struct Origins<'a> {
    file: &'a Path,
    variables: &'a BTreeMap<String, String>,
}

impl Origins<'_> {
    fn of(&self, key: &str) -> String {
        let variable = variable(key);
        let known = self.variables.keys().any(|name| name.eq_ignore_ascii_case(&variable));
        if known { variable } else { self.file.display().to_string() }
    }

    fn rule(&self, key: &'static str, rule: impl Into<String>) -> InvalidConfig {
        InvalidConfig::Rule { key, origin: self.of(key), rule: rule.into() }
    }
}

/// First and last line of what the parser says: between them it quotes the file, where secrets may stand.
fn without_excerpt(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or("it cannot be parsed");
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
}

fn environment() -> Environment {
    Environment::with_prefix("STRANGLER").prefix_separator("__").separator("__")
}

fn variable(key: &str) -> String {
    format!("STRANGLER__{}", key.replace('.', "__").to_uppercase())
}

impl Config {
    /// Reads `file` and the variables `STRANGLER__…` of this process.
    ///
    /// # Errors
    /// [`InvalidConfig`], naming the key and where it stands.
    pub fn load(file: &Path) -> Result<Self, InvalidConfig> {
        let unreadable = |error: std::io::Error| InvalidConfig::Unreadable {
            path: file.to_owned(),
            reason: net::watched::why(&error),
        };
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(&text, file, std::env::vars().collect())
    }

    /// Reads `text` as if it stood in `file`, with `variables` for the environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &Path, variables: BTreeMap<String, String>) -> Result<Self, InvalidConfig> {
        let variables: BTreeMap<_, _> =
            variables.into_iter().filter(|(name, _)| name.to_uppercase().starts_with("STRANGLER__")).collect();
        let (text_variables, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            variables.clone().into_iter().partition(|(name, _)| raw::is_text(name));
        // Text stays as it is: a secret of digits is no number, and loses no leading zero.
        let texts = environment().try_parsing(false).source(Some(text_variables.into_iter().collect()));
        let others = environment()
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("fleet.replicas")
            .with_list_parse_key("approvals.stages")
            .with_list_parse_key("foreign_writes.primary_wins")
            .with_list_parse_key("gateway.trusted_proxies")
            .with_list_parse_key("promotion.steps")
            .with_list_parse_key("promotion.hold_minutes")
            .with_list_parse_key("admin.jwt.viewers")
            .with_list_parse_key("admin.jwt.operators")
            .with_list_parse_key("admin.jwt.admins")
            .source(Some(others.into_iter().collect()));
        let origins = Origins { file, variables: &variables };
        let syntax = |error: ConfigError| InvalidConfig::Syntax {
            path: file.to_owned(),
            reason: without_excerpt(&error.to_string()),
        };
        let built = config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(texts)
            .add_source(others)
            .build()
            .map_err(syntax)?;
        let json: serde_json::Value = built.try_deserialize().map_err(syntax)?;
        let raw: RawConfig = serde_path_to_error::deserialize(json).map_err(|error| {
            let key = error.path().to_string();
            let reason = error.into_inner().to_string();
            // An unknown key is reported at its section; the key itself is quoted in the reason.
            let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let key = match (unknown, key.as_str()) {
                (Some(unknown), "." | "") => unknown.to_owned(),
                (Some(unknown), section) if !section.ends_with(unknown) => format!("{section}.{unknown}"),
                _ => key,
            };
            InvalidConfig::Shape { origin: origins.of(&key), key, reason }
        })?;
        check::check(raw, &origins)
    }
}

#[cfg(test)]
mod tests;
