//! Canonical values: one form for what each side stores in its own way.
//!
//! An adapter reads 'Y', `CHAR(18)` padding or a local date and returns one of these; it takes one
//! of these and writes the side's own form. Everything between two adapters sees only this form.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;

/// A point in time in UTC, held to the microsecond (what both sides can keep).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct Instant(DateTime<Utc>);

/// Longest text of a time: the longest that means one has far fewer characters.
const MAX_TEXT: usize = 64;

impl Instant {
    /// Takes a time; anything below a microsecond is cut off.
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(6))
    }

    /// Parses RFC 3339, any offset; nothing that is absurdly long.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        DateTime::parse_from_rfc3339(text).ok().map(|time| Self::new(time.to_utc()))
    }

    /// The time in UTC.
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(time: DateTime<Utc>) -> Self {
        Self::new(time)
    }
}

impl From<Instant> for DateTime<Utc> {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

impl std::fmt::Display for Instant {
    /// RFC 3339 in UTC, with as many fraction digits as are needed: `2026-01-31T08:00:00Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// What a field holds, whatever the side's column type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text, IDs and enum names.
    Text,
    /// Whole numbers, 64 bit.
    Int,
    /// `true` and `false`.
    Bool,
    /// Exact decimal numbers.
    Decimal,
    /// Points in time.
    Instant,
}

/// A canonical value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing is known or stored.
    Null,
    /// A flag.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal.
    Decimal(Decimal),
    /// Text without padding.
    Text(String),
    /// A point in time.
    Instant(Instant),
    /// Several values of one kind; only as a parameter (`= ANY(:skus)`), never in a record.
    List(Vec<Value>),
}

impl Value {
    /// Text from anything that can become a string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The JSON form kept in ledgers and evidence: decimals and instants as strings, so that no
    /// reader makes floats of them. [`Value::from_json`] with the same kind gives the value back.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(flag) => (*flag).into(),
            Self::Int(number) => (*number).into(),
            Self::Decimal(decimal) => decimal.to_string().into(),
            Self::Text(text) => text.as_str().into(),
            Self::Instant(instant) => instant.to_string().into(),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
        }
    }

    /// Reads the JSON form of a value of `kind`; `None` when it is not one.
    pub fn from_json(json: &serde_json::Value, kind: Kind) -> Option<Self> {
        if json.is_null() {
            return Some(Self::Null);
        }
        match kind {
            Kind::Text => json.as_str().map(Self::text),
            Kind::Int => json.as_i64().map(Self::Int),
            Kind::Bool => json.as_bool().map(Self::Bool),
            Kind::Decimal => json.as_str()?.parse().ok().map(Self::Decimal),
            Kind::Instant => json.as_str().and_then(Instant::parse).map(Self::Instant),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
