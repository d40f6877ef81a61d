//! The SQL texts that change an entity's table.

use model::{EntityKey, FieldIndex, FieldSet, Record, StoreError};

use super::bind::Bind;
use super::table::{Table, places};

/// A statement with its binds.
pub(super) struct Step {
    pub(super) text: String,
    pub(super) binds: Vec<Bind>,
}

/// The fields of `fields` that are not part of the key; nor the field that shows the number, where that is the key.
pub(super) fn plain_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
    let key = table.entity.key_fields();
    let key = table.own().map_or(key, |own| key.with(own.number));
    fields.iter().filter(|index| !key.contains(*index)).collect()
}

/// `UPDATE … SET …` of `fields`, whose binds come first, by key; `None` when there is nothing to set.
pub(super) fn update(table: Table<'_>, fields: &[FieldIndex]) -> Option<String> {
    if fields.is_empty() {
        return None;
    }
    let numbered = (1..).zip(fields);
    let sets: Vec<_> = numbered.map(|(place, index)| format!("{} = :{place}", table.column(*index))).collect();
    let found = table.key_equals(fields.len() + 1);
    Some(format!("UPDATE {} t SET {} WHERE {found}", table.name(), sets.join(", ")))
}

/// `INSERT … VALUES …` of `fields`, then the key.
pub(super) fn insert(table: Table<'_>, fields: &[FieldIndex]) -> String {
    let all: Vec<_> = fields.iter().chain(table.entity.key()).copied().collect();
    let columns = table.list(all.iter().copied(), |index| table.column(index).to_owned());
    format!("INSERT INTO {} ({columns}) VALUES ({})", table.name(), places(1, all.len()))
}

/// The binds of [`update`] and [`insert`]: fields, then key.
pub(super) fn values(
    table: Table<'_>,
    key: &EntityKey,
    record: &Record,
    fields: &[FieldIndex],
) -> Result<Vec<Bind>, StoreError> {
    let null = model::Value::Null;
    let of = |index: &FieldIndex| table.bind(*index, record.get(*index).unwrap_or(&null));
    let mut values: Vec<Bind> = fields.iter().map(of).collect::<Result<_, _>>()?;
    values.extend(table.require_fit(key)?);
    Ok(values)
}

/// Deletes one entity by key.
pub(super) fn delete(table: Table<'_>) -> String {
    format!("DELETE FROM {} t WHERE {}", table.name(), table.key_equals(1))
}

/// That the fence of the group in this bind is there and not open, the side not suspended, and that it remembers no later
/// life than the incarnation in the third bind of the side in the second.
pub(super) fn not_open(place: usize) -> String {
    format!(
        "EXISTS (SELECT 1 FROM strangler_fence f WHERE f.grp = :{place} AND f.state NOT IN ('open', 'alone')) \
         AND EXISTS (SELECT 1 FROM strangler_life a WHERE a.suspended IS NULL) AND NOT EXISTS (SELECT 1 FROM \
         strangler_memory y WHERE y.side = :{} AND y.incarnation > :{})",
        place + 1,
        place + 2
    )
}

/// Records a version where it is newer. Binds: epoch, incarnation, position, write, deleted, (with `numbered`: shape and
/// number of the row,) entity, key, and the first three again; with `proves` what [`not_open`] takes.
pub(super) fn raise_version(numbered: bool, proves: bool) -> String {
    let (also, key) = if numbered { (", shape = :6, stands = :7", 8) } else { ("", 6) };
    let at = |after: usize| key + after;
    let proof = if proves { format!(" AND {}", not_open(at(7))) } else { String::new() };
    format!(
        "UPDATE strangler_version SET epoch = :1, incarnation = :2, position = :3, write_id = :4, deleted = :5{also} \
         WHERE entity = :{} AND key = :{} AND (epoch < :{} OR (epoch = :{} AND \
         (incarnation < :{} OR (incarnation = :{} AND position < :{})))){proof}",
        key,
        at(1),
        at(2),
        at(3),
        at(4),
        at(5),
        at(6),
    )
}

/// Records the first version of a key. Binds: epoch, incarnation, position, write, deleted, (with `numbered`: shape and
/// number of the row,) entity, key; with `proves` what [`not_open`] takes.
pub(super) fn first_version(numbered: bool, proves: bool) -> String {
    let (also, count) = if numbered { ("shape, stands, ", 9) } else { ("", 7) };
    let values = match proves {
        true => format!("SELECT {} FROM DUAL WHERE {}", places(1, count), not_open(count + 1)),
        false => format!("VALUES ({})", places(1, count)),
    };
    format!(
        "INSERT INTO strangler_version (epoch, incarnation, position, write_id, deleted, {also}entity, key) {values}"
    )
}

/// One row of the ledger.
pub(super) const LEDGER_ROW: &str = "INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, \
     incarnation, position, image, idempotency_key, fingerprint, state, base, shape) \
     VALUES (:1, :2, :3, :4, :5, :6, :7, :8, :9, :10, :11, :12, :13, :14)";

/// One entry of the ID map. Binds: entity, key, number.
pub(super) const ID_MAP_ROW: &str = "INSERT INTO strangler_id_map (entity, key, own_key) VALUES (:1, :2, :3)";
