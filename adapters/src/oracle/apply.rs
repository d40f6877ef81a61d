//! As secondary: states that are newer than what is recorded for their key.
//!
//! 1. Raise the version rows that are older, in key order: the rows that were raised are locked, and newer.
//! 2. Record the first version of keys that have none. Whoever did so meanwhile wins the row; then 1. again for it.
//! 3. Put or delete the rows of the newer ones. 4. Carry the ledger rows along. Then commit.
//!
//! Each step is one statement for all rows: one round trip. Keys are taken in order in each of them; two batches may
//! still block each other, and one of them gets `Conflict`.

use std::collections::{BTreeMap, HashSet};

use model::{Applied, Change, Contract, EntityName, Side, StoreError, Unnumbered};

use super::bind::Bind;
use super::own_keys::Numbers;
use super::session::Session;
use super::table::{Table, misfit};
use super::write_text::{self, FIRST_VERSION, LEDGER_ROW, RAISE_VERSION};
use super::{error, ledger, own_keys, read};

/// See `Store::apply`.
pub(super) fn apply<'c>(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &'c [Change],
) -> Result<Vec<Applied>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    read::require_batch(side, None, &keys)?;
    if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
        return Err(misfit(side, "two changes of one key in one call"));
    }
    if changes.is_empty() {
        return Ok(Vec::new());
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
    let applied = transact(session, contract, side, (changes, &order), &numbers);
    match applied {
        Ok(newer) => {
            session.commit()?;
            let slot = |place| if newer.contains(&place) { Applied::Newer } else { Applied::Stale };
            Ok((0..changes.len()).map(slot).collect())
        }
        Err(error) => {
            session.roll_back();
            Err(error)
        }
    }
}

/// Everything but the commit. The places of the newer changes.
fn transact(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    (changes, order): (&[Change], &[usize]),
    numbers: &Numbers,
) -> Result<HashSet<usize>, StoreError> {
    let newer = record_versions(session, changes, order)?;
    let mut shapes: BTreeMap<(&EntityName, bool, Vec<usize>), Vec<&Change>> = BTreeMap::new();
    for change in order.iter().filter(|place| newer.contains(place)).map(|place| &changes[*place]) {
        let fields = change.state.as_ref().map(|record| record.fields()).unwrap_or_default();
        let shape = fields.iter().map(|index| index.get()).collect();
        shapes.entry((change.key.entity(), change.state.is_none(), shape)).or_default().push(change);
    }
    for ((name, deleted, _), changes) in shapes {
        let table = Table::new(ledger::entity(contract, side, name.as_str())?, side).with(numbers);
        if deleted { delete(session, table, &changes)? } else { put(session, table, &changes)? }
    }
    carry(session, contract, side, changes, order)?;
    Ok(newer)
}

/// Steps 1 and 2. The places whose version was recorded.
pub(super) fn record_versions(
    session: &mut Session,
    changes: &[Change],
    order: &[usize],
) -> Result<HashSet<usize>, StoreError> {
    let mut newer = HashSet::new();
    let mut open = order.to_vec();
    // Once for versions that are there, once more for those that others record meanwhile.
    for _ in 0..2 {
        let rows: Vec<_> = open.iter().map(|place| raise_binds(&changes[*place])).collect();
        let raised = session.batch_all(RAISE_VERSION, &rows)?;
        let (done, left): (Vec<_>, Vec<_>) = open.iter().zip(raised).partition(|(_, raised)| *raised > 0);
        newer.extend(done.into_iter().map(|(place, _)| *place));
        let left: Vec<usize> = left.into_iter().map(|(place, _)| *place).collect();
        let rows: Vec<_> = left.iter().map(|place| version_binds(&changes[*place])).collect();
        let mut taken = Vec::new();
        for (place, first) in left.iter().zip(session.batch(FIRST_VERSION, &rows)?) {
            match first {
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

fn version_binds(change: &Change) -> Vec<Bind> {
    let version = change.version;
    vec![
        Bind::number(version.epoch.0),
        Bind::number(version.incarnation.0),
        Bind::number(version.position.0),
        Bind::write(change.write),
        Bind::text(if change.state.is_none() { "Y" } else { "N" }),
        Bind::text(change.key.entity().as_str()),
        Bind::text(change.key.as_text()),
    ]
}

fn raise_binds(change: &Change) -> Vec<Bind> {
    let version = change.version;
    let (epoch, incarnation) = (Bind::number(version.epoch.0), Bind::number(version.incarnation.0));
    let mut binds = version_binds(change);
    binds.extend([epoch.clone(), epoch, incarnation.clone(), incarnation, Bind::number(version.position.0)]);
    binds
}

/// Whole states: rows that are there are updated, the others inserted. The version rows are locked by now, so that
/// only the ERP's own programs can come between; then the call gives way.
fn put(session: &mut Session, table: Table<'_>, changes: &[&Change]) -> Result<(), StoreError> {
    let fields = changes[0].state.as_ref().map(|record| record.fields()).unwrap_or_default();
    let fields = write_text::plain_fields(table, fields);
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        if let Some(record) = &change.state {
            rows.push(write_text::values(table, &change.key, record, &fields)?);
        }
    }
    if let Some(update) = write_text::update(table, &fields) {
        let touched = session.batch_all(&update, &rows)?;
        rows = rows.into_iter().zip(touched).filter(|(_, touched)| *touched == 0).map(|(row, _)| row).collect();
    }
    let has_update = !fields.is_empty();
    for slot in session.batch(&write_text::insert(table, &fields), &rows)? {
        match slot {
            Ok(_) => {}
            // A key without other fields stands as it is.
            Err(error::EXISTS) if !has_update => {}
            Err(code) => return Err(session.of_code(code)),
        }
    }
    Ok(())
}

fn delete(session: &mut Session, table: Table<'_>, changes: &[&Change]) -> Result<(), StoreError> {
    let rows = changes.iter().map(|change| table.require_fit(&change.key)).collect::<Result<Vec<_>, _>>()?;
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
