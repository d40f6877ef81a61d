//! From raw to checked: every rule, and the key it belongs to.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use adapters::postgres::TlsWords;
use model::PerSide;
use shadow_compare::confirm::Patience;

use super::admin::{self, tls};
use super::database_tls;
use super::flags::flags;
use super::promotion;
use super::raw::{RawConfig, RawControl, RawEvidence, RawFleet, RawHandover, RawReads, RawSagas, RawShadow, RawWrites};
use super::side::{SideSettings, sides};
use super::traces::traces;
use super::webhooks::webhooks;
use super::{Config, EvidenceSettings, InvalidConfig, Log, Origins, Reads, Writes, breakeven, gateway};
use control_plane::handover::coordinate::HandoverSettings;
use control_plane::rollout::fleet::Fleet;
use data_plane::breaker::BreakerSettings;
use data_plane::catchup::relay::RelaySettings;
use data_plane::read::shadow::ShadowSettings;
use data_plane::saga::SagaSettings;
use data_plane::write::rehearse::RehearsalSettings;

pub(super) type Checked<T> = Result<T, InvalidConfig>;

/// Longest time limit that makes sense: a day.
const LONGEST_MS: u64 = 86_400_000;

pub(super) fn check(raw: RawConfig, origins: &Origins<'_>) -> Checked<Config> {
    let sides = sides(raw.sides, origins)?;
    let (control_url, control_tls) = control(raw.control, &sides.modern, origins)?;
    let keys = ["gateway.tls.cert_file", "gateway.tls.key_file"];
    let graphql_tls = tls(raw.gateway.tls.clone(), "gateway.tls", keys, origins)?;
    Ok(Config {
        contract: PathBuf::from(raw.contract),
        state_dir: PathBuf::from(raw.state_dir),
        control_url,
        control_tls,
        sides,
        listen: address(&raw.gateway.listen, "gateway.listen", origins)?,
        gateway: gateway::gateway(raw.gateway, origins)?,
        graphql_tls,
        admin: admin::check(raw.admin, origins)?,
        writes: writes(&raw.writes, origins)?,
        primary_wins: raw.foreign_writes.primary_wins.iter().map(|name| name.as_str().into()).collect(),
        sagas: sagas(&raw.sagas, writes(&raw.writes, origins)?.retention, origins)?,
        reads: reads(&raw.reads, origins)?,
        shadow: shadow(&raw.shadow, origins)?,
        evidence: evidence(raw.evidence, origins)?,
        approvals: promotion::approvals(&raw.approvals, origins)?,
        promotion: promotion::promotion(&raw.promotion, origins)?,
        fleet: fleet(raw.fleet),
        handover: handover(&raw.handover, origins)?,
        reconcile: super::reconcile::schedule(&raw.reconcile, origins)?,
        guard: super::guard::guard(&raw.guard, origins)?,
        breakeven: breakeven::given(raw.breakeven, origins)?,
        flags: flags(raw.openfeature, origins)?,
        webhooks: webhooks(raw.webhooks, origins)?,
        traces: traces(raw.telemetry, origins)?,
        log: Log { json: json(&raw.log.format, origins)?, filter: raw.log.filter },
    })
}

/// Address of the control database, and what protects connections to it: modern's, where no other is given.
fn control(raw: RawControl, modern: &SideSettings, origins: &Origins<'_>) -> Checked<(String, TlsWords)> {
    let words = TlsWords {
        sslmode: raw.sslmode,
        sslrootcert: raw.sslrootcert,
        sslcert: raw.sslcert,
        sslkey: raw.sslkey,
        channel_binding: raw.channel_binding,
    };
    let url = secret(raw.url, raw.url_file, "control.url", "control.url_file", origins)?;
    match (url, modern) {
        (Some(url), _) => {
            database_tls::check(&url, &words, "control.url", &database_tls::CONTROL, origins)?;
            Ok((url, words))
        }
        (None, _) if !words.is_empty() => Err(origins.rule(
            "control.url",
            "is missing: without it the control database is modern's, with what protects connections there",
        )),
        (None, SideSettings::Postgres(modern)) => Ok((modern.url.clone(), modern.tls.clone())),
        (None, SideSettings::Oracle(_)) => {
            Err(origins.rule("control.url", "is missing: the control database is a PostgreSQL, and modern is none"))
        }
    }
}

fn handover(raw: &RawHandover, origins: &Origins<'_>) -> Checked<HandoverSettings> {
    Ok(HandoverSettings {
        freeze: millis(raw.freeze_ms, "handover.freeze_ms", origins)?,
        limit: millis(raw.limit_ms, "handover.limit_ms", origins)?,
        ..HandoverSettings::default()
    })
}

fn writes(raw: &RawWrites, origins: &Origins<'_>) -> Checked<Writes> {
    let hours = raw.retention_hours;
    if !(1..=24 * 366).contains(&hours) {
        return Err(origins.rule("writes.retention_hours", "must be from 1 to 8784 (a year)"));
    }
    let apply_timeout = millis(raw.apply_timeout_ms, "writes.apply_timeout_ms", origins)?;
    Ok(Writes {
        answer_budget: Duration::from_millis(raw.answer_budget_ms.min(LONGEST_MS)),
        apply_timeout,
        claim_timeout: millis(raw.claim_timeout_ms, "writes.claim_timeout_ms", origins)?,
        retention: Duration::from_secs(hours * 3_600),
        relay: RelaySettings {
            interval: millis(raw.relay_interval_ms, "writes.relay_interval_ms", origins)?,
            lease: millis(raw.relay_lease_ms, "writes.relay_lease_ms", origins)?,
            within: apply_timeout,
            ..RelaySettings::default()
        },
        rehearsals: RehearsalSettings {
            within: millis(raw.rehearsal_timeout_ms, "writes.rehearsal_timeout_ms", origins)?,
            at_once: count(raw.rehearsals_at_once, "writes.rehearsals_at_once", origins)?.get(),
        },
        unsettled_limit: NonZeroU64::new(raw.unsettled_limit),
        refused_numbers: raw.refused_numbers,
    })
}

fn sagas(given: &RawSagas, retention: Duration, origins: &Origins<'_>) -> Checked<SagaSettings> {
    let step_within = millis(given.step_timeout_ms, "sagas.step_timeout_ms", origins)?;
    let limit = millis(given.limit_ms, "sagas.limit_ms", origins)?;
    if limit >= retention {
        return Err(
            origins.rule("sagas.limit_ms", "must be shorter than writes.retention_hours: later no step is known")
        );
    }
    if given.undo_attempts == 0 {
        return Err(origins.rule("sagas.undo_attempts", "must be at least 1"));
    }
    Ok(SagaSettings {
        step_within,
        lease: step_within * 3,
        limit,
        undo_attempts: given.undo_attempts,
        longest_pause: millis(given.longest_pause_ms, "sagas.longest_pause_ms", origins)?,
        retention,
        ..SagaSettings::default()
    })
}

fn reads(raw: &RawReads, origins: &Origins<'_>) -> Checked<Reads> {
    if !(0.05..=0.95).contains(&raw.modern_share) {
        return Err(origins.rule("reads.modern_share", "must be from 0.05 to 0.95: the primary needs the rest"));
    }
    if raw.breaker_failures == 0 {
        return Err(origins.rule("reads.breaker_failures", "must be at least 1"));
    }
    let pause = millis(raw.breaker_pause_ms, "reads.breaker_pause_ms", origins)?;
    Ok(Reads { modern_share: raw.modern_share, breaker: BreakerSettings { failures: raw.breaker_failures, pause } })
}

fn shadow(raw: &RawShadow, origins: &Origins<'_>) -> Checked<ShadowSettings> {
    let looks = NonZeroU32::new(raw.confirm_looks)
        .ok_or_else(|| origins.rule("shadow.confirm_looks", "must be at least 1: one look alone sees races"))?;
    Ok(ShadowSettings {
        queue: count(raw.queue, "shadow.queue", origins)?.get(),
        queue_bytes: raw.queue_bytes,
        in_flight: count(raw.in_flight, "shadow.in_flight", origins)?.get(),
        per_side: PerSide {
            legacy: count(raw.legacy_at_once, "shadow.legacy_at_once", origins)?.get(),
            modern: count(raw.modern_at_once, "shadow.modern_at_once", origins)?.get(),
        },
        within: millis(raw.timeout_ms, "shadow.timeout_ms", origins)?,
        patience: Patience {
            first_wait: millis(raw.confirm_first_wait_ms, "shadow.confirm_first_wait_ms", origins)?,
            longest_wait: millis(raw.confirm_longest_wait_ms, "shadow.confirm_longest_wait_ms", origins)?,
            looks,
        },
    })
}

fn evidence(raw: RawEvidence, origins: &Origins<'_>) -> Checked<EvidenceSettings> {
    let secret = secret(raw.secret, raw.secret_file, "evidence.secret", "evidence.secret_file", origins)?;
    if secret.as_ref().is_some_and(|secret| secret.len() < 16) {
        return Err(origins.rule("evidence.secret", "must have at least 16 characters"));
    }
    Ok(EvidenceSettings {
        secret: secret.map(String::into_bytes),
        flush: millis(raw.flush_ms, "evidence.flush_ms", origins)?,
    })
}

fn fleet(raw: RawFleet) -> Fleet {
    Fleet {
        id: raw.id,
        admin_address: raw.admin_address,
        replicas: raw.replicas,
        ca_file: raw.ca_file.map(PathBuf::from),
        token_file: raw.token_file.map(PathBuf::from),
    }
}

fn json(format: &str, origins: &Origins<'_>) -> Checked<bool> {
    match format {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err(origins.rule("log.format", "must be `text` or `json`")),
    }
}

/// A value that is given as it is, or as the file that holds it (without the last line break).
pub(super) fn secret(
    value: Option<String>,
    file: Option<String>,
    key: &'static str,
    file_key: &'static str,
    origins: &Origins<'_>,
) -> Checked<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => Err(origins.rule(key, format!("and `{file_key}` cannot both be given"))),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned())),
            Err(error) => Err(origins.rule(file_key, format!("{file} cannot be read: {}", net::watched::why(&error)))),
        },
        (None, None) => Ok(None),
    }
}

pub(super) fn address(text: &str, key: &'static str, origins: &Origins<'_>) -> Checked<SocketAddr> {
    text.parse().map_err(|_| origins.rule(key, "must be an address and port, such as 127.0.0.1:8080"))
}

pub(super) fn count(number: usize, key: &'static str, origins: &Origins<'_>) -> Checked<NonZeroUsize> {
    NonZeroUsize::new(number).ok_or_else(|| origins.rule(key, "must be at least 1"))
}

pub(super) fn millis(number: u64, key: &'static str, origins: &Origins<'_>) -> Checked<Duration> {
    if !(1..=LONGEST_MS).contains(&number) {
        return Err(origins.rule(key, "must be from 1 to 86400000 milliseconds (a day)"));
    }
    Ok(Duration::from_millis(number))
}
