//! Checksums of records that are computed inside a store, equal on both sides when the records are.
//!
//! A *chunk* is the records whose key has an MD5 that begins with the same hexadecimal digits. So chunks
//! need no order (the two engines sort texts differently), are of about equal size, and a difference is
//! narrowed down by taking more digits. A chunk's *sum* adds up a number of each record, so the order in
//! which a store visits its records does not matter either.
//!
//! This page is the specification; each store says the same in its own SQL, and one contract suite
//! compares them with it:
//! - a field's text is what [`field_text`] says, under the field's `@compare`;
//! - a record's text is its compared fields' texts in the contract's order, [`escaped`], joined by [`SEPARATOR`];
//!   in place of null stands a [`MARK`], in place of what cannot be read as a value the side's [`unreadable`] and what
//!   the column holds, escaped;
//! - a record's number is the first [`DIGITS`] hexadecimal digits of the MD5 of its text in UTF-8.
//!
//! Promise: two records have one text only if their fields' texts are equal, each by itself, whatever they hold: a text
//! has a [`MARK`] alone only for null, and a [`SEPARATOR`] only between fields. Nothing that cannot be read is equal to
//! anything on the other side. Records that are equal under `@compare` have equal numbers, apart from `ignoreCase`, where engines
//! may fold rare letters differently. So equal sums say that the chunks are equal (but for chance, below
//! 1 in 10¹⁸); different sums say that it is worth looking at the records.
//!
//! Not here: MD5 (the stores), looking at the records (`shadow-compare`).

use std::fmt;

use crate::contract::{Compare, EntityType, FieldSet};
use crate::record::Record;
use crate::side::Side;
use crate::value::Value;

/// Between the fields of a record's text: the unit separator.
pub const SEPARATOR: char = '\u{1f}';

/// The record separator: alone it is null. Before one of the letters below it stands for something else.
pub const MARK: char = '\u{1e}';

/// After a [`MARK`]: a mark, or a separator, that a field's text holds.
pub const IS_MARK: char = '0';
/// See [`IS_MARK`].
pub const IS_SEPARATOR: char = '1';

/// After a [`MARK`]: the field could not be read, and what the column holds is not known here.
const UNREAD: char = 'U';

/// Hexadecimal digits of the MD5 that make a record's number: 60 bits, so that it fits a signed 64-bit integer.
pub const DIGITS: usize = 15;

/// Hexadecimal digits by which [`Chunk`]s are taken apart: a chunk has up to 256 parts.
pub const STEP: usize = 2;

/// Longest prefix: 4 billion chunks are more than there are records in any of them.
const LONGEST: usize = 8;

/// The records whose key's MD5 begins with the same hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk(String);

impl Chunk {
    /// All records.
    pub fn whole() -> Self {
        Self(String::new())
    }

    /// The chunk of `prefix`; `None` unless that is 0, 2, 4, 6 or 8 hexadecimal digits in small letters.
    pub fn new(prefix: &str) -> Option<Self> {
        let hexadecimal = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let fits = prefix.len() <= LONGEST && prefix.len().is_multiple_of(STEP) && prefix.chars().all(hexadecimal);
        fits.then(|| Self(prefix.to_owned()))
    }

    /// The digits that the MD5 of its keys begins with.
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// How many digits its parts have; `None` when it cannot be taken apart further.
    pub fn part_digits(&self) -> Option<usize> {
        let digits = self.0.len() + STEP;
        (digits <= LONGEST).then_some(digits)
    }
}

impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.0)
    }
}

/// What a store says about a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkSum {
    /// How many records it holds.
    pub records: u64,
    /// The sum of their numbers. 2⁶⁰ times any count of records fits.
    pub sum: u128,
}

impl ChunkSum {
    /// The sum with one record more.
    #[must_use]
    pub fn with(self, number: u64) -> Self {
        Self { records: self.records + 1, sum: self.sum + u128::from(number) }
    }
}

/// The fields of `entity` that are compared: all but those marked `ignore`.
pub fn compared(entity: &EntityType) -> FieldSet {
    let all = entity.all_fields();
    all.iter().filter(|index| !entity.field(*index).compare.ignore).collect()
}

/// The text of `fields` of a record.
pub fn record_text(entity: &EntityType, fields: FieldSet, record: &Record) -> String {
    let text = |index| match record.get(index) {
        // What the column holds is not known any more. No other text has this mark, and no number is made of it.
        None if record.unreadable().contains(index) => [MARK, UNREAD].iter().collect(),
        value => in_record(field_text(value.unwrap_or(&Value::Null), &entity.field(index).compare)),
    };
    joined(fields.iter().map(text))
}

fn in_record(text: Option<String>) -> String {
    text.map_or_else(|| MARK.to_string(), |text| escaped(&text))
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(SEPARATOR.encode_utf8(&mut [0; 4]))
}

/// A field's text as it stands in a record's.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            MARK => escaped.extend([MARK, IS_MARK]),
            SEPARATOR => escaped.extend([MARK, IS_SEPARATOR]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Before what a column of `side` holds when no value can be read from it.
pub fn unreadable(side: Side) -> [char; 2] {
    let letter = match side {
        Side::Legacy => 'L',
        Side::Modern => 'M',
    };
    [MARK, letter]
}

/// The text of a value under its field's rules; `None` for null.
pub fn field_text(value: &Value, compare: &Compare) -> Option<String> {
    match value {
        // Lists are parameters and stand in no record.
        Value::Null | Value::List(_) => None,
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Decimal(number) => Some(match compare.scale {
            Some(scale) => number.round(scale).to_string(),
            None => number.to_string(),
        }),
        Value::Text(text) if compare.ignore_case => Some(text.to_lowercase().to_uppercase().to_lowercase()),
        Value::Text(text) => Some(text.clone()),
        Value::Instant(instant) => {
            let form = if compare.to_seconds { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
            Some(instant.to_utc().format(form).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Instant;

    fn joined(texts: impl Iterator<Item = Option<String>>) -> String {
        super::joined(texts.map(in_record))
    }

    /// Any text, and texts of the letters that mean something to us.
    fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
        let text = prop_oneof![any::<String>(), "[\u{1e}\u{1f}01LM]{0,4}"];
        prop::collection::vec(prop::option::of(text), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn different_lists_of_texts_have_different_texts(one in texts(), other in texts()) {
            let (a, b) = (joined(one.iter().cloned()), joined(other.iter().cloned()));
            prop_assert_eq!(a == b, one == other);
        }

        #[test]
        fn nothing_that_can_be_read_is_like_what_cannot(one in texts(), raw in any::<String>()) {
            let unreadable = |side| unreadable(side).into_iter().collect::<String>() + &escaped(&raw);
            let text = joined(one.into_iter());
            prop_assert!(text.split(SEPARATOR).all(|part| part != unreadable(Side::Legacy)));
            prop_assert_ne!(unreadable(Side::Legacy), unreadable(Side::Modern));
        }
    }

    #[test]
    fn texts_that_once_were_alike_are_told_apart() {
        let joined = |texts: &[Option<&str>]| joined(texts.iter().map(|text| text.map(str::to_owned)));
        assert_ne!(joined(&[Some("a\u{1f}b"), Some("c")]), joined(&[Some("a"), Some("b\u{1f}c")]));
        assert_ne!(joined(&[Some("\u{1e}")]), joined(&[None]));
        assert_ne!(joined(&[Some("")]), joined(&[None]));
        assert_ne!(joined(&[Some("\u{1e}0")]), joined(&[Some("\u{1e}")]));
        assert_eq!(joined(&[Some("a"), None, Some("1.5")]), "a\u{1f}\u{1e}\u{1f}1.5", "as ever where nothing is odd");
    }

    #[test]
    fn a_chunk_is_zero_to_eight_digits_in_pairs() {
        assert_eq!(Chunk::new(""), Some(Chunk::whole()));
        assert_eq!(Chunk::new("a0").map(|chunk| chunk.to_string()), Some("a0*".to_owned()));
        for bad in ["a", "A0", "g0", "a0b", "a0b1c2d3e4", "' "] {
            assert_eq!(Chunk::new(bad), None, "{bad}");
        }
        assert_eq!(Chunk::whole().part_digits(), Some(2));
        assert_eq!(Chunk::new("a0b1c2d3").unwrap().part_digits(), None);
    }

    #[test]
    fn a_text_forgives_what_the_comparison_forgives() {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        let instant = Value::Instant(Instant::parse("2026-01-31T08:00:00.9Z").unwrap());
        let none = Compare::default();
        let scale = Compare { scale: Some(2), ..Compare::default() };
        let case = Compare { ignore_case: true, ..Compare::default() };
        let seconds = Compare { to_seconds: true, ..Compare::default() };
        let text = |value: &Value, compare: &Compare| field_text(value, compare).unwrap();

        assert_eq!(text(&decimal("1.50"), &none), "1.5");
        assert_eq!(text(&decimal("-2.345"), &scale), "-2.35");
        assert_eq!(text(&"Straße".into(), &case), text(&"STRASSE".into(), &case));
        assert_ne!(text(&"Bolt".into(), &none), text(&"BOLT".into(), &none));
        assert_eq!(text(&instant, &none), "2026-01-31 08:00:00.900000");
        assert_eq!(text(&instant, &seconds), "2026-01-31 08:00:00");
        assert_eq!(field_text(&Value::Null, &none), None);
    }
}
