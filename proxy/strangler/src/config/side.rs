//! A side: which engine, where it is, and how many sessions it may be asked for.

use std::path::PathBuf;

use adapters::postgres::TlsWords;
use adapters::{oracle, postgres};
use model::PerSide;

use super::check::{Checked, count, millis, secret};
use super::database_tls::{self, TlsKeys};
use super::raw::{RawSide, RawSides};
use super::{InvalidConfig, Origins};

/// How to reach a system of record.
#[derive(Debug, Clone)]
pub enum SideSettings {
    /// A PostgreSQL database.
    Postgres(Box<postgres::Settings>),
    /// An Oracle database.
    Oracle(Box<oracle::Settings>),
}

/// The keys of a side, whole, so that a message can name them.
struct Keys {
    kind: &'static str,
    url: &'static str,
    url_file: &'static str,
    tls: TlsKeys,
    connect: &'static str,
    user: &'static str,
    password: &'static str,
    password_file: &'static str,
    client_lib_dir: &'static str,
    statement_cache: &'static str,
    queue: &'static str,
    reads: &'static str,
    writes: &'static str,
    shadow: &'static str,
    scan: &'static str,
    admin: &'static str,
    connect_timeout: &'static str,
}

macro_rules! keys {
    ($side:literal) => {
        Keys {
            kind: concat!("sides.", $side, ".kind"),
            url: concat!("sides.", $side, ".url"),
            url_file: concat!("sides.", $side, ".url_file"),
            tls: TlsKeys {
                sslmode: concat!("sides.", $side, ".sslmode"),
                sslrootcert: concat!("sides.", $side, ".sslrootcert"),
                sslcert: concat!("sides.", $side, ".sslcert"),
                sslkey: concat!("sides.", $side, ".sslkey"),
                channel_binding: concat!("sides.", $side, ".channel_binding"),
            },
            connect: concat!("sides.", $side, ".connect"),
            user: concat!("sides.", $side, ".user"),
            password: concat!("sides.", $side, ".password"),
            password_file: concat!("sides.", $side, ".password_file"),
            client_lib_dir: concat!("sides.", $side, ".client_lib_dir"),
            statement_cache: concat!("sides.", $side, ".statement_cache"),
            queue: concat!("sides.", $side, ".queue"),
            reads: concat!("sides.", $side, ".reads"),
            writes: concat!("sides.", $side, ".writes"),
            shadow: concat!("sides.", $side, ".shadow"),
            scan: concat!("sides.", $side, ".scan"),
            admin: concat!("sides.", $side, ".admin"),
            connect_timeout: concat!("sides.", $side, ".connect_timeout_ms"),
        }
    };
}

/// Both sides.
pub(super) fn sides(raw: RawSides, origins: &Origins<'_>) -> Checked<PerSide<SideSettings>> {
    Ok(PerSide {
        legacy: side(raw.legacy, &keys!("legacy"), origins)?,
        modern: side(raw.modern, &keys!("modern"), origins)?,
    })
}

fn side(raw: RawSide, keys: &Keys, origins: &Origins<'_>) -> Checked<SideSettings> {
    match raw.kind.as_str() {
        "postgres" => postgres(raw, keys, origins).map(|settings| SideSettings::Postgres(Box::new(settings))),
        "oracle" => oracle(raw, keys, origins).map(|settings| SideSettings::Oracle(Box::new(settings))),
        _ => Err(origins.rule(keys.kind, "must be `postgres` or `oracle`")),
    }
}

/// Refuses a key that is given and means nothing for the engine.
fn foreign(given: bool, key: &'static str, engine: &str, origins: &Origins<'_>) -> Result<(), InvalidConfig> {
    if given { Err(origins.rule(key, format!("means nothing for kind = \"{engine}\": take it out"))) } else { Ok(()) }
}

fn postgres(raw: RawSide, keys: &Keys, origins: &Origins<'_>) -> Checked<postgres::Settings> {
    for (given, key) in [
        (raw.connect.is_some(), keys.connect),
        (raw.user.is_some(), keys.user),
        (raw.password.is_some(), keys.password),
        (raw.password_file.is_some(), keys.password_file),
        (raw.client_lib_dir.is_some(), keys.client_lib_dir),
        (raw.statement_cache.is_some(), keys.statement_cache),
        (raw.queue.is_some(), keys.queue),
    ] {
        foreign(given, key, "postgres", origins)?;
    }
    let url = secret(raw.url, raw.url_file, keys.url, keys.url_file, origins)?;
    let url = url.ok_or_else(|| {
        origins.rule(keys.url, "is missing: give postgres://user:password@host:port/database, or url_file")
    })?;
    let tls = TlsWords {
        sslmode: raw.sslmode,
        sslrootcert: raw.sslrootcert,
        sslcert: raw.sslcert,
        sslkey: raw.sslkey,
        channel_binding: raw.channel_binding,
    };
    database_tls::check(&url, &tls, keys.url, &keys.tls, origins)?;
    let usual = postgres::Settings::new(url);
    let or =
        |given: Option<usize>, usual: std::num::NonZeroUsize, key| count(given.unwrap_or(usual.get()), key, origins);
    let connect_timeout = match raw.connect_timeout_ms {
        Some(given) => millis(given, keys.connect_timeout, origins)?,
        None => usual.connect_timeout,
    };
    Ok(postgres::Settings {
        reads: or(raw.reads, usual.reads, keys.reads)?,
        writes: or(raw.writes, usual.writes, keys.writes)?,
        shadow: or(raw.shadow, usual.shadow, keys.shadow)?,
        scan: or(raw.scan, usual.scan, keys.scan)?,
        admin: or(raw.admin, usual.admin, keys.admin)?,
        connect_timeout,
        tls,
        ..usual
    })
}

fn oracle(raw: RawSide, keys: &Keys, origins: &Origins<'_>) -> Checked<oracle::Settings> {
    for (given, key) in [
        (raw.url.is_some(), keys.url),
        (raw.url_file.is_some(), keys.url_file),
        (raw.connect_timeout_ms.is_some(), keys.connect_timeout),
        (raw.sslmode.is_some(), keys.tls.sslmode),
        (raw.sslrootcert.is_some(), keys.tls.sslrootcert),
        (raw.sslcert.is_some(), keys.tls.sslcert),
        (raw.sslkey.is_some(), keys.tls.sslkey),
        (raw.channel_binding.is_some(), keys.tls.channel_binding),
    ] {
        foreign(given, key, "oracle", origins)?;
    }
    let connect = raw.connect.ok_or_else(|| {
        origins.rule(keys.connect, "is missing: give host:port/service, a name of tnsnames.ora, or (DESCRIPTION=…)")
    })?;
    let user = raw.user.ok_or_else(|| origins.rule(keys.user, "is missing: give the account's name"))?;
    let password = secret(raw.password, raw.password_file, keys.password, keys.password_file, origins)?;
    let password =
        password.ok_or_else(|| origins.rule(keys.password, "is missing: give it here or in password_file"))?;
    let usual = oracle::Settings::new(connect, user, password);
    let or =
        |given: Option<usize>, usual: std::num::NonZeroUsize, key| count(given.unwrap_or(usual.get()), key, origins);
    let statement_cache = match raw.statement_cache {
        Some(given) => u32::try_from(given)
            .map_err(|_| origins.rule(keys.statement_cache, "must be a number of statements, such as 150"))?,
        None => usual.statement_cache,
    };
    Ok(oracle::Settings {
        client_lib_dir: raw.client_lib_dir.map(PathBuf::from),
        reads: or(raw.reads, usual.reads, keys.reads)?,
        writes: or(raw.writes, usual.writes, keys.writes)?,
        shadow: or(raw.shadow, usual.shadow, keys.shadow)?,
        scan: or(raw.scan, usual.scan, keys.scan)?,
        admin: or(raw.admin, usual.admin, keys.admin)?,
        queue: or(raw.queue, usual.queue, keys.queue)?,
        statement_cache,
        ..usual
    })
}
