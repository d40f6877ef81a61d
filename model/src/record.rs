//! Keys and records of entities.

use std::cmp::Ordering;
use std::collections::BTreeMap;
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

    /// A key as a ledger has it, of a type or form that this contract may not know: which keys wait can be said
    /// without reading what they name. Equal to any other key with this type and text.
    pub fn as_kept(entity: EntityName, text: &str) -> Self {
        let json: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_else(|_| vec![text.into()]);
        let part = |json: &serde_json::Value| match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::String(text) => Value::text(text.as_str()),
            other => other.as_i64().map_or_else(|| Value::text(other.to_string()), Value::Int),
        };
        Self { entity, parts: json.iter().map(part).collect(), text: text.into() }
    }

    /// The entity's type.
    pub fn entity(&self) -> &EntityName {
        &self.entity
    }

    /// The values of the key fields.
    pub fn parts(&self) -> &[Value] {
        &self.parts
    }

    /// Whether a part of it is null: then no look-up finds what has it.
    pub fn has_null(&self) -> bool {
        self.parts.iter().any(Value::is_null)
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

/// One entity's fields, one slot per field of its type; `None` in a slot means "not asked for", or that this contract
/// cannot read what a ledger has there.
///
/// A field can also be *unreadable*: the store holds something there that is no value of its type (NaN, an unknown flag,
/// 12.5 in an `Int`, bytes that are no text). Its slot is empty too, so that the record is no whole state: what cannot be
/// read here is never written elsewhere, neither as null nor as anything.
///
/// What a ledger has beside that (fields of another contract, values of another kind) is *carried along* as it is: who
/// hands the record on, hands it on whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    slots: Box<[Option<Value>]>,
    unreadable: FieldSet,
    /// By name, the JSON as text. Nearly always empty.
    carried: BTreeMap<String, String>,
}

impl Record {
    /// A record of `entity` in which nothing is known yet.
    pub fn empty(entity: &EntityType) -> Self {
        Self {
            slots: vec![None; entity.fields.len()].into(),
            unreadable: FieldSet::default(),
            carried: BTreeMap::new(),
        }
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
        self.slots[index.get()].as_ref()
    }

    /// Puts a value into a field.
    pub fn set(&mut self, index: FieldIndex, value: Value) {
        self.slots[index.get()] = Some(value);
        self.unreadable = self.unreadable.without(index);
    }

    /// Notes that no value can be read from what the store holds in a field.
    pub fn set_unreadable(&mut self, index: FieldIndex) {
        self.slots[index.get()] = None;
        self.unreadable = self.unreadable.with(index);
    }

    /// The fields that the store holds something in from which no value can be read.
    pub fn unreadable(&self) -> FieldSet {
        self.unreadable
    }

    /// Of it only these fields, as far as they are known; nothing is carried along.
    #[must_use]
    pub fn only(&self, fields: FieldSet) -> Self {
        let wanted = |place: usize| fields.contains(FieldIndex::new(place));
        let slots = self.slots.iter().enumerate();
        let slots = slots.map(|(place, slot)| slot.clone().filter(|_| wanted(place)));
        Self { slots: slots.collect(), carried: BTreeMap::new(), unreadable: self.unreadable.both(fields) }
    }

    /// Which fields are known.
    pub fn fields(&self) -> FieldSet {
        let known = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
        known.map(|(index, _)| FieldIndex::new(index)).collect()
    }

    /// The known fields with their values, in the contract's order.
    pub fn iter(&self) -> impl Iterator<Item = (FieldIndex, &Value)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((FieldIndex::new(index), slot.as_ref()?)))
    }

    /// Whether every field of `entity` is known: only such a state may be put in the place of another.
    pub fn is_whole(&self, entity: &EntityType) -> bool {
        self.fields().covers(entity.all_fields())
    }

    /// The names of what is carried along: fields that this contract does not have, or cannot read.
    pub fn carried(&self) -> impl Iterator<Item = &str> {
        self.carried.keys().map(String::as_str)
    }

    /// The key of this record; `None` unless every key field is known.
    pub fn key(&self, entity: &EntityType) -> Option<EntityKey> {
        let parts: Option<Vec<_>> = entity.key().iter().map(|i| self.get(*i).cloned()).collect();
        Some(EntityKey::new(entity.name.clone(), parts?))
    }

    /// The known fields as a JSON object, with what is carried along: the form kept in ledgers.
    pub fn to_json(&self, entity: &EntityType) -> serde_json::Value {
        let known = self.iter().map(|(index, value)| (entity.field(index).name.to_string(), value.to_json()));
        serde_json::Value::Object(known.chain(self.carried_json()).collect())
    }

    fn carried_json(&self) -> impl Iterator<Item = (String, serde_json::Value)> {
        let read = |text: &str| serde_json::from_str(text).expect("it was made from JSON");
        self.carried.iter().map(move |(name, text)| (name.clone(), read(text)))
    }

    /// Reads the JSON form; `None` only when it is no object. What `entity` has no field for, or what is not of the
    /// field's kind, is carried along.
    pub fn from_json(entity: &EntityType, json: &serde_json::Value) -> Option<Self> {
        let mut record = Self::empty(entity);
        for (name, json) in json.as_object()? {
            let index = entity.index(name);
            let value = index.and_then(|index| Value::from_json(json, entity.field(index).kind));
            match index.zip(value) {
                Some((index, value)) => record.set(index, value),
                None => drop(record.carried.insert(name.clone(), json.to_string())),
            }
        }
        Some(record)
    }

    /// The state of a type that this contract does not have: all of it is carried along. What is no object is carried
    /// under an empty name.
    pub fn as_kept(json: &serde_json::Value) -> Self {
        let carried = match json.as_object() {
            Some(fields) => fields.iter().map(|(name, json)| (name.clone(), json.to_string())).collect(),
            None => BTreeMap::from([(String::new(), json.to_string())]),
        };
        Self { slots: Box::default(), unreadable: FieldSet::default(), carried }
    }
}

#[cfg(test)]
mod tests;
