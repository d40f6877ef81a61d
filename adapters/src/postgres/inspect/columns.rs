//! Columns and keys: whether they are as the contract says, and what about them is the database's own.

use model::contract::{ColumnType, Precision};
use model::{FieldIndex, LeftOut, StoreError};

use super::Findings;
use super::catalog::{Found, folded, literal, rows};
use crate::postgres::session::Session;
use crate::postgres::table::Table;

// A domain is looked through to the type below it: its own length counts, and so does its NOT NULL.
const COLUMNS: &str = "WITH RECURSIVE columns AS ( \
       SELECT a.attname, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS required, a.atthasdef, \
              a.attidentity, a.attgenerated, a.attcollation, NULL::text COLLATE \"C\" AS domain \
       FROM pg_attribute a WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped \
     UNION ALL \
       SELECT c.attname, c.attnum, t.typbasetype, CASE WHEN c.modifier > -1 THEN c.modifier ELSE t.typtypmod END, \
              c.required OR t.typnotnull, c.atthasdef OR t.typdefault IS NOT NULL, c.attidentity, c.attgenerated, \
              c.attcollation, coalesce(c.domain, t.typname::text COLLATE \"C\") \
       FROM columns c JOIN pg_type t ON t.oid = c.type AND t.typtype = 'd') \
     SELECT c.attname, t.typname, c.modifier, c.required AND NOT c.atthasdef AND c.attidentity = '' AND c.attgenerated = '', \
            c.required, c.attidentity, c.attgenerated, l.collname, l.collisdeterministic, c.domain, \
            (SELECT 1 - s.null_frac FROM pg_stats s, pg_class k, pg_namespace n WHERE k.oid = to_regclass({table}) \
             AND n.oid = k.relnamespace AND s.schemaname = n.nspname AND s.tablename = k.relname AND s.attname = c.attname \
             LIMIT 1) \
     FROM columns c JOIN pg_type t ON t.oid = c.type AND t.typtype <> 'd' LEFT JOIN pg_collation l ON l.oid = c.attcollation \
     ORDER BY c.attnum";

const UNIQUE: &str = "SELECT array_to_json(array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(n, place) \
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.place <= i.indnkeyatts ORDER BY 1)) \
     FROM pg_index i WHERE i.indrelid = to_regclass({table}) AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL";

const RESERVED: &str = "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')";

/// Rows that are looked at where the server has no statistics.
const LOOKED_AT: u32 = 10_000;

/// See the module.
pub(super) async fn of_table(session: &Session, table: Table<'_>, findings: &mut Findings) -> Result<(), StoreError> {
    let name = table.name();
    let columns = rows(session, COLUMNS, name).await?;
    let reserved = rows(session, RESERVED, "").await?;
    // A key of this side's own is the column of its number.
    for index in table.entity.all_fields().iter().filter(|index| !table.is_own(*index)) {
        let column = folded(table.column(index));
        if !table.column(index).starts_with('"') && reserved.iter().any(|word| word.text(0) == column) {
            findings.problem(format!(
                "{name}.{column} is a reserved word, and means something else unless it is quoted: write \"\\\"{column}\\\"\" as \
                 the column of {} in the contract",
                table.entity.field(index).name
            ));
        }
        match columns.iter().find(|row| row.text(0) == column) {
            None => findings.problem(format!(
                "{name}.{column} is missing: add the column, or correct {} in the contract",
                table.entity.field(index).name
            )),
            Some(row) => of_column(table, index, row, findings),
        }
    }
    for row in &columns {
        let known = table.entity.all_fields().iter().any(|index| folded(table.column(index)) == row.text(0));
        if !known {
            left_out(session, table, row, findings).await?;
        }
    }
    let mut key: Vec<_> = table.entity.key().iter().map(|i| folded(table.column(*i))).collect();
    key.sort_unstable();
    let unique = rows(session, UNIQUE, name).await?;
    let covered = unique.iter().any(|row| {
        let columns: Vec<String> = serde_json::from_str(row.text(0)).unwrap_or_default();
        sorted(columns) == key
    });
    // A view has none of its own; what it needs is an index of the table below.
    if !covered && !columns.is_empty() && !findings.is_view(name) {
        findings.problem(format!(
            "{name} has no unique index on exactly ({}): create one, applying changes needs it",
            table.key_columns()
        ));
    }
    Ok(())
}

fn sorted(mut columns: Vec<String>) -> Vec<String> {
    columns.sort_unstable();
    columns
}

fn of_column(table: Table<'_>, index: FieldIndex, row: &Found, findings: &mut Findings) {
    let (name, column, found) = (table.name(), row.text(0), row.text(1));
    let modifier: i32 = row.text(2).parse().unwrap_or(-1);
    let declared = table.entity.field(index).home.get(table.side).column_type;
    let (fits, wanted) = fits(declared, found, modifier);
    if !fits {
        let found = shown(found, modifier);
        findings.problem(format!("{name}.{column} is {found}, the contract says {wanted}: correct one of them"));
    }
    if !row.text(6).is_empty() {
        findings.problem(format!(
            "{name}.{column} is generated by the database, and cannot be written: let the field have its home in columns \
             that can, or take it out of the contract"
        ));
    }
    if row.text(5) == "a" {
        findings.problem(format!(
            "{name}.{column} is an identity that the database always makes itself: what the other side has is refused; \
             ALTER TABLE {name} ALTER COLUMN {column} SET GENERATED BY DEFAULT"
        ));
    }
    if !row.is_null(9) {
        findings.notice(format!(
            "{name}.{column} is of the domain {}: its checks may refuse what fits the type",
            row.text(9)
        ));
    }
    if table.entity.key().contains(&index) {
        of_key(name, row, findings);
    }
}

fn of_key(name: &str, row: &Found, findings: &mut Findings) {
    let column = row.text(0);
    if !row.is(4) && !findings.is_view(name) {
        findings.problem(format!(
            "{name}.{column} is part of the key and may be null: rows without it have no key, and are not compared, copied \
             or handed over; give them one and ALTER TABLE {name} ALTER COLUMN {column} SET NOT NULL"
        ));
    }
    if !row.is_null(8) && !row.is(8) {
        findings.problem(format!(
            "{name}.{column} is part of the key, and its collation {} takes different texts for the same key: the other side \
             does not; ALTER TABLE {name} ALTER COLUMN {column} TYPE {} COLLATE \"C\"",
            row.text(7),
            shown(row.text(1), row.text(2).parse().unwrap_or(-1))
        ));
    }
}

/// What no field carries, and how much of it there is.
async fn left_out(session: &Session, table: Table<'_>, row: &Found, findings: &mut Findings) -> Result<(), StoreError> {
    let (name, column) = (table.name(), row.text(0));
    if row.is(3) {
        findings.problem(format!(
            "{name}.{column} is not null, has no default and is not in the contract: \
             new rows from the other side would be refused; give it a default or a field"
        ));
        return Ok(());
    }
    // Somebody has said why it may stay behind.
    if !LeftOut::is_left_out(table.entity, table.side, column) {
        return Ok(());
    }
    let share = match row.text(10).parse::<f64>() {
        Ok(share) => format!("{:.0} % of the rows have a value, by the server's statistics", share * 100.0),
        Err(_) => {
            let quoted = format!("\"{}\"", column.replace('"', "\"\""));
            let text = format!(
                "SELECT count({quoted}), count(*) FROM (SELECT {quoted} FROM {name} LIMIT {LOOKED_AT}) AS looked_at"
            );
            match rows(session, &text, "").await {
                Ok(found) => found.first().map_or_else(String::new, |row| {
                    format!("{} of {} rows looked at have a value", row.text(0), row.text(1))
                }),
                // A right on a single column may be missing.
                Err(StoreError::Misfit { .. }) => "how many rows have a value is not known".to_owned(),
                Err(error) => return Err(error),
            }
        }
    };
    let found = shown(row.text(1), row.text(2).parse().unwrap_or(-1));
    findings.notice(format!("{name}.{column} ({found}) is in no field, so that the other side never has it: {share}"));
    Ok(())
}

/// Whether keys of this side's own can be given.
pub(super) async fn of_sequence(session: &Session, table: Table<'_>) -> Result<Option<String>, StoreError> {
    let Some(own) = table.own() else { return Ok(None) };
    let sequence = &own.sequence;
    let usable = format!("SELECT has_sequence_privilege(to_regclass({}), 'USAGE')", literal(sequence));
    let found = rows(session, &usable, "").await?;
    Ok(match found.first() {
        Some(row) if row.is(0) => None,
        Some(row) if !row.is_null(0) => {
            Some(format!("the right to USAGE on {sequence} is missing: grant it to the proxy's user"))
        }
        Some(_) | None => Some(format!("the sequence {sequence} is missing: correct @ownKey of {}", table.entity.name)),
    })
}
fn shown(found: &str, modifier: i32) -> String {
    match (found, modifier) {
        (_, ..=3) => found.to_owned(),
        ("numeric", _) => {
            let packed = modifier - 4;
            format!("numeric({}, {})", packed >> 16, packed & 0x7ff)
        }
        ("bpchar" | "varchar", _) => format!("{found}({})", modifier - 4),
        _ => found.to_owned(),
    }
}

/// Whether a column of type `found` holds everything that the declared type holds; and its name.
fn fits(declared: ColumnType, found: &str, modifier: i32) -> (bool, String) {
    // PostgreSQL adds 4 to a declared length; -1 is no limit.
    let length = i64::from(modifier) - 4;
    let unlimited = modifier < 4;
    match declared {
        ColumnType::Char(n) => (found == "bpchar" && length == i64::from(n), format!("char({n})")),
        ColumnType::Varchar(Some(n)) => {
            let wide = unlimited || length >= i64::from(n);
            (matches!(found, "varchar" | "text") && wide, format!("varchar({n})"))
        }
        ColumnType::Varchar(None) => {
            let text = matches!(found, "varchar" | "text" | "uuid") && unlimited;
            (text, "text of any length".into())
        }
        ColumnType::Numeric(None) => (found == "numeric" && unlimited, "numeric".into()),
        ColumnType::Numeric(Some(Precision { digits, scale })) => {
            let (has, after) = (length >> 16, length & 0x7ff);
            let before = i64::from(digits) - i64::from(scale);
            let wide = unlimited || (after >= i64::from(scale) && has - after >= before);
            (found == "numeric" && wide, format!("numeric({digits}, {scale})"))
        }
        ColumnType::Integer => (matches!(found, "int4" | "int8"), "integer".into()),
        ColumnType::BigInt => (found == "int8", "bigint".into()),
        ColumnType::Boolean => (found == "bool", "boolean".into()),
        ColumnType::Timestamp | ColumnType::TimestampSeconds => {
            (found == "timestamp", "timestamp without time zone".into())
        }
        ColumnType::TimestampTz => (found == "timestamptz", "timestamp with time zone".into()),
        ColumnType::Date => (found == "date", "date".into()),
    }
}
