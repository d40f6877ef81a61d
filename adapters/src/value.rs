//! Canonical values ⇄ what a column keeps, by the contract's [`Home`].
//!
//! Rules that a reader should know:
//! - `CHAR(n)` is sent and compared without padding and read without it.
//! - Local times are those of `model::zone`: of two equal ones the earlier is meant, and the later fits no such column.
//! - A time outside the years 1 to 9999 in UTC, and `infinity`, is no value: it cannot be read.
//! - Null is written as the first sentinel of the home if it has one, else as `''` where `''` means null.
//! - Columns of whole seconds cut off what is below.
//!
//! Promise: what `model::fit` lets through can be written, and reads back as the same value.

use chrono::{Datelike, NaiveDateTime, SubsecRound};
use model::contract::{ColumnType, Refusal};
use model::{Decimal, Field, Home, Instant, Kind, Side, Value, fit};

use crate::stored::Stored;

/// The years of an instant.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

/// Converts a value for the column of `field` on `side`.
///
/// # Errors
/// The refusal of `model::fit` when it does not fit.
pub(crate) fn to_stored(field: &Field, side: Side, value: &Value) -> Result<Stored, Refusal> {
    fit::value_fits(field, side, value)?;
    let home = field.home.get(side);
    let mapped = home.map.iter().find(|(canonical, _)| canonical == value);
    let stored = match mapped {
        Some((_, text)) => text_as(home.column_type, text),
        None if value.is_null() => Some(null_as(home)),
        None => value_as(home, value),
    };
    stored.ok_or_else(|| Refusal {
        code: fit::NO_MAPPING.to_owned(),
        message: format!("{} has no stored form ({side})", field.name),
    })
}

/// Reads what the column of `field` on `side` keeps; `None` when it cannot be understood.
pub(crate) fn to_canonical(field: &Field, side: Side, stored: Stored) -> Option<Value> {
    let home = field.home.get(side);
    let stored = match (home.column_type, stored) {
        (ColumnType::Char(_), Stored::Text(mut text)) => {
            text.truncate(text.trim_end_matches(' ').len());
            Stored::Text(text)
        }
        (_, other) => other,
    };
    if !home.map.is_empty() {
        let text = as_text(&stored);
        if let Some((value, _)) = home.map.iter().find(|(_, kept)| Some(kept) == text.as_ref()) {
            return Some(value.clone());
        }
        return is_null(home, &stored).then_some(Value::Null);
    }
    if is_null(home, &stored) {
        return Some(Value::Null);
    }
    let value = match field.kind {
        Kind::Text => Value::Text(as_text(&stored)?),
        Kind::Int => Value::Int(as_integer(&stored)?),
        Kind::Bool => match stored {
            Stored::Bool(flag) => Value::Bool(flag),
            _ => return None,
        },
        Kind::Decimal => Value::Decimal(as_decimal(&stored)?),
        Kind::Instant => {
            let instant = as_instant(home, &stored)?;
            if home.null_instants.contains(&instant) {
                return Some(Value::Null);
            }
            Value::Instant(instant)
        }
    };
    Some(value)
}

fn is_null(home: &Home, stored: &Stored) -> bool {
    match stored {
        Stored::Null => true,
        Stored::Text(text) => home.empty_is_null && text.is_empty(),
        _ => false,
    }
}

fn null_as(home: &Home) -> Stored {
    let sentinel = home.null_instants.first();
    if let Some(stored) = sentinel.and_then(|instant| instant_as(home, *instant)) {
        return stored;
    }
    let is_text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
    if home.empty_is_null && is_text {
        return Stored::Text(String::new());
    }
    Stored::Null
}

/// A mapped text in a column of any type: flags are also kept as 1 and 0.
fn text_as(column_type: ColumnType, text: &str) -> Option<Stored> {
    match column_type {
        ColumnType::Char(_) | ColumnType::Varchar(_) => Some(Stored::Text(text.to_owned())),
        ColumnType::Numeric(_) => text.parse().ok().map(Stored::Numeric),
        ColumnType::Integer => text.parse().ok().map(Stored::Integer),
        ColumnType::BigInt => text.parse().ok().map(Stored::Big),
        ColumnType::Boolean => text.parse().ok().map(Stored::Bool),
        ColumnType::Timestamp | ColumnType::TimestampSeconds | ColumnType::TimestampTz | ColumnType::Date => None,
    }
}

fn value_as(home: &Home, value: &Value) -> Option<Stored> {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Bool(flag) => return Some(Stored::Bool(*flag)),
        Value::Instant(instant) => return instant_as(home, *instant),
        Value::Null | Value::List(_) => return None,
    };
    text_as(home.column_type, &text)
}

fn instant_as(home: &Home, instant: Instant) -> Option<Stored> {
    let utc = instant.to_utc();
    let local = home.zone.as_ref().map_or(Some(utc.naive_utc()), |zone| zone.local(utc.naive_utc()))?;
    match home.column_type {
        ColumnType::Timestamp => Some(Stored::Timestamp(local)),
        ColumnType::TimestampSeconds => Some(Stored::Timestamp(local.trunc_subsecs(0))),
        ColumnType::TimestampTz => Some(Stored::TimestampTz(utc)),
        ColumnType::Date => Some(Stored::Date(local.date())),
        ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Numeric(_)
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Boolean => None,
    }
}

fn as_text(stored: &Stored) -> Option<String> {
    match stored {
        Stored::Text(text) => Some(text.clone()),
        Stored::Bool(flag) => Some(flag.to_string()),
        Stored::Small(number) => Some(number.to_string()),
        Stored::Integer(number) => Some(number.to_string()),
        Stored::Big(number) => Some(number.to_string()),
        Stored::Numeric(decimal) => Some(decimal.to_string()),
        Stored::Uuid(uuid) => Some(uuid.to_string()),
        Stored::Null | Stored::Timestamp(_) | Stored::TimestampTz(_) | Stored::Date(_) | Stored::List(_) => None,
    }
}

fn as_decimal(stored: &Stored) -> Option<Decimal> {
    match stored {
        Stored::Numeric(decimal) => Some(decimal.clone()),
        Stored::Big(number) => Some(Decimal::from(*number)),
        Stored::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn as_integer(stored: &Stored) -> Option<i64> {
    match stored {
        Stored::Big(number) => Some(*number),
        Stored::Numeric(decimal) => decimal.to_string().parse().ok(),
        Stored::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn as_instant(home: &Home, stored: &Stored) -> Option<Instant> {
    let to_utc = |local: NaiveDateTime| home.zone.as_ref().map_or(Some(local), |zone| zone.utc(local));
    let utc = match stored {
        Stored::TimestampTz(time) => *time,
        Stored::Timestamp(local) => to_utc(*local)?.and_utc(),
        Stored::Date(day) => to_utc(day.and_hms_opt(0, 0, 0)?)?.and_utc(),
        _ => return None,
    };
    // What has no RFC 3339 form would not survive the ledger.
    YEARS.contains(&utc.year()).then(|| Instant::new(utc))
}
