//! Foreign keys and other rules between rows: what cascades, and what forbids an order.

use model::StoreError;

use super::catalog::rows;
use super::{Findings, Tables};
use crate::postgres::session::Session;

const REFERENCES: &str = "SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text, \
     c.confdeltype, c.confupdtype, c.condeferrable, c.conrelid = to_regclass({table}) \
     FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 \
     AND (c.conrelid = to_regclass({table}) OR c.confrelid = to_regclass({table})) ORDER BY 1";

const UNIQUE: &str = "SELECT i.indexrelid::regclass::text, c.condeferrable IS TRUE, pg_get_indexdef(i.indexrelid) \
     FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('u', 'p', 'x') \
     WHERE i.indrelid = to_regclass({table}) AND (i.indisunique OR c.contype = 'x') AND NOT i.indisprimary ORDER BY 1";

/// Foreign keys of and to a table of the contract.
pub(super) async fn of_table(
    session: &Session,
    name: &str,
    all: &Tables,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for row in rows(session, REFERENCES, name).await? {
        let (key, child, parent) = (row.text(0), row.text(1), row.text(2));
        if row.is(6) {
            to_a_parent(key, name, parent, row.is(5), all, findings);
        }
        // Each foreign key is told where its parent is looked at, or where the parent is not of the contract.
        let (on_delete, on_update) = (action(row.text(3)), action(row.text(4)));
        let acts: Vec<_> = [("DELETE", on_delete), ("UPDATE", on_update)]
            .into_iter()
            .filter_map(|(when, what)| Some(format!("ON {when} {}", what?)))
            .collect();
        let is_parent = !row.is(6) || child == parent;
        if !is_parent && all.known(parent).is_some() || acts.is_empty() {
            continue;
        }
        let acts = acts.join(", ");
        if all.known(child).is_some() {
            findings.problem(format!(
                "foreign key {key} changes rows of {child} by itself when one of {parent} is written ({acts}): they come to \
                 the other side only where `touches` names them; declare it NO ACTION and name the rows, or see that both \
                 sides cascade alike"
            ));
        } else {
            findings
                .notice(format!("foreign key {key} changes rows of {child}, which is not in the contract ({acts})"));
        }
    }
    for row in rows(session, UNIQUE, name).await?.iter().filter(|row| !row.is(1)) {
        findings.notice(format!(
            "{} makes rows of {name} unique at once and not at COMMIT: a write that swaps values between two rows may be \
             refused on this side ({})",
            row.text(0),
            row.text(2)
        ));
    }
    Ok(())
}

fn to_a_parent(key: &str, name: &str, parent: &str, deferrable: bool, all: &Tables, findings: &mut Findings) {
    match all.groups(name, parent) {
        None => findings.notice(format!(
            "foreign key {key} of {name} needs rows of {parent}, which is not in the contract: what the other side has \
             without them is refused here"
        )),
        Some((one, other)) if one != other => findings.notice(format!(
            "foreign key {key} joins {name} (group {one}) and {parent} (group {other}): their writes arrive in no order; put \
             both in one group"
        )),
        Some(_) if !deferrable => findings.notice(format!(
            "foreign key {key} of {name} is not deferrable: parents must come before children within a write (ALTER TABLE \
             {name} ALTER CONSTRAINT {key} DEFERRABLE)"
        )),
        Some(_) => {}
    }
}

/// What a foreign key does besides forbidding.
fn action(code: &str) -> Option<&'static str> {
    match code {
        "c" => Some("CASCADE"),
        "n" => Some("SET NULL"),
        "d" => Some("SET DEFAULT"),
        _ => None,
    }
}
