//! The changes of an apply by entity and known fields, and the statements for each such batch with their values.

use std::collections::{BTreeMap, HashMap};

use model::{Change, EntityKey, EntityName, FieldIndex, FieldSet, Side, StoreError, Value};
use tokio_postgres::Row;

use super::apply::{Call, Work};
use super::apply_text;
use super::carry::Stand;
use super::ledger;
use super::pipeline::Step;
use super::read::misfit;
use super::table::{Table, transpose};
use super::wire::{Stored, get};
use crate::gate::Gate;
use crate::id_map::Numbers;
use crate::number::{base, expected, shape};
use crate::order::{Order, Turn};

/// What batches are made of: see [`Work`].
#[derive(Clone, Copy)]
pub(super) struct Parts<'s, 'c> {
    pub(super) open: &'s [&'c Change],
    pub(super) numbers: &'s Numbers,
    pub(super) taken: &'s HashMap<EntityKey, i64>,
    pub(super) kept: &'s HashMap<EntityKey, i64>,
    pub(super) strict: bool,
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Apply,
    /// To see who has changed a row.
    Look,
    /// To see what a row becomes when it is written.
    Witness,
}

/// Changes of one entity and shape, and the statements for them.
pub(super) struct Batch<'s, 'c> {
    pub(super) table: Table<'s>,
    pub(super) changes: Vec<&'c Change>,
    pub(super) purpose: Purpose,
    pub(super) record: Step,
    pub(super) act: Step,
    /// Verifies the rows; or reads them, for a look and a witness.
    pub(super) verify: Step,
}

impl Batch<'_, '_> {
    /// The keys that an answer to `record` names.
    pub(super) fn recorded(&self, side: Side, rows: &[Row]) -> Result<Vec<EntityKey>, StoreError> {
        rows.iter().map(|row| self.key_of(side, get(side, row, 0)?)).collect()
    }

    /// The keys that an answer to `act` names: of rows of which nobody knows whose they were.
    pub(super) fn unproven(&self, side: Side, rows: &[Row]) -> Result<Vec<EntityKey>, StoreError> {
        let Some(row) = rows.first() else { return Ok(Vec::new()) };
        let keys: Option<Vec<String>> = get(side, row, 1)?;
        keys.unwrap_or_default().iter().map(|text| self.key_of(side, text)).collect()
    }

    fn key_of(&self, side: Side, text: &str) -> Result<EntityKey, StoreError> {
        let change = self.changes.iter().find(|change| change.key.as_text() == text);
        let unknown = || misfit(side, "the bookkeeping names a key that was not asked for".into());
        Ok(change.ok_or_else(unknown)?.key.clone())
    }
}

/// Sorts the changes: deletions first, tables by `order`, then by which fields are known.
pub(super) fn batches<'s, 'c>(
    call: &'s Call<'_>,
    work: &'s Work<'c>,
    order: &Order,
    purpose: Purpose,
) -> Result<Vec<Batch<'s, 'c>>, StoreError> {
    batches_of(call, work.parts(), order, purpose)
}

/// The same of these parts.
pub(super) fn batches_of<'s, 'c>(
    call: &'s Call<'_>,
    parts: Parts<'s, 'c>,
    order: &Order,
    purpose: Purpose,
) -> Result<Vec<Batch<'s, 'c>>, StoreError> {
    let Parts { open, numbers, taken, kept, strict } = parts;
    let mut sorted: BTreeMap<(Turn, &EntityName, Vec<usize>), Vec<&'c Change>> = BTreeMap::new();
    for change in open {
        let fields = change.state.as_ref().map(|record| record.fields());
        let shape = fields.unwrap_or_default().iter().map(|index| index.get()).collect();
        let slot = (order.turn(change), change.key.entity(), shape);
        sorted.entry(slot).or_default().push(change);
    }
    let leaves = call.gate.leaves_unproven();
    let mut batches = Vec::new();
    for ((_, name, _), changes) in sorted {
        let deleted = changes[0].state.is_none();
        let table = Table::new(ledger::entity(call.contract, call.side, name.as_str())?, call.side).with(numbers);
        let fields = changes[0].state.as_ref().map_or(FieldSet::default(), |record| record.fields());
        let key = table.entity.key();
        let (text, order) = if deleted {
            (apply_text::delete(table, leaves), key.to_vec())
        } else {
            (apply_text::put(table, fields, leaves), apply_text::put_fields(table, fields))
        };
        let act = Step { text, values: values(table, &order, &changes, taken, strict)? };
        let (text, taken) = match purpose {
            Purpose::Apply => (apply_text::verify(table), kept),
            Purpose::Look => (apply_text::look(table, leaves), taken),
            Purpose::Witness => (apply_text::witness(table), kept),
        };
        let verify = Step { text, values: values(table, key, &changes, taken, strict)? };
        let record =
            Step { text: apply_text::record(table.side, call.gate), values: common(table, &changes, call.gate) };
        batches.push(Batch { table, changes, purpose, record, act, verify });
    }
    Ok(batches)
}

/// Entity, keys, numbers taken, whether counts must be right, the primary's numbers before, and the columns of `order`, key first.
fn values(
    table: Table<'_>,
    order: &[FieldIndex],
    changes: &[&Change],
    taken: &HashMap<EntityKey, i64>,
    strict: bool,
) -> Result<Vec<Stored>, StoreError> {
    let width = table.entity.key().len();
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        let mut row = table.require_fit(&change.key)?;
        for index in &order[width..] {
            let value = change.state.as_ref().and_then(|record| record.get(*index));
            row.push(table.stored(*index, value.unwrap_or(&Value::Null))?);
        }
        rows.push(row);
    }
    let mut values = vec![
        Stored::Text(table.entity.name.to_string()),
        Stored::List(changes.iter().map(|change| Stored::Text(change.key.as_text().to_owned())).collect()),
        Stored::List(
            changes.iter().map(|change| taken.get(&change.key).map_or(Stored::Null, |n| Stored::Big(*n))).collect(),
        ),
        Stored::Bool(strict),
        Stored::List(changes.iter().map(|c| base(table.entity, c).map_or(Stored::Null, Stored::Big)).collect()),
    ];
    values.extend(transpose(rows, order.len()));
    Ok(values)
}

/// The parameters of `apply_text::record`.
fn common(table: Table<'_>, changes: &[&Change], gate: Gate) -> Vec<Stored> {
    let big = |number: u64| Stored::Big(i64::try_from(number).unwrap_or(i64::MAX));
    let column = |make: &dyn Fn(&Change) -> Stored| Stored::List(changes.iter().map(|change| make(change)).collect());
    let values = vec![
        column(&|change| Stored::Uuid(change.write.0)),
        column(&|change| Stored::Text(change.key.as_text().to_owned())),
        column(&|change| big(change.version.epoch.0.into())),
        column(&|change| big(change.version.incarnation.0.into())),
        column(&|change| big(change.version.position.0)),
        column(&|change| Stored::Bool(change.state.is_none())),
        column(&|change| {
            Stored::Big(expected(table.entity, table.side, change.state.as_ref(), table.number_of(&change.key)))
        }),
        Stored::Text(table.entity.group.to_string()),
        Stored::Text(table.entity.name.to_string()),
        Stored::Big(shape(table.entity)),
        Stored::Big(gate.incarnation().0.into()),
    ];
    debug_assert_eq!(values.len(), apply_text::COMMON);
    values
}

/// A version that does not stay as it was recorded would let an older write pass over a newer one.
pub(super) fn unkept(side: Side) -> StoreError {
    misfit(side, "strangler_version keeps another row than it was told: drop the trigger or rule on it".into())
}

/// Each change was recorded, so each has a version row.
pub(super) fn stands_of(side: Side, stands: Vec<Option<Stand>>) -> Result<Vec<Stand>, StoreError> {
    let missing = || misfit(side, "a version was recorded and is not there: does something hide its row?".into());
    stands.into_iter().map(|stand| stand.ok_or_else(missing)).collect()
}
