//! The *shape* of a type: its fields, where each lives on both sides, and what their canonical values rest on.
//!
//! While a contract is rolled out, replicas of two contracts run side by side. Each side remembers the shapes that it
//! has seen of each type, and which of them is *registered*: the one whose states are whole. The first replica of a
//! wider contract raises it when it starts; going back to a narrower one is an order.
//!
//! - Who knows the registered shape applies states of the type. Who does not writes the primary and applies nothing.
//! - A state that lacks fields of the shape only names its key: whoever applies looks the key up on the primary.
//! - Ledger and version rows say in which shape they were written, by its [`ShapeId`].
//!
//! Promise: pure, and the same in every process. [`differences`] is the only judge of two contracts.
//! Not here: the table (each adapter's `shapes`), who raises and when (`proxy::catchup::shapes`).

mod difference;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::difference::{Class, Difference, differences, judge};
use crate::contract::{EntityType, Field, FieldIndex, Home};
use crate::name::{EntityName, FieldName, GroupName};
use crate::side::PerSide;
use crate::store::StoreError;
use crate::value::Kind;

/// Names a shape: a hash of all that it says. Positive, so that every engine keeps it as a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(i64);

impl ShapeId {
    /// Takes back what a table kept.
    pub fn kept(number: i64) -> Self {
        Self(number)
    }

    /// As tables keep it.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// What two replicas must agree on about a type before one may apply what the other has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The type.
    pub entity: EntityName,
    /// The group that it moves with.
    pub group: GroupName,
    /// Its table on each side.
    pub table: PerSide<String>,
    /// The names of the key's fields, in order.
    pub key: Vec<FieldName>,
    /// The sequence of the ERP's own key, if the type has one.
    pub own_key: Option<String>,
    /// The stored fields, in the contract's order.
    pub fields: Vec<FieldShape>,
}

/// One field of a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldShape {
    /// Its name.
    pub name: FieldName,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// The rules under which its text is made for sums and numbers of rows.
    pub rules: String,
    /// Whether it is compared at all.
    pub compared: bool,
    /// Where it lives.
    pub home: PerSide<HomeShape>,
}

/// Where a field lives on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeShape {
    /// The column.
    pub column: String,
    /// Its declared type.
    pub column_type: String,
    /// The zone of local times.
    pub zone: Option<String>,
    /// Canonical value, as JSON, and stored text.
    pub map: Vec<(String, String)>,
    /// What is stored for null.
    pub null: String,
}

impl Shape {
    /// The shape of a type of this contract.
    pub fn of(entity: &EntityType) -> Self {
        let own_key = entity.own_key(crate::Side::Legacy).map(|own| own.sequence.clone());
        Self {
            entity: entity.name.clone(),
            group: entity.group.clone(),
            table: entity.table.clone(),
            key: entity.key().iter().map(|index| entity.field(*index).name.clone()).collect(),
            own_key,
            fields: entity.fields.iter().map(FieldShape::of).collect(),
        }
    }

    /// Its name.
    pub fn id(&self) -> ShapeId {
        let digest = Sha256::digest(self.to_text());
        let first: [u8; 8] = std::array::from_fn(|place| digest[place]);
        ShapeId((u64::from_be_bytes(first) >> 4).cast_signed())
    }

    /// As tables keep it.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and texts have a JSON form")
    }

    /// Reads [`Self::to_text`] back; `None` for what a later release may have written.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The field called `name`.
    pub fn field(&self, name: &FieldName) -> Option<&FieldShape> {
        self.fields.iter().find(|field| field.name == *name)
    }

    /// Whether whoever has this contract knows every field of `other` and reads it alike: then a state of `other` can be
    /// read, and one of this shape lacks nothing that `other` has.
    pub fn knows(&self, other: &Self) -> bool {
        differences(Some(other), Some(self)).iter().all(|difference| !difference.hides())
    }

    /// The compared fields of this shape as fields of `entity`, in this shape's order, if `entity` makes the same text of
    /// each: then a number that was taken under this shape can be compared with one over these fields.
    pub fn compared_as(&self, entity: &EntityType) -> Option<Vec<FieldIndex>> {
        let compared = self.fields.iter().filter(|field| field.compared);
        let same = |field: &FieldShape| {
            let index = entity.index(field.name.as_str())?;
            let own = FieldShape::of(entity.field(index));
            (own.kind == field.kind && own.rules == field.rules && own.compared).then_some(index)
        };
        compared.map(same).collect()
    }
}

impl FieldShape {
    fn of(field: &Field) -> Self {
        let compare = &field.compare;
        let mut rules = Vec::new();
        rules.extend(compare.scale.map(|scale| format!("scale {scale}")));
        rules.extend(compare.ignore_case.then(|| "ignore case".to_owned()));
        rules.extend(compare.to_seconds.then(|| "to seconds".to_owned()));
        Self {
            name: field.name.clone(),
            kind: field.kind,
            nullable: field.nullable,
            rules: rules.join(", "),
            compared: !compare.ignore,
            home: field.home.clone().map(|_, home| HomeShape::of(&home)),
        }
    }
}

impl HomeShape {
    fn of(home: &Home) -> Self {
        let mut null: Vec<_> = home.null_instants.iter().map(ToString::to_string).collect();
        null.extend(home.empty_is_null.then(|| "''".to_owned()));
        Self {
            column: home.column.clone(),
            column_type: format!("{:?} in {:?}", home.column_type, home.length_in),
            zone: home.zone.as_ref().map(|zone| zone.name().to_owned()),
            map: home.map.iter().map(|(value, text)| (value.to_json().to_string(), text.clone())).collect(),
            null: null.join(" "),
        }
    }
}

/// A shape that a side remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The type.
    pub entity: EntityName,
    /// Its name.
    pub id: ShapeId,
    /// The shape of a type with the greatest rank is the registered one; 0: it was seen and never registered.
    pub rank: u32,
    /// What it says; `None` when a later release wrote it in a form that this one does not know.
    pub shape: Option<Shape>,
}

/// The registered shape of `entity` among those that a side remembers.
pub fn registered<'a>(remembered: &'a [Remembered], entity: &EntityName) -> Option<&'a Remembered> {
    let of_type = remembered.iter().filter(|one| one.entity == *entity && one.rank > 0);
    of_type.max_by_key(|one| one.rank)
}

/// The port to the shapes that a side remembers.
#[async_trait]
pub trait ShapeLog: Send + Sync {
    /// Every shape that this side remembers. Empty where nobody has ever registered one.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit` when the table is missing.
    async fn shapes(&self, within: Duration) -> Result<Vec<Remembered>, StoreError>;

    /// Makes `shape` the registered one of its type, if the registered one still has the rank `after` (0: there is
    /// none). Whether it is now. Two who raise at once: one of them is told no, and looks again.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`, `Misfit`: look again.
    async fn register(&self, shape: &Shape, after: u32, within: Duration) -> Result<bool, StoreError>;

    /// Remembers `shape` without registering it, so that others can read what its replicas write. Harmless to repeat.
    ///
    /// # Errors
    /// As [`Self::register`].
    async fn remember_shape(&self, shape: &Shape, within: Duration) -> Result<(), StoreError>;

    /// Changes in this side's ledger that wait and that this contract does not know, at most `limit`: they are left to
    /// replicas of a newer one.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn left_to_newer(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<crate::change::NotRead>, StoreError>;
}

#[cfg(test)]
mod tests;
