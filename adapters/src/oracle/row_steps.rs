//! Changes rows one statement each, in as many passes as it takes: a row that a rule between rows forbids comes again
//! after the others (a failed row of a batch is undone alone). Deletions come first, children before parents, then what
//! stands, parents before children (`order`), so that one pass is nearly always enough.
//!
//! Where nothing goes any more, what can wait for the end waits (deferrable constraints); then unique values of rows that
//! cannot go are *parked*: null where the column allows it, else a value that nobody has, so that values can change places.
//! The rows' own statements write over that, and `stands::verify` reads what stands at the end like anywhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use model::contract::{ColumnType, Precision};
use model::{Change, Contract, EntityKey, EntityName, Home, Side, StoreError};
use oracle::Row;
use uuid::Uuid;

use super::bind::Bind;
use super::inspect::{folded, owned};
use super::session::Session;
use super::table::Table;
use super::{error, stands, wire, write_text};
use crate::stored::Stored;

/// Values that are tried to be parked before it counts as hopeless: each costs a pass over all that has not gone.
const MOST_PARKED: usize = 32;

/// Rows of one statement.
pub(super) struct Act<'s, 'c> {
    table: Table<'s>,
    text: String,
    is_insert: bool,
    rows: Vec<(Vec<Bind>, &'c Change)>,
}

/// What is done for `changes` of one table, all of one turn and with the same fields: rows that stand (and are locked by
/// now) are updated or deleted, the others inserted. How many rows a statement has touched says less than what stands
/// afterwards: [`stands::verify`] judges.
pub(super) fn acts<'s, 'c>(
    table: Table<'s>,
    changes: &[&'c Change],
    standing: &HashSet<EntityKey>,
) -> Result<Vec<Act<'s, 'c>>, StoreError> {
    let act = |text, is_insert| Act { table, text, is_insert, rows: Vec::new() };
    let fields = changes[0].state.as_ref().map(|record| record.fields()).unwrap_or_default();
    let fields = write_text::plain_fields(table, fields);
    let mut gone = act(write_text::delete(table), false);
    let mut kept = write_text::update(table, &fields).map(|text| act(text, false));
    let mut made = act(write_text::insert(table, &fields), true);
    for change in changes {
        let stands = standing.contains(&change.key);
        match (&change.state, stands, &mut kept) {
            (None, true, _) => gone.rows.push((table.require_fit(&change.key)?, *change)),
            // A key without other fields stands as it is.
            (None, false, _) | (Some(_), true, None) => {}
            (Some(record), true, Some(kept)) => {
                kept.rows.push((write_text::values(table, &change.key, record, &fields)?, *change));
            }
            (Some(record), false, _) => {
                made.rows.push((write_text::values(table, &change.key, record, &fields)?, *change));
            }
        }
    }
    Ok([Some(gone), kept, Some(made)].into_iter().flatten().filter(|act| !act.rows.is_empty()).collect())
}

/// Runs `acts` until every row has gone.
pub(super) fn run(session: &mut Session, mut acts: Vec<Act<'_, '_>>) -> Result<(), StoreError> {
    let (mut deferred, mut parked) = (false, HashSet::new());
    loop {
        let before: usize = acts.iter().map(|act| act.rows.len()).sum();
        let mut last = None;
        for act in &mut acts {
            last = act.pass(session)?.or(last);
        }
        acts.retain(|act| !act.rows.is_empty());
        let Some(code) = last else { break };
        if acts.iter().map(|act| act.rows.len()).sum::<usize>() < before {
            continue;
        }
        if !std::mem::replace(&mut deferred, true) {
            session.run("SET CONSTRAINTS ALL DEFERRED", &[])?;
        } else if parked.len() >= MOST_PARKED || !park(session, &acts, &mut parked)? {
            return Err(gave_up(session, &acts, code)?);
        }
    }
    if deferred {
        session.run("SET CONSTRAINTS ALL IMMEDIATE", &[])?;
    }
    Ok(())
}

impl Act<'_, '_> {
    /// Runs the rows that are left, and keeps those that a rule between rows forbids now; the code of the last of these.
    fn pass(&mut self, session: &mut Session) -> Result<Option<i32>, StoreError> {
        let binds: Vec<_> = self.rows.iter().map(|(binds, _)| binds.clone()).collect();
        let slots = session.batch(&self.text, &binds)?;
        let (mut left, mut last) = (Vec::new(), None);
        for (slot, row) in slots.into_iter().zip(std::mem::take(&mut self.rows)) {
            match slot {
                Ok(_) => {}
                Err(code) if error::is_between_rows(code) => {
                    last = Some(code);
                    left.push(row);
                }
                Err(code) => return Err(session.of_code(code)),
            }
        }
        self.rows = left;
        Ok(last)
    }
}

/// What is said when no way leads on. Only somebody else's program can have inserted a row of these keys meanwhile; then
/// the call gives way, and meets his row when it is tried again.
fn gave_up(session: &mut Session, acts: &[Act<'_, '_>], code: i32) -> Result<StoreError, StoreError> {
    for act in acts.iter().filter(|act| act.is_insert) {
        for (_, change) in &act.rows {
            if stands::has_row(session, act.table, &change.key)? {
                let source = "a row was inserted by somebody else at this moment".into();
                return Ok(StoreError::Conflict { side: act.table.side, source });
            }
        }
    }
    Ok(session.of_code(code))
}

/// Parks a unique column of a row that cannot go: null, or a value that nobody has; where that was not tried before.
/// Whether one was.
fn park(
    session: &mut Session,
    acts: &[Act<'_, '_>],
    parked: &mut HashSet<(EntityKey, String)>,
) -> Result<bool, StoreError> {
    for act in acts.iter().filter(|act| !act.is_insert) {
        let table = act.table;
        let unique = unique_columns(session, table)?;
        for (_, change) in &act.rows {
            // Of a row that goes any column will do.
            let fields = change.state.as_ref().map_or(table.entity.all_fields(), |state| state.fields());
            for index in write_text::plain_fields(table, fields) {
                let column = table.column(index);
                let Some(may_be_null) = unique.get(&folded(column)) else { continue };
                let home = table.entity.field(index).home.get(table.side);
                let Some(value) = nobodys(home, *may_be_null) else { continue };
                if !parked.insert((change.key.clone(), column.to_owned())) {
                    continue;
                }
                let text = format!("UPDATE {} t SET {column} = :1 WHERE {}", table.name(), table.key_equals(2));
                let mut binds = vec![Bind::stored(home.column_type, value)];
                binds.extend(table.require_fit(&change.key)?);
                if session.batch(&text, &[binds])?.first().is_some_and(|slot| matches!(slot, Ok(1..))) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Null, or a value that no row has; `None` for columns of which nobody can say.
fn nobodys(home: &Home, may_be_null: bool) -> Option<Stored> {
    if may_be_null {
        return Some(Stored::Null);
    }
    if !home.map.is_empty() {
        return None;
    }
    let random = Uuid::new_v4();
    match home.column_type {
        ColumnType::Char(length) | ColumnType::Varchar(Some(length)) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            Some(Stored::Text(random.simple().to_string().chars().take(length).collect()))
        }
        ColumnType::Varchar(None) => Some(Stored::Text(random.simple().to_string())),
        ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt => {
            let (number, _) = random.as_u64_pair();
            Some(Stored::Big(-1 - i64::try_from(number % 10_u64.pow(digits(home))).unwrap_or(0)))
        }
        ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => None,
    }
}

/// Digits of a number that the column holds for certain.
fn digits(home: &Home) -> u32 {
    if let ColumnType::Numeric(Some(Precision { digits, scale })) = home.column_type {
        return digits.saturating_sub(scale + 1).min(9);
    }
    9
}

/// The columns of unique indexes of a table, and whether they may be null.
fn unique_columns(session: &mut Session, table: Table<'_>) -> Result<BTreeMap<String, bool>, StoreError> {
    let (owner, name) = owned(table.name());
    let (view, binds) = match owner {
        Some(owner) => ("all", vec![Bind::text(name), Bind::text(owner)]),
        None => ("user", vec![Bind::text(name)]),
    };
    let (of_index, of_column) = if view == "all" {
        (" AND c.index_owner = i.owner AND i.table_owner = :2", " AND n.owner = i.table_owner")
    } else {
        ("", "")
    };
    let text = format!(
        "SELECT c.column_name, n.nullable FROM {view}_indexes i JOIN {view}_ind_columns c ON c.index_name = i.index_name \
         JOIN {view}_tab_columns n ON n.table_name = i.table_name AND n.column_name = c.column_name{of_column} \
         WHERE i.uniqueness = 'UNIQUE' AND i.table_name = :1{of_index}"
    );
    let rows = session.query(&text, &binds, 50)?;
    let column = |row: &Row| Some((wire::text(row, 0)?, wire::text(row, 1)? == "Y"));
    Ok(rows.iter().filter_map(column).collect())
}

/// Which types refer to which: pairs of child and parent, by the names of their tables.
pub(super) fn references(
    session: &mut Session,
    contract: &Contract,
    side: Side,
) -> Result<Vec<(EntityName, EntityName)>, StoreError> {
    let mut found = Vec::new();
    for parent in contract.entities.values() {
        let (owner, name) = owned(Table::new(parent, side).name());
        let (text, binds) = match owner {
            Some(owner) => (
                "SELECT c.table_name FROM all_constraints c JOIN all_constraints p ON p.owner = c.r_owner \
                 AND p.constraint_name = c.r_constraint_name \
                 WHERE c.constraint_type = 'R' AND p.owner = :1 AND p.table_name = :2",
                vec![Bind::text(owner), Bind::text(name)],
            ),
            None => (
                "SELECT c.table_name FROM user_constraints c JOIN user_constraints p \
                 ON p.constraint_name = c.r_constraint_name WHERE c.constraint_type = 'R' AND p.table_name = :1",
                vec![Bind::text(name)],
            ),
        };
        let children: BTreeSet<String> =
            session.query(text, &binds, 50)?.iter().filter_map(|row| wire::text(row, 0)).collect();
        let of_child = contract.entities.values().filter(|child| {
            let (_, name) = owned(Table::new(child, side).name());
            children.contains(&name)
        });
        found.extend(of_child.map(|child| (child.name.clone(), parent.name.clone())));
    }
    Ok(found)
}
