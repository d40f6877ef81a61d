//! Input coercion as the specification has it: variables, arguments, defaults, input objects.
//!
//! Our own because apollo-compiler leaves custom scalars as they are and does not coerce defaults.
//! Coerced values are canonical, so that equal requests have equal fingerprints: decimals and
//! instants are text, IDs are text.

use std::fmt;

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, Value as Literal};
use apollo_compiler::schema::{ExtendedType, InputObjectType, InputValueDefinition};
use apollo_compiler::{Name, Node};
use model::{Decimal, Instant};
use serde_json::{Map, Number, Value as Json};

use request::error::ClientError;

/// A number with more digits than this may have been rounded before we saw it.
const EXACT_DIGITS: usize = 15;

/// Coerces inputs of one schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coercer<'s> {
    pub(crate) schema: &'s Schema,
    /// Longest list that is taken.
    pub(crate) list: usize,
}

/// Where an input stands, for messages: ``variable `$keys[1].sku` ``.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Variable(&'a str),
    Argument(&'a str),
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "${name}"),
            Self::Argument(name) => f.write_str(name),
            Self::Field(parent, name) => {
                parent.write(f)?;
                write!(f, ".{name}")
            }
            Self::Item(parent, index) => {
                parent.write(f)?;
                write!(f, "[{index}]")
            }
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        self.write(f)?;
        f.write_str("`")
    }
}

type Coerced<T = Json> = Result<T, ClientError>;

impl Coercer<'_> {
    /// Coerces JSON that a client sent for a variable of type `ty`.
    pub(crate) fn json(self, ty: &Type, json: &Json, place: Place<'_>) -> Coerced {
        if json.is_null() {
            return null(ty, place);
        }
        match ty {
            Type::List(item) | Type::NonNullList(item) => match json {
                Json::Array(items) => {
                    self.length(items.len(), place)?;
                    let items = items.iter().enumerate();
                    items.map(|(n, json)| self.json(item, json, Place::Item(&place, n))).collect()
                }
                single => Ok(Json::Array(vec![self.json(item, single, place)?])),
            },
            Type::Named(name) | Type::NonNullNamed(name) => match self.schema.types.get(name) {
                Some(ExtendedType::InputObject(object)) => self.json_object(object, json, place),
                Some(ExtendedType::Enum(definition)) => {
                    let known = json.as_str().filter(|n| definition.values.contains_key(*n));
                    known.map(Json::from).ok_or_else(|| not_a(place, name))
                }
                _ => scalar(name, json).ok_or_else(|| not_a(place, name)),
            },
        }
    }

    /// Coerces a literal of a document for a place of type `ty`; `variables` are coerced already.
    /// `None`: it is a variable that was left out.
    pub(crate) fn literal(
        self,
        ty: &Type,
        literal: &Literal,
        variables: &Map<String, Json>,
        place: Place<'_>,
    ) -> Coerced<Option<Json>> {
        if let Literal::Variable(name) = literal {
            return match variables.get(name.as_str()) {
                None => Ok(None),
                Some(Json::Null) => null(ty, place).map(Some),
                Some(json) => Ok(Some(json.clone())),
            };
        }
        if literal.is_null() {
            return null(ty, place).map(Some);
        }
        let coerced = match ty {
            Type::List(item) | Type::NonNullList(item) => {
                let item_at = |n, literal: &Literal| {
                    let place = Place::Item(&place, n);
                    let json = self.literal(item, literal, variables, place)?;
                    json.map_or_else(|| null(item, place), Ok)
                };
                match literal {
                    Literal::List(items) => {
                        self.length(items.len(), place)?;
                        let items = items.iter().enumerate();
                        items.map(|(n, item)| item_at(n, item)).collect::<Coerced>()?
                    }
                    single => Json::Array(vec![item_at(0, single)?]),
                }
            }
            Type::Named(name) | Type::NonNullNamed(name) => match self.schema.types.get(name) {
                Some(ExtendedType::InputObject(object)) => self.literal_object(object, literal, variables, place)?,
                Some(ExtendedType::Enum(definition)) => match literal {
                    Literal::Enum(value) if definition.values.contains_key(value) => Json::from(value.as_str()),
                    _ => return Err(not_a(place, name)),
                },
                _ => {
                    let json = plain(literal, name == "Decimal", variables);
                    json.and_then(|json| scalar(name, &json)).ok_or_else(|| not_a(place, name))?
                }
            },
        };
        Ok(Some(coerced))
    }

    /// The default of an argument or input field, coerced.
    pub(crate) fn default_of(self, input: &InputValueDefinition) -> Coerced<Option<Json>> {
        let Some(default) = &input.default_value else {
            return Ok(None);
        };
        self.literal(&input.ty, default, &Map::new(), Place::Argument(&input.name))
    }

    fn json_object(self, object: &InputObjectType, json: &Json, place: Place<'_>) -> Coerced {
        let Json::Object(given) = json else {
            return Err(not_a(place, &object.name));
        };
        if let Some(stranger) = given.keys().find(|k| !object.fields.contains_key(k.as_str())) {
            return Err(unknown(place, stranger, object));
        }
        self.object(object, place, |input, place| {
            let json = given.get(input.name.as_str());
            json.map(|json| self.json(&input.ty, json, place)).transpose()
        })
    }

    fn literal_object(
        self,
        object: &InputObjectType,
        literal: &Literal,
        variables: &Map<String, Json>,
        place: Place<'_>,
    ) -> Coerced {
        let Literal::Object(given) = literal else {
            return Err(not_a(place, &object.name));
        };
        if let Some((stranger, _)) = given.iter().find(|(k, _)| !object.fields.contains_key(k)) {
            return Err(unknown(place, stranger, object));
        }
        self.object(object, place, |input, place| {
            let literal = given.iter().find(|(name, _)| *name == input.name);
            let Some((_, literal)) = literal else {
                return Ok(None);
            };
            self.literal(&input.ty, literal, variables, place)
        })
    }

    /// Goes through the fields of an input object: given, else default, else left out.
    fn object(
        self,
        object: &InputObjectType,
        place: Place<'_>,
        given: impl Fn(&Node<InputValueDefinition>, Place<'_>) -> Coerced<Option<Json>>,
    ) -> Coerced {
        let mut coerced = Map::with_capacity(object.fields.len());
        for (name, input) in &object.fields {
            let place = Place::Field(&place, name);
            let value = match given(input, place)? {
                Some(json) => Some(json),
                None => self.default_of(input)?,
            };
            match value {
                Some(json) => {
                    coerced.insert(name.to_string(), json);
                }
                None if input.ty.is_non_null() => return Err(missing(place)),
                None => {}
            }
        }
        let one_of = object.directives.has("oneOf");
        if one_of && (coerced.len() != 1 || coerced.values().any(Json::is_null)) {
            return Err(ClientError::bad_input(format!("{place} takes exactly one field, and not null")));
        }
        Ok(Json::Object(coerced))
    }

    fn length(self, length: usize, place: Place<'_>) -> Coerced<()> {
        if length <= self.list {
            return Ok(());
        }
        let most = self.list;
        Err(ClientError::new(
            "LIST_LIMIT",
            format!("{place} has {length} items, at most {most} are taken; split the request"),
        ))
    }
}

/// The error for an input that is required and was not given.
pub(crate) fn missing(place: Place<'_>) -> ClientError {
    ClientError::bad_input(format!("{place} is required"))
}

fn null(ty: &Type, place: Place<'_>) -> Coerced {
    if ty.is_non_null() {
        return Err(ClientError::bad_input(format!("{place} cannot be null")));
    }
    Ok(Json::Null)
}

fn not_a(place: Place<'_>, type_name: &Name) -> ClientError {
    let hint = match type_name.as_str() {
        "Decimal" => ": give an exact number, as text when it has more than 15 digits",
        "DateTime" => ": give a time such as \"2026-01-31T08:00:00Z\"",
        "Int" => ": give a whole number of at most 32 bits",
        "Long" => ": give a whole number of at most 64 bits, as text when it has more than 15 digits",
        _ => "",
    };
    ClientError::bad_input(format!("{place} is not of type {type_name}{hint}"))
}

fn unknown(place: Place<'_>, field: &str, object: &InputObjectType) -> ClientError {
    ClientError::bad_input(format!("{place}: {} has no field `{field}`", object.name))
}

/// The canonical form of a scalar; `None` when the JSON is none of that type.
fn scalar(type_name: &str, json: &Json) -> Option<Json> {
    match (type_name, json) {
        ("Int", Json::Number(number)) => int(number).map(Json::from),
        ("Float", Json::Number(_)) | ("String", Json::String(_)) | ("Boolean", Json::Bool(_)) => Some(json.clone()),
        ("ID", Json::String(_)) => Some(json.clone()),
        ("ID", Json::Number(number)) => whole(number).map(Json::from),
        ("Long", Json::Number(number)) => whole(number)?.parse::<i64>().ok().map(Json::from),
        // As text no reader rounds it; but 007 is no number's own text.
        ("Long", Json::String(text)) => {
            let number: i64 = text.parse().ok()?;
            (number.to_string() == *text).then(|| number.into())
        }
        ("Decimal", Json::String(text)) => decimal(text),
        ("Decimal", Json::Number(number)) => {
            let text = number.to_string();
            let digits = text.chars().take_while(|c| !matches!(c, 'e' | 'E'));
            let exact = !number.is_f64() || digits.filter(char::is_ascii_digit).count() <= EXACT_DIGITS;
            exact.then(|| decimal(&text)).flatten()
        }
        ("DateTime", Json::String(text)) => Some(Instant::parse(text)?.to_string().into()),
        ("Int" | "Long" | "Float" | "String" | "Boolean" | "ID" | "Decimal" | "DateTime", _) => None,
        _ => Some(json.clone()),
    }
}

/// Beyond it a float may be another number than the client has written.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// The digits of a whole number. JSON has one kind of number: 3.0 and 3e0 are whole, too, as far as they are exact.
fn whole(number: &Number) -> Option<String> {
    if !number.is_f64() {
        return Some(number.to_string());
    }
    let float = number.as_f64()?;
    // Zero has no sign here.
    (float.fract() == 0.0 && float.abs() < EXACT_FLOAT).then(|| format!("{:.0}", float + 0.0))
}

fn decimal(text: &str) -> Option<Json> {
    let decimal: Decimal = text.parse().ok()?;
    Some(decimal.to_string().into())
}

fn int(number: &Number) -> Option<i32> {
    if let Some(whole) = number.as_i64() {
        return i32::try_from(whole).ok();
    }
    // JSON has one kind of number: 3.0 is a whole one. The text says so without a cast.
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}

/// A literal of a scalar as JSON. Numbers as text when `exact`, since JSON's may be rounded.
fn plain(literal: &Literal, exact: bool, variables: &Map<String, Json>) -> Option<Json> {
    let number = |text: &str| {
        if exact {
            return Some(Json::from(text));
        }
        text.parse().ok().map(Json::Number)
    };
    Some(match literal {
        Literal::Null => Json::Null,
        Literal::String(text) => text.as_str().into(),
        Literal::Boolean(flag) => (*flag).into(),
        Literal::Int(value) => number(value.as_str())?,
        Literal::Float(value) => number(value.as_str())?,
        Literal::List(items) => {
            let items = items.iter().map(|item| plain(item, exact, variables));
            Json::Array(items.collect::<Option<_>>()?)
        }
        Literal::Object(fields) => {
            let fields =
                fields.iter().map(|(name, literal)| Some((name.to_string(), plain(literal, exact, variables)?)));
            Json::Object(fields.collect::<Option<_>>()?)
        }
        Literal::Variable(name) => variables.get(name.as_str()).cloned().unwrap_or_default(),
        // An enum value is no value of a scalar.
        Literal::Enum(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_taken_in_every_form_that_is_exact() {
        for json in [json!(4_500_000_123_i64), json!("4500000123"), json!(4_500_000_123.0), json!(4.500_000_123e9)] {
            assert_eq!(scalar("Long", &json), Some(json!(4_500_000_123_i64)), "{json}");
        }
        for json in [json!(9_007_199_254_740_993_i64), json!("9007199254740993")] {
            assert_eq!(scalar("Long", &json), Some(json!(9_007_199_254_740_993_i64)), "{json}");
            assert_eq!(scalar("ID", &json), Some(json!("9007199254740993")), "{json}");
        }
        assert_eq!(scalar("ID", &json!(4_500_000_123.0)), Some(json!("4500000123")));
        assert_eq!(scalar("Long", &json!(-0.0)), Some(json!(0)));
        assert_eq!(scalar("Long", &json!("-9223372036854775808")), Some(json!(i64::MIN)));
    }

    #[test]
    fn what_may_have_been_rounded_or_is_no_numbers_own_text_is_refused() {
        let text = "9007199254740993.0".parse::<f64>().unwrap();
        for json in
            [json!(text), json!(1.5), json!(1e300), json!("007"), json!("+7"), json!("7.0"), json!(""), json!(true)]
        {
            assert_eq!(scalar("Long", &json), None, "{json}");
        }
        assert_eq!(scalar("Long", &json!(9_223_372_036_854_775_808_u64)), None);
        for json in [json!(text), json!(1.5), json!(1e300)] {
            assert_eq!(scalar("ID", &json), None, "{json}");
        }
    }
}
