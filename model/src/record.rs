//! Keys and records of entities.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::contract::{EntityType, FieldIndex, FieldSet};
use crate::name::EntityName;
use crate::value::Value;

/// Which entity: its type and the values of its key fields, in the contract's order.
///
/// Cheap to clone. Two keys are equal when type and text are.
#[derive(Clone)]
pub struct EntityKey {
    entity: EntityName,
    parts: Arc<[Value]>,
    text: Arc<str>,
}

impl EntityKey {
    /// Makes a key of `entity` from its parts, in the order of [`EntityType::key`].
    pub fn new(entity: EntityName, parts: Vec<Value>) -> Self {
        let text = serde_json::Value::from_iter(parts.iter().map(Value::to_json)).to_string();
        Self { entity, parts: parts.into(), text: text.into() }
    }

    /// Reads [`EntityKey::as_text`] back; `None` when the text is no key of `entity`.
    pub fn from_text(entity: &EntityType, text: &str) -> Option<Self> {
        let json: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
        if json.len() != entity.key().len() {
            return None;
        }
        let parts = entity.key().iter().zip(&json);
        let parts = parts.map(|(index, json)| Value::from_json(json, entity.field(*index).kind));
        Some(Self::new(entity.name.clone(), parts.collect::<Option<Vec<_>>>()?))
    }

    /// The entity's type.
    pub fn entity(&self) -> &EntityName {
        &self.entity
    }

    /// The values of the key fields.
    pub fn parts(&self) -> &[Value] {
        &self.parts
    }

    /// The key as a JSON array, the same on both sides and in every table: `["SKU-1","BER"]`.
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for EntityKey {
    fn eq(&self, other: &Self) -> bool {
        self.entity == other.entity && self.text == other.text
    }
}

impl Eq for EntityKey {}

impl Hash for EntityKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entity.hash(state);
        self.text.hash(state);
    }
}

impl PartialOrd for EntityKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.entity, &self.text).cmp(&(&other.entity, &other.text))
    }
}

impl fmt::Debug for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.entity, self.text)
    }
}

/// One entity's fields, one slot per field of its type; `None` in a slot means "not asked for".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record(Box<[Option<Value>]>);

impl Record {
    /// A record of `entity` in which nothing is known yet.
    pub fn empty(entity: &EntityType) -> Self {
        Self(vec![None; entity.fields.len()].into())
    }

    /// A record of `entity` from pairs of field name and value.
    ///
    /// # Panics
    /// When a name is not a field of `entity`; for tests and for names taken from the contract.
    pub fn of<'a>(entity: &EntityType, pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let mut record = Self::empty(entity);
        for (name, value) in pairs {
            let index = entity.index(name).expect("a field of the entity");
            record.set(index, value);
        }
        record
    }

    /// The value of a field; `None` when it was not asked for.
    pub fn get(&self, index: FieldIndex) -> Option<&Value> {
        self.0[index.get()].as_ref()
    }

    /// Puts a value into a field.
    pub fn set(&mut self, index: FieldIndex, value: Value) {
        self.0[index.get()] = Some(value);
    }

    /// Which fields are known.
    pub fn fields(&self) -> FieldSet {
        let known = self.0.iter().enumerate().filter(|(_, slot)| slot.is_some());
        known.map(|(index, _)| FieldIndex::new(index)).collect()
    }

    /// The known fields with their values, in the contract's order.
    pub fn iter(&self) -> impl Iterator<Item = (FieldIndex, &Value)> {
        let slots = self.0.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((FieldIndex::new(index), slot.as_ref()?)))
    }

    /// The key of this record; `None` unless every key field is known.
    pub fn key(&self, entity: &EntityType) -> Option<EntityKey> {
        let parts: Option<Vec<_>> = entity.key().iter().map(|i| self.get(*i).cloned()).collect();
        Some(EntityKey::new(entity.name.clone(), parts?))
    }

    /// The known fields as a JSON object, the form kept in ledgers.
    pub fn to_json(&self, entity: &EntityType) -> serde_json::Value {
        let pairs = self.iter().map(|(index, value)| (entity.field(index).name.to_string(), value.to_json()));
        serde_json::Value::Object(pairs.collect())
    }

    /// Reads the JSON form; `None` when a field is unknown or of another kind.
    pub fn from_json(entity: &EntityType, json: &serde_json::Value) -> Option<Self> {
        let mut record = Self::empty(entity);
        for (name, json) in json.as_object()? {
            let index = entity.index(name)?;
            record.set(index, Value::from_json(json, entity.field(index).kind)?);
        }
        Some(record)
    }
}
