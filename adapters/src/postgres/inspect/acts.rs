//! What tables do on their own: triggers, rules, policies, and views that hide rows.
//!
//! A problem is what keeps the two sides from being kept equal, or hides that they are not; what only happens besides is
//! a notice. A trigger with a condition is a notice: it may leave our rows alone, and only its owner knows.

use model::StoreError;

use super::catalog::{Found, folded, rows};
use super::source::Doings;
use super::{Findings, Tables};
use crate::postgres::session::Session;
use crate::postgres::table::Table;

const TRIGGERS: &str = "SELECT t.tgname, t.tgtype & 2 > 0, t.tgtype & 1 > 0, concat_ws(' OR ', \
     CASE WHEN t.tgtype & 4 > 0 THEN 'INSERT' END, CASE WHEN t.tgtype & 16 > 0 THEN 'UPDATE' END, \
     CASE WHEN t.tgtype & 8 > 0 THEN 'DELETE' END, CASE WHEN t.tgtype & 32 > 0 THEN 'TRUNCATE' END), \
     t.tgqual IS NOT NULL, t.tginitdeferred, t.tgdeferrable, l.lanname, p.prosrc, p.proname, t.tgtype & 64 > 0 \
     FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang \
     WHERE t.tgrelid = to_regclass({table}) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') ORDER BY 1";

const RULES: &str = "SELECT r.rulename, r.is_instead, pg_get_ruledef(r.oid, true), r.ev_type FROM pg_rewrite r \
     WHERE r.ev_class = to_regclass({table}) AND r.rulename <> '_RETURN' ORDER BY 1";

const POLICIES: &str = "SELECT row_security_active(to_regclass({table})), \
     (SELECT string_agg(polname, ', ' ORDER BY polname) FROM pg_policy WHERE polrelid = to_regclass({table})), \
     c.relrowsecurity, c.relkind, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END, c.relispartition \
     FROM pg_class c WHERE c.oid = to_regclass({table})";

/// What `table` of the contract does by itself.
pub(super) async fn of_table(
    session: &Session,
    table: Table<'_>,
    all: &Tables,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let name = table.name();
    for row in rows(session, TRIGGERS, name).await? {
        trigger(&row, table, all, findings);
    }
    for row in rows(session, RULES, name).await? {
        rule(&row, name, all, findings);
    }
    for row in rows(session, POLICIES, name).await? {
        hides(&row, name, findings);
    }
    Ok(())
}

fn rule(row: &Found, name: &str, all: &Tables, findings: &mut Findings) {
    let rule = row.text(0);
    if row.is(1) {
        findings.problem(format!(
            "rule {rule} on {name} does something else instead of what it is asked: writes of strangler would be refused or \
             never settled; drop it, or name a table without it in the contract"
        ));
    } else if matches!(row.text(3), "2" | "3") {
        findings.problem(format!(
            "rule {rule} on {name} is one for INSERT or UPDATE: PostgreSQL then takes no INSERT … ON CONFLICT, with which \
             strangler applies; drop it, or make it a trigger"
        ));
    } else {
        let what = all.named_in(row.text(2), name).map_or_else(
            || "does something besides".to_owned(),
            |other| format!("also changes {other}, which comes to the other side only by reconcile"),
        );
        findings.notice(format!("rule {rule} on {name} {what}"));
    }
}

fn hides(row: &Found, name: &str, findings: &mut Findings) {
    let policies = if row.is_null(1) { "none is declared, so that no row is seen" } else { row.text(1) };
    if row.is(0) {
        findings.problem(format!(
            "row level security of {name} holds for our role (policies: {policies}): the server refuses whatever strangler asks \
             of it, since rows that a policy hides would be taken for rows that are not there; ALTER ROLE … BYPASSRLS (a policy \
             that shows all rows is not enough: nobody can prove that it does)"
        ));
    } else if row.is(2) {
        findings.notice(format!("{name} has row level security, which does not hold for our role"));
    }
    match row.text(3) {
        "v" if hiding_view(row.text(4)) => findings.problem(format!(
            "{name} is a view with a condition: rows outside of it are hidden from strangler, and a write may make one \
             so; name the table below it in the contract, or take the condition away"
        )),
        "v" => findings.notice(format!("{name} is a view: what its table does by itself is not looked at here")),
        "p" => findings.notice(format!(
            "{name} is partitioned: triggers, rules and policies of single partitions are not looked at here; a row that \
             a write moves to another partition is deleted there and inserted here"
        )),
        "m" | "f" => findings.problem(format!(
            "{name} is {}: strangler cannot lock and change its rows as it must; name a table in the contract",
            if row.text(3) == "m" { "a materialized view" } else { "a foreign table" }
        )),
        _ => {}
    }
}

/// Whether a view shows only some of the rows.
fn hiding_view(definition: &str) -> bool {
    let upper = definition.to_uppercase();
    let words: Vec<_> = upper.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    words.iter().any(|word| matches!(*word, "WHERE" | "JOIN" | "GROUP" | "DISTINCT" | "LIMIT" | "UNION" | "EXCEPT"))
}

fn trigger(row: &Found, table: Table<'_>, all: &Tables, findings: &mut Findings) {
    let (name, trigger) = (table.name(), row.text(0));
    let when = if row.is(10) {
        "INSTEAD OF"
    } else if row.is(1) {
        "BEFORE"
    } else {
        "AFTER"
    };
    let deferred = if row.is(5) { ", deferred to COMMIT" } else { "" };
    let each = if row.is(2) { "row" } else { "statement" };
    let whole = format!("trigger {trigger} on {name} ({when} {}, for each {each}{deferred})", row.text(3));
    if row.text(7) != "plpgsql" {
        let (function, language) = (row.text(9), row.text(7));
        findings
            .notice(format!("{whole} runs {function}, which is written in {language}: what it does was not looked at"));
        return;
    }
    let doings = Doings::of(row.text(8));
    let mut said = Vec::new();
    if row.is(2) && when == "BEFORE" {
        said.extend(to_the_row(&doings, table));
    }
    if when == "INSTEAD OF" {
        said.push("does something else instead of what it is asked".to_owned());
    }
    let others: Vec<_> = doings.writes.iter().filter_map(|table| all.known(table)).collect();
    let own_rows = others.iter().any(|other| folded(other) == folded(name));
    if own_rows {
        said.push(format!(
            "changes rows of {name} itself{}",
            if row.is(6) { ", after strangler may have read them back" } else { "" }
        ));
    }
    let others: Vec<_> = others.into_iter().filter(|other| folded(other) != folded(name)).collect();
    if !others.is_empty() {
        said.push(format!(
            "changes {}, which comes to the other side only where `touches` names its rows",
            others.join(", ")
        ));
    }
    if said.is_empty() {
        let besides = if doings.runs_text { " It runs statements put together at run time." } else { "" };
        findings.notice(format!("{whole} runs with every such write, and may refuse it.{besides}"));
        return;
    }
    let said = said.join(", and ");
    if row.is(4) {
        findings
            .notice(format!("{whole} {said}, where its condition (WHEN) holds: see that it never does for our role"));
    } else {
        findings.problem(format!(
            "{whole} {said}: drop it, or let it leave the rows of strangler's role alone (WHEN (current_user <> '…'))"
        ));
    }
}

/// What a BEFORE trigger makes of the row it was given.
fn to_the_row(doings: &Doings, table: Table<'_>) -> Vec<String> {
    let entity = table.entity;
    let is_key = |column: &String| entity.key().iter().any(|index| folded(table.column(*index)) == *column);
    let is_field = |column: &String| entity.all_fields().iter().any(|index| folded(table.column(index)) == *column);
    let keys: Vec<_> = doings.sets.iter().filter(|column| is_key(column)).map(String::as_str).collect();
    let fields: Vec<_> =
        doings.sets.iter().filter(|column| is_field(column) && !is_key(column)).map(String::as_str).collect();
    let mut said = Vec::new();
    if !keys.is_empty() {
        said.push(format!(
            "may change the key ({}): the row stands under another key than the one named",
            keys.join(", ")
        ));
    }
    if !fields.is_empty() {
        said.push(format!(
            "sets {}: what strangler applies here would stand otherwise and never be settled",
            fields.join(", ")
        ));
    }
    if doings.replaces {
        said.push("may replace the whole row".to_owned());
    }
    if doings.drops {
        said.push("may drop the change (RETURN NULL)".to_owned());
    }
    if doings.keeps_old {
        said.push("may keep the old row (RETURN OLD)".to_owned());
    }
    said
}

/// Whoever does something to our own tables can make a write vanish from the ledger.
pub(super) async fn of_bookkeeping(session: &Session, table: &str, findings: &mut Findings) -> Result<(), StoreError> {
    let ours = "nobody but strangler may act on it";
    for row in rows(session, TRIGGERS, table).await? {
        findings.problem(format!("trigger {} on {table}: {ours}; drop it", row.text(0)));
    }
    for row in rows(session, RULES, table).await? {
        findings.problem(format!("rule {} on {table}: {ours}; drop it", row.text(0)));
    }
    for row in rows(session, POLICIES, table).await?.iter().filter(|row| row.is(0)) {
        let policies = if row.is_null(1) { "none" } else { row.text(1) };
        findings.problem(format!(
            "row level security of {table} holds for our role (policies: {policies}): rows of ours would be hidden or \
             refused; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
        ));
    }
    Ok(())
}
