//! The SQL texts that change an entity's table.

use model::{EntityKey, FieldIndex, FieldSet, Record, StoreError};

use super::pipeline::Step;
use super::table::Table;

/// The fields of `fields` that are not part of the key; nor the field that shows the number, where that is the key.
fn plain_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
    let key = table.entity.key_fields();
    let key = table.own().map_or(key, |own| key.with(own.number));
    fields.iter().filter(|index| !key.contains(*index)).collect()
}

/// `ON CONFLICT (key) DO UPDATE SET …` for `fields` without the key.
fn on_conflict(table: Table<'_>, fields: &[FieldIndex]) -> String {
    let taken = |index: FieldIndex| {
        let column = table.column(index);
        format!("{column} = EXCLUDED.{column}")
    };
    // With nothing to set, the row is still locked by writing its key anew.
    let sets = if fields.is_empty() {
        table.list(table.entity.key().iter().copied(), taken)
    } else {
        table.list(fields.iter().copied(), taken)
    };
    format!("ON CONFLICT ({}) DO UPDATE SET {sets}", table.key_columns())
}

/// Sets the known fields of one entity, or makes it.
///
/// A whole record is one upsert. A part of one is an `UPDATE` and then an `INSERT` if there is no row: an
/// upsert alone would be refused for the columns that it does not set, although the row has them.
pub(super) fn set(table: Table<'_>, key: &EntityKey, record: &Record) -> Result<Vec<Step>, StoreError> {
    let fields = plain_fields(table, record.fields());
    let mut values = table.require_fit(key)?;
    for index in &fields {
        if let Some(value) = record.get(*index) {
            values.push(table.stored(*index, value)?);
        }
    }
    let all: Vec<_> = table.entity.key().iter().chain(&fields).copied().collect();
    let columns = table.list(all.iter().copied(), |index| table.column(index).to_owned());
    let casts: Vec<_> =
        (1..).zip(&all).map(|(place, index)| format!("${place}::{}", table.type_name(*index))).collect();
    let (name, casts) = (table.name(), casts.join(", "));
    let conflict = on_conflict(table, &fields);
    let whole = fields.len() == plain_fields(table, table.entity.all_fields()).len();
    if whole || fields.is_empty() {
        let text = format!("INSERT INTO {name} ({columns}) VALUES ({casts}) {conflict}");
        return Ok(vec![Step { text, values }]);
    }
    let width = table.entity.key().len();
    let sets: Vec<_> = (width + 1..)
        .zip(&fields)
        .map(|(place, index)| {
            let (column, ty) = (table.column(*index), table.type_name(*index));
            format!("{column} = ${place}::{ty}")
        })
        .collect();
    let (sets, found) = (sets.join(", "), table.key_equals(1));
    let update = format!("UPDATE {name} AS t SET {sets} WHERE {found}");
    let insert = format!(
        "INSERT INTO {name} ({columns}) SELECT {casts} \
         WHERE NOT EXISTS (SELECT FROM {name} AS t WHERE {found}) {conflict}"
    );
    let step = |text| Step { text, values: values.clone() };
    Ok(vec![step(update), step(insert)])
}

/// Deletes one entity by key.
pub(super) fn delete_one(table: Table<'_>) -> String {
    format!("DELETE FROM {} AS t WHERE {}", table.name(), table.key_equals(1))
}

/// Parameters that every change of a batch has, before the columns of the table. See [`input`].
pub(super) const COMMON: usize = 11;

/// The changes of a batch as rows `i`, with the table's columns as `c0`, `c1`…
fn input(table: Table<'_>, fields: &[FieldIndex]) -> String {
    let arrays: String =
        (COMMON + 1..).zip(fields).map(|(place, index)| format!(", ${place}::{}[]", table.type_name(*index))).collect();
    let names: String = (0..fields.len()).map(|place| format!(", c{place}")).collect();
    format!(
        "input AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::int2[], $3::text[], $4::int8[], \
         $5::int8[], $6::int8[], $7::text[], $8::text[], $9::text[]{arrays}) AS i(write_id, ordinal, key, \
         epoch, incarnation, position, idempotency_key, fingerprint, image{names}))"
    )
}

/// Ends the insert of a version `v`: where one is recorded, only a newer one takes its place.
pub(super) const RAISE_VERSION: &str = "ON CONFLICT (entity, key) DO UPDATE SET epoch = EXCLUDED.epoch, \
     incarnation = EXCLUDED.incarnation, position = EXCLUDED.position, \
     write_id = EXCLUDED.write_id, deleted = EXCLUDED.deleted \
     WHERE (v.epoch, v.incarnation, v.position) < (EXCLUDED.epoch, EXCLUDED.incarnation, EXCLUDED.position)";

/// Records versions that are newer (locking them in key order) and carries the ledger rows along.
/// A baseline copy (epoch 0) is no write and leaves no ledger row.
fn bookkeep(deleted: bool) -> String {
    format!(
        "newer AS (INSERT INTO strangler_version AS v \
         (entity, key, epoch, incarnation, position, write_id, deleted) \
         SELECT $11::text, key, epoch, incarnation, position, write_id, {deleted} FROM input ORDER BY key \
         {RAISE_VERSION} RETURNING v.key), \
         carried AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, \
         incarnation, position, image, idempotency_key, fingerprint, state) \
         SELECT write_id, ordinal, $10::text, $11::text, key, epoch, incarnation, position, \
         image::jsonb, idempotency_key, fingerprint, 'settled' FROM input WHERE epoch > 0 \
         ON CONFLICT DO NOTHING)"
    )
}

/// The fields of an upsert, key first: the order of its columns.
pub(super) fn upsert_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
    let key = table.entity.key().iter().copied();
    key.chain(plain_fields(table, fields)).collect()
}

/// Applies whole states where they are newer. One statement is enough: an upsert meets rows that were
/// committed after the statement began, since it goes by the unique index and not by its snapshot.
pub(super) fn apply_upserts(table: Table<'_>, fields: FieldSet) -> String {
    let all = upsert_fields(table, fields);
    let columns = table.list(all.iter().copied(), |index| table.column(index).to_owned());
    let taken: Vec<_> = (0..all.len()).map(|place| format!("c{place}")).collect();
    format!(
        "WITH {}, {}, put AS (INSERT INTO {} ({columns}) SELECT {} FROM input JOIN newer USING (key) {}) \
         SELECT key FROM newer",
        input(table, &all),
        bookkeep(false),
        table.name(),
        taken.join(", "),
        on_conflict(table, &plain_fields(table, fields))
    )
}

/// Records deletions where they are newer. The rows go by [`apply_deletes`], in a second statement.
pub(super) fn record_deletes(table: Table<'_>) -> String {
    format!("WITH {}, {} SELECT key FROM newer", input(table, &[]), bookkeep(true))
}

/// Deletes the rows whose tombstones this transaction has just recorded. A statement of its own: one that waited
/// for a version's lock still has its old snapshot, and would not see a row that was committed meanwhile.
pub(super) fn apply_deletes(table: Table<'_>) -> String {
    let key = table.entity.key().iter().enumerate();
    let arrays: String =
        key.clone().map(|(place, index)| format!(", ${}::{}[]", place + 3, table.type_name(*index))).collect();
    let names: String = key.map(|(place, _)| format!(", k{place}")).collect();
    format!(
        "DELETE FROM {} AS t USING unnest($2::text[]{arrays}) AS q(key{names}), strangler_version AS v \
         WHERE v.entity = $1::text AND v.key = q.key AND v.deleted \
         AND v.xmin = pg_current_xact_id()::xid AND {}",
        table.name(),
        table.key_join("q")
    )
}
