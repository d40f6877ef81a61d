//! Checksums inside the database: `model::checksum` said in PostgreSQL's SQL.
//!
//! Texts depend on the entity and the chunk's length only. They read the whole table: nobody keeps an
//! index over an MD5 for this. So sums are work for the lane of scans.

use model::checksum::{Chunk, ChunkSum, DIGITS, NULL, SEPARATOR, compared, field_text};
use model::contract::{ColumnType, Field, Home};
use model::{FieldIndex, Kind, Record, StoreError};

use super::read::{self, misfit};
use super::session::Session;
use super::table::Table;
use super::wire::Stored;

/// See `Store::sums`.
pub(super) async fn sums(
    session: &Session,
    table: Table<'_>,
    chunk: &Chunk,
) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
    let text = sums_text(table, chunk);
    let statements = session.prepare(&[&text]).await?;
    let rows = read::query(session, &statements[0], &[Stored::Text(chunk.prefix().to_owned())]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    let sums = rows.iter().map(|row| {
        let chunk = Chunk::new(&row.get::<_, String>(0))?;
        let records = row.get::<_, i64>(1).unsigned_abs();
        Some((chunk, ChunkSum { records, sum: row.get::<_, String>(2).parse().ok()? }))
    });
    let unreadable = || misfit(table.side, format!("the checksums of {} could not be read", table.name()));
    let mut sums = sums.collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
    // The server sorts texts by its own rules.
    sums.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(sums)
}

/// See `Store::members`.
pub(super) async fn members(
    session: &Session,
    table: Table<'_>,
    chunk: &Chunk,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let fields = table.entity.all_fields();
    let columns = table.list(fields.iter(), |index| table.selected(index, "t."));
    let text = format!(
        "SELECT {columns} FROM {} AS t WHERE left({}, {}) = $1::text LIMIT $2::int8",
        table.name(),
        key_digest(table),
        chunk.prefix().len(),
    );
    let limit = Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX));
    let statements = session.prepare(&[&text]).await?;
    let rows = read::query(session, &statements[0], &[Stored::Text(chunk.prefix().to_owned()), limit]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    rows.iter().map(|row| table.record(fields, row)).collect()
}

fn sums_text(table: Table<'_>, chunk: &Chunk) -> String {
    let length = chunk.prefix().len();
    let part = chunk.part_digits().unwrap_or(length);
    let (key, row) = (key_digest(table), joined(table, compared(table.entity).iter()));
    // The sum as text: it is wider than any integer of the protocol.
    format!(
        "SELECT left(k, {part}), count(*), sum(('x' || left(md5(r), {DIGITS}))::bit(60)::int8)::text \
         FROM (SELECT {key} AS k, {row} AS r FROM {} AS t) AS q WHERE left(k, {length}) = $1::text GROUP BY 1",
        table.name(),
    )
}

fn key_digest(table: Table<'_>) -> String {
    format!("md5({})", joined(table, table.entity.key().iter().copied()))
}

/// The text of some fields of the row `t`.
pub(super) fn joined(table: Table<'_>, fields: impl Iterator<Item = FieldIndex>) -> String {
    let null = u32::from(NULL);
    let of = |index: FieldIndex| {
        if table.is_own(index) {
            return table.selected(index, "t.");
        }
        let field = table.entity.field(index);
        let text = text_of(field, field.home.get(table.side));
        format!("coalesce({text}, chr({null}))")
    };
    fields.map(of).collect::<Vec<_>>().join(&format!(" || chr({}) || ", u32::from(SEPARATOR)))
}

/// The text of one field of the row `t`: null, or what `field_text` says of the value that the column holds.
fn text_of(field: &Field, home: &Home) -> String {
    if !home.map.is_empty() {
        return mapped(field, home);
    }
    let plain = plain(home);
    let number = match home.column_type {
        ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt => Some(column(home)),
        _ => None,
    };
    match field.kind {
        Kind::Text if field.compare.ignore_case => format!("lower(upper(lower({plain})))"),
        Kind::Text | Kind::Bool => plain,
        Kind::Int | Kind::Decimal => {
            let scaled = |number: String| match field.compare.scale {
                Some(scale) if field.kind == Kind::Decimal => format!("round({number}, {scale})"),
                _ => number,
            };
            match number {
                Some(number) => format!("trim_scale({})::text", scaled(format!("{number}::numeric"))),
                // A text that is no number would fail the whole statement; it shows as a difference instead.
                None => format!(
                    "CASE WHEN {plain} ~ '^[+-]?[0-9]+([.][0-9]+)?$' THEN trim_scale({})::text ELSE '?' || {plain} END",
                    scaled(format!("({plain})::numeric"))
                ),
            }
        }
        Kind::Instant => instant(field, home),
    }
}

fn column(home: &Home) -> String {
    format!("t.{}", home.column)
}

/// What the column holds as text, without padding; null where the home says that it means null.
fn plain(home: &Home) -> String {
    let column = column(home);
    let text = match home.column_type {
        // The cast takes the padding off.
        ColumnType::Char(_) | ColumnType::Varchar(_) => format!("{column}::text"),
        ColumnType::Numeric(_) => format!("trim_scale({column})::text"),
        ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => format!("{column}::text"),
    };
    if home.empty_is_null { format!("nullif({text}, '')") } else { text }
}

fn mapped(field: &Field, home: &Home) -> String {
    let plain = plain(home);
    let cases = home.map.iter().map(|(value, stored)| {
        let text = field_text(value, &field.compare).map_or_else(|| "NULL".to_owned(), |text| quoted(&text));
        format!(" WHEN {} THEN {text}", quoted(stored))
    });
    // A code that the map does not know is a difference, whatever the other side holds.
    format!("CASE {plain}{} ELSE '?' || {plain} END", cases.collect::<String>())
}

/// The instant in UTC, by the rules of `value`: of two equal local times the earlier is meant, where the server
/// takes the later.
fn instant(field: &Field, home: &Home) -> String {
    let column = column(home);
    let utc = match (home.column_type, home.zone) {
        (ColumnType::TimestampTz, _) => format!("({column} AT TIME ZONE 'UTC')"),
        (_, None) => format!("{column}::timestamp"),
        (_, Some(zone)) => {
            let zone = quoted(zone.name());
            let later = format!("({column}::timestamp AT TIME ZONE {zone})");
            let earlier = format!("({later} - interval '1 hour')");
            format!(
                "(CASE WHEN {earlier} AT TIME ZONE {zone} = {column}::timestamp THEN {earlier} ELSE {later} END \
                 AT TIME ZONE 'UTC')"
            )
        }
    };
    let form = if field.compare.to_seconds { "YYYY-MM-DD HH24:MI:SS" } else { "YYYY-MM-DD HH24:MI:SS.US" };
    let text = format!("to_char({utc}, '{form}')");
    if home.null_instants.is_empty() {
        return text;
    }
    let never = home.null_instants.iter().map(|never| format!("timestamp '{}'", never.to_utc().naive_utc()));
    let never: Vec<_> = never.collect();
    format!("CASE WHEN {utc} NOT IN ({}) THEN {text} END", never.join(", "))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
