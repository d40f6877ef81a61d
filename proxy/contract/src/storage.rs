//! What each column type can keep: pure rules about declared types and the text stored in them.

use chrono::{NaiveDate, NaiveDateTime};
use model::contract::{ColumnType, LengthUnit, Precision};
use model::{Home, Instant, Kind};

/// Whether `name` can stand in SQL as it is.
pub(super) fn is_identifier(name: &str) -> bool {
    if let Some(quoted) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return !quoted.is_empty() && !quoted.contains('"');
    }
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '#');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(inside)
}

/// Words that PostgreSQL reserves, and Oracle most of them. Without quotes some of them are something else in silence: a
/// column `user` is then the name of the role that asks, the same on every row.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "with",
];

/// Whether `name` is such a word, without quotes.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

/// What to write in place of a reserved word.
pub(super) fn in_quotes(name: &str) -> String {
    let (lower, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
    format!(
        "put it into quotes, as the database keeps it: \"\\\"{lower}\\\"\" on a PostgreSQL, \"\\\"{upper}\\\"\" on an Oracle"
    )
}

/// A column's declared type, and what its length counts.
pub(super) fn parse_type(text: &str) -> Option<(ColumnType, LengthUnit)> {
    let text = text.trim().to_ascii_lowercase();
    let (text, said) = length_unit(&text);
    let (name, numbers) = match text.split_once('(') {
        None => (&*text, Vec::new()),
        Some((name, rest)) => {
            let inside = rest.strip_suffix(')')?;
            let numbers = inside.split(',').map(|number| number.trim().parse().ok());
            (name.trim_end(), numbers.collect::<Option<Vec<u32>>>()?)
        }
    };
    // No column holds nothing at all.
    if numbers.first() == Some(&0) && name != "timestamp" {
        return None;
    }
    // Oracle counts bytes unless it is told otherwise, PostgreSQL characters; nothing else has a unit.
    let unit = match (name, numbers.len(), said) {
        ("varchar2", 1, said) => said.unwrap_or(LengthUnit::Bytes),
        ("char" | "varchar", 1, said) => said.unwrap_or(LengthUnit::Characters),
        (_, _, Some(_)) => return None,
        (_, _, None) => LengthUnit::Characters,
    };
    let column_type = match (name, numbers.as_slice()) {
        ("char", [length]) => Some(ColumnType::Char(*length)),
        ("varchar" | "varchar2", [length]) => Some(ColumnType::Varchar(Some(*length))),
        ("varchar" | "text", []) => Some(ColumnType::Varchar(None)),
        ("numeric" | "number", []) => Some(ColumnType::Numeric(None)),
        ("numeric" | "number", [digits]) => precision(*digits, 0),
        ("numeric" | "number", [digits, scale]) => precision(*digits, *scale),
        ("integer" | "int", []) => Some(ColumnType::Integer),
        ("bigint", []) => Some(ColumnType::BigInt),
        ("boolean", []) => Some(ColumnType::Boolean),
        ("timestamp", [] | [6]) => Some(ColumnType::Timestamp),
        ("timestamp", [0]) => Some(ColumnType::TimestampSeconds),
        ("timestamptz", [] | [6]) => Some(ColumnType::TimestampTz),
        ("date", []) => Some(ColumnType::Date),
        _ => None,
    };
    column_type.map(|column_type| (column_type, unit))
}

/// Takes `char` or `byte` out of `varchar2(60 byte)`.
fn length_unit(text: &str) -> (String, Option<LengthUnit>) {
    let units = [(" byte)", LengthUnit::Bytes), (" char)", LengthUnit::Characters)];
    let found = units.into_iter().find_map(|(word, unit)| Some((text.strip_suffix(word)?, unit)));
    match found {
        Some((rest, unit)) => (format!("{})", rest.trim_end()), Some(unit)),
        None => (text.to_owned(), None),
    }
}

fn precision(digits: u32, scale: u32) -> Option<ColumnType> {
    (scale <= digits).then_some(ColumnType::Numeric(Some(Precision { digits, scale })))
}

pub(super) fn takes_map(column_type: ColumnType) -> bool {
    match column_type {
        ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Numeric(_)
        | ColumnType::Integer
        | ColumnType::BigInt => true,
        ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => false,
    }
}

/// Why `stored` does not fit a column that keeps text or whole numbers.
pub(super) fn misfit(stored: &str, home: &Home) -> Option<String> {
    let longer = |limit: u32| home.length_in.length(stored) > limit as usize;
    match home.column_type {
        ColumnType::Char(limit) | ColumnType::Varchar(Some(limit)) if longer(limit) => {
            Some(format!("longer than {limit}"))
        }
        ColumnType::Char(_) if stored.ends_with(' ') => Some("blanks at its end are taken for padding".to_owned()),
        ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt => {
            let number = stored.parse::<i64>();
            number.err().map(|_| "not a whole number".to_owned())
        }
        ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => None,
    }
}

/// What to do when a column type cannot keep `kind` as it is; `None` when it can.
pub(super) fn unstorable(kind: Kind, column_type: ColumnType) -> Option<&'static str> {
    let whole = match column_type {
        ColumnType::Integer | ColumnType::BigInt | ColumnType::Numeric(None) => true,
        ColumnType::Numeric(Some(precision)) => precision.scale == 0,
        ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::TimestampSeconds
        | ColumnType::TimestampTz
        | ColumnType::Date => false,
    };
    let text = matches!(column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
    let time = matches!(
        column_type,
        ColumnType::Timestamp | ColumnType::TimestampSeconds | ColumnType::TimestampTz | ColumnType::Date
    );
    match kind {
        Kind::Text if !text => Some("use char(n), varchar(n) or text"),
        Kind::Int if !whole => Some("use integer, bigint or numeric without digits after the point"),
        Kind::Bool if column_type != ColumnType::Boolean => {
            Some("use boolean, or say with `map` what is stored for true and false")
        }
        Kind::Decimal if !matches!(column_type, ColumnType::Numeric(_)) => Some("use numeric or numeric(p,s)"),
        Kind::Instant if !time => Some("use timestamp with a zone, or timestamptz"),
        Kind::Text | Kind::Int | Kind::Bool | Kind::Decimal | Kind::Instant => None,
    }
}

/// A kind as a person says it.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Int => "a whole number",
        Kind::Bool => "a Boolean",
        Kind::Decimal => "a Decimal",
        Kind::Instant => "a DateTime",
    }
}

/// A stored time: with an offset, or local in the column's zone.
pub(super) fn parse_instant(text: &str, home: &Home) -> Option<Instant> {
    if let Some(instant) = Instant::parse(text) {
        return Some(instant);
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let local = day
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok())
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok())?;
    let utc = home.zone.as_ref().map_or(Some(local), |zone| zone.utc(local))?;
    Some(Instant::new(utc.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_counts_what_its_engine_counts_unless_told_otherwise() {
        let text = |length| ColumnType::Varchar(Some(length));
        let table = [
            ("varchar(60)", Some((text(60), LengthUnit::Characters))),
            ("varchar2(60)", Some((text(60), LengthUnit::Bytes))),
            ("VARCHAR2(60 CHAR)", Some((text(60), LengthUnit::Characters))),
            ("varchar(60 byte)", Some((text(60), LengthUnit::Bytes))),
            ("char( 4  byte)", Some((ColumnType::Char(4), LengthUnit::Bytes))),
            ("char(4)", Some((ColumnType::Char(4), LengthUnit::Characters))),
            ("number(10 byte)", None),
            ("varchar2(byte)", None),
            ("varchar2(60 bytes)", None),
            ("varchar2", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_type(text), expected, "{text}");
        }
    }
}
