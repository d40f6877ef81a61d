//! The SQL texts that change an entity's table.

use model::{EntityKey, FieldIndex, FieldSet, Record, StoreError};

use super::pipeline::Step;
use super::table::Table;

/// The fields of `fields` that are not part of the key; nor the field that shows the number, where that is the key.
pub(super) fn plain_fields(table: Table<'_>, fields: FieldSet) -> Vec<FieldIndex> {
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

/// Deletes one entity by key, and says which key its row had.
pub(super) fn delete_one(table: Table<'_>) -> String {
    let key = table.list(table.entity.key_fields().iter(), |index| table.selected(index, "t."));
    format!("DELETE FROM {} AS t WHERE {} RETURNING {key}", table.name(), table.key_equals(1))
}

/// Ends the insert of a version `v`: where one is recorded, only a newer one takes its place. `also` is set with it.
pub(super) fn raise_version(also: &str) -> String {
    format!(
        "ON CONFLICT (entity, key) DO UPDATE SET epoch = EXCLUDED.epoch, \
         incarnation = EXCLUDED.incarnation, position = EXCLUDED.position, \
         write_id = EXCLUDED.write_id, deleted = EXCLUDED.deleted{also} \
         WHERE (v.epoch, v.incarnation, v.position) < (EXCLUDED.epoch, EXCLUDED.incarnation, EXCLUDED.position)"
    )
}
