//! What differs between a registered shape and one's own, and what that means for running side by side.

use std::collections::BTreeSet;
use std::fmt;

use super::{FieldShape, HomeShape, Remembered, Shape, registered};
use crate::contract::Contract;
use crate::name::{EntityName, FieldName, GroupName};
use crate::side::Side;

/// What a difference means while replicas of both contracts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Each applies what the other has written.
    Compatible,
    /// Works side by side: the narrower contract writes the primary, the wider one brings all of it over.
    BothAtOnce,
    /// Cannot run side by side: one of them would read or write something else under the same name.
    Refused,
}

/// One difference between the registered shape of a type and one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only one's own contract has the type.
    TypeAdded,
    /// Only the registered one has it.
    TypeRemoved,
    /// Only one's own has the field.
    FieldAdded(FieldName),
    /// Only the registered one has it.
    FieldRemoved(FieldName),
    /// It may not be null any more.
    MadeRequired(FieldName),
    /// It may be null now.
    MadeOptional(FieldName),
    /// Other rules of comparison.
    RulesChanged(FieldName),
    /// Its column has another declared type.
    ColumnType(FieldName, Side),
    /// Its map has more values.
    MapGrown(FieldName, Side),
    /// Its map has fewer values.
    MapShrunk(FieldName, Side),
    /// A value of its map is stored as something else.
    MapChanged(FieldName, Side),
    /// It lives in another column.
    ColumnMoved(FieldName, Side),
    /// Another zone, or something else that is stored for null.
    HabitChanged(FieldName, Side),
    /// It holds another kind of value.
    KindChanged(FieldName),
    /// The type lives in another table.
    TableMoved(Side),
    /// Other key fields, or another sequence.
    KeyChanged,
    /// The type moves with another group.
    GroupChanged(GroupName),
}

impl Difference {
    /// What it means.
    pub fn class(&self) -> Class {
        match self {
            Self::MadeRequired(_) | Self::MadeOptional(_) | Self::RulesChanged(_) | Self::ColumnType(..) => {
                Class::Compatible
            }
            Self::TypeAdded
            | Self::TypeRemoved
            | Self::FieldAdded(_)
            | Self::FieldRemoved(_)
            | Self::MapGrown(..)
            | Self::MapShrunk(..) => Class::BothAtOnce,
            Self::MapChanged(..)
            | Self::ColumnMoved(..)
            | Self::HabitChanged(..)
            | Self::KindChanged(_)
            | Self::TableMoved(_)
            | Self::KeyChanged
            | Self::GroupChanged(_) => Class::Refused,
        }
    }

    /// Whether one's own contract cannot read, or would lose, something of the registered shape.
    pub fn hides(&self) -> bool {
        match self {
            Self::TypeRemoved | Self::FieldRemoved(_) | Self::MapShrunk(..) => true,
            Self::MapChanged(..)
            | Self::ColumnMoved(..)
            | Self::HabitChanged(..)
            | Self::KindChanged(_)
            | Self::TableMoved(_)
            | Self::KeyChanged => true,
            Self::TypeAdded
            | Self::FieldAdded(_)
            | Self::MadeRequired(_)
            | Self::MadeOptional(_)
            | Self::RulesChanged(_)
            | Self::ColumnType(..)
            | Self::MapGrown(..)
            | Self::GroupChanged(_) => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeAdded => f.write_str("this contract adds the type"),
            Self::TypeRemoved => f.write_str("this contract does not have the type"),
            Self::FieldAdded(field) => write!(f, "this contract adds the field {field}"),
            Self::FieldRemoved(field) => write!(f, "this contract does not have the field {field}"),
            Self::MadeRequired(field) => write!(f, "{field} may not be null in this contract"),
            Self::MadeOptional(field) => write!(f, "{field} may be null in this contract"),
            Self::RulesChanged(field) => write!(f, "{field} is compared by other rules"),
            Self::ColumnType(field, side) => write!(f, "the column of {field} on {side} has another declared type"),
            Self::MapGrown(field, side) => write!(f, "{field} has more values on {side} in this contract"),
            Self::MapShrunk(field, side) => write!(f, "{field} has fewer values on {side} in this contract"),
            Self::MapChanged(field, side) => write!(f, "a value of {field} is stored as another text on {side}"),
            Self::ColumnMoved(field, side) => write!(f, "{field} lives in another column on {side}"),
            Self::HabitChanged(field, side) => {
                write!(f, "{field} has another zone on {side}, or another stored form of null")
            }
            Self::KindChanged(field) => write!(f, "{field} holds another kind of value"),
            Self::TableMoved(side) => write!(f, "the type lives in another table on {side}"),
            Self::KeyChanged => f.write_str("the key is another one"),
            Self::GroupChanged(group) => write!(f, "the type was in group {group}"),
        }
    }
}

/// All differences of `own` from what is registered. Nothing on either side is no difference.
pub fn differences(registered: Option<&Shape>, own: Option<&Shape>) -> Vec<Difference> {
    let (was, own) = match (registered, own) {
        (Some(was), Some(own)) => (was, own),
        (None, Some(_)) => return vec![Difference::TypeAdded],
        (Some(_), None) => return vec![Difference::TypeRemoved],
        (None, None) => return Vec::new(),
    };
    let mut found = Vec::new();
    if was.key != own.key || was.own_key != own.own_key {
        found.push(Difference::KeyChanged);
    }
    if was.group != own.group {
        found.push(Difference::GroupChanged(was.group.clone()));
    }
    for side in Side::BOTH {
        if was.table.get(side) != own.table.get(side) {
            found.push(Difference::TableMoved(side));
        }
    }
    for field in &own.fields {
        match was.field(&field.name) {
            Some(before) => of_field(before, field, &mut found),
            None => found.push(Difference::FieldAdded(field.name.clone())),
        }
    }
    let gone = was.fields.iter().filter(|field| own.field(&field.name).is_none());
    found.extend(gone.map(|field| Difference::FieldRemoved(field.name.clone())));
    found
}

fn of_field(was: &FieldShape, own: &FieldShape, found: &mut Vec<Difference>) {
    let name = || own.name.clone();
    if was.kind != own.kind {
        found.push(Difference::KindChanged(name()));
    }
    match (was.nullable, own.nullable) {
        (true, false) => found.push(Difference::MadeRequired(name())),
        (false, true) => found.push(Difference::MadeOptional(name())),
        (true, true) | (false, false) => {}
    }
    if was.rules != own.rules || was.compared != own.compared {
        found.push(Difference::RulesChanged(name()));
    }
    for side in Side::BOTH {
        of_home(was.home.get(side), own.home.get(side), &name(), side, found);
    }
}

fn of_home(was: &HomeShape, own: &HomeShape, field: &FieldName, side: Side, found: &mut Vec<Difference>) {
    let name = || field.clone();
    if was.column != own.column {
        found.push(Difference::ColumnMoved(name(), side));
    }
    if was.column_type != own.column_type {
        found.push(Difference::ColumnType(name(), side));
    }
    if was.zone != own.zone || was.null != own.null {
        found.push(Difference::HabitChanged(name(), side));
    }
    if was.map == own.map {
        return;
    }
    let kept = |one: &(String, String), other: &HomeShape| other.map.contains(one);
    let (has_all, had_all) = (was.map.iter().all(|one| kept(one, own)), own.map.iter().all(|one| kept(one, was)));
    // Without a map every value is stored as it is: to gain or lose one changes what stands.
    match (has_all && !was.map.is_empty(), had_all && !own.map.is_empty()) {
        (true, true) => {}
        (true, false) => found.push(Difference::MapGrown(name(), side)),
        (false, true) => found.push(Difference::MapShrunk(name(), side)),
        (false, false) => found.push(Difference::MapChanged(name(), side)),
    }
}

/// Every difference of `contract` from what a side remembers as registered, by type. A side that remembers nothing
/// differs in nothing.
pub fn judge(remembered: &[Remembered], contract: &Contract) -> Vec<(EntityName, Difference)> {
    if remembered.is_empty() {
        return Vec::new();
    }
    let names: BTreeSet<&EntityName> =
        contract.entities.keys().chain(remembered.iter().map(|one| &one.entity)).collect();
    let mut found = Vec::new();
    for name in names {
        let own = contract.entity(name).map(|entity| Shape::of(entity));
        // A form that only a later release knows is judged by nobody here; it is known by nobody either.
        let was = registered(remembered, name);
        if was.is_some_and(|was| was.shape.is_none()) {
            continue;
        }
        let differences = differences(was.and_then(|was| was.shape.as_ref()), own.as_ref());
        found.extend(differences.into_iter().map(|difference| (name.clone(), difference)));
    }
    found
}
