//! Values on their way to the server, each with its type.
//!
//! A text that is bound without a type goes as NVARCHAR2, and the server converts the *column* to compare it: no
//! index is used any more. So nothing is bound but through [`Bind`]:
//! - texts as VARCHAR2, or as CHAR where a CHAR column is compared (a VARCHAR2 is compared with its padding);
//! - numbers as NUMBER from exact text, never as floats;
//! - times as DATE or TIMESTAMP, as the column is: a DATE column compared with a TIMESTAMP loses its index too.

use chrono::{Datelike, NaiveDateTime, Timelike};
use model::WriteId;
use model::contract::ColumnType;
use oracle::sql_type::{OracleType, Timestamp, ToSql};
use oracle::{Connection, SqlValue};

use crate::stored::Stored;

/// The type that a value is bound as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// VARCHAR2 with room for so many bytes; CLOB beyond what VARCHAR2 holds.
    Text(usize),
    /// CHAR with room for so many bytes.
    Char(usize),
    Number,
    Date,
    Timestamp,
    TimestampTz,
}

/// Room is made in steps: a server keeps one parsed statement for each size that it is bound with.
const STEPS: [usize; 5] = [32, 128, 2_000, 4_000, 32_767];

/// Bytes of the longest number: sign, zero, point, and as many digits as an Oracle keeps, with room.
const LONGEST_NUMBER: usize = 200;

impl Kind {
    /// What the driver calls it.
    pub(super) fn oracle(self) -> OracleType {
        let step = |bytes: usize, most: usize| {
            let step = STEPS.into_iter().find(|step| *step >= bytes && *step <= most);
            step.and_then(|step| u32::try_from(step).ok())
        };
        match self {
            Self::Text(bytes) => step(bytes, 32_767).map_or(OracleType::CLOB, OracleType::Varchar2),
            Self::Char(bytes) => step(bytes, 2_000).map_or_else(|| Self::Text(bytes).oracle(), OracleType::Char),
            // No precision: any number that the server holds.
            Self::Number => OracleType::Number(0, 0),
            Self::Date => OracleType::Date,
            Self::Timestamp => OracleType::Timestamp(6),
            Self::TimestampTz => OracleType::TimestampTZ(6),
        }
    }

    /// The type that takes the values of every row at `place`.
    pub(super) fn widest(rows: &[Vec<Bind>], place: usize) -> Self {
        let kinds = rows.iter().filter_map(|row| row.get(place)).map(|bind| bind.kind);
        kinds.reduce(Self::wider).unwrap_or(Self::Text(0))
    }

    fn wider(self, other: Self) -> Self {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => Self::Text(one.max(two)),
            (Self::Char(one), Self::Char(two)) => Self::Char(one.max(two)),
            // A long number goes as text, see `Bind::number`: then all of its column do.
            (Self::Number, Self::Text(size)) | (Self::Text(size), Self::Number) => Self::Text(size.max(LONGEST_NUMBER)),
            (one, _) => one,
        }
    }
}

#[derive(Debug, Clone)]
enum Sent {
    Null,
    Text(String),
    Time(NaiveDateTime),
}

/// One value with its type.
#[derive(Debug, Clone)]
pub(super) struct Bind {
    kind: Kind,
    sent: Sent,
}

impl Bind {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind: Kind::Text(text.len()), sent: Sent::Text(text) }
    }

    pub(super) fn optional(text: Option<String>) -> Self {
        text.map_or(Self { kind: Kind::Text(0), sent: Sent::Null }, Self::text)
    }

    /// A text that is compared with CHAR and VARCHAR2 columns alike: a CHAR of its own length.
    pub(super) fn char(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind: Kind::Char(text.len()), sent: Sent::Text(text) }
    }

    /// A number; as text when it is long, since the driver counts the digits of a NUMBER in 64 bits and panics beyond
    /// them. The server makes a number of it, and not a text of the column.
    pub(super) fn number(number: impl ToString) -> Self {
        let text = number.to_string();
        let long = text.split(['.', '-']).any(|digits| digits.len() > 18);
        let kind = if long { Kind::Text(text.len()) } else { Kind::Number };
        Self { kind, sent: Sent::Text(text) }
    }

    pub(super) fn write(write: WriteId) -> Self {
        Self::text(write.to_string())
    }

    /// An instant, given in UTC.
    pub(super) fn instant(utc: NaiveDateTime) -> Self {
        Self { kind: Kind::TimestampTz, sent: Sent::Time(utc) }
    }

    /// A null for a statement that says its type itself.
    pub(super) fn null() -> Self {
        Self { kind: Kind::Text(0), sent: Sent::Null }
    }

    /// A value for a column of this declared type.
    pub(super) fn stored(column: ColumnType, stored: Stored) -> Self {
        let kind = match column {
            ColumnType::Char(_) => Kind::Char(0),
            ColumnType::Varchar(_) => Kind::Text(0),
            ColumnType::Numeric(_) | ColumnType::Integer | ColumnType::BigInt | ColumnType::Boolean => Kind::Number,
            ColumnType::TimestampSeconds | ColumnType::Date => Kind::Date,
            ColumnType::Timestamp => Kind::Timestamp,
            ColumnType::TimestampTz => Kind::TimestampTz,
        };
        let sized = |text: &str| match kind {
            Kind::Text(_) => Kind::Text(text.len()),
            Kind::Char(_) => Kind::Char(text.len()),
            other => other,
        };
        match stored {
            Stored::Null | Stored::List(_) => Self { kind, sent: Sent::Null },
            Stored::Text(text) => Self { kind: sized(&text), sent: Sent::Text(text) },
            Stored::Uuid(uuid) => Self::text(uuid.to_string()),
            Stored::Bool(flag) => Self::number(u8::from(flag)),
            Stored::Small(value) => Self::number(value),
            Stored::Integer(value) => Self::number(value),
            Stored::Big(value) => Self::number(value),
            Stored::Numeric(value) => Self::number(value),
            Stored::Timestamp(time) => Self { kind, sent: Sent::Time(time) },
            Stored::TimestampTz(time) => Self { kind, sent: Sent::Time(time.naive_utc()) },
            Stored::Date(day) => Self { kind, sent: Sent::Time(day.into()) },
        }
    }
}

impl ToSql for Bind {
    fn oratype(&self, _: &Connection) -> oracle::Result<OracleType> {
        Ok(self.kind.oracle())
    }

    fn to_sql(&self, value: &mut SqlValue<'_>) -> oracle::Result<()> {
        match &self.sent {
            Sent::Null => value.set_null(),
            // Nothing is null to an Oracle.
            Sent::Text(text) if text.is_empty() => value.set_null(),
            Sent::Text(text) => text.to_sql(value),
            Sent::Time(time) => {
                let stamp = Timestamp::new(
                    time.year(),
                    time.month(),
                    time.day(),
                    time.hour(),
                    time.minute(),
                    time.second(),
                    time.nanosecond(),
                )?;
                match self.kind {
                    Kind::TimestampTz => stamp.and_tz_hm_offset(0, 0)?.to_sql(value),
                    _ => stamp.to_sql(value),
                }
            }
        }
    }
}
