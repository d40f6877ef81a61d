//! What the doctor tells of what an Oracle's tables do on their own: triggers, policies, foreign keys, virtual and
//! identity columns, keys that may be null.
//!
//! Read from the dictionary, which knows for each trigger what columns it sets (`ALL_TRIGGER_COLS`) and what tables it
//! uses (`ALL_DEPENDENCIES`); sources are not read.
//!
//! Not here: what a DBA's jobs, procedures and other schemas do.

use model::{Contract, Side, StoreError};
use oracle::Row;

use super::bind::Bind;
use super::inspect::{folded, owned};
use super::policies::IN_FORCE;
use super::session::Session;
use super::table::Table;
use super::wire;

/// Problems and notices, as `postgres::inspect` has them.
#[derive(Default)]
pub(super) struct Acts {
    pub(super) notices: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// A table as the dictionary is asked for it.
struct Asked {
    owner: String,
    name: String,
}

impl Asked {
    fn of(session: &mut Session, table: &str) -> Result<Self, StoreError> {
        let (owner, name) = owned(table);
        match owner {
            Some(owner) => Ok(Self { owner, name }),
            None => {
                let rows = session.query("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM DUAL", &[], 1)?;
                let owner = rows.first().and_then(|row| wire::text(row, 0)).unwrap_or_default();
                Ok(Self { owner, name })
            }
        }
    }

    fn binds(&self) -> Vec<Bind> {
        vec![Bind::text(self.owner.clone()), Bind::text(self.name.clone())]
    }
}

/// Looks at one table of the contract.
pub(super) fn of_table(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    table: Table<'_>,
    acts: &mut Acts,
) -> Result<(), StoreError> {
    let name = table.name();
    let asked = Asked::of(session, name)?;
    triggers(session, &asked, contract, side, table, acts)?;
    for policy in policies(session, &asked)? {
        acts.problems.push(format!(
            "policy {policy} on {name} may hide rows (DBMS_RLS), and a hidden row looks like none: no statement is sent to it; \
             grant EXEMPT ACCESS POLICY to our account"
        ));
    }
    references(session, &asked, contract, side, name, acts)?;
    columns(session, &asked, table, acts)
}

/// Whoever acts on our own tables can make a write vanish from the ledger.
pub(super) fn of_bookkeeping(session: &mut Session, table: &str, acts: &mut Acts) -> Result<(), StoreError> {
    let asked = Asked::of(session, table)?;
    let text =
        "SELECT trigger_name FROM all_triggers WHERE table_owner = :1 AND table_name = :2 AND status = 'ENABLED'";
    let ours = "nobody but strangler may act on it; drop it";
    for trigger in texts(session, text, &asked)? {
        acts.problems.push(format!("trigger {trigger} on {table}: {ours}"));
    }
    for policy in policies(session, &asked)? {
        acts.problems.push(format!("policy {policy} on {table}: {ours}"));
    }
    Ok(())
}

fn texts(session: &mut Session, text: &str, asked: &Asked) -> Result<Vec<String>, StoreError> {
    let rows = session.query(text, &asked.binds(), 50)?;
    Ok(rows.iter().filter_map(|row| wire::text(row, 0)).collect())
}

fn policies(session: &mut Session, asked: &Asked) -> Result<Vec<String>, StoreError> {
    let text = format!(
        "SELECT p.policy_name FROM all_policies p WHERE p.object_owner = :1 AND p.object_name = :2 AND {IN_FORCE}"
    );
    texts(session, &text, asked)
}

fn triggers(
    session: &mut Session,
    asked: &Asked,
    contract: &Contract,
    side: Side,
    table: Table<'_>,
    acts: &mut Acts,
) -> Result<(), StoreError> {
    let text = "SELECT trigger_name, trigger_type, triggering_event, when_clause, owner FROM all_triggers \
                WHERE table_owner = :1 AND table_name = :2 AND status = 'ENABLED'";
    let name = table.name();
    for row in session.query(text, &asked.binds(), 50)? {
        let cell = |place| wire::text(&row, place).unwrap_or_default();
        let (trigger, owner) = (cell(0), cell(4));
        let whole = format!("trigger {trigger} on {name} ({}, {})", cell(1), cell(2));
        let binds = [Bind::text(owner), Bind::text(trigger.clone())];
        let said = doings(session, &binds, contract, side, table)?;
        if said.is_empty() {
            acts.notices.push(format!("{whole} runs with every such write, and may refuse it"));
        } else if wire::text(&row, 3).is_some() {
            let said = said.join(", and ");
            acts.notices.push(format!(
                "{whole} {said}, where its condition (WHEN) holds: see that it never does for our account"
            ));
        } else {
            acts.problems.push(format!(
                "{whole} {}: drop it, or let it leave the rows of strangler's account alone (WHEN (USER <> '…'))",
                said.join(", and ")
            ));
        }
    }
    Ok(())
}

/// What a trigger sets, and what tables of the contract it uses.
fn doings(
    session: &mut Session,
    trigger: &[Bind],
    contract: &Contract,
    side: Side,
    table: Table<'_>,
) -> Result<Vec<String>, StoreError> {
    let text = "SELECT column_name FROM all_trigger_cols WHERE trigger_owner = :1 AND trigger_name = :2 \
                AND column_usage LIKE 'NEW%OUT%'";
    let set: Vec<_> = session.query(text, trigger, 100)?.iter().filter_map(|row| wire::text(row, 0)).collect();
    let entity = table.entity;
    let is_key = |column: &&String| entity.key().iter().any(|index| folded(table.column(*index)) == **column);
    let is_field = |column: &&String| entity.all_fields().iter().any(|index| folded(table.column(index)) == **column);
    let keys: Vec<_> = set.iter().filter(is_key).map(String::as_str).collect();
    let fields: Vec<_> = set.iter().filter(|column| is_field(column) && !is_key(column)).map(String::as_str).collect();
    let mut said = Vec::new();
    if !keys.is_empty() {
        said.push(format!(
            "may change the key ({}): the row stands under another key than the one named",
            keys.join(", ")
        ));
    }
    if !fields.is_empty() {
        let fields = fields.join(", ");
        said.push(format!("sets {fields}: what strangler applies here would stand otherwise and never be settled"));
    }
    let text = "SELECT referenced_name FROM all_dependencies WHERE owner = :1 AND name = :2 AND type = 'TRIGGER' \
                AND referenced_type = 'TABLE'";
    let used = session.query(text, trigger, 100)?;
    let used: Vec<_> =
        used.iter().filter_map(|row| wire::text(row, 0)).filter_map(|used| known(contract, side, &used)).collect();
    let others: Vec<_> = used.into_iter().filter(|used| folded(used) != folded(table.name())).collect();
    if !others.is_empty() {
        let others = others.join(", ");
        said.push(format!("uses {others}, whose rows come to the other side only where `touches` names them"));
    }
    Ok(said)
}

/// The contract's name of a table that the dictionary calls `name`.
fn known<'a>(contract: &'a Contract, side: Side, name: &str) -> Option<&'a str> {
    let mut tables = contract.entities.values().map(|entity| entity.table.get(side).as_str());
    tables.find(|table| owned(table).1 == name)
}

fn references(
    session: &mut Session,
    asked: &Asked,
    contract: &Contract,
    side: Side,
    name: &str,
    acts: &mut Acts,
) -> Result<(), StoreError> {
    let text = "SELECT c.constraint_name, c.table_name, c.delete_rule FROM all_constraints c \
                JOIN all_constraints p ON p.owner = c.r_owner AND p.constraint_name = c.r_constraint_name \
                WHERE c.constraint_type = 'R' AND p.owner = :1 AND p.table_name = :2 AND c.status = 'ENABLED'";
    for row in session.query(text, &asked.binds(), 50)? {
        let cell = |place| wire::text(&row, place).unwrap_or_default();
        let (key, child, rule) = (cell(0), cell(1), cell(2));
        if !matches!(rule.as_str(), "CASCADE" | "SET NULL") {
            continue;
        }
        match known(contract, side, &child) {
            Some(child) => acts.problems.push(format!(
                "foreign key {key} changes rows of {child} by itself when one of {name} is deleted (ON DELETE {rule}): they \
                 come to the other side only where `touches` names them; see that both sides cascade alike"
            )),
            None => acts.notices.push(format!(
                "foreign key {key} changes rows of {child}, which is not in the contract (ON DELETE {rule})"
            )),
        }
    }
    Ok(())
}

fn columns(session: &mut Session, asked: &Asked, table: Table<'_>, acts: &mut Acts) -> Result<(), StoreError> {
    let name = table.name();
    let text = "SELECT column_name, virtual_column, nullable FROM all_tab_cols WHERE owner = :1 AND table_name = :2";
    let found = session.query(text, &asked.binds(), 200)?;
    let identity = "SELECT column_name FROM all_tab_identity_cols WHERE owner = :1 AND table_name = :2 \
                    AND generation_type = 'ALWAYS'";
    let always = texts(session, identity, asked)?;
    for index in table.entity.all_fields().iter().filter(|index| !table.is_own(*index)) {
        let column = folded(table.column(index));
        let row = found.iter().find(|row| wire::text(row, 0).as_deref() == Some(column.as_str()));
        let says = |row: &Row, place, what: &str| wire::text(row, place).as_deref() == Some(what);
        if row.is_some_and(|row| says(row, 1, "YES")) {
            acts.problems.push(format!(
                "{name}.{column} is generated by the database, and cannot be written: let the field have its home in columns \
                 that can, or take it out of the contract"
            ));
        }
        if always.contains(&column) {
            acts.problems.push(format!(
                "{name}.{column} is an identity that the database always makes itself: what the other side has is refused; \
                 MODIFY ({column} GENERATED BY DEFAULT AS IDENTITY)"
            ));
        }
        if table.entity.key().contains(&index) && row.is_some_and(|row| says(row, 2, "Y")) {
            acts.problems.push(format!(
                "{name}.{column} is part of the key and may be null: rows without it have no key, and are not compared, \
                 copied or handed over; give them one and ALTER TABLE {name} MODIFY ({column} NOT NULL)"
            ));
        }
    }
    Ok(())
}
