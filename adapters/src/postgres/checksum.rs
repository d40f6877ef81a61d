//! Checksums inside the database: `model::checksum` said in PostgreSQL's SQL.
//!
//! Texts depend on the entity and the chunk's length only. They read the whole table: nobody keeps an
//! index over an MD5 for this. So sums are work for the lane of scans.

use model::checksum::{
    Chunk, ChunkSum, DIGITS, IS_MARK, IS_SEPARATOR, MARK, SEPARATOR, compared, escaped, field_text, unreadable,
};
use model::contract::{ColumnType, Field, Home};
use model::{FieldIndex, Kind, Record, Side, StoreError};

use super::read::{self, misfit};
use super::session::Session;
use super::table::Table;
use super::wire::{Stored, get, number};

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
        let chunk = Chunk::new(get(table.side, row, 0).ok()?)?;
        let records = number(table.side, row, 1).ok()?;
        Some((chunk, ChunkSum { records, sum: get::<&str>(table.side, row, 2).ok()?.parse().ok()? }))
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
        "SELECT {columns} FROM {} AS t WHERE left({}, {}) = $1::text AND {} LIMIT $2::int8",
        table.name(),
        key_digest(table),
        chunk.prefix().len(),
        table.usable(),
    );
    let limit = Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX));
    let statements = session.prepare(&[&text]).await?;
    let rows = read::query(session, &statements[0], &[Stored::Text(chunk.prefix().to_owned()), limit]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    Ok(rows.iter().map(|row| table.record(fields, row)).collect())
}

fn sums_text(table: Table<'_>, chunk: &Chunk) -> String {
    let length = chunk.prefix().len();
    let part = chunk.part_digits().unwrap_or(length);
    let (key, row) = (key_digest(table), joined(table, compared(table.entity).iter()));
    // The sum as text: it is wider than any integer of the protocol.
    format!(
        "SELECT left(k, {part}), count(*), sum(('x' || left({digest}, {DIGITS}))::bit(60)::int8)::text \
         FROM (SELECT {key} AS k, {row} AS r FROM {} AS t WHERE {usable}) AS q \
         WHERE left(k, {length}) = $1::text GROUP BY 1",
        table.name(),
        usable = table.usable(),
        digest = digest("r"),
    )
}

fn key_digest(table: Table<'_>) -> String {
    digest(&joined(table, table.entity.key().iter().copied()))
}

/// The MD5 of a text in UTF-8, whatever the encoding of the database.
pub(super) fn digest(text: &str) -> String {
    format!("md5(convert_to({text}, 'UTF8'))")
}

/// The text of some fields of the row `t`.
pub(super) fn joined(table: Table<'_>, fields: impl Iterator<Item = FieldIndex>) -> String {
    let of = |index: FieldIndex| {
        let text = if table.is_own(index) {
            as_part(&table.selected(index, "t."))
        } else {
            let field = table.entity.field(index);
            text_of(field, field.home.get(table.side), table.side)
        };
        format!("coalesce({text}, {})", letter(MARK))
    };
    fields.map(of).collect::<Vec<_>>().join(&format!(" || {} || ", letter(SEPARATOR)))
}

fn letter(letter: char) -> String {
    format!("chr({})", u32::from(letter))
}

/// See `escaped`.
fn as_part(text: &str) -> String {
    let (mark, separator) = (letter(MARK), letter(SEPARATOR));
    format!("replace(replace({text}, {mark}, {mark} || '{IS_MARK}'), {separator}, {mark} || '{IS_SEPARATOR}')")
}

/// What a column holds that no value can be read from.
fn no_value(side: Side, plain: &str) -> String {
    let [mark, side] = unreadable(side);
    format!("{} || '{side}' || {}", letter(mark), as_part(plain))
}

/// The text of one field of the row `t`: null, or what `field_text` says of the value that the column holds.
fn text_of(field: &Field, home: &Home, side: Side) -> String {
    if !home.map.is_empty() {
        return mapped(field, home, side);
    }
    let plain = plain(home);
    match field.kind {
        Kind::Text if field.compare.ignore_case => as_part(&format!("lower(upper(lower({plain})))")),
        Kind::Text => as_part(&plain),
        Kind::Bool => plain,
        Kind::Int | Kind::Decimal => digits(field, home, side),
        Kind::Instant => instant(field, home, side),
    }
}

/// A number. What is none would fail the whole statement, or be equal to its like; it shows as a difference instead.
fn digits(field: &Field, home: &Home, side: Side) -> String {
    let plain = plain(home);
    let is_text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
    let number = if is_text { format!("({plain})::numeric") } else { column(home) };
    let text = match field.compare.scale.filter(|_| field.kind == Kind::Decimal) {
        Some(scale) => format!("trim_scale(round({number}::numeric, {scale}))::text"),
        None => format!("trim_scale({number}::numeric)::text"),
    };
    if matches!(home.column_type, ColumnType::Integer | ColumnType::BigInt) {
        return text;
    }
    let form = if field.kind == Kind::Int { "^[+-]?[0-9]+$" } else { "^[+-]?[0-9]+([.][0-9]+)?$" };
    let written = format!("WHEN {plain} !~ '{form}' THEN {} ", no_value(side, &plain));
    let written = if is_text { written } else { String::new() };
    // NaN and the infinities are no decimals.
    let is_number = match field.kind {
        Kind::Int => format!("{number} BETWEEN {} AND {} AND trunc({number}) = {number}", i64::MIN, i64::MAX),
        _ => format!("{number} - {number} = 0"),
    };
    format!("CASE {written}WHEN {is_number} THEN {text} ELSE {} END", no_value(side, &plain))
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

fn mapped(field: &Field, home: &Home, side: Side) -> String {
    let plain = plain(home);
    let cases = home.map.iter().map(|(value, stored)| {
        let text = field_text(value, &field.compare).map_or_else(|| "NULL".to_owned(), |text| quoted(&escaped(&text)));
        format!(" WHEN {} THEN {text}", quoted(stored))
    });
    // A code that the map does not know is a difference, whatever the other side holds.
    format!("CASE {plain}{} ELSE {} END", cases.collect::<String>(), no_value(side, &plain))
}

/// The instant in UTC, by the rules of `model::zone`.
fn instant(field: &Field, home: &Home, side: Side) -> String {
    let column = column(home);
    let form = if field.compare.to_seconds { "YYYY-MM-DD HH24:MI:SS" } else { "YYYY-MM-DD HH24:MI:SS.US" };
    let never = home.null_instants.iter().map(|never| format!("timestamp '{}'", never.to_utc().naive_utc()));
    let never: Vec<_> = never.collect();
    let null = if never.is_empty() { String::new() } else { format!("WHEN q.u IN ({}) THEN NULL ", never.join(", ")) };
    let unreadable = no_value(side, &format!("{column}::text"));
    // The two ends: a year before 1 is written as one after it, and nothing can be computed with infinity. Local times
    // may lie beyond by the zone's offset.
    let (near, utc) = match (home.column_type, home.zone.as_ref()) {
        (ColumnType::TimestampTz, _) => (column.clone(), format!("{column} AT TIME ZONE 'UTC'")),
        (_, None) => (format!("{column}::timestamp"), format!("{column}::timestamp")),
        (_, Some(zone)) => (format!("{column}::timestamp"), from_local(&format!("{column}::timestamp"), zone.name())),
    };
    format!(
        "CASE WHEN {column} IS NULL THEN NULL \
         WHEN {near} < '0001-12-29 BC' OR {near} >= '10000-01-03' THEN {unreadable} \
         ELSE (SELECT CASE WHEN q.u < '0001-01-01' OR q.u >= '10000-01-01' THEN {unreadable} \
         {null}ELSE to_char(q.u, '{form}') END FROM (SELECT {utc} AS u OFFSET 0) AS q) END"
    )
}

/// A local time in UTC. Of two equal ones the server takes the later; the earlier has the offset of the day before.
fn from_local(local: &str, zone: &str) -> String {
    let zone = quoted(zone);
    format!(
        "(SELECT CASE WHEN e.u AT TIME ZONE 'UTC' AT TIME ZONE {zone} = {local} THEN e.u ELSE l.u END \
         FROM (SELECT {local} AT TIME ZONE {zone} AT TIME ZONE 'UTC' AS u OFFSET 0) AS l CROSS JOIN LATERAL \
         (SELECT {local} - ((b.u AT TIME ZONE 'UTC' AT TIME ZONE {zone}) - b.u) AS u \
         FROM (SELECT l.u - interval '24 hours' AS u) AS b OFFSET 0) AS e)"
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
