//! What the server and our role's settings mean for what we promise.

use model::StoreError;

use super::Findings;
use super::catalog::{Found, rows};
use crate::postgres::session::Session;

/// Shown as they are.
const SHOWN: [&str; 5] = ["server_encoding", "TimeZone", "max_connections", "wal_level", "synchronous_commit"];

/// A limit below this refuses healthy statements of ours.
const SHORTEST_LIMIT_MS: u64 = 1_000;

// The settings that the role begins with, not those that our sessions have changed since.
const SETTINGS: &str = "SELECT name, reset_val, source FROM pg_settings";

/// Facts, and what follows from them.
pub(super) async fn look(session: &Session, findings: &mut Findings) -> Result<(), StoreError> {
    let settings = rows(session, SETTINGS, "").await?;
    let value =
        |name: &str| settings.iter().find(|row| row.text(0).eq_ignore_ascii_case(name)).map_or("", |row| row.text(1));
    findings.facts.extend(SHOWN.map(|name| (name, value(name).to_owned())));
    encoding(value("server_encoding"), findings);
    if value("default_transaction_read_only") == "on" {
        findings.problem(
            "transactions of our role are read-only (default_transaction_read_only): every write is refused; ALTER ROLE … \
             RESET default_transaction_read_only"
                .to_owned(),
        );
    }
    durability(&value, findings);
    for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"] {
        // What our own sessions begin with is no finding.
        if settings.iter().any(|row| row.text(0) == name && row.text(2) != "client") {
            limit(name, value(name), findings);
        }
    }
    if value("session_replication_role") == "replica" {
        findings.problem(
            "session_replication_role is replica for our role: foreign keys are not checked; reset it".to_owned(),
        );
    }
    standby(&rows(session, STANDBY, "").await?, value("synchronous_standby_names"), findings);
    Ok(())
}

const STANDBY: &str = "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication) = 0";

fn standby(found: &[Found], names: &str, findings: &mut Findings) {
    let Some(row) = found.first() else { return };
    if row.is(0) {
        findings.problem(
            "the server is a standby in recovery, and takes no writes: name the primary's address in the configuration"
                .to_owned(),
        );
    } else if !names.is_empty() && row.is(1) {
        findings.problem(format!(
            "commits wait for a standby (synchronous_standby_names = {names}), and none is connected: no write would be \
             answered; bring the standby back, or take it off the list"
        ));
    }
}

fn encoding(encoding: &str, findings: &mut Findings) {
    match encoding {
        "UTF8" | "" => {}
        "SQL_ASCII" => findings.problem(
            "the database keeps bytes of any encoding (SQL_ASCII): rows whose texts are no UTF-8 cannot be read; make a \
             database in UTF8 from a dump of it"
                .to_owned(),
        ),
        other => findings.problem(format!(
            "the database keeps texts in {other}: a text with letters outside of it is refused on this side, and a write \
             of the other side that holds one is never settled; make a database in UTF8 from a dump of it"
        )),
    }
}

fn durability<'a>(value: &impl Fn(&str) -> &'a str, findings: &mut Findings) {
    if value("synchronous_commit") == "off" {
        findings.notice(
            "synchronous_commit is off for our role: strangler's own commits wait for the log all the same, those of other \
             programs under this role do not"
                .to_owned(),
        );
    }
    let off: Vec<_> = ["fsync", "full_page_writes"].into_iter().filter(|name| value(name) == "off").collect();
    if !off.is_empty() {
        let (off, are) = (off.join(" and "), if off.len() > 1 { "are" } else { "is" });
        findings.notice(format!(
            "{off} {are} off: a crash of the machine may take everything along; no setting for production"
        ));
    }
}

fn limit(name: &str, value: &str, findings: &mut Findings) {
    // Not every version has every one of them.
    let Ok(millis) = value.parse::<u64>() else { return };
    match millis {
        0 => {}
        1..SHORTEST_LIMIT_MS => findings.problem(format!(
            "{name} of our role is {millis} ms: healthy writes would be cancelled; ALTER ROLE … SET {name} = 0, strangler \
             keeps its own limits"
        )),
        _ => findings.notice(format!("{name} of our role is {millis} ms; strangler keeps limits of its own")),
    }
}
