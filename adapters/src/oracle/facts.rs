//! What the doctor tells of the server itself: versions, character set, sorting, log, undo.

use std::collections::HashMap;

use model::StoreError;
use oracle::{Row, Version};

use super::bind::Bind;
use super::inspect::owned;
use super::session::Session;
use super::wire;

/// Whether the log holds all columns of every table.
pub(super) const ALL_COLUMNS: &str = "of all columns";

/// What the server and its client library say of themselves; what a fact means for us is a problem or a note.
pub(super) fn of_server(
    session: &mut Session,
    version: &Version,
    problems: &mut Vec<String>,
) -> Result<Vec<(&'static str, String)>, StoreError> {
    let client = Version::client().map_or_else(|_| "unknown".to_owned(), |version| version.to_string());
    let mut facts = vec![("server version", version.to_string()), ("client library", client)];
    let nls = "SELECT parameter, value FROM nls_database_parameters \
               WHERE parameter IN ('NLS_CHARACTERSET', 'NLS_NCHAR_CHARACTERSET')";
    let names: HashMap<String, String> = pairs(&session.query(nls, &[], 10)?);
    if let Some(charset) = names.get("NLS_CHARACTERSET") {
        facts.push(("character set", charset.clone()));
        if charset != "AL32UTF8" {
            problems.push(format!(
                "the database keeps texts in {charset}: letters outside of it are lost on the way in; \
                 compare such fields with care"
            ));
        }
    }
    let session_nls = "SELECT parameter, value FROM nls_session_parameters \
                       WHERE parameter IN ('NLS_SORT', 'NLS_COMP', 'NLS_NUMERIC_CHARACTERS')";
    let names = pairs(&session.query(session_nls, &[], 10)?);
    for (fact, name) in
        [("sorting", "NLS_SORT"), ("comparison", "NLS_COMP"), ("decimal sign", "NLS_NUMERIC_CHARACTERS")]
    {
        facts.extend(names.get(name).map(|value| (fact, value.clone())));
    }
    let rights = session.query("SELECT privilege FROM session_privs ORDER BY privilege", &[], 100)?;
    let rights: Vec<_> = rights.iter().filter_map(|row| wire::text(row, 0)).collect();
    facts.push(("account's system rights", rights.join(", ")));
    let log = "SELECT log_mode, supplemental_log_data_min, supplemental_log_data_all FROM v$database";
    match session.query(log, &[], 1) {
        Ok(rows) => log_facts(rows.first(), &mut facts, problems),
        Err(StoreError::Misfit { .. }) => problems.push(
            "SELECT on SYS.V_$DATABASE is missing: a DBA must grant it, the log's incarnation is part of every version"
                .into(),
        ),
        Err(error) => return Err(error),
    }
    facts.push(("undo retention", undo_retention(session)?));
    Ok(facts)
}

fn log_facts(row: Option<&Row>, facts: &mut Vec<(&'static str, String)>, problems: &mut Vec<String>) {
    let Some(row) = row else { return };
    let text = |place| wire::text(row, place).unwrap_or_else(|| "unknown".into());
    let (mode, minimal, all) = (text(0), text(1), text(2));
    if mode != "ARCHIVELOG" {
        problems.push("the database does not archive its log: change capture needs `ALTER DATABASE ARCHIVELOG`".into());
    }
    if minimal == "NO" {
        problems.push(
            "supplemental logging is off: change capture needs `ALTER DATABASE ADD SUPPLEMENTAL LOG DATA`".into(),
        );
    }
    facts.extend([("log mode", mode), ("supplemental logging", minimal), (ALL_COLUMNS, all)]);
}

fn pairs(rows: &[Row]) -> HashMap<String, String> {
    rows.iter().filter_map(|row| Some((wire::text(row, 0)?, wire::text(row, 1)?))).collect()
}

/// For how long the server tries to keep what is overwritten.
fn undo_retention(session: &mut Session) -> Result<String, StoreError> {
    match session.query("SELECT value FROM v$parameter WHERE name = 'undo_retention'", &[], 1) {
        Ok(rows) => {
            let seconds = rows.first().and_then(|row| wire::text(row, 0));
            Ok(seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds} s")))
        }
        Err(StoreError::Misfit { .. }) => Ok("unknown, SELECT on SYS.V_$PARAMETER is not granted".to_owned()),
        Err(error) => Err(error),
    }
}

/// Says so when the log does not hold whole rows of a table.
pub(super) fn unlogged(session: &mut Session, table: &str) -> Result<Option<String>, StoreError> {
    let kind = "log_group_type = 'ALL COLUMN LOGGING'";
    let (text, binds) = match owned(table) {
        (Some(owner), name) => (
            format!("SELECT table_name FROM all_log_groups WHERE {kind} AND owner = :1 AND table_name = :2"),
            vec![Bind::text(owner), Bind::text(name)],
        ),
        (None, name) => {
            (format!("SELECT table_name FROM user_log_groups WHERE {kind} AND table_name = :1"), vec![Bind::text(name)])
        }
    };
    let found = session.query(&text, &binds, 1)?;
    Ok(found.is_empty().then(|| {
        format!(
            "{table} does not log whole rows: change capture needs \
             `ALTER TABLE {table} ADD SUPPLEMENTAL LOG DATA (ALL) COLUMNS`"
        )
    }))
}
