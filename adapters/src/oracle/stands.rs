//! Numbers of rows: as our last write left them, and as they stand. `model::foreign` says what they are for.

use std::collections::{HashMap, HashSet};

use model::checksum::{DIGITS, compared};
use model::foreign::{Found, NOTHING, is_foreign};
use model::{Change, EntityKey, Side, StoreError, Unnumbered};

use super::bind::Bind;
use super::checksum::{digest, joined};
use super::read::Lookup;
use super::session::Session;
use super::table::{Table, bucket, places};
use super::{own_keys, wire};
use crate::number::{number as number_of, shape};

/// Keeps the number of a row. Binds: shape, number, entity, key.
pub(super) const KEEP: &str = "UPDATE strangler_version SET shape = :1, stands = :2 WHERE entity = :3 AND key = :4";

/// The number of one row as it was left. Binds: entity, key, shape.
const LEFT_ONE: &str = "SELECT stands FROM strangler_version WHERE entity = :1 AND key = :2 AND shape = :3";

/// The number of the row `t`.
fn number(table: Table<'_>) -> String {
    let text = joined(table, compared(table.entity).iter());
    format!("TO_NUMBER(SUBSTR({}, 1, {DIGITS}), '{}')", digest(&text), "X".repeat(DIGITS))
}

/// The numbers of `count` rows, behind their keys; with a lock on each, waited for by `seconds` at most.
pub(super) fn numbers_text(table: Table<'_>, count: usize, lock: Option<u64>) -> String {
    let (key, number) = (table.columns(table.entity.key_fields()), number(table));
    let lock = lock.map(|seconds| format!(" FOR UPDATE WAIT {seconds}")).unwrap_or_default();
    format!("SELECT {key}, {number} FROM {} t WHERE {}{lock}", table.name(), table.key_in(count))
}

/// The numbers of `count` rows as they were left, behind the texts of their keys.
pub(super) fn left_text(count: usize) -> String {
    let keys = places(3, bucket(count));
    format!("SELECT key, stands FROM strangler_version WHERE entity = :1 AND shape = :2 AND key IN ({keys})")
}

/// The numbers of the rows of `keys` as they stand, locked when `lock`; a key without a row is missing.
fn numbers(
    session: &mut Session,
    table: Table<'_>,
    keys: &[&EntityKey],
    lock: bool,
) -> Result<HashMap<EntityKey, i64>, StoreError> {
    let binds = keys.iter().map(|key| table.require_fit(key)).collect::<Result<Vec<_>, _>>()?;
    let text = numbers_text(table, keys.len(), lock.then(|| session.seconds_left()));
    let rows = session.query(&text, &Table::key_binds(binds), u32::try_from(keys.len()).unwrap_or(100).min(500))?;
    let fields = table.entity.key_fields();
    let mut numbers = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (key, _) = table.keyed(fields, row)?;
        let number = wire::number(row, fields.iter().count());
        numbers.insert(key, number.ok_or_else(|| unreadable(table))?);
    }
    Ok(numbers)
}

fn unreadable(table: Table<'_>) -> StoreError {
    super::table::misfit(table.side, format!("a row of {} has no number", table.name()))
}

/// What a look under the rows' locks has shown.
pub(super) struct Looked {
    /// The keys that have a row.
    pub(super) standing: HashSet<EntityKey>,
    /// The rows that somebody else has changed, and into what.
    pub(super) foreign: Vec<(EntityKey, Found)>,
}

/// Locks the rows of `changes`, which are newer than what is recorded, and compares their numbers.
pub(super) fn look(session: &mut Session, table: Table<'_>, changes: &[&Change]) -> Result<Looked, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| &change.key).collect();
    let stand = numbers(session, table, &keys, true)?;
    let left = left(session, table, &keys)?;
    let mut foreign = Vec::new();
    for change in changes {
        let number = stand.get(&change.key).copied().unwrap_or(NOTHING);
        let found = other_than_left(session, table, &change.key, left.get(change.key.as_text()).copied(), number)?;
        if let Some(found) = found.filter(|found| !found.is(table.entity, change.state.as_ref())) {
            foreign.push((change.key.clone(), found));
        }
    }
    Ok(Looked { standing: stand.into_keys().collect(), foreign })
}

/// Those of `keys` whose rows, locked from now on, are as we left them.
pub(super) fn ours<'k>(
    session: &mut Session,
    table: Table<'_>,
    keys: &[&'k EntityKey],
) -> Result<Vec<&'k EntityKey>, StoreError> {
    let stand = numbers(session, table, keys, true)?;
    let left = left(session, table, keys)?;
    let mut ours = Vec::with_capacity(keys.len());
    for key in keys {
        let (left, now) = (left.get(key.as_text()).copied(), stand.get(key).copied().unwrap_or(NOTHING));
        if left.is_some() && other_than_left(session, table, key, left, now)?.is_none() {
            ours.push(*key);
        }
    }
    Ok(ours)
}

/// The numbers that were left, by the texts of their keys.
fn left(session: &mut Session, table: Table<'_>, keys: &[&EntityKey]) -> Result<HashMap<String, i64>, StoreError> {
    let mut binds = vec![Bind::text(table.entity.name.as_str()), Bind::number(shape(table.entity, table.side))];
    let texts = keys.iter().map(|key| vec![Bind::text(key.as_text())]).collect();
    binds.extend(Table::key_binds(texts));
    let mut left: HashMap<String, i64> = HashMap::new();
    for row in &session.query(&left_text(keys.len()), &binds, 100)? {
        if let (Some(key), Some(number)) = (wire::text(row, 0), wire::number(row, 1)) {
            left.insert(key, number);
        }
    }
    Ok(left)
}

/// Whether `key` has a row by now.
pub(super) fn has_row(session: &mut Session, table: Table<'_>, key: &EntityKey) -> Result<bool, StoreError> {
    Ok(!numbers(session, table, &[key], false)?.is_empty())
}

/// What somebody else has made of a row that was left with number `left` and has number `now`.
fn other_than_left(
    session: &mut Session,
    table: Table<'_>,
    key: &EntityKey,
    left: Option<i64>,
    now: i64,
) -> Result<Option<Found>, StoreError> {
    if !is_foreign(left, now) {
        return Ok(None);
    }
    Ok(match found(session, table, key)? {
        // A primary leaves the number of the record.
        Found::Record(record) if !is_foreign(left, number_of(table.entity, Some(&record))) => None,
        found => Some(found),
    })
}

/// What stands now.
fn found(session: &mut Session, table: Table<'_>, key: &EntityKey) -> Result<Found, StoreError> {
    let (lookup, question) = Lookup::new(table, std::slice::from_ref(key), table.entity.all_fields());
    let Some(question) = question else { return Ok(Found::Nothing) };
    let rows = question.ask(session)?;
    Ok(match lookup.answers(&rows) {
        Ok(mut records) => records.pop().flatten().map_or(Found::Nothing, Found::Record),
        Err(_) => Found::Unreadable,
    })
}

/// Keeps the numbers of the rows of `keys` as we have just left them.
pub(super) fn keep(
    session: &mut Session,
    table: Table<'_>,
    deleted: bool,
    keys: &[&EntityKey],
) -> Result<(), StoreError> {
    // Who inserts a row that we have just deleted does so past us: his row is not what we left.
    let stand = if deleted { HashMap::new() } else { numbers(session, table, keys, false)? };
    let shape = shape(table.entity, table.side);
    let row = |key: &&EntityKey| {
        let number = stand.get(*key).copied().unwrap_or(NOTHING);
        let name = [Bind::text(key.entity().as_str()), Bind::text(key.as_text())];
        [Bind::number(shape), Bind::number(number)].into_iter().chain(name).collect()
    };
    let rows: Vec<Vec<Bind>> = keys.iter().map(row).collect();
    session.batch_all(KEEP, &rows).map(|_| ())
}

/// See `Store::as_left`.
pub(super) fn as_left(
    session: &mut Session,
    entity: &model::EntityType,
    side: Side,
    key: &EntityKey,
) -> Result<Option<bool>, StoreError> {
    let table = Table::new(entity, side);
    let given = own_keys::of_type(session, table, std::slice::from_ref(key), Unnumbered::Leave)?;
    let table = table.with(&given);
    if table.key_values(key).is_none() {
        return Ok(None);
    }
    let binds = [Bind::text(entity.name.as_str()), Bind::text(key.as_text()), Bind::number(shape(entity, side))];
    let rows = session.query(LEFT_ONE, &binds, 1)?;
    let Some(left) = rows.first().and_then(|row| wire::number::<i64>(row, 0)) else { return Ok(None) };
    let number = numbers(session, table, &[key], false)?.get(key).copied().unwrap_or(NOTHING);
    Ok(Some(other_than_left(session, table, key, Some(left), number)?.is_none()))
}
