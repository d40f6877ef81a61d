//! Values for the contract's own SQL: the server says which type each parameter has, we obey or refuse.
//!
//! A point in time is never bound to a type without zone: the statement would compare local time with
//! UTC and be wrong by hours in silence. The contract's SQL says the zone:
//! `(:since::timestamptz AT TIME ZONE 'Europe/Berlin')`.

use std::fmt::Write;

use model::contract::{Param, Refusal, sample};
use model::sql::{NamedSql, Params, Piece};
use model::{Decimal, Side, StoreError, Value, fit};
use postgres_types::{Kind as TypeKind, Type};
use tokio_postgres::Statement;

use super::wire::Stored;

/// The text of a statement with PostgreSQL's placeholders; `columns` takes the place of `{columns}`.
pub(super) fn text(sql: &NamedSql, columns: &str) -> String {
    let names = sql.params();
    let mut text = String::new();
    for piece in sql.pieces() {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Columns => text.push_str(columns),
            Piece::Param(name) => {
                let place = names.iter().position(|known| known == name).unwrap_or_default();
                let _ = write!(text, "${}", place + 1);
            }
        }
    }
    text
}

/// The values of a statement's parameters, in its order, in the types that the server asked for.
///
/// # Errors
/// `Misfit` when a parameter has no value or a type that we do not speak; `Refused` when a value does
/// not fit its type.
pub(super) fn values(
    side: Side,
    sql: &NamedSql,
    params: &Params,
    statement: &Statement,
) -> Result<Vec<Stored>, StoreError> {
    let names = sql.params();
    if statement.params().len() != names.len() {
        let problem = "a statement of the contract has placeholders of its own ($1): name its parameters (:name)";
        return Err(StoreError::Misfit { side, problem: problem.into(), source: None });
    }
    let mut values = Vec::with_capacity(names.len());
    for (name, ty) in names.into_iter().zip(statement.params()) {
        let misfit = |problem: String| StoreError::Misfit { side, problem, source: None };
        let Some(value) = params.get(name) else {
            return Err(misfit(format!("the parameter :{name} was given no value")));
        };
        values.push(value_as(ty, value).map_err(|fault| match fault {
            Fault::Value(code, rule) => StoreError::Refused {
                side,
                refusal: Refusal { code: code.to_owned(), message: format!("{name} {rule}") },
                source: None,
            },
            Fault::Type(what) => {
                misfit(format!("the parameter :{name} is {what}, but the statement wants {ty}; cast it in the SQL"))
            }
        })?);
    }
    Ok(values)
}

/// What of the contract's parameters does not go with the types that the server asks for, whatever their values.
pub(super) fn misfits(sql: &NamedSql, params: &[Param], statement: &Statement) -> Vec<String> {
    let names = sql.params();
    if statement.params().len() != names.len() {
        return vec!["it has placeholders of its own ($1): name its parameters (:name)".to_owned()];
    }
    let misfit = |(name, ty): (&str, &Type)| {
        let param = params.iter().find(|param| param.name == name)?;
        match value_as(ty, &sample(param)) {
            Ok(_) | Err(Fault::Value(..)) => None,
            Err(Fault::Type(what)) => {
                Some(format!("the parameter :{name} is {what}, but the statement wants {ty}; cast it in the SQL"))
            }
        }
    };
    names.into_iter().zip(statement.params()).filter_map(misfit).collect()
}

enum Fault {
    Value(&'static str, &'static str),
    Type(&'static str),
}

fn value_as(ty: &Type, value: &Value) -> Result<Stored, Fault> {
    match ty.kind() {
        TypeKind::Domain(base) => return value_as(base, value),
        TypeKind::Array(item) => {
            return match value {
                Value::Null => Ok(Stored::Null),
                Value::List(values) => {
                    let items = values.iter().map(|value| value_as(item, value));
                    Ok(Stored::List(items.collect::<Result<_, _>>()?))
                }
                _ => Err(Fault::Type("not a list")),
            };
        }
        _ => {}
    }
    match value {
        Value::Null => Ok(Stored::Null),
        Value::List(_) => Err(Fault::Type("a list")),
        Value::Bool(flag) if *ty == Type::BOOL => Ok(Stored::Bool(*flag)),
        Value::Bool(_) => Err(Fault::Type("a flag")),
        Value::Int(number) => number_as(ty, &Decimal::from(*number)),
        Value::Decimal(decimal) => number_as(ty, decimal),
        Value::Text(text) => text_as(ty, text),
        Value::Instant(instant) if *ty == Type::TIMESTAMPTZ => Ok(Stored::TimestampTz(instant.to_utc())),
        Value::Instant(_) => Err(Fault::Type("a point in time (timestamptz)")),
    }
}

fn number_as(ty: &Type, decimal: &Decimal) -> Result<Stored, Fault> {
    let beyond = Fault::Value(fit::OUT_OF_RANGE, "lies beyond what the statement takes");
    let text = decimal.to_string();
    let whole = [Type::INT2, Type::INT4, Type::INT8].contains(ty);
    if whole && decimal.scale() > 0 {
        return Err(Fault::Value(fit::TOO_PRECISE, "is a whole number"));
    }
    match *ty {
        Type::NUMERIC => Ok(Stored::Numeric(decimal.clone())),
        Type::INT2 => text.parse().map(Stored::Small).map_err(|_| beyond),
        Type::INT4 => text.parse().map(Stored::Integer).map_err(|_| beyond),
        Type::INT8 => text.parse().map(Stored::Big).map_err(|_| beyond),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => Ok(Stored::Text(text)),
        _ => Err(Fault::Type("a number")),
    }
}

fn text_as(ty: &Type, text: &str) -> Result<Stored, Fault> {
    if text.contains('\0') {
        return Err(Fault::Value(fit::BAD_CHARACTER, "must not contain the NUL character"));
    }
    match *ty {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN => Ok(Stored::Text(text.to_owned())),
        Type::UUID => {
            let parsed = text.parse().map(Stored::Uuid);
            parsed.map_err(|_| Fault::Value(fit::NO_MAPPING, "is not a UUID"))
        }
        // IDs are text for clients and numbers in many an old table.
        Type::NUMERIC | Type::INT2 | Type::INT4 | Type::INT8 => match text.parse::<Decimal>() {
            Ok(decimal) if decimal.to_string() == text => number_as(ty, &decimal),
            Ok(_) | Err(_) => Err(Fault::Value(fit::NO_MAPPING, "is not a number")),
        },
        ref named if matches!(named.kind(), TypeKind::Enum(_)) => Ok(Stored::Text(text.to_owned())),
        _ => Err(Fault::Type("text")),
    }
}
