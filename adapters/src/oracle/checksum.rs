//! Checksums inside the database: `model::checksum` said in Oracle's SQL.
//!
//! Texts depend on the entity and the chunk's length only, and read the whole table. A record's text must stay within
//! what SQL joins: 4000 bytes, or 32767 where the database has `MAX_STRING_SIZE = EXTENDED`.
//!
//! Local times are never given to the server's own conversion of them, which refuses a time that no clock showed
//! (ORA-01878) and takes the later of two equal ones: instants are looked for in UTC, where every conversion succeeds.

use model::checksum::{Chunk, ChunkSum, DIGITS, NULL, SEPARATOR, compared, field_text};
use model::contract::{ColumnType, Field, Home};
use model::{FieldIndex, Kind, Side, StoreError};
use oracle::Row;

use super::bind::Bind;
use super::read::{Question, moment};
use super::table::{Table, misfit};
use super::wire;

/// See `Scan::sums`.
pub(super) fn sums(table: Table<'_>, chunk: &Chunk, as_of: Option<u64>) -> Question {
    let length = chunk.prefix().len();
    let part = chunk.part_digits().unwrap_or(length);
    let (key, row) = (key_digest(table), joined(table, compared(table.entity).iter()));
    let mut binds = Vec::new();
    let moment = moment(as_of, &mut binds);
    let number = format!("TO_NUMBER(SUBSTR({}, 1, {DIGITS}), '{}')", digest("r"), "X".repeat(DIGITS));
    let inner = format!("SELECT {key} AS k, {row} AS r FROM {}{moment} t", table.name());
    let wanted = wanted("q.k", length, chunk, &mut binds);
    let text = format!(
        "SELECT SUBSTR(q.k, 1, {part}), COUNT(*), SUM({number}) FROM ({inner}) q{wanted} GROUP BY SUBSTR(q.k, 1, {part})"
    );
    Question::new(text, binds, 256)
}

/// ` WHERE …`: the keys of the chunk. The empty text is null to an Oracle, and equals nothing.
fn wanted(key: &str, length: usize, chunk: &Chunk, binds: &mut Vec<Bind>) -> String {
    if length == 0 {
        return String::new();
    }
    binds.push(Bind::text(chunk.prefix()));
    format!(" WHERE SUBSTR({key}, 1, {length}) = :{}", binds.len())
}

/// Reads the answer of [`sums`].
pub(super) fn read_sums(side: Side, rows: &[Row]) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
    let sum = |row: &Row| {
        let chunk = Chunk::new(&wire::text(row, 0)?)?;
        Some((chunk, ChunkSum { records: wire::number(row, 1)?, sum: wire::number(row, 2)? }))
    };
    let sums = rows.iter().map(sum).collect::<Option<Vec<_>>>();
    let mut sums = sums.ok_or_else(|| misfit(side, "checksums could not be read"))?;
    sums.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(sums)
}

/// See `Scan::members`.
pub(super) fn members(table: Table<'_>, chunk: &Chunk, limit: usize, as_of: Option<u64>) -> Question {
    let mut binds = Vec::new();
    let moment = moment(as_of, &mut binds);
    let wanted = wanted(&key_digest(table), chunk.prefix().len(), chunk, &mut binds);
    binds.push(Bind::number(limit));
    let columns = table.columns(table.entity.all_fields());
    let place = binds.len();
    let text = format!("SELECT {columns} FROM {}{moment} t{wanted} FETCH FIRST :{place} ROWS ONLY", table.name());
    Question::new(text, binds, limit)
}

pub(super) fn digest(text: &str) -> String {
    format!("LOWER(RAWTOHEX(STANDARD_HASH({text}, 'MD5')))")
}

fn key_digest(table: Table<'_>) -> String {
    digest(&joined(table, table.entity.key().iter().copied()))
}

/// The text of some fields of the row `t`.
pub(super) fn joined(table: Table<'_>, fields: impl Iterator<Item = FieldIndex>) -> String {
    let of = |index: FieldIndex| {
        if table.is_own(index) {
            return table.selected(index, "t.");
        }
        let field = table.entity.field(index);
        format!("NVL({}, CHR({}))", text_of(field, field.home.get(table.side)), u32::from(NULL))
    };
    fields.map(of).collect::<Vec<_>>().join(&format!(" || CHR({}) || ", u32::from(SEPARATOR)))
}

fn column(home: &Home) -> String {
    format!("t.{}", home.column)
}

/// The text of one field: null, or what `field_text` says of the value that the column holds.
fn text_of(field: &Field, home: &Home) -> String {
    if !home.map.is_empty() {
        return mapped(field, home);
    }
    match field.kind {
        Kind::Text if field.compare.ignore_case => format!("LOWER(UPPER(LOWER({})))", plain(home)),
        Kind::Text => plain(home),
        Kind::Bool => format!("CASE {} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END", column(home)),
        Kind::Int | Kind::Decimal => {
            let scale = field.compare.scale.filter(|_| field.kind == Kind::Decimal);
            let scaled = |number: String| scale.map_or(number.clone(), |scale| format!("ROUND({number}, {scale})"));
            match home.column_type {
                ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt => number(&scaled(column(home))),
                // A text that is no number would fail the whole statement; it shows as a difference instead.
                _ => {
                    let plain = plain(home);
                    let parsed = number(&scaled(format!("TO_NUMBER({plain})")));
                    format!(
                        "CASE WHEN REGEXP_LIKE({plain}, '^[+-]?[0-9]+([.][0-9]+)?$') THEN {parsed} \
                         WHEN {plain} IS NOT NULL THEN '?' || {plain} END"
                    )
                }
            }
        }
        Kind::Instant => instant(field, home),
    }
}

/// A number with as many digits as it has; an Oracle leaves out the zero before the point.
fn number(number: &str) -> String {
    format!("REGEXP_REPLACE(TO_CHAR({number}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,'''), '^(-?)[.]', '\\10.')")
}

/// What the column holds as text, without padding.
fn plain(home: &Home) -> String {
    let column = column(home);
    match home.column_type {
        ColumnType::Char(_) => format!("RTRIM({column}, ' ')"),
        ColumnType::Varchar(_) => column,
        ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt | ColumnType::Boolean => number(&column),
        ColumnType::Timestamp | ColumnType::TimestampSeconds | ColumnType::TimestampTz | ColumnType::Date => {
            format!("TO_CHAR({column})")
        }
    }
}

fn mapped(field: &Field, home: &Home) -> String {
    let plain = plain(home);
    let cases = home.map.iter().map(|(value, kept)| {
        let text = field_text(value, &field.compare).unwrap_or_default();
        format!(" WHEN {} THEN {}", quoted(kept), quoted(&text))
    });
    // A code that nobody mapped is read as an error; here it must differ from whatever the other side holds.
    format!("CASE {plain}{} ELSE CASE WHEN {plain} IS NOT NULL THEN '?' || {plain} END END", cases.collect::<String>())
}

/// The instant in UTC, by the rules of `value`: of two equal local times the earlier is meant, and one that never was
/// is read with the offset before it.
fn instant(field: &Field, home: &Home) -> String {
    let column = column(home);
    let local = match home.column_type {
        ColumnType::Date => format!("CAST(TRUNC({column}) AS TIMESTAMP(6))"),
        _ => format!("CAST({column} AS TIMESTAMP(6))"),
    };
    let utc = match (home.column_type, home.zone) {
        (ColumnType::TimestampTz, _) => format!("CAST(SYS_EXTRACT_UTC({column}) AS TIMESTAMP(6))"),
        (_, None) => local.clone(),
        (_, Some(zone)) => from_local(&local, zone.name()),
    };
    let form = if field.compare.to_seconds { "YYYY-MM-DD HH24:MI:SS" } else { "YYYY-MM-DD HH24:MI:SS.FF6" };
    let text = format!("TO_CHAR({utc}, '{form}')");
    if home.null_instants.is_empty() {
        return text;
    }
    let never: Vec<_> = home.null_instants.iter().map(|never| sentinel(home, &never.to_utc().naive_utc())).collect();
    let kept = if home.column_type == ColumnType::TimestampTz { utc } else { local };
    format!("CASE WHEN {kept} NOT IN ({}) THEN {text} END", never.join(", "))
}

/// A sentinel as the column keeps it: compared before anything is computed with it, since it may be the last day
/// that a server knows.
fn sentinel(home: &Home, utc: &chrono::NaiveDateTime) -> String {
    use chrono::TimeZone as _;
    let zone = home.zone.filter(|_| home.column_type != ColumnType::TimestampTz);
    let kept = zone.map_or(*utc, |zone| zone.from_utc_datetime(utc).naive_local());
    format!("TIMESTAMP '{}'", kept.format("%Y-%m-%d %H:%M:%S%.6f"))
}

fn from_local(local: &str, zone: &str) -> String {
    let zone = quoted(zone);
    let shown = |utc: &str| format!("CAST(FROM_TZ({utc}, 'UTC') AT TIME ZONE {zone} AS TIMESTAMP(6))");
    let day = "NUMTODSINTERVAL(1, 'DAY')";
    let before = format!("({local} - {day})");
    let after = format!("(LEAST({local}, TIMESTAMP '9999-12-30 00:00:00') + {day})");
    let with_offset_at = |at: &str| format!("({local} - ({} - {at}))", shown(at));
    let (old, new) = (with_offset_at(&before), with_offset_at(&after));
    format!("CASE WHEN {} = {local} AND {} <> {local} THEN {new} ELSE {old} END", shown(&new), shown(&old))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
