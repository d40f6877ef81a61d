//! An entity's table on one side: the SQL texts about it, and rows to records.
//!
//! Texts depend on the entity and the set of fields only, never on values or counts, so each connection
//! prepares a small fixed number of them. Every parameter is cast to the declared type of its column,
//! so that indexes on CHAR and NUMERIC keys are used.

use std::fmt::Write;

use model::contract::ColumnType;
use model::own_key::{TOO_LARGE, derived_head};
use model::{EntityKey, EntityType, FieldIndex, FieldSet, OwnKey, Record, Side, StoreError, Value, fit};
use tokio_postgres::Row;

use super::wire::Stored;
use crate::id_map::Numbers;
use crate::value;

/// One entity on one side.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) entity: &'a EntityType,
    pub(super) side: Side,
    /// The numbers of keys that are asked for, where this side has keys of its own.
    numbers: Option<&'a Numbers>,
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

    /// PostgreSQL's name for the declared type of a column, without length.
    pub(super) fn type_name(self, index: FieldIndex) -> &'static str {
        let index = self.own().filter(|_| self.is_own(index)).map_or(index, |own| own.number);
        match self.entity.field(index).home.get(self.side).column_type {
            ColumnType::Char(_) => "bpchar",
            ColumnType::Varchar(_) => "text",
            ColumnType::Numeric(_) => "numeric",
            ColumnType::Integer => "int4",
            ColumnType::BigInt => "int8",
            ColumnType::Boolean => "bool",
            ColumnType::Timestamp | ColumnType::TimestampSeconds => "timestamp",
            ColumnType::TimestampTz => "timestamptz",
            ColumnType::Date => "date",
        }
    }

    /// The columns of `fields`, in the contract's order.
    pub(super) fn columns(self, fields: FieldSet) -> String {
        self.list(fields.iter(), |index| self.selected(index, ""))
    }

    /// How a field is read from a row, whose columns have `prefix`. A key of this side's own is read as the canonical
    /// one: from the ID map, or derived by the rule of `model::own_key`.
    pub(super) fn selected(self, index: FieldIndex, prefix: &str) -> String {
        let column = format!("{prefix}{}", self.column(index));
        if !self.is_own(index) {
            return column;
        }
        let (entity, head) = (&self.entity.name, derived_head(&self.entity.name));
        let digits = format!("to_char({column}, 'FM000000000000000')");
        format!(
            "COALESCE((SELECT m.key FROM strangler_id_map AS m WHERE m.entity = '{entity}' AND m.own_key = {column}), \
             '{head}' || substr({digits}, 1, 3) || '-' || substr({digits}, 4))"
        )
    }

    /// That the row `t` has a key by which it can be looked up. Never null.
    pub(super) fn usable(self) -> String {
        if let Some(own) = self.own() {
            let number = format!("t.{}", self.column(own.number));
            return format!("({number} > 0 AND {number} < {TOO_LARGE} AND trunc({number}) = {number}) IS TRUE");
        }
        let part = |index: &FieldIndex| {
            let home = self.entity.field(*index).home.get(self.side);
            let is_text = matches!(home.column_type, ColumnType::Char(_) | ColumnType::Varchar(_));
            let column = format!("t.{}", home.column);
            if home.empty_is_null && is_text {
                format!("({column} <> '') IS TRUE")
            } else {
                format!("{column} IS NOT NULL")
            }
        };
        self.entity.key().iter().map(part).collect::<Vec<_>>().join(" AND ")
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

    /// `t.key = q.k0 AND …`: joins the table `t` with key columns named `k0`, `k1`… of `q`.
    pub(super) fn key_join(self, q: &str) -> String {
        let parts = self.entity.key().iter().enumerate();
        let parts: Vec<_> = parts.map(|(place, index)| format!("t.{} = {q}.k{place}", self.column(*index))).collect();
        parts.join(" AND ")
    }

    /// `unnest($n::type[], …) AS q(k0, …)` over the key, from parameter `first`.
    pub(super) fn unnest_keys(self, first: usize) -> String {
        let key = self.entity.key().iter().enumerate();
        let arrays: Vec<_> =
            key.clone().map(|(place, index)| format!("${}::{}[]", first + place, self.type_name(*index))).collect();
        let names: Vec<_> = key.map(|(place, _)| format!("k{place}")).collect();
        format!("unnest({}) AS q({})", arrays.join(", "), names.join(", "))
    }

    /// Reads one key. A text of its own, since the server then keeps one plan and stops planning.
    pub(super) fn select_one(self, fields: FieldSet) -> String {
        format!(
            "SELECT {} FROM {} AS t WHERE {}",
            self.list(fields.iter(), |index| self.selected(index, "t.")),
            self.name(),
            self.key_equals(1)
        )
    }

    /// `t.key = $n::type AND …`, from parameter `first`.
    pub(super) fn key_equals(self, first: usize) -> String {
        let parts = self.entity.key().iter().enumerate();
        let parts: Vec<_> = parts
            .map(|(place, index)| {
                let (column, ty) = (self.column(*index), self.type_name(*index));
                format!("t.{column} = ${}::{ty}", first + place)
            })
            .collect();
        parts.join(" AND ")
    }

    /// Reads any number of keys, given as one array per key part.
    pub(super) fn select_many(self, fields: FieldSet) -> String {
        let columns = self.list(fields.iter(), |index| self.selected(index, "t."));
        let mut text = format!("SELECT {columns} FROM {} AS t ", self.name());
        let _ = match self.entity.key() {
            [only] => {
                let (column, ty) = (self.column(*only), self.type_name(*only));
                write!(text, "WHERE t.{column} = ANY($1::{ty}[])")
            }
            _ => write!(text, "JOIN {} ON {}", self.unnest_keys(1), self.key_join("q")),
        };
        text
    }

    /// The same with a lock on every row, so that its state stands until the transaction ends.
    pub(super) fn lock_many(self, fields: FieldSet) -> String {
        format!("{} FOR UPDATE OF t", self.select_many(fields))
    }

    /// The parts of a key as its columns keep them; `None` when it fits no row of this side.
    pub(super) fn key_values(self, key: &EntityKey) -> Option<Vec<Stored>> {
        if let Some(own) = self.own() {
            return Some(vec![self.stored(own.number, &self.number_of(key)?).ok()?]);
        }
        let parts = self.entity.key().iter().zip(key.parts());
        parts.map(|(index, part)| self.stored(*index, part).ok()).collect()
    }

    /// The ERP's number of a key, where this side has one in its place and knows it.
    pub(super) fn number_of(self, key: &EntityKey) -> Option<Value> {
        self.numbers?.get(key).map(|number| Value::Text(number.to_string()))
    }

    /// One field's value as its column keeps it.
    pub(super) fn stored(self, index: FieldIndex, value: &model::Value) -> Result<Stored, StoreError> {
        let field = self.entity.field(index);
        value::to_stored(field, self.side, value).map_err(|refusal| StoreError::Refused {
            side: self.side,
            refusal,
            source: None,
        })
    }

    /// Refuses a key that does not fit this side. A key without number names no row, as null does.
    pub(super) fn require_fit(self, key: &EntityKey) -> Result<Vec<Stored>, StoreError> {
        fit::key_fits(self.entity, self.side, key).map_err(|refusal| StoreError::Refused {
            side: self.side,
            refusal,
            source: None,
        })?;
        if let Some(own) = self.own() {
            let number = self.number_of(key).map(|number| self.stored(own.number, &number));
            return Ok(vec![number.transpose()?.unwrap_or(Stored::Null)]);
        }
        let parts = self.entity.key().iter().zip(key.parts());
        parts.map(|(index, part)| self.stored(*index, part)).collect()
    }

    /// A row whose first columns are those of `fields`. What cannot be read is said of its field alone.
    pub(super) fn record(self, fields: FieldSet, row: &Row) -> Record {
        let mut record = Record::empty(self.entity);
        for (place, index) in fields.iter().enumerate() {
            let field = self.entity.field(index);
            let value =
                row.try_get::<_, Stored>(place).ok().and_then(|stored| value::to_canonical(field, self.side, stored));
            match value {
                Some(value) => record.set(index, value),
                None => record.set_unreadable(index),
            }
        }
        record
    }

    /// The record and its key, of a row that starts with `fields`, key fields among them.
    pub(super) fn keyed(self, fields: FieldSet, row: &Row) -> Result<(EntityKey, Record), StoreError> {
        let record = self.record(fields, row);
        let key = record.key(self.entity).ok_or_else(|| StoreError::Misfit {
            side: self.side,
            problem: format!("a row of {} has a key that cannot be read", self.name()),
            source: None,
        })?;
        Ok((key, record))
    }
}

/// One array per key part, from the values of many keys.
pub(super) fn transpose(rows: Vec<Vec<Stored>>, width: usize) -> Vec<Stored> {
    let mut columns: Vec<Vec<Stored>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns.into_iter().map(Stored::List).collect()
}
