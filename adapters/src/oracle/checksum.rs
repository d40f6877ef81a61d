//! Checksums inside the database: `model::checksum` said in Oracle's SQL.
//!
//! Texts depend on the entity and the chunk's length only, and read the whole table. A record's text must stay within
//! what SQL joins: 4000 bytes, or 32767 where the database has `MAX_STRING_SIZE = EXTENDED`.
//!
//! Local times are never given to the server's own conversion of them, which refuses a time that no clock showed
//! (ORA-01878) and takes the later of two equal ones: instants are looked for in UTC, where every conversion succeeds.

use model::checksum::{
    Chunk, ChunkSum, DIGITS, IS_MARK, IS_SEPARATOR, MARK, SEPARATOR, compared, escaped, field_text, unreadable,
};
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
    let usable = table.usable().yes;
    let inner = format!("SELECT {key} AS k, {row} AS r FROM {}{moment} t WHERE {usable}", table.name());
    // The whole table needs no condition.
    let wanted = wanted("q.k", length, chunk, &mut binds).map(|wanted| format!(" WHERE {wanted}")).unwrap_or_default();
    let text = format!(
        "SELECT SUBSTR(q.k, 1, {part}), COUNT(*), SUM({number}) FROM ({inner}) q{wanted} GROUP BY SUBSTR(q.k, 1, {part})"
    );
    Question::new(text, binds, 256)
}

/// The keys of the chunk; `None`: all. The empty text is null to an Oracle, and equals nothing.
fn wanted(key: &str, length: usize, chunk: &Chunk, binds: &mut Vec<Bind>) -> Option<String> {
    if length == 0 {
        return None;
    }
    binds.push(Bind::text(chunk.prefix()));
    Some(format!("SUBSTR({key}, 1, {length}) = :{}", binds.len()))
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
    // As above.
    let wanted = wanted.map(|wanted| format!(" AND {wanted}")).unwrap_or_default();
    binds.push(Bind::number(limit));
    let columns = table.columns(table.entity.all_fields());
    let place = binds.len();
    let (name, usable) = (table.name(), table.usable().yes);
    let text = format!("SELECT {columns} FROM {name}{moment} t WHERE {usable}{wanted} FETCH FIRST :{place} ROWS ONLY");
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
        let text = if table.is_own(index) {
            as_part(&table.selected(index, "t."))
        } else {
            let field = table.entity.field(index);
            text_of(field, field.home.get(table.side), table.side)
        };
        format!("NVL({text}, {})", letter(MARK))
    };
    fields.map(of).collect::<Vec<_>>().join(&format!(" || {} || ", letter(SEPARATOR)))
}

fn letter(letter: char) -> String {
    format!("CHR({})", u32::from(letter))
}

/// See `escaped`.
fn as_part(text: &str) -> String {
    let (mark, separator) = (letter(MARK), letter(SEPARATOR));
    format!("REPLACE(REPLACE({text}, {mark}, {mark} || '{IS_MARK}'), {separator}, {mark} || '{IS_SEPARATOR}')")
}

/// What a column holds that no value can be read from; null stays null.
fn no_value(side: Side, plain: &str) -> String {
    let [mark, side] = unreadable(side);
    format!("CASE WHEN {plain} IS NOT NULL THEN {} || '{side}' || {} END", letter(mark), as_part(plain))
}

fn column(home: &Home) -> String {
    format!("t.{}", home.column)
}

/// The text of one field: null, or what `field_text` says of the value that the column holds.
fn text_of(field: &Field, home: &Home, side: Side) -> String {
    if !home.map.is_empty() {
        return mapped(field, home, side);
    }
    match field.kind {
        Kind::Text if field.compare.ignore_case => as_part(&format!("LOWER(UPPER(LOWER({})))", plain(home))),
        Kind::Text => as_part(&plain(home)),
        Kind::Bool => {
            let unreadable = no_value(side, &plain(home));
            format!("CASE {} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE {unreadable} END", column(home))
        }
        Kind::Int | Kind::Decimal => digits(field, home, side),
        Kind::Instant => instant(field, home, side),
    }
}

/// A number. What is none would fail the whole statement, or be equal to its like; it shows as a difference instead.
fn digits(field: &Field, home: &Home, side: Side) -> String {
    let (plain, column) = (plain(home), column(home));
    let scale = field.compare.scale.filter(|_| field.kind == Kind::Decimal);
    let text = |read: &str| number(&scale.map_or(read.to_owned(), |scale| format!("ROUND({read}, {scale})")));
    let whole = |read: &str| format!("{read} BETWEEN {} AND {} AND TRUNC({read}) = {read}", i64::MIN, i64::MAX);
    let is_text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
    let (is_number, text) = match (is_text, field.kind == Kind::Int) {
        (false, false) => return text(&column),
        (false, true) => (whole(&column), text(&column)),
        (true, is_whole) => {
            let read = format!("TO_NUMBER({plain})");
            let form = if is_whole { "^[+-]?[0-9]{1,18}$" } else { "^[+-]?[0-9]+([.][0-9]+)?$" };
            (format!("REGEXP_LIKE({plain}, '{form}')"), text(&read))
        }
    };
    format!("CASE WHEN {is_number} THEN {text} ELSE {} END", no_value(side, &plain))
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

fn mapped(field: &Field, home: &Home, side: Side) -> String {
    let plain = plain(home);
    let cases = home.map.iter().map(|(value, kept)| {
        let text = field_text(value, &field.compare).map_or_else(|| "NULL".to_owned(), |text| quoted(&escaped(&text)));
        format!(" WHEN {} THEN {text}", quoted(kept))
    });
    // A code that nobody mapped is read as an error; here it must differ from whatever the other side holds.
    format!("CASE {plain}{} ELSE {} END", cases.collect::<String>(), no_value(side, &plain))
}

/// The instant in UTC, by the rules of `model::zone`: of two equal local times the earlier is meant, and one that never
/// was is read with the offset before it.
fn instant(field: &Field, home: &Home, side: Side) -> String {
    let column = column(home);
    let local = match home.column_type {
        ColumnType::Date => format!("CAST(TRUNC({column}) AS TIMESTAMP(6))"),
        _ => format!("CAST({column} AS TIMESTAMP(6))"),
    };
    let utc = match (home.column_type, home.zone.as_ref()) {
        (ColumnType::TimestampTz, _) => format!("CAST(SYS_EXTRACT_UTC({column}) AS TIMESTAMP(6))"),
        (_, None) => local.clone(),
        (_, Some(zone)) => from_local(&local, zone.name()),
    };
    let form = if field.compare.to_seconds { "YYYY-MM-DD HH24:MI:SS" } else { "YYYY-MM-DD HH24:MI:SS.FF6" };
    // A year before 1 is written as one after it.
    let text = format!(
        "CASE WHEN {utc} < TIMESTAMP '0001-01-01 00:00:00' THEN {} ELSE TO_CHAR({utc}, '{form}') END",
        no_value(side, &format!("TO_CHAR({column}, 'YYYY-MM-DD HH24:MI:SS BC')"))
    );
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
    let zone = home.zone.as_ref().filter(|_| home.column_type != ColumnType::TimestampTz);
    // A sentinel that no clock can show equals nothing.
    let kept = zone.and_then(|zone| zone.local(*utc)).unwrap_or(*utc);
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
