//! What a column of a row holds, in terms that both engines share.

use chrono::{Duration, NaiveDate, NaiveDateTime};
use model::contract::ColumnType;
use oracle::Row;
use oracle::sql_type::{OracleType, Timestamp};

use crate::stored::Stored;

/// One column of a row, for a column of this declared type; `None` when it cannot be understood.
pub(super) fn stored(row: &Row, place: usize, declared: ColumnType) -> Option<Stored> {
    let read = match row.sql_values().get(place)?.oracle_type().ok()? {
        OracleType::Date | OracleType::Timestamp(_) | OracleType::TimestampTZ(_) | OracleType::TimestampLTZ(_) => {
            row.get::<_, Option<Timestamp>>(place).ok()?.map(|time| clock(&time))
        }
        OracleType::Number(..) | OracleType::Float(_) | OracleType::Int64 => {
            let text = row.get::<_, Option<String>>(place).ok()?;
            text.map(|text| text.parse().ok().map(Stored::Numeric))
        }
        _ => row.get::<_, Option<String>>(place).ok()?.map(|text| Some(Stored::Text(text))),
    };
    let Some(read) = read else { return Some(Stored::Null) };
    Some(match (declared, read?) {
        (ColumnType::Boolean, Stored::Numeric(number)) => Stored::Bool(number.to_string() != "0"),
        // A CHAR of blanks alone is what an Oracle has for an empty text, and that is null.
        (ColumnType::Char(_), Stored::Text(text)) if text.trim_end_matches(' ').is_empty() => Stored::Null,
        (_, other) => other,
    })
}

fn clock(time: &Timestamp) -> Option<Stored> {
    let local = naive(time)?;
    if !time.with_tz() {
        return Some(Stored::Timestamp(local));
    }
    let utc = local.checked_sub_signed(Duration::seconds(time.tz_offset().into()))?;
    Some(Stored::TimestampTz(utc.and_utc()))
}

/// A time of our own tables, which hold UTC.
pub(super) fn moment(row: &Row, place: usize) -> Option<NaiveDateTime> {
    let time = row.get::<_, Option<Timestamp>>(place).ok().flatten()?;
    naive(&time)
}

fn naive(time: &Timestamp) -> Option<NaiveDateTime> {
    let day = NaiveDate::from_ymd_opt(time.year(), time.month(), time.day())?;
    day.and_hms_nano_opt(time.hour(), time.minute(), time.second(), time.nanosecond())
}

/// A text column of our own tables.
pub(super) fn text(row: &Row, place: usize) -> Option<String> {
    row.get::<_, Option<String>>(place).ok().flatten()
}

/// A number column of our own tables.
pub(super) fn number<T: std::str::FromStr>(row: &Row, place: usize) -> Option<T> {
    text(row, place)?.parse().ok()
}
