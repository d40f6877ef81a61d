//! The doctor: does the database look as the contract says? One sentence per finding, with what to do.

use model::contract::{ColumnType, Precision};
use model::store::Inspection;
use model::{Contract, EntityName, FieldIndex, Side, StoreError};
use tokio_postgres::Row;

use super::ledger;
use super::session::Session;
use super::table::Table;

const COLUMNS: &str = "SELECT a.attname::text, t.typname::text, a.atttypmod, \
     a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

const UNIQUE: &str = "SELECT array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(n, place) \
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.place <= i.indnkeyatts) \
     FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL";

const RIGHTS: &str = "SELECT p, has_table_privilege(to_regclass($1), p) \
     FROM unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p";

/// See `Store::inspect`.
pub(super) async fn inspect(
    session: &Session,
    contract: &Contract,
    side: Side,
    entities: &[EntityName],
) -> Result<Inspection, StoreError> {
    let version = rows(session, "SELECT version()", None).await?;
    let server = version.first().map_or_else(String::new, |row| row.get(0));
    let mut problems = Vec::new();
    for name in entities {
        match ledger::entity(contract, side, name.as_str()) {
            Ok(entity) => problems.extend(of_table(session, Table::new(entity, side)).await?),
            Err(_) => problems.push(format!("{name} is not a type of the contract: check the name")),
        }
    }
    for table in ["strangler_ledger", "strangler_version", "strangler_fence", "strangler_saga", "strangler_id_map"] {
        match rights(session, table).await? {
            None => problems.push(format!("{table} is missing: run `strangler init`")),
            Some(missing) => problems.extend(missing),
        }
    }
    if problems.iter().all(|problem| !problem.contains("strangler_fence")) {
        problems.extend(fences(session, contract, entities).await?);
    }
    Ok(Inspection { server, facts: facts(session).await?, problems })
}

/// What decides how values are kept and how many sessions there may be.
async fn facts(session: &Session) -> Result<Vec<(&'static str, String)>, StoreError> {
    let settings = ["server_encoding", "TimeZone", "max_connections", "wal_level"];
    let mut facts = Vec::with_capacity(settings.len());
    for name in settings {
        let found = rows(session, "SELECT current_setting($1)", Some(name)).await?;
        facts.extend(found.first().map(|row| (name, row.get(0))));
    }
    Ok(facts)
}

/// Groups that no write could pass: their fence was never made.
async fn fences(session: &Session, contract: &Contract, entities: &[EntityName]) -> Result<Vec<String>, StoreError> {
    let found = rows(session, "SELECT grp FROM strangler_fence", None).await?;
    let known: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    let mut groups: Vec<_> = entities.iter().filter_map(|name| contract.entity(name)).map(|e| &e.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let missing = groups.into_iter().filter(|group| !known.contains(&group.as_str()));
    Ok(missing
        .map(|group| format!("group {group} has no fence, its writes would be refused: run `strangler init`"))
        .collect())
}

async fn rows(session: &Session, text: &str, table: Option<&str>) -> Result<Vec<Row>, StoreError> {
    let statements = session.prepare(&[text]).await?;
    let answer = match table {
        Some(table) => session.client().query(&statements[0], &[&table]).await,
        None => session.client().query(&statements[0], &[]).await,
    };
    answer.map_err(|error| session.error(error))
}

/// What is missing to use `table`; `None` when there is no such table.
async fn rights(session: &Session, table: &str) -> Result<Option<Vec<String>>, StoreError> {
    let mut missing = Vec::new();
    for row in rows(session, RIGHTS, Some(table)).await? {
        let right: String = row.get(0);
        match row.get::<_, Option<bool>>(1) {
            None => return Ok(None),
            Some(true) => {}
            Some(false) => {
                missing.push(format!("the right to {right} on {table} is missing: grant it to the proxy's user"))
            }
        }
    }
    Ok(Some(missing))
}

async fn of_table(session: &Session, table: Table<'_>) -> Result<Vec<String>, StoreError> {
    let name = table.name();
    let Some(mut problems) = rights(session, name).await? else {
        let entity = &table.entity.name;
        return Ok(vec![format!("{name} is missing: create it, or correct the table of {entity} in the contract")]);
    };
    let columns = rows(session, COLUMNS, Some(name)).await?;
    // A key of this side's own is the column of its number.
    for index in table.entity.all_fields().iter().filter(|index| !table.is_own(*index)) {
        let column = folded(table.column(index));
        match columns.iter().find(|row| row.get::<_, &str>(0) == column) {
            None => problems.push(format!(
                "{name}.{column} is missing: add the column, or correct {} in the contract",
                table.entity.field(index).name
            )),
            Some(row) => problems.extend(of_column(table, index, row)),
        }
    }
    for row in &columns {
        let column: &str = row.get(0);
        let known = table.entity.all_fields().iter().any(|index| folded(table.column(index)) == column);
        if !known && row.get::<_, bool>(3) {
            problems.push(format!(
                "{name}.{column} is not null, has no default and is not in the contract: \
                 new rows from the other side would be refused; give it a default or a field"
            ));
        }
    }
    let mut key: Vec<_> = table.entity.key().iter().map(|i| folded(table.column(*i))).collect();
    key.sort_unstable();
    let unique = rows(session, UNIQUE, Some(name)).await?;
    let covered = unique.iter().any(|row| {
        let mut columns: Vec<String> = row.get(0);
        columns.sort_unstable();
        columns == key
    });
    if !covered {
        problems.push(format!(
            "{name} has no unique index on exactly ({}): create one, applying changes needs it",
            table.key_columns()
        ));
    }
    problems.extend(of_sequence(session, table).await?);
    Ok(problems)
}

/// Whether keys of this side's own can be given.
async fn of_sequence(session: &Session, table: Table<'_>) -> Result<Option<String>, StoreError> {
    let Some(own) = table.own() else { return Ok(None) };
    let usable = "SELECT has_sequence_privilege(to_regclass($1), 'USAGE')";
    let found = rows(session, usable, Some(&own.sequence)).await?;
    let sequence = &own.sequence;
    Ok(match found.first().and_then(|row| row.get::<_, Option<bool>>(0)) {
        Some(true) => None,
        Some(false) => Some(format!("the right to USAGE on {sequence} is missing: grant it to the proxy's user")),
        None => Some(format!("the sequence {sequence} is missing: correct @ownKey of {}", table.entity.name)),
    })
}

/// The name as the catalogue has it: lower case unless quoted.
fn folded(column: &str) -> String {
    match column.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => column.to_lowercase(),
    }
}

fn of_column(table: Table<'_>, index: FieldIndex, row: &Row) -> Option<String> {
    let (column, found, modifier): (&str, &str, i32) = (row.get(0), row.get(1), row.get(2));
    let declared = table.entity.field(index).home.get(table.side).column_type;
    let (fits, wanted) = fits(declared, found, modifier);
    let name = table.name();
    (!fits).then(|| {
        let found = shown(found, modifier);
        format!("{name}.{column} is {found}, the contract says {wanted}: correct one of them")
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
