//! From raw values to checked ones. Each rule stands beside its key; defaults too.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use axum::http::HeaderName;
use model::{PerSide, Percentage, ReplicaId, Side};

use super::raw::{
    RawAdmin, RawConfig, RawControl, RawEvidence, RawFleet, RawGateway, RawLimits, RawLog, RawReads, RawShadow,
    RawSide, RawWrites,
};
use super::values::{ConnectionUrl, Secret, duration};
use super::{
    AdminConfig, Config, ControlConfig, EvidenceConfig, FleetConfig, GatewaySection, LimitsSection, LogConfig,
    LogFormat, ReadsConfig, ShadowConfig, SideConfig, WritesConfig,
};

/// The key and the rule it breaks.
type Mistake = (String, String);
type Checked<T> = Result<T, Mistake>;

pub(super) fn check(raw: RawConfig, folder: &Path) -> Checked<Config> {
    let legacy = side(Side::Legacy, raw.sides.legacy, folder)?;
    let modern = side(Side::Modern, raw.sides.modern, folder)?;
    let config = Config {
        contract: folder.join(raw.contract.path.as_deref().unwrap_or("schema.graphql")),
        state_dir: folder.join(raw.state_dir.as_deref().unwrap_or(".strangler")),
        control: control(raw.control, &modern, folder)?,
        sides: PerSide { legacy, modern },
        gateway: gateway(raw.gateway)?,
        admin: admin(&raw.admin)?,
        writes: writes(&raw.writes)?,
        reads: reads(&raw.reads)?,
        shadow: shadow(raw.shadow)?,
        evidence: evidence(raw.evidence, folder)?,
        fleet: fleet(raw.fleet)?,
        log: log(raw.log)?,
    };
    Ok(config)
}

fn side(side: Side, raw: RawSide, folder: &Path) -> Checked<SideConfig> {
    let key = |name: &str| format!("sides.{side}.{name}");
    let url = secret(&key("url"), raw.url, raw.url_file, folder)?.ok_or_else(|| {
        wrong(
            &key("url"),
            format!("is missing: the address of the {side} database, or a file that holds it in `url_file`"),
        )
    })?;
    Ok(SideConfig {
        url: connection_url(&key("url"), url)?,
        read_connections: count(&key("read_connections"), raw.read_connections, 8)?,
        write_connections: count(&key("write_connections"), raw.write_connections, 8)?,
        shadow_connections: count(&key("shadow_connections"), raw.shadow_connections, 4)?,
        background_connections: count(&key("background_connections"), raw.background_connections, 4)?,
        connect_timeout: time(&key("connect_timeout"), raw.connect_timeout.as_deref(), "2s")?,
    })
}

fn control(raw: RawControl, modern: &SideConfig, folder: &Path) -> Checked<ControlConfig> {
    let url = match secret("control.url", raw.url, raw.url_file, folder)? {
        Some(url) => connection_url("control.url", url)?,
        None => modern.url.clone(),
    };
    Ok(ControlConfig {
        url,
        connections: count("control.connections", raw.connections, 3)?,
        connect_timeout: time("control.connect_timeout", raw.connect_timeout.as_deref(), "1s")?,
        timeout: time("control.timeout", raw.timeout.as_deref(), "2s")?,
    })
}

fn gateway(raw: RawGateway) -> Checked<GatewaySection> {
    let stick_header = raw.stick_header.as_deref().unwrap_or("x-customer-id");
    let stick_header: HeaderName = stick_header
        .parse()
        .map_err(|_| wrong("gateway.stick_header", "must be the name of a header, such as \"x-customer-id\""))?;
    Ok(GatewaySection {
        listen: address("gateway.listen", raw.listen.as_deref(), "0.0.0.0:8080")?,
        deadline: time("gateway.deadline", raw.deadline.as_deref(), "5s")?,
        stick_header,
        introspection: raw.introspection.unwrap_or(false),
        development: raw.development.unwrap_or(false),
        body_bytes: count("gateway.body_bytes", raw.body_bytes, 1_048_576)?.get(),
        body_timeout: time("gateway.body_timeout", raw.body_timeout.as_deref(), "10s")?,
        header_timeout: time("gateway.header_timeout", raw.header_timeout.as_deref(), "75s")?,
        drain: time("gateway.drain", raw.drain.as_deref(), "25s")?,
        connections: count("gateway.connections", raw.connections, 10_000)?,
        socket_operations: count("gateway.socket_operations", raw.socket_operations, 32)?,
        plan_cache: count("gateway.plan_cache", raw.plan_cache, 1_000)?,
        fan_out: count("gateway.fan_out", raw.fan_out, 16)?,
        limits: limits(&raw.limits)?,
    })
}

fn limits(raw: &RawLimits) -> Checked<LimitsSection> {
    let count = |name: &str, value, default| -> Checked<usize> {
        Ok(count(&format!("gateway.limits.{name}"), value, default)?.get())
    };
    Ok(LimitsSection {
        depth: count("depth", raw.depth, 15)?,
        complexity: count("complexity", raw.complexity, 20_000)? as u64,
        assumed_list: count("assumed_list", raw.assumed_list, 50)? as u64,
        aliases: count("aliases", raw.aliases, 100)?,
        root_fields: count("root_fields", raw.root_fields, 50)?,
        tokens: count("tokens", raw.tokens, 5_000)?,
        recursion: count("recursion", raw.recursion, 200)?,
        batch: count("batch", raw.batch, 10)?,
        list: count("list", raw.list, 500)?,
        first: count("first", raw.first, 500)? as u64,
    })
}

fn admin(raw: &RawAdmin) -> Checked<AdminConfig> {
    let listen = address("admin.listen", raw.listen.as_deref(), "127.0.0.1:9090")?;
    let allow_remote = raw.allow_remote.unwrap_or(false);
    if !listen.ip().is_loopback() && !allow_remote {
        let rule = "must be a loopback address: the admin port has no users yet, so whoever reaches it may roll groups \
                    back; if a firewall guards it, set `admin.allow_remote = true`";
        return Err(wrong("admin.listen", rule));
    }
    Ok(AdminConfig { listen, allow_remote })
}

fn writes(raw: &RawWrites) -> Checked<WritesConfig> {
    Ok(WritesConfig {
        secondary_budget: time_or_zero("writes.secondary_budget", raw.secondary_budget.as_deref(), "50ms")?,
        retention: time("writes.retention", raw.retention.as_deref(), "7d")?,
        relay_interval: time("writes.relay_interval", raw.relay_interval.as_deref(), "200ms")?,
        relay_lease: time("writes.relay_lease", raw.relay_lease.as_deref(), "10s")?,
        relay_batch: at_most(
            "writes.relay_batch",
            count("writes.relay_batch", raw.relay_batch, 200)?,
            model::store::MAX_BATCH,
        )?,
    })
}

fn reads(raw: &RawReads) -> Checked<ReadsConfig> {
    let share = raw.modern_share.unwrap_or(50.0);
    let modern_share = Percentage::try_from(share).ok().filter(|share| *share > Percentage::ZERO);
    let modern_share = modern_share.ok_or_else(|| {
        wrong(
            "reads.modern_share",
            "must be a percentage above 0, at most 100, with at most two digits after the point",
        )
    })?;
    let failures = count("reads.breaker_failures", raw.breaker_failures, 5)?;
    let breaker_failures = u32::try_from(failures.get()).ok().and_then(NonZeroU32::new);
    Ok(ReadsConfig {
        modern_share,
        fallback: raw.fallback.unwrap_or(true),
        breaker_failures: breaker_failures.ok_or_else(|| wrong("reads.breaker_failures", "is too large"))?,
        breaker_pause: time("reads.breaker_pause", raw.breaker_pause.as_deref(), "1s")?,
    })
}

fn shadow(raw: RawShadow) -> Checked<ShadowConfig> {
    let delays =
        raw.confirm_delays.map_or_else(|| vec!["100ms".into(), "1s".into(), "5s".into()], super::raw::Texts::into_vec);
    let delays: Checked<Vec<Duration>> =
        delays.iter().map(|text| time("shadow.confirm_delays", Some(text), "")).collect();
    let confirm_delays = delays?;
    if confirm_delays.is_empty() {
        return Err(wrong(
            "shadow.confirm_delays",
            "must have at least one delay: a difference counts only after a second look",
        ));
    }
    Ok(ShadowConfig {
        queue: count("shadow.queue", raw.queue, 1_000)?,
        in_flight: PerSide {
            legacy: count("shadow.in_flight_legacy", raw.in_flight_legacy, 4)?,
            modern: count("shadow.in_flight_modern", raw.in_flight_modern, 4)?,
        },
        confirm_delays,
    })
}

fn evidence(raw: RawEvidence, folder: &Path) -> Checked<EvidenceConfig> {
    let hash_key = secret("evidence.hash_key", raw.hash_key, raw.hash_key_file, folder)?;
    if hash_key.as_ref().is_some_and(|key| key.len() < 16) {
        return Err(wrong("evidence.hash_key", "must have at least 16 characters, or hashed values could be guessed"));
    }
    Ok(EvidenceConfig {
        hash_key: hash_key.map(Secret::new),
        flush: time("evidence.flush", raw.flush.as_deref(), "1s")?,
        retention: time("evidence.retention", raw.retention.as_deref(), "30d")?,
    })
}

fn fleet(raw: RawFleet) -> Checked<FleetConfig> {
    let replica = raw.replica.filter(|name| !name.is_empty());
    if replica
        .as_ref()
        .is_some_and(|name| name.len() > 100 || name.chars().any(|c| c.is_whitespace() || c.is_control()))
    {
        return Err(wrong("fleet.replica", "must be a name of at most 100 characters without blanks"));
    }
    let advertise = raw.advertise.filter(|address| !address.is_empty());
    let replicas = raw.replicas.map(super::raw::Texts::into_vec).unwrap_or_default();
    for (key, address) in
        replicas.iter().map(|r| ("fleet.replicas", r)).chain(advertise.iter().map(|a| ("fleet.advertise", a)))
    {
        let valid =
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !valid || address.contains('/') {
            return Err(wrong(key, "must be `host:port`, such as \"10.0.0.7:9090\""));
        }
    }
    Ok(FleetConfig { replica: replica.map(ReplicaId::new), advertise, replicas })
}

fn log(raw: RawLog) -> Checked<LogConfig> {
    let format = match raw.format.as_deref().unwrap_or("text") {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err(wrong("log.format", "must be \"text\" or \"json\"")),
    };
    let level = raw.level.unwrap_or_else(|| "info".to_owned());
    if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
        return Err(wrong("log.level", "must be a level such as \"info\", or a filter such as \"warn,proxy=debug\""));
    }
    Ok(LogConfig { format, level })
}

fn wrong(key: &str, rule: impl Into<String>) -> Mistake {
    (key.to_owned(), rule.into())
}

fn count(key: &str, value: Option<i64>, default: usize) -> Checked<NonZeroUsize> {
    let number = value.map_or(Ok(default), usize::try_from).ok().and_then(NonZeroUsize::new);
    number.ok_or_else(|| wrong(key, "must be at least 1"))
}

fn at_most(key: &str, number: NonZeroUsize, most: usize) -> Checked<NonZeroUsize> {
    if number.get() > most { Err(wrong(key, format!("must be at most {most}"))) } else { Ok(number) }
}

fn time_or_zero(key: &str, text: Option<&str>, default: &str) -> Checked<Duration> {
    let rule = "must be a time with its unit: \"250ms\", \"5s\", \"10m\", \"6h\" or \"7d\"";
    duration(text.unwrap_or(default)).ok_or_else(|| wrong(key, rule))
}

fn time(key: &str, text: Option<&str>, default: &str) -> Checked<Duration> {
    let time = time_or_zero(key, text, default)?;
    if time.is_zero() { Err(wrong(key, "must be longer than 0")) } else { Ok(time) }
}

fn address(key: &str, text: Option<&str>, default: &str) -> Checked<SocketAddr> {
    let rule = "must be an address with its port, such as \"127.0.0.1:9090\" or \"[::1]:9090\"";
    text.unwrap_or(default).parse().map_err(|_| wrong(key, rule))
}

fn connection_url(key: &str, url: String) -> Checked<ConnectionUrl> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) || url.contains("host=");
    if !known {
        return Err(wrong(key, "must be a PostgreSQL address: postgres://user:password@host:5432/database"));
    }
    Ok(ConnectionUrl::new(url))
}

/// A value that may stand in a file of its own, under the same key with `_file`.
fn secret(key: &str, value: Option<String>, file: Option<String>, folder: &Path) -> Checked<Option<String>> {
    let file_key = format!("{key}_file");
    match (value, file) {
        (Some(_), Some(_)) => Err(wrong(&file_key, format!("and `{key}` are both set: keep one of them"))),
        (value, None) => Ok(value.filter(|value| !value.is_empty())),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(folder.join(&file));
            let text = text.map_err(|error| wrong(&file_key, format!("names a file that cannot be read: {error}")))?;
            match text.trim_end_matches(['\n', '\r']) {
                "" => Err(wrong(&file_key, "names an empty file")),
                text => Ok(Some(text.to_owned())),
            }
        }
    }
}
