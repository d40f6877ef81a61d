//! Numbers of rows: as our last write left them, and as they stand. `model::foreign` says what they are for.

use std::collections::{HashMap, HashSet};

use model::checksum::{DIGITS, compared};
use model::foreign::{Found, NOTHING, OTHERWISE, Whose, whose};
use model::{Applied, Base, Change, Contract, EntityKey, Side, StoreError, Unnumbered, UnreadableBase, WriteId};

use super::bind::Bind;
use super::checksum::{digest, joined};
use super::policies::IN_FORCE;
use super::read::Lookup;
use super::session::Session;
use super::table::{Table, bucket, places};
use super::{carry, ledger, own_keys, wire};
use crate::number::{base, expected, number as number_of, rules, shape, stands_as};

/// Keeps the number of a row. Binds: shape, number, entity, key.
pub(super) const KEEP: &str = "UPDATE strangler_version SET shape = :1, stands = :2 WHERE entity = :3 AND key = :4";

/// The number of one row as it was left. Binds: entity, key, shape.
const LEFT_ONE: &str = "SELECT stands FROM strangler_version WHERE entity = :1 AND key = :2 AND shape = :3";

/// What the oldest write of a key was made from that is not settled, when the newest is not either. Binds: entity, key,
/// the newest write.
pub(super) const OLDEST_WAITING: &str = "SELECT base FROM (SELECT l.base AS base FROM strangler_ledger l \
     WHERE l.entity = :1 AND l.key = :2 AND l.state = 'unsettled' AND EXISTS \
     (SELECT 1 FROM strangler_ledger n WHERE n.write_id = :3 AND n.state = 'unsettled') \
     ORDER BY l.epoch, l.incarnation, l.position) o WHERE ROWNUM = 1";

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
    format!(
        "SELECT key, CASE WHEN shape = :1 THEN stands WHEN shape IS NOT NULL AND stands IS NOT NULL THEN {OTHERWISE} END \
         FROM strangler_version WHERE entity = :2 AND key IN ({keys})"
    )
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
        let twice = numbers.insert(key.clone(), number.ok_or_else(|| unreadable(table))?).is_some();
        if twice {
            let problem = format!("{} has two rows for one key: {}", table.name(), key.as_text());
            return Err(super::table::misfit(table.side, problem));
        }
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
    /// Keys of deletions whose row is not seen, and may be there.
    pub(super) hidden: Vec<EntityKey>,
    /// Keys whose row is there, and nobody knows whose it is.
    pub(super) unproven: Vec<EntityKey>,
}

/// Locks the rows of `changes`, which are newer than what is recorded, and compares their numbers.
/// `leaves`: what nobody knows is not overwritten by a write either.
pub(super) fn look(
    session: &mut Session,
    table: Table<'_>,
    changes: &[&Change],
    leaves: bool,
) -> Result<Looked, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| &change.key).collect();
    let stand = numbers(session, table, &keys, true)?;
    let left = left(session, table, &keys)?;
    let (mut foreign, mut hidden, mut unproven, mut sees_all) = (Vec::new(), Vec::new(), Vec::new(), None);
    for change in changes {
        let before = left.get(change.key.as_text()).copied();
        // That nothing is seen proves that nothing is there only where this account sees every row.
        if change.state.is_none() && !stand.contains_key(&change.key) && before != Some(NOTHING) {
            let lost = before.is_some() && table.key_values(&change.key).is_none();
            let sees = match sees_all {
                Some(sees) => sees,
                None => *sees_all.insert(sees_every_row(session, table.name())?),
            };
            if lost || !sees {
                hidden.push(change.key.clone());
            }
        }
        let number = stand.get(&change.key).copied().unwrap_or(NOTHING);
        let base = base(table.entity, change);
        let suspect = match whose(before, base, number) {
            Whose::Ours => false,
            Whose::Foreign => true,
            // A copy at rest overwrites nothing that nobody knows; a write does, and says so.
            Whose::Unproven if number != NOTHING && !change.version.is_baseline() && !leaves => {
                if number != expected(table.entity, table.side, change.state.as_ref(), table.number_of(&change.key)) {
                    unproven.push(change.key.clone());
                }
                false
            }
            Whose::Unproven => number != NOTHING,
        };
        let known = |number| before == Some(number) || base == Some(number);
        let found = if suspect { other_than(session, table, &change.key, known)? } else { None };
        if let Some(found) = found.filter(|found| !found.is(table.entity, change.state.as_ref())) {
            foreign.push((change.key.clone(), found));
        }
    }
    Ok(Looked { standing: stand.into_keys().collect(), foreign, hidden, unproven })
}

/// Whether this account sees every row of a table: it is a table, and no policy is on it.
fn sees_every_row(session: &mut Session, table: &str) -> Result<bool, StoreError> {
    let (text, binds) = match super::inspect::owned(table) {
        (Some(owner), name) => (
            format!(
                "SELECT COUNT(*) FROM all_tables t WHERE t.owner = :1 AND t.table_name = :2 AND NOT EXISTS \
                 (SELECT 1 FROM all_policies p WHERE p.object_owner = :3 AND p.object_name = :4 AND {IN_FORCE})"
            ),
            vec![Bind::text(owner.clone()), Bind::text(name.clone()), Bind::text(owner), Bind::text(name)],
        ),
        (None, name) => (
            format!(
                "SELECT COUNT(*) FROM user_tables t WHERE t.table_name = :1 AND NOT EXISTS \
                 (SELECT 1 FROM user_policies p WHERE p.object_name = :2 AND {IN_FORCE})"
            ),
            vec![Bind::text(name.clone()), Bind::text(name)],
        ),
    };
    let rows = session.query(&text, &binds, 1)?;
    let count: Option<u64> = rows.first().and_then(|row| wire::number(row, 0));
    Ok(count.is_some_and(|count| count > 0))
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
        if let Some(left) = left
            && is_as_left(session, table, key, left, now)?
        {
            ours.push(*key);
        }
    }
    Ok(ours)
}

/// The numbers that were left, by the texts of their keys.
fn left(session: &mut Session, table: Table<'_>, keys: &[&EntityKey]) -> Result<HashMap<String, i64>, StoreError> {
    let mut binds = vec![Bind::number(shape(table.entity)), Bind::text(table.entity.name.as_str())];
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

/// What a row is whose number is not `known`; `None`: the number of its record, as we make it, is. A primary leaves that
/// one.
fn other_than(
    session: &mut Session,
    table: Table<'_>,
    key: &EntityKey,
    known: impl Fn(i64) -> bool,
) -> Result<Option<Found>, StoreError> {
    Ok(match found(session, table, key)? {
        Found::Record(record) if known(number_of(table.entity, Some(&record))) => None,
        found => Some(found),
    })
}

/// What stands now.
fn found(session: &mut Session, table: Table<'_>, key: &EntityKey) -> Result<Found, StoreError> {
    let (lookup, question) = Lookup::new(table, std::slice::from_ref(key), table.entity.all_fields());
    let Some(question) = question else { return Ok(Found::Nothing) };
    let rows = question.ask(session)?;
    Ok(match lookup.answers(&rows) {
        Ok(mut records) => match records.pop().flatten() {
            None => Found::Nothing,
            Some(record) if record.unreadable().is_empty() => Found::Record(record),
            Some(_) => Found::Unreadable,
        },
        Err(_) => Found::Unreadable,
    })
}

/// Looks once more at the rows of `changes`, which were just written: the answers of those that are not what was written
/// (a trigger, a policy, a view with a condition). Keeps the numbers of the others. What only has another number, as some
/// engines fold letters otherwise than we do, is what was written.
pub(super) fn verify(
    session: &mut Session,
    table: Table<'_>,
    changes: &[&Change],
) -> Result<Vec<(EntityKey, Applied)>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| &change.key).collect();
    let stand = numbers(session, table, &keys, false)?;
    let shape = shape(table.entity);
    let (mut altered, mut rows) = (Vec::new(), Vec::new());
    for change in changes {
        let now = stand.get(&change.key).copied().unwrap_or(NOTHING);
        let will = expected(table.entity, table.side, change.state.as_ref(), table.number_of(&change.key));
        if now != will {
            match found(session, table, &change.key)? {
                Found::Record(record) if stands_as(table.entity, table.side, &record, change.state.as_ref()) => {}
                Found::Nothing => altered.push((change.key.clone(), Applied::NotThere)),
                found => altered.push((change.key.clone(), Applied::Altered(found))),
            }
        }
        let name = [Bind::text(change.key.entity().as_str()), Bind::text(change.key.as_text())];
        rows.push([Bind::number(shape), Bind::number(now)].into_iter().chain(name).collect());
    }
    keep(session, &rows)?;
    Ok(altered)
}

/// Keeps the numbers of the rows of `keys` as they stand now, which were ours before.
pub(super) fn renumber(session: &mut Session, table: Table<'_>, keys: &[&EntityKey]) -> Result<(), StoreError> {
    let stand = numbers(session, table, keys, false)?;
    let shape = shape(table.entity);
    let row = |key: &&EntityKey| {
        let number = stand.get(*key).copied().unwrap_or(NOTHING);
        let name = [Bind::text(key.entity().as_str()), Bind::text(key.as_text())];
        [Bind::number(shape), Bind::number(number)].into_iter().chain(name).collect()
    };
    keep(session, &keys.iter().map(row).collect::<Vec<_>>())
}

/// Keeps numbers: every version row is there, since its version was recorded.
fn keep(session: &mut Session, rows: &[Vec<Bind>]) -> Result<(), StoreError> {
    match session.batch_all(KEEP, rows)?.iter().all(|count| *count == 1) {
        true => Ok(()),
        false => Err(super::table::misfit(session.side, "a version was recorded and is not there")),
    }
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
    let binds = [Bind::text(entity.name.as_str()), Bind::text(key.as_text()), Bind::number(shape(entity))];
    let rows = session.query(LEFT_ONE, &binds, 1)?;
    let Some(left) = rows.first().and_then(|row| wire::number::<i64>(row, 0)) else { return Ok(None) };
    let number = numbers(session, table, &[key], false)?.get(key).copied().unwrap_or(NOTHING);
    is_as_left(session, table, key, left, number).map(Some)
}

/// Whether a row that was left with number `left` and has number `now` is as it was left.
fn is_as_left(
    session: &mut Session,
    table: Table<'_>,
    key: &EntityKey,
    left: i64,
    now: i64,
) -> Result<bool, StoreError> {
    Ok(left == now || other_than(session, table, key, |number| number == left)?.is_none())
}

/// The changes of a primary's write, each with its [`Base`].
pub(super) fn with_bases(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    mut changes: Vec<Change>,
) -> Result<Vec<Change>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    let known = carry::recorded_of(session, side, &keys.iter().collect::<Vec<_>>())?;
    let mut by_type: HashMap<&str, Vec<&EntityKey>> = HashMap::new();
    for key in known.keys() {
        by_type.entry(key.entity().as_str()).or_default().push(key);
    }
    let mut bases: HashMap<EntityKey, Base> = HashMap::new();
    for (name, keys) in by_type {
        let entity = ledger::entity(contract, side, name)?;
        let (rules, left) = (rules(entity), left(session, Table::new(entity, side), &keys)?);
        for key in keys {
            let base = known.get(key).zip(left.get(key.as_text()));
            let base = base.map(|(recorded, number)| Base { version: recorded.version, rules, number: *number });
            bases.extend(base.map(|base| (key.clone(), base)));
        }
    }
    for change in &mut changes {
        let before = bases.get(&change.key).copied();
        change.base = match known.get(&change.key) {
            Some(newest) => oldest_waiting(session, &change.key, newest.write)?.unwrap_or(before),
            None => None,
        };
    }
    Ok(changes)
}

/// What the oldest write of `key` was made from that is not settled, when the `newest` is not either; `None`: it is.
fn oldest_waiting(session: &mut Session, key: &EntityKey, newest: WriteId) -> Result<Option<Option<Base>>, StoreError> {
    let binds = [Bind::text(key.entity().as_str()), Bind::text(key.as_text()), Bind::write(newest)];
    let rows = session.query(OLDEST_WAITING, &binds, 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let base = wire::text(row, 0).map(|text| text.parse()).transpose();
    base.map(Some).map_err(|error: UnreadableBase| super::table::misfit(session.side, error.to_string()))
}
