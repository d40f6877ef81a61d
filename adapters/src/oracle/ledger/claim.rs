//! Writes of which somebody has to know how they ended: claims, and repeats of an idempotency key.

use model::write::{Claim, IdempotencyKey};
use model::{Change, Contract, Fingerprint, Side, StoreError, WriteId};
use oracle::Row;

use super::{ROW, change, write_id};
use crate::oracle::bind::Bind;
use crate::oracle::session::Session;
use crate::oracle::{bookkeeping, error, wire};

/// A write as the ledger has it.
pub(in crate::oracle) struct Found {
    pub(in crate::oracle) changes: Vec<Change>,
    pub(in crate::oracle) fingerprint: Option<Fingerprint>,
    pub(in crate::oracle) abandoned: bool,
}

fn found(contract: &Contract, side: Side, rows: &[Row]) -> Result<Found, StoreError> {
    let mut found = Found { changes: Vec::new(), fingerprint: None, abandoned: false };
    for row in rows {
        found.abandoned |= wire::text(row, 10).as_deref() == Some("abandoned");
        if wire::number::<u16>(row, 1) == Some(0) {
            found.fingerprint = wire::text(row, 9).map(Fingerprint);
        }
        found.changes.extend(change(contract, side, row)?);
    }
    Ok(found)
}

/// Writes the first row of a write anew, as it is.
const TOUCH: &str = "UPDATE strangler_ledger SET attempts = attempts WHERE write_id = :1 AND ordinal = 0";

/// A row that was there, or must be, and is not to be found: forgotten meanwhile, or hidden from us. Nothing is known.
fn lost(side: Side) -> StoreError {
    StoreError::Conflict { side, source: "its row in the ledger cannot be found".into() }
}

/// The write with this id, which is known to be there. Its first row is written anew, as it is: so our commit comes after
/// the one that it answers for, and waits for whatever that one waits for (a standby).
pub(in crate::oracle) fn by_write_id(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Found, StoreError> {
    let text = format!("SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = :1 ORDER BY l.ordinal");
    let touched = session.run(TOUCH, &[Bind::write(write)])?;
    let rows = session.query(&text, &[Bind::write(write)], 2)?;
    if touched == 0 || rows.is_empty() {
        return Err(lost(side));
    }
    let found = found(contract, side, &rows)?;
    session.commit()?;
    Ok(found)
}

/// The write that used this idempotency key first; `None` when none did.
pub(in crate::oracle) fn by_idempotency_key(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    key: &IdempotencyKey,
) -> Result<Option<Found>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = \
         (SELECT k.write_id FROM strangler_ledger k WHERE k.idempotency_key = :1) ORDER BY l.ordinal"
    );
    let rows = session.query(&text, &[Bind::text(key.as_str())], 2)?;
    let Some(write) = rows.first().map(|row| write_id(row).ok_or_else(|| lost(side))).transpose()? else {
        return Ok(None);
    };
    by_write_id(session, contract, side, write).map(Some)
}

/// Gives a write up, if the side lives.
const GIVE_UP: &str = "INSERT INTO strangler_ledger (write_id, ordinal, epoch, incarnation, position, state) \
                       SELECT :1, 0, 0, 0, 0, 'abandoned' FROM strangler_life l \
                       WHERE l.suspended IS NULL AND l.log = :2 AND l.boot = :3";

/// See `Store::claim`. The insert waits for a first attempt that is about to commit its own row. It proves that the side
/// lives: one that has gone back may have lost the row, and would say that the write never stood.
pub(in crate::oracle) fn claim(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Claim, StoreError> {
    let (log, boot) = (Bind::number(bookkeeping::log(session)?), Bind::text(bookkeeping::boot(session)?));
    match session.batch(GIVE_UP, &[vec![Bind::write(write), log, boot]])?.first() {
        Some(Err(error::EXISTS)) => session.roll_back(),
        Some(Err(code)) => return Err(session.of_code(*code)),
        Some(Ok(1)) => {
            session.commit()?;
            return Ok(Claim::Abandoned);
        }
        Some(Ok(0)) => {
            let lives = bookkeeping::takes_writes(session);
            session.roll_back();
            return Err(if lives? { lost(side) } else { StoreError::suspended(side) });
        }
        Some(Ok(_)) | None => return Err(lost(side)),
    }
    let found = by_write_id(session, contract, side, write)?;
    if found.abandoned {
        return Ok(Claim::Abandoned);
    }
    Ok(Claim::Stands(found.changes))
}
