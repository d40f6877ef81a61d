//! A value in a column's own terms, whichever engine keeps it.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use model::Decimal;
use uuid::Uuid;

/// One value in a column's own terms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Null,
    Bool(bool),
    Small(i16),
    Integer(i32),
    Big(i64),
    Numeric(Decimal),
    Text(String),
    Timestamp(NaiveDateTime),
    TimestampTz(DateTime<Utc>),
    Date(NaiveDate),
    Uuid(Uuid),
    List(Vec<Stored>),
}
