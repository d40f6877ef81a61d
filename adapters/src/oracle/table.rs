//! An entity's table on one side: the SQL texts about it, and rows to records.
//!
//! The server keeps a parsed statement for each text, so there are few: lists of keys come in steps of powers of
//! two, filled up with the last key.

use model::own_key::{TOO_LARGE, derived_head};
use model::{EntityKey, EntityType, FieldIndex, FieldSet, OwnKey, Record, Side, StoreError, Value, fit};
use oracle::Row;

use super::bind::Bind;
use super::wire;
use crate::id_map::Numbers;
use crate::value;

/// An IN list has at most this many members.
pub(super) const MAX_LIST: usize = 1_000;

/// One entity on one side.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) entity: &'a EntityType,
    pub(super) side: Side,
    /// The numbers of keys that are asked for, where this side has keys of its own.
    numbers: Option<&'a Numbers>,
}

/// A condition, and its opposite where one part is null.
pub(super) struct PerAnswer {
    pub(super) yes: String,
    pub(super) no: String,
}

/// How many places a list of `count` members gets.
pub(super) fn bucket(count: usize) -> usize {
    count.max(1).next_power_of_two().min(MAX_LIST.max(count))
}

/// `:from, :from + 1, …`, `count` of them.
pub(super) fn places(from: usize, count: usize) -> String {
    let places: Vec<_> = (from..from + count).map(|place| format!(":{place}")).collect();
    places.join(", ")
}

impl<'a> Table<'a> {
    pub(super) fn new(entity: &'a EntityType, side: Side) -> Self {
        Self { entity, side, numbers: None }
    }

    /// The same, knowing the numbers of the keys that it will be given.
    pub(super) fn with(self, numbers: &'a Numbers) -> Self {
        Self { numbers: Some(numbers), ..self }
    }

    /// How this side's key differs from the canonical one.
    pub(super) fn own(self) -> Option<&'a OwnKey> {
        self.entity.own_key(self.side)
    }

    /// Whether this side keeps a number in place of this field.
    pub(super) fn is_own(self, index: FieldIndex) -> bool {
        self.own().is_some() && self.entity.key().contains(&index)
    }

    pub(super) fn name(self) -> &'a str {
        self.entity.table.get(self.side)
    }

    pub(super) fn column(self, index: FieldIndex) -> &'a str {
        &self.entity.field(index).home.get(self.side).column
    }

    /// The columns of `fields`, in the contract's order, of `t`.
    pub(super) fn columns(self, fields: FieldSet) -> String {
        self.list(fields.iter(), |index| self.selected(index, "t."))
    }

    /// How a field is read from a row, whose columns have `prefix`. A key of this side's own is read as the canonical
    /// one: from the ID map, or derived by the rule of `model::own_key`. Also of a table as of an older moment: a
    /// number that a row had then is given to no other key later.
    pub(super) fn selected(self, index: FieldIndex, prefix: &str) -> String {
        let column = format!("{prefix}{}", self.column(index));
        if !self.is_own(index) {
            return column;
        }
        let (entity, head) = (&self.entity.name, derived_head(&self.entity.name));
        let digits = format!("TO_CHAR({column}, 'FM000000000000000')");
        format!(
            "COALESCE((SELECT m.key FROM strangler_id_map m WHERE m.entity = '{entity}' AND m.own_key = {column}), \
             '{head}' || SUBSTR({digits}, 1, 3) || '-' || SUBSTR({digits}, 4))"
        )
    }

    /// That the row `t` has a key by which it can be looked up, and that it has none: an Oracle has no value for
    /// neither.
    pub(super) fn usable(self) -> PerAnswer {
        if let Some(own) = self.own() {
            let number = format!("t.{}", self.column(own.number));
            let yes = format!("{number} > 0 AND {number} < {TOO_LARGE} AND TRUNC({number}) = {number}");
            let no =
                format!("{number} IS NULL OR {number} <= 0 OR {number} >= {TOO_LARGE} OR TRUNC({number}) <> {number}");
            return PerAnswer { yes, no };
        }
        let of = |what: &str| {
            self.entity.key().iter().map(|index| format!("t.{} {what}", self.column(*index))).collect::<Vec<_>>()
        };
        PerAnswer { yes: of("IS NOT NULL").join(" AND "), no: of("IS NULL").join(" OR ") }
    }

    /// `make` of every field, with commas between.
    pub(super) fn list(
        self,
        fields: impl IntoIterator<Item = FieldIndex>,
        make: impl Fn(FieldIndex) -> String,
    ) -> String {
        let parts: Vec<_> = fields.into_iter().map(make).collect();
        parts.join(", ")
    }

    /// The key's columns.
    pub(super) fn key_columns(self) -> String {
        self.list(self.entity.key().iter().copied(), |index| self.column(index).to_owned())
    }

    /// `t.key = :n AND …`, from place `first`.
    pub(super) fn key_equals(self, first: usize) -> String {
        let parts = self.entity.key().iter().enumerate();
        let parts: Vec<_> =
            parts.map(|(place, index)| format!("t.{} = :{}", self.column(*index), first + place)).collect();
        parts.join(" AND ")
    }

    /// Reads `count` keys.
    pub(super) fn select(self, fields: FieldSet, count: usize) -> String {
        format!("SELECT {} FROM {} t WHERE {}", self.columns(fields), self.name(), self.key_in(count))
    }

    /// The same with a lock on every row, waited for by `seconds` at most.
    pub(super) fn lock(self, fields: FieldSet, count: usize, seconds: u64) -> String {
        format!("{} FOR UPDATE WAIT {seconds}", self.select(fields, count))
    }

    /// That the key is one of `count`.
    pub(super) fn key_in(self, count: usize) -> String {
        match self.entity.key() {
            [only] => format!("t.{} IN ({})", self.column(*only), places(1, bucket(count))),
            parts => {
                let columns = self.list(parts.iter().copied(), |index| format!("t.{}", self.column(index)));
                let tuple = |number| format!("({})", places(1 + number * parts.len(), parts.len()));
                let tuples: Vec<_> = (0..bucket(count)).map(tuple).collect();
                format!("({columns}) IN ({})", tuples.join(", "))
            }
        }
    }

    /// The binds of [`Self::select`] for these keys, filled up with the last.
    pub(super) fn key_binds(mut keys: Vec<Vec<Bind>>) -> Vec<Bind> {
        if let Some(last) = keys.last().cloned() {
            keys.resize(bucket(keys.len()), last);
        }
        keys.into_iter().flatten().collect()
    }

    /// The parts of a key as its columns keep them; `None` when it fits no row of this side.
    pub(super) fn key_values(self, key: &EntityKey) -> Option<Vec<Bind>> {
        if let Some(own) = self.own() {
            return Some(vec![self.bind(own.number, &self.number_of(key)?).ok()?]);
        }
        let parts = self.entity.key().iter().zip(key.parts());
        parts.map(|(index, part)| self.bind(*index, part).ok()).collect()
    }

    /// The ERP's number of a key, where this side has one in its place and knows it.
    pub(super) fn number_of(self, key: &EntityKey) -> Option<Value> {
        self.numbers?.get(key).map(|number| Value::Text(number.to_string()))
    }

    /// One field's value as its column keeps it.
    pub(super) fn bind(self, index: FieldIndex, value: &Value) -> Result<Bind, StoreError> {
        let field = self.entity.field(index);
        let column = field.home.get(self.side).column_type;
        match value::to_stored(field, self.side, value) {
            Ok(stored) => Ok(Bind::stored(column, stored)),
            Err(refusal) => Err(StoreError::Refused { side: self.side, refusal, source: None }),
        }
    }

    /// Refuses a key that does not fit this side. A key without number names no row, as null does.
    pub(super) fn require_fit(self, key: &EntityKey) -> Result<Vec<Bind>, StoreError> {
        fit::key_fits(self.entity, self.side, key).map_err(|refusal| StoreError::Refused {
            side: self.side,
            refusal,
            source: None,
        })?;
        if let Some(own) = self.own() {
            let number = self.number_of(key).unwrap_or(Value::Null);
            return Ok(vec![self.bind(own.number, &number)?]);
        }
        let parts = self.entity.key().iter().zip(key.parts());
        parts.map(|(index, part)| self.bind(*index, part)).collect()
    }

    /// A row whose first columns are those of `fields`. What cannot be read is said of its field alone.
    pub(super) fn record(self, fields: FieldSet, row: &Row) -> Record {
        let mut record = Record::empty(self.entity);
        for (place, index) in fields.iter().enumerate() {
            let field = self.entity.field(index);
            let stored = wire::stored(row, place, field.home.get(self.side).column_type);
            match stored.and_then(|stored| value::to_canonical(field, self.side, stored)) {
                Some(value) => record.set(index, value),
                None => record.set_unreadable(index),
            }
        }
        record
    }

    /// The record and its key, of a row that starts with `fields`, key fields among them.
    pub(super) fn keyed(self, fields: FieldSet, row: &Row) -> Result<(EntityKey, Record), StoreError> {
        let record = self.record(fields, row);
        let key = record.key(self.entity);
        let unread = || misfit(self.side, format!("a row of {} has a key that cannot be read", self.name()));
        let key = key.ok_or_else(unread)?;
        Ok((key, record))
    }
}

pub(super) fn misfit(side: Side, problem: impl Into<String>) -> StoreError {
    StoreError::Misfit { side, problem: problem.into(), source: None }
}
