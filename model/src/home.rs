//! Where a field lives on one side, in that side's own habits.

use crate::value::{Instant, Value};
use crate::zone::Zone;

/// Where a field lives on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The column's name, written as in SQL.
    pub column: String,
    /// The column's declared type: decides binding, padding and what fits.
    pub column_type: ColumnType,
    /// What a limit on text counts.
    pub length_in: LengthUnit,
    /// The zone in which a column without zone keeps local time.
    pub zone: Option<Zone>,
    /// Canonical value to stored text, one to one: `true` is `Y`. Empty: stored as it is.
    pub map: Vec<(Value, String)>,
    /// Stored `''` means null on this side.
    pub empty_is_null: bool,
    /// Stored instants that mean null on this side, such as 9999-12-31.
    pub null_instants: Vec<Instant>,
}

impl Home {
    /// A plain column without zone, map or sentinels.
    pub fn new(column: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            column: column.into(),
            column_type,
            length_in: LengthUnit::Characters,
            zone: None,
            map: Vec::new(),
            empty_is_null: false,
            null_instants: Vec::new(),
        }
    }
}

/// The declared type of a column, in either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Blank-padded text of exactly this many characters (or bytes, see [`Home::length_in`]). Read without the padding.
    Char(u32),
    /// Text of at most this many characters (or bytes); `None`: no limit.
    Varchar(Option<u32>),
    /// Exact numbers; `None`: any precision and scale.
    Numeric(Option<Precision>),
    /// 32-bit integer.
    Integer,
    /// 64-bit integer.
    BigInt,
    /// `true` or `false`.
    Boolean,
    /// Date and time without zone, to the microsecond.
    Timestamp,
    /// Date and time without zone, whole seconds (Oracle's DATE).
    TimestampSeconds,
    /// An instant, to the microsecond.
    TimestampTz,
    /// A day without time.
    Date,
}

/// What the limit of a text column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LengthUnit {
    /// Characters: PostgreSQL always, Oracle for `VARCHAR2(n CHAR)`.
    Characters,
    /// Bytes of UTF-8: Oracle's default, in which `é` takes two.
    Bytes,
}

impl LengthUnit {
    /// The length of `text` in this unit.
    pub fn length(self, text: &str) -> usize {
        match self {
            Self::Characters => text.chars().count(),
            Self::Bytes => text.len(),
        }
    }
}

/// NUMERIC(precision, scale).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Digits in all.
    pub digits: u32,
    /// Digits after the point.
    pub scale: u32,
}
