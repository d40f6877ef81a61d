//! Stored values as the schema's scalars and enums, written as JSON.
//!
//! A value that the schema's type cannot hold is a field error that names the field and not the
//! value.

use std::io::Write;

use apollo_compiler::Schema;
use apollo_compiler::schema::ExtendedType;
use model::{Decimal, Field, Value};

/// How a stored field is written.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// `Int`: 32 bits, no more.
    Int,
    /// `Float`.
    Float,
    /// `String`.
    Text,
    /// `ID`: text, also of numbers.
    Id,
    /// `Boolean`.
    Boolean,
    /// An enum with these values, sorted.
    Enum(Box<[Box<str>]>),
    /// A custom scalar: decimals and instants as text, the rest as it is.
    Custom {
        /// Digits after the point.
        scale: Option<u32>,
    },
}

/// The stored value is none that the type can hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unrepresentable;

impl Leaf {
    /// How `field`, of the GraphQL type `type_name`, is written.
    pub(crate) fn of(schema: &Schema, type_name: &str, field: &Field) -> Self {
        if let Some(ExtendedType::Enum(definition)) = schema.types.get(type_name) {
            let mut names: Vec<Box<str>> = definition.values.keys().map(|n| n.as_str().into()).collect();
            names.sort();
            return Self::Enum(names.into());
        }
        match type_name {
            "Int" => Self::Int,
            "Float" => Self::Float,
            "String" => Self::Text,
            "ID" => Self::Id,
            "Boolean" => Self::Boolean,
            _ => Self::Custom { scale: field.compare.scale },
        }
    }

    /// Writes `value` behind what `out` holds. Null is the caller's business and unrepresentable here.
    pub(crate) fn write(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Unrepresentable> {
        match (self, value) {
            (Self::Int, Value::Int(number)) => {
                let number = i32::try_from(*number).map_err(|_| Unrepresentable)?;
                write(out, number);
            }
            (Self::Int, Value::Decimal(decimal)) => {
                let number: i32 = decimal.to_string().parse().map_err(|_| Unrepresentable)?;
                write(out, number);
            }
            (Self::Float | Self::Custom { .. }, Value::Int(number)) => write(out, number),
            (Self::Float, Value::Decimal(decimal)) => write(out, decimal),
            (Self::Id, Value::Int(number)) => {
                out.push(b'"');
                write(out, number);
                out.push(b'"');
            }
            (Self::Text | Self::Id | Self::Custom { .. }, Value::Text(text)) => quote(out, text),
            (Self::Enum(names), Value::Text(text)) => {
                let known = names.binary_search_by(|name| (**name).cmp(text.as_str()));
                known.map_err(|_| Unrepresentable)?;
                quote(out, text);
            }
            (Self::Boolean | Self::Custom { .. }, Value::Bool(flag)) => write(out, flag),
            (Self::Custom { scale }, Value::Decimal(decimal)) => decimal_text(out, decimal, *scale),
            (Self::Text | Self::Custom { .. }, Value::Instant(instant)) => {
                out.push(b'"');
                write(out, instant);
                out.push(b'"');
            }
            _ => return Err(Unrepresentable),
        }
        Ok(())
    }
}

fn decimal_text(out: &mut Vec<u8>, decimal: &Decimal, scale: Option<u32>) {
    out.push(b'"');
    match scale {
        Some(scale) => out.extend_from_slice(decimal.to_scaled_string(scale).as_bytes()),
        None => write(out, decimal),
    }
    out.push(b'"');
}

/// Writes `text` as a JSON string.
pub(crate) fn quote(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}

fn write(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use model::Instant;

    use super::*;

    fn written(leaf: &Leaf, value: &Value) -> Result<String, Unrepresentable> {
        let mut out = Vec::new();
        leaf.write(value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_written_as_the_schema_says() {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        let money = Leaf::Custom { scale: Some(2) };
        let plain = Leaf::Custom { scale: None };
        let instant = Value::Instant(Instant::parse("2026-01-31T09:00:00+01:00").unwrap());
        let cases: [(&Leaf, Value, &str); 10] = [
            (&Leaf::Int, 2_147_483_647.into(), "2147483647"),
            (&Leaf::Int, decimal("12.00"), "12"),
            (&Leaf::Float, decimal("12.5"), "12.5"),
            (&Leaf::Id, 7.into(), "\"7\""),
            (&Leaf::Text, "a\"b".into(), "\"a\\\"b\""),
            (&Leaf::Boolean, Value::Bool(true), "true"),
            (&money, decimal("12.345"), "\"12.35\""),
            (&money, decimal("12"), "\"12.00\""),
            (&plain, decimal("12.50"), "\"12.5\""),
            (&plain, instant, "\"2026-01-31T08:00:00Z\""),
        ];
        for (leaf, value, expected) in cases {
            assert_eq!(written(leaf, &value).as_deref(), Ok(expected), "{value:?}");
        }
    }

    #[test]
    fn a_value_that_the_type_cannot_hold_is_never_written() {
        let colours = Leaf::Enum(["BLUE".into(), "RED".into()].into());
        assert_eq!(written(&colours, &"RED".into()).unwrap(), "\"RED\"");
        let cases = [
            (&colours, Value::from("GREEN")),
            (&Leaf::Int, 2_147_483_648.into()),
            (&Leaf::Int, Value::Decimal("1.5".parse().unwrap())),
            (&Leaf::Int, "1".into()),
            (&Leaf::Boolean, "Y".into()),
        ];
        for (leaf, value) in cases {
            assert_eq!(written(leaf, &value), Err(Unrepresentable), "{value:?}");
        }
    }
}
