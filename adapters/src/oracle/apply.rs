//! As secondary: states that are newer than what is recorded for their key, where nobody else has changed the row.
//!
//! 1. Raise the version rows that are older, in key order: the rows that were raised are locked, and newer.
//! 2. Record the first version of keys that have none. Whoever did so meanwhile wins the row; then 1. again for it.
//! 3. Lock the rows of the newer ones and compare their numbers with what we left (`stands`). Where somebody else has
//!    changed one, undo it all and begin again without its write.
//! 4. Put or delete the rows, and keep the numbers of what then stands. 5. Carry the ledger rows along. Then commit.
//!
//! Each step is one statement for all rows: one round trip. Keys are taken in order in each of them; two batches may
//! still block each other, and one of them gets `Conflict`.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::foreign::Found;
use model::{Applied, Change, Contract, EntityKey, EntityName, Side, StoreError, Unnumbered, WriteId};

use super::bind::Bind;
use super::session::Session;
use super::table::{Table, misfit};
use super::write_text::{self, LEDGER_ROW, first_version, raise_version};
use super::{error, ledger, own_keys, read, stands};
use crate::id_map::Numbers;

/// What one transaction came to, not committed yet.
struct Done {
    newer: HashSet<usize>,
    /// Rows that somebody else has changed.
    met: HashMap<EntityKey, Found>,
}

/// See `Store::apply`, and with `over` `Store::apply_over`.
pub(super) fn apply<'c>(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &'c [Change],
    over: bool,
) -> Result<Vec<Applied>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    read::require_batch(side, None, &keys)?;
    if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
        return Err(misfit(side, "two changes of one key in one call"));
    }
    let (kept, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.state.is_some());
    let keys = |changes: Vec<&'c Change>| changes.into_iter().map(|change| &change.key);
    let mut numbers = own_keys::of_keys(session, contract, side, keys(kept), Unnumbered::Number)?;
    numbers.extend(own_keys::of_keys(session, contract, side, keys(gone), Unnumbered::Leave)?);
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_key(|place| {
        let key = &changes[*place].key;
        (key.entity(), key.as_text())
    });
    let mut blocked: HashMap<EntityKey, Found> = HashMap::new();
    // Ends: each round leaves at least one write out.
    while !order.is_empty() {
        let done = match transact(session, contract, side, (changes, &order), &numbers, over) {
            Ok(done) => done,
            Err(error) => {
                session.roll_back();
                return Err(error);
            }
        };
        if over || done.met.is_empty() {
            session.commit()?;
            return Ok(slots(changes, &order, done, blocked));
        }
        session.roll_back();
        let concerned = changes.iter().filter(|change| done.met.contains_key(&change.key));
        let writes: HashSet<WriteId> = concerned.map(|change| change.write).collect();
        order.retain(|place| !writes.contains(&changes[*place].write));
        blocked.extend(done.met);
    }
    Ok(slots(changes, &order, Done { newer: HashSet::new(), met: HashMap::new() }, blocked))
}

/// One answer per change: `order` are the places that went through.
fn slots(changes: &[Change], order: &[usize], mut done: Done, mut blocked: HashMap<EntityKey, Found>) -> Vec<Applied> {
    let through: HashSet<_> = order.iter().collect();
    let slot = |(place, change): (usize, &Change)| match through.contains(&place) {
        false => blocked.remove(&change.key).map_or(Applied::Held, Applied::Foreign),
        true if !done.newer.contains(&place) => Applied::Stale,
        true => done.met.remove(&change.key).map_or(Applied::Newer, Applied::Over),
    };
    changes.iter().enumerate().map(slot).collect()
}

/// Everything but the commit; stops early where somebody else has changed a row that is not to be overwritten.
fn transact(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    (changes, order): (&[Change], &[usize]),
    numbers: &Numbers,
    over: bool,
) -> Result<Done, StoreError> {
    let newer = record_versions(session, changes, order, &[])?;
    let mut shapes: BTreeMap<(&EntityName, bool, Vec<usize>), Vec<&Change>> = BTreeMap::new();
    for change in order.iter().filter(|place| newer.contains(place)).map(|place| &changes[*place]) {
        let fields = change.state.as_ref().map(|record| record.fields()).unwrap_or_default();
        let shape = fields.iter().map(|index| index.get()).collect();
        shapes.entry((change.key.entity(), change.state.is_none(), shape)).or_default().push(change);
    }
    let mut met = HashMap::new();
    let mut tables = Vec::with_capacity(shapes.len());
    for ((name, deleted, _), changes) in shapes {
        let table = Table::new(ledger::entity(contract, side, name.as_str())?, side).with(numbers);
        let looked = stands::look(session, table, &changes)?;
        met.extend(looked.foreign);
        tables.push((table, deleted, changes, looked.standing));
    }
    if !over && !met.is_empty() {
        return Ok(Done { newer, met });
    }
    for (table, deleted, changes, standing) in tables {
        if deleted {
            delete(session, table, &changes, &standing)?
        } else {
            put(session, table, &changes, &standing)?
        }
        let keys: Vec<_> = changes.iter().map(|change| &change.key).collect();
        stands::keep(session, table, deleted, &keys)?;
    }
    carry(session, contract, side, changes, order)?;
    Ok(Done { newer, met })
}

/// The shape of a row's number, and the number.
pub(super) type Number = (i64, i64);

/// Steps 1 and 2. The places whose version was recorded. Who knows the `numbers` of all rows by now has them recorded
/// in passing.
pub(super) fn record_versions(
    session: &mut Session,
    changes: &[Change],
    order: &[usize],
    numbers: &[Number],
) -> Result<HashSet<usize>, StoreError> {
    let (raise, first) = (raise_version(!numbers.is_empty()), first_version(!numbers.is_empty()));
    let number = |place: usize| numbers.get(place).copied();
    let mut newer = HashSet::new();
    let mut open = order.to_vec();
    // Once for versions that are there, once more for those that others record meanwhile.
    for _ in 0..2 {
        let rows: Vec<_> = open.iter().map(|place| raise_binds(&changes[*place], number(*place))).collect();
        let raised = session.batch_all(&raise, &rows)?;
        let (done, left): (Vec<_>, Vec<_>) = open.iter().zip(raised).partition(|(_, raised)| *raised > 0);
        newer.extend(done.into_iter().map(|(place, _)| *place));
        let left: Vec<usize> = left.into_iter().map(|(place, _)| *place).collect();
        let rows: Vec<_> = left.iter().map(|place| version_binds(&changes[*place], number(*place))).collect();
        let mut taken = Vec::new();
        for (place, recorded) in left.iter().zip(session.batch(&first, &rows)?) {
            match recorded {
                Ok(_) => {
                    newer.insert(*place);
                }
                Err(error::EXISTS) => taken.push(*place),
                Err(code) => return Err(session.of_code(code)),
            }
        }
        open = taken;
        if open.is_empty() {
            break;
        }
    }
    Ok(newer)
}

fn version_binds(change: &Change, number: Option<Number>) -> Vec<Bind> {
    let version = change.version;
    let mut binds = vec![
        Bind::number(version.epoch.0),
        Bind::number(version.incarnation.0),
        Bind::number(version.position.0),
        Bind::write(change.write),
        Bind::text(if change.state.is_none() { "Y" } else { "N" }),
    ];
    binds.extend(number.into_iter().flat_map(|(shape, number)| [Bind::number(shape), Bind::number(number)]));
    binds.extend([Bind::text(change.key.entity().as_str()), Bind::text(change.key.as_text())]);
    binds
}

fn raise_binds(change: &Change, number: Option<Number>) -> Vec<Bind> {
    let version = change.version;
    let (epoch, incarnation) = (Bind::number(version.epoch.0), Bind::number(version.incarnation.0));
    let mut binds = version_binds(change, number);
    binds.extend([epoch.clone(), epoch, incarnation.clone(), incarnation, Bind::number(version.position.0)]);
    binds
}

/// Whole states: rows that stand (and are locked by now) are updated, the others inserted. Only somebody else's
/// program can insert one of these meanwhile; then the call gives way, and meets his row when it is tried again.
fn put(
    session: &mut Session,
    table: Table<'_>,
    changes: &[&Change],
    standing: &HashSet<EntityKey>,
) -> Result<(), StoreError> {
    let fields = changes[0].state.as_ref().map(|record| record.fields()).unwrap_or_default();
    let fields = write_text::plain_fields(table, fields);
    let (mut updates, mut inserts, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let Some(record) = &change.state else { continue };
        let row = write_text::values(table, &change.key, record, &fields)?;
        if standing.contains(&change.key) {
            updates.push(row);
        } else {
            inserts.push(row);
            fresh.push(&change.key);
        }
    }
    // A key without other fields stands as it is.
    if let Some(update) = write_text::update(table, &fields) {
        session.batch_all(&update, &updates)?;
    }
    for (slot, key) in session.batch(&write_text::insert(table, &fields), &inserts)?.into_iter().zip(fresh) {
        match slot {
            Ok(_) => {}
            Err(error::EXISTS) if stands::has_row(session, table, key)? => {
                let source = "a row was inserted by somebody else at this moment".into();
                return Err(StoreError::Conflict { side: table.side, source });
            }
            Err(code) => return Err(session.of_code(code)),
        }
    }
    Ok(())
}

fn delete(
    session: &mut Session,
    table: Table<'_>,
    changes: &[&Change],
    standing: &HashSet<EntityKey>,
) -> Result<(), StoreError> {
    let stand = changes.iter().filter(|change| standing.contains(&change.key));
    let rows = stand.map(|change| table.require_fit(&change.key)).collect::<Result<Vec<_>, _>>()?;
    session.batch_all(&write_text::delete(table), &rows).map(|_| ())
}

/// Carries the ledger rows along, also of what was stale: a repeat must be known here. A baseline copy is no
/// write and leaves none.
fn carry(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &[Change],
    order: &[usize],
) -> Result<(), StoreError> {
    let writes = order.iter().map(|place| &changes[*place]).filter(|change| !change.version.is_baseline());
    let rows = writes.map(|change| ledger::row(contract, side, change, "settled")).collect::<Result<Vec<_>, _>>()?;
    for slot in session.batch(LEDGER_ROW, &rows)? {
        match slot {
            Ok(_) | Err(error::EXISTS) => {}
            Err(code) => return Err(session.of_code(code)),
        }
    }
    Ok(())
}
