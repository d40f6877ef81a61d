//! Types: what a column is called in Oracle, and how a value of PostgreSQL is read.

use std::error::Error;

use postgres::types::private::BytesMut;
use postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::date::{Moment, Span};

/// Codes of types in the C interface that columns are described with.
pub mod code {
    /// VARCHAR2
    pub const VARCHAR2: u16 = 1;
    /// NUMBER
    pub const NUMBER: u16 = 2;
    /// DATE
    pub const DATE: u16 = 12;
    /// RAW
    pub const RAW: u16 = 23;
    /// CHAR
    pub const CHAR: u16 = 96;
    /// `BINARY_FLOAT`
    pub const BINARY_FLOAT: u16 = 100;
    /// `BINARY_DOUBLE`
    pub const BINARY_DOUBLE: u16 = 101;
    /// ROWID
    pub const ROWID: u16 = 104;
    /// CLOB
    pub const CLOB: u16 = 112;
    /// BLOB
    pub const BLOB: u16 = 113;
    /// A cursor
    pub const CURSOR: u16 = 116;
    /// TIMESTAMP
    pub const TIMESTAMP: u16 = 187;
    /// TIMESTAMP WITH TIME ZONE
    pub const TIMESTAMP_TZ: u16 = 188;
    /// INTERVAL YEAR TO MONTH
    pub const INTERVAL_YM: u16 = 189;
    /// INTERVAL DAY TO SECOND
    pub const INTERVAL_DS: u16 = 190;
}

/// A value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL, which in Oracle is also the empty text.
    Null,
    /// Characters.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A decimal number, as text.
    Number(String),
    /// A binary number.
    Double(f64),
    /// A date, with or without zone.
    Moment(Moment),
    /// An interval.
    Span(Span),
    /// An open cursor, by its name in PostgreSQL.
    Cursor(String),
}

/// A column of a result, as it is described to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, in Oracle's case.
    pub name: String,
    /// Its type, of [`code`].
    pub kind: u16,
    /// Its longest value in bytes.
    pub bytes: u16,
    /// Its longest value in characters.
    pub characters: u16,
    /// Digits.
    pub precision: i16,
    /// Digits behind the point; -127 for a NUMBER without.
    pub scale: i8,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// What the catalog of PostgreSQL knows of a column beyond the wire.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The name of its type, which tells RAW from BLOB and bytes from characters.
    pub type_name: String,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// Describes a column of a statement; `origin` for a column of a table.
pub fn describe(name: &str, kind: &Type, modifier: i32, origin: Option<&Origin>) -> Column {
    let stored = origin.is_some();
    let by_bytes = origin.is_some_and(|origin| origin.type_name.ends_with("BYTE)"));
    let (kind, bytes, precision, scale) = match *kind {
        Type::INT2 if stored => (code::NUMBER, 22, 5, 0),
        Type::INT4 if stored => (code::NUMBER, 22, 10, 0),
        Type::INT8 if stored => (code::NUMBER, 22, 19, 0),
        Type::BOOL => (code::NUMBER, 22, 1, 0),
        Type::NUMERIC if modifier > 4 => {
            let [.., high, low] = (modifier - 4).to_be_bytes().map(i32::from);
            let precision = ((modifier - 4) >> 16) & 0xffff;
            // Eleven bits with a sign: PostgreSQL has NUMBER(5,-2), too.
            let scale = (((high & 0x7) << 8 | low) ^ 1024) - 1024;
            (code::NUMBER, 22, narrow(precision), i8::try_from(scale).unwrap_or(0))
        }
        Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC | Type::OID => (code::NUMBER, 22, 0, -127),
        Type::FLOAT4 => (code::BINARY_FLOAT, 4, 0, 0),
        Type::FLOAT8 => (code::BINARY_DOUBLE, 8, 0, 0),
        Type::TIMESTAMP if modifier == 0 => (code::DATE, 7, 0, 0),
        Type::DATE => (code::DATE, 7, 0, 0),
        Type::TIMESTAMP => (code::TIMESTAMP, 11, 0, 6),
        Type::TIMESTAMPTZ => (code::TIMESTAMP_TZ, 13, 0, 6),
        // The fields of the interval are in the upper half: year is 2, month is 1.
        Type::INTERVAL if modifier >= 0 && (modifier >> 16) & 0x7fff == 6 => (code::INTERVAL_YM, 5, 4, 0),
        Type::INTERVAL => (code::INTERVAL_DS, 11, 9, 6),
        Type::BYTEA => match origin.map(|origin| raw_size(&origin.type_name)) {
            Some(Some(size)) => (code::RAW, size, 0, 0),
            Some(None) => (code::BLOB, 4000, 0, 0),
            None => (code::RAW, 2000, 0, 0),
        },
        Type::TID => (code::ROWID, 18, 0, 0),
        Type::REFCURSOR => (code::CURSOR, 8, 0, 0),
        Type::BPCHAR => (code::CHAR, text_bytes(modifier, by_bytes), 0, 0),
        Type::TEXT if stored => (code::CLOB, 4000, 0, 0),
        _ => (code::VARCHAR2, text_bytes(modifier, by_bytes), 0, 0),
    };
    let characters = if by_bytes { bytes } else { (bytes / 4).max(1) };
    let nullable = origin.is_none_or(|origin| origin.nullable);
    Column { name: oracle_case(name), kind, bytes, characters, precision, scale, nullable }
}

fn narrow(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(0)
}

/// Room for a text of a declared length; four bytes for a character, unless the length is in bytes.
fn text_bytes(modifier: i32, by_bytes: bool) -> u16 {
    if modifier <= 4 {
        return 4000;
    }
    let length = modifier - 4;
    u16::try_from(if by_bytes { length } else { length * 4 }).unwrap_or(32_767).min(32_767)
}

/// The length of `RAW(n)`, the domain that stands for it.
fn raw_size(type_name: &str) -> Option<u16> {
    type_name.strip_prefix("RAW(")?.strip_suffix(')')?.parse().ok()
}

/// A name as Oracle has it. What is written without quotes is lower case in PostgreSQL and upper case in Oracle, so
/// names of one case change it, and others stay.
pub fn oracle_case(name: &str) -> String {
    match name {
        "ctid" => "ROWID".to_owned(),
        _ => swap_case(name),
    }
}

/// Turns a name of one case into the other; both ways.
pub fn swap_case(name: &str) -> String {
    match (name.chars().any(char::is_uppercase), name.chars().any(char::is_lowercase)) {
        (true, false) => name.to_lowercase(),
        (false, true) => name.to_uppercase(),
        (false, false) | (true, true) => name.to_owned(),
    }
}

/// Reads a value as PostgreSQL sends it, in binary.
pub fn read(kind: &Type, bytes: &[u8]) -> Value {
    match *kind {
        Type::INT2 | Type::INT4 | Type::INT8 => Value::Number(integer(bytes).to_string()),
        Type::OID => Value::Number((integer(bytes) & 0xffff_ffff).to_string()),
        Type::BOOL => Value::Number(bytes[0].to_string()),
        Type::NUMERIC => Value::Number(numeric(bytes)),
        Type::FLOAT4 => Value::Double(bytes.try_into().map_or(0.0, |bytes| f64::from(f32::from_be_bytes(bytes)))),
        Type::FLOAT8 => Value::Double(bytes.try_into().map_or(0.0, f64::from_be_bytes)),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => Value::Moment(Moment::from_micros(integer(bytes))),
        Type::DATE => Value::Moment(Moment::from_micros(integer(bytes) * 86_400_000_000)),
        Type::INTERVAL => Value::Span(Span::from_wire(bytes)),
        Type::BYTEA if bytes.is_empty() => Value::Null,
        Type::BYTEA => Value::Bytes(bytes.to_vec()),
        Type::TID => {
            Value::Text(format!("({},{})", integer(&bytes[..4]) & 0xffff_ffff, integer(&bytes[4..6]) & 0xffff))
        }
        Type::UUID => Value::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Type::REFCURSOR => Value::Cursor(String::from_utf8_lossy(bytes).into_owned()),
        _ if bytes.is_empty() => Value::Null,
        _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |sum, byte| (sum << 8) | i64::from(*byte))
}

/// The wire form of numeric: digits to the base of 10 000, the place of the first, sign, digits behind the point.
fn numeric(bytes: &[u8]) -> String {
    let part = |place: usize| bytes.get(place..place + 2).map_or(0, |pair| i16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, negative) = (i32::from(part(0)), i32::from(part(2)), part(4) == 0x4000);
    let behind = usize::try_from(part(6)).unwrap_or(0);
    let digit = |place: i32| match usize::try_from(place) {
        Ok(index) if place < count => part(8 + 2 * index),
        _ => 0,
    };
    let whole: String = (0..=weight).map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut place = weight.min(-1) + 1 + (weight - weight.min(-1));
    // A number like 0.00001 begins behind the point.
    for _ in 0..(-1 - weight).max(0) {
        fraction += "0000";
        place = 0;
    }
    while fraction.len() < behind {
        fraction += &format!("{:04}", digit(place));
        place += 1;
    }
    fraction.truncate(behind);
    let sign = if negative { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A value that goes in: text in the input format of its type, which PostgreSQL infers where it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The declared type.
    pub kind: Type,
    /// `None` is NULL.
    pub text: Option<String>,
}

impl Parameter {
    /// NULL of no particular type.
    pub fn null() -> Self {
        Self { kind: Type::UNKNOWN, text: None }
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.text else {
            return Ok(IsNull::Yes);
        };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The bytes of a value, whatever its type.
#[derive(Debug)]
pub struct Wire<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Wire<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(bytes)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, negative: bool, behind: i16, digits: &[i16]) -> Vec<u8> {
        let count = i16::try_from(digits.len()).unwrap();
        let head = [count, weight, if negative { 0x4000 } else { 0 }, behind];
        head.iter().chain(digits).flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_are_read_from_the_wire() {
        assert_eq!(numeric(&wire(0, false, 2, &[12, 3400])), "12.34");
        assert_eq!(numeric(&wire(-1, true, 3, &[50])), "-0.005");
        assert_eq!(numeric(&wire(-2, false, 8, &[1])), "0.00000001");
        assert_eq!(numeric(&wire(2, false, 0, &[1])), "100000000");
        assert_eq!(numeric(&wire(0, false, 0, &[])), "0");
    }

    #[test]
    fn a_name_of_one_case_changes_it() {
        assert_eq!(["itmno", "NAME", "Mixed", "v$x#"].map(oracle_case), ["ITMNO", "name", "Mixed", "V$X#"]);
    }

    #[test]
    fn a_length_in_bytes_is_described_in_bytes() {
        let by_bytes = Origin { type_name: "VARCHAR2(20 BYTE)".to_owned(), nullable: false };
        let column = describe("no", &Type::VARCHAR, 24, Some(&by_bytes));
        assert_eq!((column.bytes, column.characters, column.nullable), (20, 20, false));
        let by_characters = Origin { type_name: "varchar".to_owned(), nullable: true };
        let column = describe("no", &Type::VARCHAR, 24, Some(&by_characters));
        assert_eq!((column.bytes, column.characters), (80, 20));
    }

    #[test]
    fn a_negative_scale_is_described() {
        let column = describe("n", &Type::NUMERIC, ((5 << 16) | (-2 & 0x7ff)) + 4, Some(&Origin::default()));
        assert_eq!((column.precision, column.scale), (5, -2));
    }
}
