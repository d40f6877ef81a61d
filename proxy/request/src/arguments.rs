//! A root field's coerced arguments, and the values that the contract draws from them.
//!
//! Not here: coercion itself (GraphQL's rules, in the gateway).

use model::contract::{Param, ParamSource, WriteAction};
use model::sql::Params;
use model::value::Kind;
use model::{EntityKey, EntityType, FieldIndex, Instant, OwnNumber, Record, Value, WriteId};
use serde_json::{Map, Value as Json};

use crate::error::ClientError;

/// Arguments by name, coerced: defaults filled in, variables replaced, enums as text. An argument
/// that was left out is absent; one given as null is null.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(Map<String, Json>);

/// What else a value may be drawn from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The record on which a link stands.
    pub parent: Option<&'a Record>,
    /// The id of the write under way.
    pub write: Option<WriteId>,
    /// The ERP's numbers of touched entities, one slot per touch.
    pub numbers: &'a [Option<OwnNumber>],
}

impl Arguments {
    /// Takes coerced arguments.
    pub fn new(coerced: Map<String, Json>) -> Self {
        Self(coerced)
    }

    /// The arguments as JSON with sorted names: what a fingerprint is made of.
    pub fn as_json(&self) -> &Map<String, Json> {
        &self.0
    }

    /// The keys that `action` may change, in the contract's order; `write` is the id of the write under way.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when a part of a key is missing.
    pub fn touched(&self, action: &WriteAction, write: WriteId) -> Result<Vec<EntityKey>, ClientError> {
        let origin = Origin { write: Some(write), ..Origin::default() };
        let mut keys: Vec<EntityKey> = Vec::with_capacity(action.touches.len());
        for touch in &action.touches {
            let key = self.key(&touch.entity, &touch.key, origin)?;
            let key = key.ok_or_else(|| {
                ClientError::bad_input(format!("the key of {} is incomplete: give every part of it", touch.entity.name))
            })?;
            keys.push(key);
        }
        Ok(keys)
    }

    /// The value behind `source`; `None` when the argument was left out.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when the value is not of `kind`.
    pub fn value(
        &self,
        source: &ParamSource,
        kind: Kind,
        list: bool,
        origin: Origin<'_>,
    ) -> Result<Option<Value>, ClientError> {
        match source {
            ParamSource::Argument(path) => {
                let Some(json) = self.at(path) else {
                    return Ok(None);
                };
                convert(json, kind, list, &path.join(".")).map(Some)
            }
            ParamSource::Parent(index) => Ok(origin.parent.and_then(|record| record.get(*index)).cloned()),
            ParamSource::Number { touch } => {
                let number = origin.numbers.get(*touch).copied().flatten().map(OwnNumber::get);
                Ok(number.map(|number| Value::Int(number.cast_signed())))
            }
            ParamSource::WriteId { suffix } => Ok(origin.write.map(|id| Value::Text(format!("{id}{suffix}")))),
        }
    }

    /// Every parameter's value; one that was left out is null.
    ///
    /// # Errors
    /// As [`Arguments::value`].
    pub fn params(&self, params: &[Param], origin: Origin<'_>) -> Result<Params, ClientError> {
        let value = |param: &Param| {
            let value = self.value(&param.source, param.kind, param.list, origin)?;
            Ok((param.name.clone(), value.unwrap_or(Value::Null)))
        };
        params.iter().map(value).collect()
    }

    /// The key whose parts come from `sources`; `None` when a part is null or was left out.
    ///
    /// # Errors
    /// As [`Arguments::value`].
    pub fn key(
        &self,
        entity: &EntityType,
        sources: &[ParamSource],
        origin: Origin<'_>,
    ) -> Result<Option<EntityKey>, ClientError> {
        let mut parts = Vec::with_capacity(sources.len());
        for (index, source) in entity.key().iter().zip(sources) {
            match self.value(source, entity.field(*index).kind, false, origin)? {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => parts.push(value),
            }
        }
        Ok(Some(EntityKey::new(entity.name.clone(), parts)))
    }

    /// The keys listed in `argument`: scalars for a key of one field, else objects whose fields are
    /// named like the key's.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when an item is no key of `entity`.
    pub fn keys(&self, entity: &EntityType, argument: &str) -> Result<Vec<EntityKey>, ClientError> {
        let items = self.0.get(argument).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|item| key_of(entity, item, argument)).collect()
    }

    /// The record that a whole-entity set writes: the fields whose argument was given.
    ///
    /// # Errors
    /// As [`Arguments::value`]; also null for a field that is not nullable.
    pub fn record(
        &self,
        entity: &EntityType,
        fields: &[(FieldIndex, ParamSource)],
        origin: Origin<'_>,
    ) -> Result<Record, ClientError> {
        let mut record = Record::empty(entity);
        for (index, source) in fields {
            let field = entity.field(*index);
            let Some(value) = self.value(source, field.kind, false, origin)? else {
                continue;
            };
            if value.is_null() && !field.nullable {
                return Err(ClientError::bad_input(format!("`{}` cannot be null", field.name)));
            }
            record.set(*index, value);
        }
        Ok(record)
    }

    /// Puts a text in the place of an argument that was given.
    pub fn replace(&mut self, path: &[String], text: &str) {
        let Some((first, rest)) = path.split_first() else { return };
        let place = rest.iter().try_fold(self.0.get_mut(first), |json, name| json.map(|json| json.get_mut(name)));
        if let Some(Some(place)) = place {
            *place = Json::from(text);
        }
    }

    fn at(&self, path: &[String]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |json, name| json.get(name))
    }
}

fn key_of(entity: &EntityType, item: &Json, argument: &str) -> Result<EntityKey, ClientError> {
    let single = entity.key().len() == 1;
    let part = |index: &FieldIndex| {
        let field = entity.field(*index);
        let json = if single { Some(item) } else { item.get(field.name.as_str()) };
        let json = json
            .filter(|json| !json.is_null())
            .ok_or_else(|| ClientError::bad_input(format!("an item of `{argument}` has no `{}`", field.name)))?;
        convert(json, field.kind, false, argument)
    };
    let parts = entity.key().iter().map(part).collect::<Result<_, _>>()?;
    Ok(EntityKey::new(entity.name.clone(), parts))
}

fn convert(json: &Json, kind: Kind, list: bool, name: &str) -> Result<Value, ClientError> {
    if list && let Some(items) = json.as_array() {
        let items = items.iter().map(|item| convert(item, kind, false, name));
        return items.collect::<Result<_, _>>().map(Value::List);
    }
    let value = match (kind, json) {
        (_, Json::Null) => Some(Value::Null),
        (Kind::Text, Json::String(text)) => Some(Value::text(text)),
        (Kind::Text, Json::Number(number)) => Some(Value::Text(number.to_string())),
        (Kind::Int, Json::Number(number)) => number.as_i64().map(Value::Int),
        (Kind::Bool, Json::Bool(flag)) => Some(Value::Bool(*flag)),
        // serde_json keeps a float's shortest text, which is what the client wrote or equal to it.
        (Kind::Decimal, Json::Number(number)) => number.to_string().parse().ok().map(Value::Decimal),
        (Kind::Decimal, Json::String(text)) => text.parse().ok().map(Value::Decimal),
        (Kind::Instant, Json::String(text)) => Instant::parse(text).map(Value::Instant),
        (Kind::Text | Kind::Int | Kind::Bool | Kind::Decimal | Kind::Instant, _) => None,
    };
    value.ok_or_else(|| ClientError::bad_input(format!("`{name}` is not {}", expected(kind))))
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Int => "a whole number",
        Kind::Bool => "true or false",
        Kind::Decimal => "a decimal number",
        Kind::Instant => "a time such as 2026-01-31T08:00:00Z",
    }
}
