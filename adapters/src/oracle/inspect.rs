//! The doctor: does the database look as the contract says? One sentence per finding, with what to do.

use std::collections::HashMap;

use model::contract::{ColumnType, LengthUnit, Precision};
use model::store::Inspection;
use model::{Contract, EntityName, FieldIndex, Side, StoreError};
use oracle::Row;

use super::acts::{self, Acts};
use super::bind::Bind;
use super::rights::Rights;
use super::session::Session;
use super::table::Table;
use super::{facts, ledger, wire};

/// A column as the catalogue has it.
struct Column {
    data_type: String,
    bytes: u32,
    characters: u32,
    counts_characters: bool,
    precision: Option<u32>,
    scale: Option<i32>,
    required: bool,
}

/// See `Store::inspect`.
pub(super) fn inspect(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    entities: &[EntityName],
) -> Result<Inspection, StoreError> {
    let (version, banner) = session.server_version()?;
    let mut problems = Vec::new();
    let mut facts = facts::of_server(session, &version, &mut problems)?;
    let logs_all = facts.iter().any(|(name, value)| *name == facts::ALL_COLUMNS && value == "YES");
    let mut rights = Rights::of_account(session)?;
    let mut acts = Acts::default();
    for name in entities {
        match ledger::entity(contract, side, name.as_str()) {
            Ok(entity) => {
                let table = Table::new(entity, side);
                let found = columns(session, table.name())?;
                if !found.is_empty() {
                    problems.extend(rights.missing(session, table.name())?);
                    problems.extend(if logs_all { None } else { facts::unlogged(session, table.name())? });
                    acts::of_table(session, contract, side, table, &mut acts)?;
                }
                problems.extend(of_table(session, table, found)?);
            }
            Err(_) => problems.push(format!("{name} is not a type of the contract: check the name")),
        }
    }
    let lock = "BEGIN :r := DBMS_LOCK.REQUEST(:l, 4, 0, TRUE); END;";
    if session.block(lock, &[("l".to_owned(), Bind::number(0))], &["r".to_owned()]).is_err() {
        problems.push("EXECUTE on SYS.DBMS_LOCK is missing: a DBA must grant it".into());
    }
    session.roll_back();
    if super::bookkeeping::position(session).is_err() {
        problems.push("EXECUTE on SYS.DBMS_FLASHBACK is missing: a DBA must grant it".into());
    }
    for table in crate::steps::tables(&super::bookkeeping::STEPS) {
        acts::of_bookkeeping(session, table, &mut acts)?;
    }
    match super::bookkeeping::found(session)?.problem(side.as_str()) {
        Some(problem) => problems.push(problem),
        None => problems.extend(fences(session, contract, entities)?),
    }
    facts.extend(rights.fact());
    problems.extend(acts.problems);
    let server = banner.lines().next().unwrap_or_default().to_owned();
    Ok(Inspection { server, facts, notices: acts.notices, problems })
}

/// Groups that no write could pass: their fence was never made.
fn fences(session: &mut Session, contract: &Contract, entities: &[EntityName]) -> Result<Vec<String>, StoreError> {
    let found = session.query("SELECT grp FROM strangler_fence", &[], 50)?;
    let known: Vec<_> = found.iter().filter_map(|row| wire::text(row, 0)).collect();
    let mut groups: Vec<_> = entities.iter().filter_map(|name| contract.entity(name)).map(|e| &e.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let missing = groups.into_iter().filter(|group| !known.iter().any(|known| known == group.as_str()));
    Ok(missing
        .map(|group| format!("group {group} has no fence, its writes would be refused: run `strangler init`"))
        .collect())
}

/// The name as the catalogue has it: upper case unless quoted.
pub(super) fn folded(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}

/// Owner, where the contract names one, and name of a table, as the catalogue has them.
pub(super) fn owned(table: &str) -> (Option<String>, String) {
    match table.split_once('.') {
        Some((owner, name)) => (Some(folded(owner)), folded(name)),
        None => (None, folded(table)),
    }
}

/// The columns of a table that this account can see; empty when there is none.
fn columns(session: &mut Session, table: &str) -> Result<HashMap<String, Column>, StoreError> {
    const WHAT: &str = "column_name, data_type, data_length, char_length, char_used, data_precision, data_scale, \
                        nullable, CASE WHEN default_length IS NULL THEN 'N' ELSE 'Y' END";
    let (text, binds) = match owned(table) {
        (Some(owner), name) => (
            format!("SELECT {WHAT} FROM all_tab_columns WHERE owner = :1 AND table_name = :2"),
            vec![Bind::text(owner), Bind::text(name)],
        ),
        (None, name) => (format!("SELECT {WHAT} FROM user_tab_columns WHERE table_name = :1"), vec![Bind::text(name)]),
    };
    let rows = session.query(&text, &binds, 100)?;
    let column = |row: &Row| {
        let column = Column {
            data_type: wire::text(row, 1)?,
            bytes: wire::number(row, 2)?,
            characters: wire::number(row, 3).unwrap_or_default(),
            counts_characters: wire::text(row, 4).as_deref() == Some("C"),
            precision: wire::number(row, 5),
            scale: wire::number(row, 6),
            required: wire::text(row, 7).as_deref() == Some("N") && wire::text(row, 8).as_deref() != Some("Y"),
        };
        Some((wire::text(row, 0)?, column))
    };
    Ok(rows.iter().filter_map(column).collect())
}

fn of_table(
    session: &mut Session,
    table: Table<'_>,
    found: HashMap<String, Column>,
) -> Result<Vec<String>, StoreError> {
    let name = table.name();
    if found.is_empty() {
        let entity = &table.entity.name;
        return Ok(vec![format!("{name} is missing: create it, or correct the table of {entity} in the contract")]);
    }
    let mut problems = Vec::new();
    // A key of this side's own is the column of its number.
    for index in table.entity.all_fields().iter().filter(|index| !table.is_own(*index)) {
        let column = folded(table.column(index));
        let field = table.entity.field(index);
        match found.get(&column) {
            None => problems
                .push(format!("{name}.{column} is missing: add the column, or correct {} in the contract", field.name)),
            Some(column_found) => problems.extend(of_column(table, index, &column, column_found)),
        }
    }
    let mut unknown: Vec<_> = found.iter().filter(|(_, column)| column.required).map(|(name, _)| name).collect();
    unknown.retain(|column| !table.entity.all_fields().iter().any(|index| folded(table.column(index)) == **column));
    unknown.sort_unstable();
    problems.extend(unknown.into_iter().map(|column| {
        format!(
            "{name}.{column} is not null, has no default and is not in the contract: \
             new rows from the other side would be refused; give it a default or a field"
        )
    }));
    if !has_unique_key(session, table)? {
        problems.push(format!(
            "{name} has no unique rule on exactly ({}): create one, applying changes needs it",
            table.key_columns()
        ));
    }
    problems.extend(of_sequence(session, table)?);
    Ok(problems)
}

/// Whether keys of this side's own can be given. Nothing is taken from the sequence: there is no row to take it for.
fn of_sequence(session: &mut Session, table: Table<'_>) -> Result<Option<String>, StoreError> {
    let Some(own) = table.own() else { return Ok(None) };
    let (sequence, entity) = (&own.sequence, &table.entity.name);
    match session.query(&format!("SELECT {sequence}.NEXTVAL FROM DUAL WHERE 1 = 0"), &[], 1) {
        Ok(_) => Ok(None),
        Err(StoreError::Misfit { .. }) => Ok(Some(format!(
            "the sequence {sequence} is missing, or the right to SELECT on it: grant it, or correct @ownKey of {entity}"
        ))),
        Err(error) => Err(error),
    }
}

fn has_unique_key(session: &mut Session, table: Table<'_>) -> Result<bool, StoreError> {
    let (owner, name) = owned(table.name());
    let (view, limit, binds) = match owner {
        Some(owner) => ("all", " AND i.table_owner = :2", vec![Bind::text(name), Bind::text(owner)]),
        None => ("user", "", vec![Bind::text(name)]),
    };
    let owned = if view == "all" { " AND c.index_owner = i.owner" } else { "" };
    let text = format!(
        "SELECT i.index_name, c.column_name FROM {view}_indexes i JOIN {view}_ind_columns c \
         ON c.index_name = i.index_name{owned} WHERE i.uniqueness = 'UNIQUE' AND i.table_name = :1{limit}"
    );
    let mut indexes: HashMap<String, Vec<String>> = HashMap::new();
    for row in session.query(&text, &binds, 50)? {
        if let (Some(index), Some(column)) = (wire::text(&row, 0), wire::text(&row, 1)) {
            indexes.entry(index).or_default().push(column);
        }
    }
    let mut key: Vec<_> = table.entity.key().iter().map(|index| folded(table.column(*index))).collect();
    key.sort_unstable();
    Ok(indexes.into_values().any(|mut columns| {
        columns.sort_unstable();
        columns == key
    }))
}

fn of_column(table: Table<'_>, index: FieldIndex, column: &str, found: &Column) -> Vec<String> {
    let field = table.entity.field(index);
    let home = field.home.get(table.side);
    let mut problems = Vec::new();
    let (fits, wanted) = fits(home.column_type, home.length_in, found);
    let name = table.name();
    if !fits {
        let found = shown(found);
        problems.push(format!("{name}.{column} is {found}, the contract says {wanted}: correct one of them"));
    }
    let is_text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
    if is_text && home.map.is_empty() && field.nullable && !home.empty_is_null {
        problems.push(format!(
            "{name}.{column} keeps '' as null, as all of an Oracle does: say `emptyIsNull: true` for {} in the contract",
            field.name
        ));
    }
    problems
}

fn shown(found: &Column) -> String {
    let unit = if found.counts_characters { " char" } else { "" };
    match (found.data_type.as_str(), found.precision, found.scale) {
        ("NUMBER", Some(precision), Some(scale)) => format!("NUMBER({precision}, {scale})"),
        ("CHAR" | "VARCHAR2", ..) if found.counts_characters => {
            format!("{}({}{unit})", found.data_type, found.characters)
        }
        ("CHAR" | "VARCHAR2", ..) => format!("{}({})", found.data_type, found.bytes),
        (other, ..) => other.to_owned(),
    }
}

/// Whether a column holds everything that the declared type holds; and the type's name.
fn fits(declared: ColumnType, unit: LengthUnit, found: &Column) -> (bool, String) {
    let kind = found.data_type.as_str();
    let counted = match unit {
        LengthUnit::Characters => "char",
        LengthUnit::Bytes => "byte",
    };
    // So many bytes hold as many characters only of plain letters: a column in bytes fits a limit in characters never.
    let wide = |n: u32| match (unit, found.counts_characters) {
        (LengthUnit::Characters | LengthUnit::Bytes, true) => found.characters >= n,
        (LengthUnit::Bytes, false) => found.bytes >= n,
        (LengthUnit::Characters, false) => found.bytes >= n.saturating_mul(4),
    };
    let number = |digits: u32, scale: u32| match (found.precision, found.scale) {
        (None, None) => kind == "NUMBER",
        (precision, after) => {
            let after = u32::try_from(after.unwrap_or(0)).unwrap_or(0);
            kind == "NUMBER" && after >= scale && precision.unwrap_or(38).saturating_sub(after) >= digits - scale
        }
    };
    match declared {
        ColumnType::Char(n) => {
            let exact = if found.counts_characters { found.characters == n } else { found.bytes == n };
            (kind == "CHAR" && exact, format!("CHAR({n} {counted})"))
        }
        ColumnType::Varchar(Some(n)) => {
            (kind == "VARCHAR2" && wide(n) || kind == "CLOB", format!("VARCHAR2({n} {counted})"))
        }
        ColumnType::Varchar(None) => (kind == "CLOB" || kind == "VARCHAR2", "VARCHAR2 or CLOB".into()),
        ColumnType::Numeric(None) => (kind == "NUMBER" && found.precision.is_none(), "NUMBER".into()),
        ColumnType::Numeric(Some(Precision { digits, scale })) => {
            (number(digits, scale), format!("NUMBER({digits}, {scale})"))
        }
        ColumnType::Integer => (number(10, 0), "NUMBER(10)".into()),
        ColumnType::BigInt => (number(19, 0), "NUMBER(19)".into()),
        ColumnType::Boolean => (number(1, 0), "NUMBER(1)".into()),
        ColumnType::Timestamp => (kind.starts_with("TIMESTAMP(") && !kind.contains("ZONE"), "TIMESTAMP(6)".into()),
        ColumnType::TimestampSeconds | ColumnType::Date => (kind == "DATE" || kind == "TIMESTAMP(0)", "DATE".into()),
        ColumnType::TimestampTz => (kind.contains("WITH TIME ZONE"), "TIMESTAMP(6) WITH TIME ZONE".into()),
    }
}
