//! Does a value fit the column that one side keeps it in? Asked before anything is sent to either.
//!
//! A write that one side would take and the other could not hold must fail while nothing is written,
//! so the write road asks this for *both* sides first. The codes are stable; the messages name the
//! field and the limit, never the value.
//!
//! Not here: the conversion itself (each adapter's `value.rs`), null-ness (the schema's types and the
//! store's own constraints decide that).

use chrono::{Datelike, NaiveTime, TimeZone, Utc};

use crate::contract::{ColumnType, EntityType, Field, Home, LengthUnit, Precision, Refusal};
use crate::decimal::Decimal;
use crate::record::{EntityKey, Record};
use crate::side::Side;
use crate::value::{Instant, Value};

/// Text has more characters, or bytes, than the column.
pub const TOO_LONG: &str = "TOO_LONG";
/// A number or time lies beyond what the column holds.
pub const OUT_OF_RANGE: &str = "OUT_OF_RANGE";
/// A number or time has more digits than the column keeps.
pub const TOO_PRECISE: &str = "TOO_PRECISE";
/// The value has no stored form on that side.
pub const NO_MAPPING: &str = "NO_MAPPING";
/// Text holds a character that databases cannot store, or blanks that padding would swallow.
pub const BAD_CHARACTER: &str = "BAD_CHARACTER";

/// The store holds something there that is no value of the field's type.
pub const UNREADABLE: &str = "UNREPRESENTABLE_VALUE";

/// Whether every known field of `record` fits its column on `side`.
///
/// # Errors
/// The refusal of the first field that does not fit.
pub fn record_fits(entity: &EntityType, side: Side, record: &Record) -> Result<(), Refusal> {
    record.iter().try_for_each(|(index, value)| value_fits(entity.field(index), side, value))
}

/// Whether every part of `key` fits its column on `side`. A key that does not fit names no record.
///
/// # Errors
/// The refusal of the first part that does not fit.
pub fn key_fits(entity: &EntityType, side: Side, key: &EntityKey) -> Result<(), Refusal> {
    let parts = entity.key().iter().zip(key.parts());
    parts.into_iter().try_for_each(|(index, value)| value_fits(entity.field(*index), side, value))
}

/// Whether `value` fits the column of `field` on `side`.
///
/// # Errors
/// The refusal, naming the field, the side and the limit.
pub fn value_fits(field: &Field, side: Side, value: &Value) -> Result<(), Refusal> {
    let home = field.home.get(side);
    let refusal = |(code, rule): (&str, String)| Refusal {
        code: code.to_owned(),
        message: format!("{} {rule} ({side})", field.name),
    };
    if home.map.iter().any(|(canonical, _)| canonical == value) || value.is_null() {
        return Ok(());
    }
    if !home.map.is_empty() {
        return Err(refusal((NO_MAPPING, "has no stored form for this value".into())));
    }
    let fits = match home.column_type {
        ColumnType::Char(length) => text_fits(value, Some(length), home.length_in).and_then(|()| unpadded(value)),
        ColumnType::Varchar(length) => text_fits(value, length, home.length_in),
        ColumnType::Numeric(precision) => number_fits(value, precision),
        ColumnType::Integer => integer_fits(value, i64::from(i32::MIN), i64::from(i32::MAX)),
        ColumnType::BigInt => integer_fits(value, i64::MIN, i64::MAX),
        ColumnType::Boolean => match value {
            Value::Bool(_) => Ok(()),
            Value::Null | Value::Int(_) | Value::Decimal(_) | Value::Text(_) | Value::Instant(_) | Value::List(_) => {
                Err(no_form("a flag"))
            }
        },
        ColumnType::TimestampTz => instant_fits(value, &home.null_instants).map(|_| ()),
        ColumnType::Timestamp | ColumnType::TimestampSeconds => {
            instant_fits(value, &home.null_instants).and_then(|instant| told_apart(field, home, instant))
        }
        ColumnType::Date => instant_fits(value, &home.null_instants).and_then(|instant| {
            told_apart(field, home, instant)?;
            let utc = instant.to_utc().naive_utc();
            let local = home.zone.as_ref().map_or(Some(utc), |zone| zone.local(utc));
            if local.is_some_and(|local| local.time() == NaiveTime::MIN) {
                Ok(())
            } else {
                Err((TOO_PRECISE, "must be midnight: the column keeps days".into()))
            }
        }),
    };
    fits.map_err(refusal)
}

/// Of a time that the clocks show twice a column without zone keeps the first. A write's own stamp is [`stamp`]'s matter.
fn told_apart(field: &Field, home: &Home, instant: Instant) -> Fits {
    if field.stamped || kept(home, instant) == instant {
        return Ok(());
    }
    Err((NO_MAPPING, "falls into an hour that the clocks show twice, of which the column keeps the first".into()))
}

/// What a column without zone gives back of an instant.
fn kept(home: &Home, instant: Instant) -> Instant {
    let utc = instant.to_utc().naive_utc();
    let read = home.zone.as_ref().and_then(|zone| zone.utc(zone.local(utc)?));
    read.map_or(instant, |read| Instant::new(read.and_utc()))
}

/// The time that is put into a stamped field: `now`, or in the second of two equal hours the first, where a side keeps
/// local time there. Both sides then hold the same.
pub fn stamp(field: &Field, now: Instant) -> Instant {
    let local = |home: &Home| {
        matches!(home.column_type, ColumnType::Timestamp | ColumnType::TimestampSeconds | ColumnType::Date)
    };
    let homes = Side::BOTH.map(|side| field.home.get(side));
    homes.into_iter().filter(|home| local(home)).fold(now, |now, home| kept(home, now))
}

type Fits<T = ()> = Result<T, (&'static str, String)>;

fn no_form(what: &str) -> (&'static str, String) {
    (NO_MAPPING, format!("is kept as {what}, which this value is not"))
}

fn text_fits(value: &Value, length: Option<u32>, unit: LengthUnit) -> Fits {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        Value::Null | Value::Bool(_) | Value::Instant(_) | Value::List(_) => {
            return Err(no_form("text"));
        }
    };
    if text.contains('\0') {
        return Err((BAD_CHARACTER, "must not contain the NUL character".into()));
    }
    match length {
        Some(limit) if unit.length(&text) > limit as usize => {
            let unit = match unit {
                LengthUnit::Characters => "characters",
                LengthUnit::Bytes => "bytes",
            };
            Err((TOO_LONG, format!("has at most {limit} {unit}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Blanks at the end of a padded column come back cut off: the record would have another key.
fn unpadded(value: &Value) -> Fits {
    match value {
        Value::Text(text) if text.ends_with(' ') => Err((BAD_CHARACTER, "must not end with a blank".into())),
        Value::Text(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Instant(_)
        | Value::List(_) => Ok(()),
    }
}

/// The number in `value`; text counts when it is a number's own canonical text.
fn number(value: &Value) -> Fits<Decimal> {
    match value {
        Value::Int(number) => Ok(Decimal::from(*number)),
        Value::Decimal(decimal) => Ok(decimal.clone()),
        Value::Text(text) => match text.parse::<Decimal>() {
            Ok(decimal) if decimal.to_string() == *text => Ok(decimal),
            Ok(_) | Err(_) => Err(no_form("a number")),
        },
        Value::Null | Value::Bool(_) | Value::Instant(_) | Value::List(_) => Err(no_form("a number")),
    }
}

fn number_fits(value: &Value, precision: Option<Precision>) -> Fits {
    let decimal = number(value)?;
    let Some(Precision { digits, scale }) = precision else {
        return Ok(());
    };
    if decimal.scale() > scale {
        return Err((TOO_PRECISE, format!("has at most {scale} digits after the point")));
    }
    let before = digits.saturating_sub(scale);
    if decimal.integer_digits() > u64::from(before) {
        return Err((OUT_OF_RANGE, format!("has at most {before} digits before the point")));
    }
    Ok(())
}

fn integer_fits(value: &Value, low: i64, high: i64) -> Fits {
    let decimal = number(value)?;
    if decimal.scale() > 0 {
        return Err((TOO_PRECISE, "is a whole number".into()));
    }
    if decimal < Decimal::from(low) || decimal > Decimal::from(high) {
        return Err((OUT_OF_RANGE, format!("lies between {low} and {high}")));
    }
    Ok(())
}

fn instant_fits(value: &Value, sentinels: &[Instant]) -> Fits<Instant> {
    let Value::Instant(instant) = value else {
        return Err(no_form("a point in time"));
    };
    if sentinels.contains(instant) {
        return Err((NO_MAPPING, "must not be the time that stands for null".into()));
    }
    // The ends are left out so that no zone moves a time over them.
    let low = Utc.with_ymd_and_hms(1, 1, 2, 0, 0, 0).single();
    if low.is_some_and(|low| instant.to_utc() < low) || instant.to_utc().year() > 9999 {
        return Err((OUT_OF_RANGE, "lies between the years 1 and 9999".into()));
    }
    Ok(*instant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Compare, Home};
    use crate::name::FieldName;
    use crate::side::PerSide;
    use crate::value::Kind;

    fn field(home: PerSide<Home>) -> Field {
        Field {
            name: FieldName::from("x"),
            kind: Kind::Text,
            nullable: true,
            home,
            compare: Compare::default(),
            sensitive: false,
            stamped: false,
        }
    }

    fn code(home: Home, value: Value) -> Option<String> {
        let field = field(PerSide { legacy: home.clone(), modern: home });
        value_fits(&field, Side::Legacy, &value).err().map(|refusal| {
            assert!(refusal.message.starts_with("x "), "{}", refusal.message);
            refusal.code
        })
    }

    #[test]
    fn the_second_of_two_equal_hours_fits_no_column_of_local_time_and_a_stamp_is_the_first() {
        let local = |column_type| Home { zone: crate::Zone::named("Europe/Berlin"), ..Home::new("c", column_type) };
        let instant = |text: &str| Instant::parse(text).unwrap();
        // Berlin's clocks showed 02:30 twice on the 25th of October.
        let (first, second) = (instant("2026-10-25T00:30:00Z"), instant("2026-10-25T01:30:00.5Z"));
        for column_type in [ColumnType::Timestamp, ColumnType::TimestampSeconds] {
            assert_eq!(code(local(column_type), Value::Instant(first)), None);
            assert_eq!(code(local(column_type), Value::Instant(second)).as_deref(), Some(NO_MAPPING));
        }
        assert_eq!(code(Home::new("c", ColumnType::TimestampTz), Value::Instant(second)), None);
        let home =
            PerSide { legacy: local(ColumnType::TimestampSeconds), modern: Home::new("c", ColumnType::TimestampTz) };
        let field = Field { stamped: true, ..field(home) };
        assert_eq!(stamp(&field, second), instant("2026-10-25T00:30:00.5Z"));
        assert_eq!(stamp(&field, first), first);
        assert!(value_fits(&field, Side::Legacy, &Value::Instant(second)).is_ok());
    }

    #[test]
    fn what_a_column_cannot_hold_has_a_code_and_what_it_can_hold_has_none() {
        let home = |column_type| Home::new("c", column_type);
        let bytes = |column_type| Home { length_in: LengthUnit::Bytes, ..home(column_type) };
        let money = ColumnType::Numeric(Some(Precision { digits: 5, scale: 2 }));
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        let time = |text: &str| Value::Instant(Instant::parse(text).unwrap());
        let flag = Home { map: vec![(Value::Bool(true), "Y".into())], ..home(ColumnType::Char(1)) };
        let table = [
            (home(ColumnType::Char(3)), "äöü".into(), None),
            (home(ColumnType::Char(3)), "abcd".into(), Some(TOO_LONG)),
            (home(ColumnType::Char(3)), "a ".into(), Some(BAD_CHARACTER)),
            (home(ColumnType::Varchar(Some(2))), "a ".into(), None),
            (home(ColumnType::Varchar(Some(2))), "abc".into(), Some(TOO_LONG)),
            // Two characters, four bytes: what Oracle's VARCHAR2(2) refuses and PostgreSQL takes.
            (home(ColumnType::Varchar(Some(2))), "éé".into(), None),
            (bytes(ColumnType::Varchar(Some(2))), "éé".into(), Some(TOO_LONG)),
            (bytes(ColumnType::Char(4)), "éé".into(), None),
            (home(ColumnType::Varchar(None)), "a\0".into(), Some(BAD_CHARACTER)),
            (home(money), decimal("999.99"), None),
            (home(money), decimal("1000"), Some(OUT_OF_RANGE)),
            (home(money), decimal("0.001"), Some(TOO_PRECISE)),
            (home(ColumnType::Numeric(None)), decimal("0.001"), None),
            (home(ColumnType::Numeric(None)), "17".into(), None),
            (home(ColumnType::Numeric(None)), "017".into(), Some(NO_MAPPING)),
            (home(ColumnType::Integer), Value::Int(1 << 31), Some(OUT_OF_RANGE)),
            (home(ColumnType::Integer), decimal("1.5"), Some(TOO_PRECISE)),
            (home(ColumnType::BigInt), Value::Int(i64::MIN), None),
            (home(ColumnType::Boolean), Value::Int(1), Some(NO_MAPPING)),
            (flag.clone(), Value::Bool(true), None),
            (flag.clone(), Value::Null, None),
            (flag, Value::Bool(false), Some(NO_MAPPING)),
            (home(ColumnType::Timestamp), time("9999-12-31T00:00:00Z"), None),
            (home(ColumnType::Date), time("2026-01-31T00:00:00Z"), None),
            (home(ColumnType::Date), time("2026-01-31T00:00:01Z"), Some(TOO_PRECISE)),
        ];
        for (home, value, expected) in table {
            let shown = format!("{:?} {value:?}", home.column_type);
            assert_eq!(code(home, value).as_deref(), expected, "{shown}");
        }
    }
}
