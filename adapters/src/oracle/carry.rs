//! Carries ledger rows along: what a write was, and the client's key for it, are known on the secondary too. Only of
//! writes that stand here as a whole; see `postgres::carry`.

use std::collections::HashMap;

use model::store::Bare;
use model::{
    Applied, Change, Contract, EntityKey, Epoch, Fingerprint, GroupName, IdempotencyKey, Incarnation, Position,
    Recorded, Side, StoreError, Version, WriteId,
};
use oracle::Row;

use super::bind::Bind;
use super::session::Session;
use super::table::{MAX_LIST, Table, bucket, misfit, places};
use super::write_text::LEDGER_ROW;
use super::{bookkeeping, error, ledger, wire};
use crate::gate::Gate;

/// Inserts the ledger rows of these changes, but for writes whose idempotency key is `taken`; which are taken, with
/// those that were found out now. Then the transaction must begin anew. A baseline copy is no write and leaves no row.
pub(super) fn carry(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &[&Change],
    taken: &HashMap<WriteId, WriteId>,
) -> Result<HashMap<WriteId, WriteId>, StoreError> {
    let carried = |change: &&&Change| !change.version.is_baseline() && !taken.contains_key(&change.write);
    let changes: Vec<&Change> = changes.iter().filter(carried).copied().collect();
    let row = |change: &&Change| ledger::row(contract, side, change, "settled");
    let rows = changes.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let mut taken = taken.clone();
    for (slot, change) in session.batch(LEDGER_ROW, &rows)?.into_iter().zip(&changes) {
        match slot {
            Ok(1) => {}
            Ok(_) => return Err(misfit(side, "a row of the ledger was not written: does something hide it?")),
            // It was carried before, or another write has its idempotency key.
            Err(error::EXISTS) => {
                if let Some(other) = key_of(session, change)? {
                    taken.insert(change.write, other);
                }
            }
            Err(code) => return Err(session.of_code(code)),
        }
    }
    Ok(taken)
}

/// The other write that has the idempotency key of `change`.
fn key_of(session: &mut Session, change: &Change) -> Result<Option<WriteId>, StoreError> {
    holder(session, change.write, change.idempotency.as_ref())
}

/// The other write than `mine` that has this key.
fn holder(
    session: &mut Session,
    mine: WriteId,
    client: Option<&(IdempotencyKey, Fingerprint)>,
) -> Result<Option<WriteId>, StoreError> {
    let Some((key, _)) = client else { return Ok(None) };
    let text = "SELECT write_id FROM strangler_ledger WHERE idempotency_key = :1";
    let rows = session.query(text, &[Bind::text(key.as_str())], 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let write = write_id(row, 0).ok_or_else(|| misfit(session.side, "a row of the ledger has no write id"))?;
    Ok(Some(write).filter(|write| *write != mine))
}

/// See `Store::carry`.
pub(super) fn carry_proven(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &[Change],
    source: Incarnation,
) -> Result<Option<WriteId>, StoreError> {
    let changes: Vec<&Change> = changes.iter().filter(|change| !change.version.is_baseline()).collect();
    let Some(first) = changes.first() else { return Ok(None) };
    let carried = (|| {
        bookkeeping::lock_fences(session, contract, side, &changes)?;
        let group = &ledger::entity(contract, side, first.key.entity().as_str())?.group;
        if !bookkeeping::is_not_open(session, group, source)? {
            return Err(StoreError::Fenced { side });
        }
        carry(session, contract, side, &changes, &HashMap::new())
    })();
    match carried {
        Ok(taken) if taken.is_empty() => session.commit().map(|()| None),
        Ok(taken) => {
            session.roll_back();
            Ok(taken.into_values().next())
        }
        Err(error) => {
            session.roll_back();
            Err(error)
        }
    }
}

/// See `Store::keep` and `Lives::keep_back`.
pub(super) fn keep(session: &mut Session, writes: &[Bare], gate: Gate) -> Result<Vec<Applied>, StoreError> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let kept = (|| {
        bookkeeping::lock_groups(session, writes.iter().map(|bare| &bare.group))?;
        let mut shut: HashMap<&GroupName, bool> = HashMap::new();
        for bare in writes {
            if !shut.contains_key(&bare.group) {
                let may = match gate {
                    Gate::Secondary(source) => bookkeeping::is_not_open(session, &bare.group, source)?,
                    Gate::GoneBack(of, _) => bookkeeping::holds_gone_back(session, of)?,
                };
                shut.insert(&bare.group, may);
            }
        }
        let taken = |bare: &&Bare| shut.get(&bare.group) == Some(&true);
        let row = |bare: &Bare| {
            let client = bare.idempotency.as_ref();
            ledger::bare_row(bare.write, bare.group.as_str(), bare.version, client, "settled")
        };
        let rows: Vec<_> = writes.iter().filter(taken).map(row).collect();
        let mut slots = session.batch(LEDGER_ROW, &rows)?.into_iter();
        let answer = |bare| if taken(&bare) { kept_one(session, bare, slots.next()) } else { Ok(Applied::Barred) };
        writes.iter().map(answer).collect::<Result<Vec<_>, _>>()
    })();
    match kept {
        Ok(answers) => session.commit().map(|()| answers),
        Err(error) => {
            session.roll_back();
            Err(error)
        }
    }
}

/// What the insert of its row came to.
fn kept_one(session: &mut Session, bare: &Bare, slot: Option<Result<u64, i32>>) -> Result<Applied, StoreError> {
    match slot {
        Some(Ok(1)) => return Ok(Applied::There),
        // It was kept before, or another write has its idempotency key.
        Some(Err(error::EXISTS)) => {}
        Some(Err(code)) => return Err(session.of_code(code)),
        Some(Ok(_)) | None => {
            return Err(misfit(session.side, "a row of the ledger was not written: does something hide it?"));
        }
    }
    if let Some(other) = holder(session, bare.write, bare.idempotency.as_ref())? {
        return Ok(Applied::KeyTaken(other));
    }
    if ledger::standing(session, &[bare.write])?.is_empty() {
        let source = "its row in the ledger cannot be found".into();
        return Err(StoreError::Conflict { side: session.side, source });
    }
    Ok(Applied::There)
}

/// See `Store::recorded`.
pub(super) fn recorded(
    session: &mut Session,
    side: Side,
    keys: &[EntityKey],
) -> Result<Vec<Option<Recorded>>, StoreError> {
    super::read::require_batch(side, None, keys)?;
    let known = recorded_of(session, side, &keys.iter().collect::<Vec<_>>())?;
    Ok(keys.iter().map(|key| known.get(key).copied()).collect())
}

/// What the version rows of `keys` name; a key without one is missing.
pub(super) fn recorded_of(
    session: &mut Session,
    side: Side,
    keys: &[&EntityKey],
) -> Result<HashMap<EntityKey, Recorded>, StoreError> {
    let mut by_type: HashMap<&str, Vec<&EntityKey>> = HashMap::new();
    for key in keys {
        by_type.entry(key.entity().as_str()).or_default().push(key);
    }
    let mut known = HashMap::with_capacity(keys.len());
    for (entity, keys) in by_type {
        for page in keys.chunks(MAX_LIST) {
            let list = places(2, bucket(page.len()));
            let text = format!(
                "SELECT key, write_id, epoch, incarnation, position FROM strangler_version \
                 WHERE entity = :1 AND key IN ({list})"
            );
            let mut binds = vec![Bind::text(entity)];
            binds.extend(Table::key_binds(page.iter().map(|key| vec![Bind::text(key.as_text())]).collect()));
            for row in &session.query(&text, &binds, 100)? {
                let read = wire::text(row, 0).zip(recorded_in(row));
                let (text, recorded) =
                    read.ok_or_else(|| misfit(side, "strangler_version has a row that is no version"))?;
                if let Some(key) = page.iter().find(|key| key.as_text() == text) {
                    known.insert((*key).clone(), recorded);
                }
            }
        }
    }
    Ok(known)
}

fn recorded_in(row: &Row) -> Option<Recorded> {
    let version = Version {
        epoch: Epoch(wire::number(row, 2)?),
        incarnation: Incarnation(wire::number(row, 3)?),
        position: Position(wire::number(row, 4)?),
    };
    Some(Recorded { write: write_id(row, 1)?, version })
}

fn write_id(row: &Row, place: usize) -> Option<WriteId> {
    wire::text(row, place)?.parse().ok().map(WriteId)
}
