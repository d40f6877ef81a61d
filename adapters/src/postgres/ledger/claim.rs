//! Writes of which somebody has to know how they ended: claims, and repeats of an idempotency key.

use model::write::{Claim, IdempotencyKey};
use model::{Change, Contract, Fingerprint, Side, StoreError, WriteId};
use tokio_postgres::Row;

use super::{ROW, change};
use crate::postgres::bookkeeping::INCARNATION;
use crate::postgres::error::is_suspension;
use crate::postgres::pipeline::{self, End};
use crate::postgres::session::Session;
use crate::postgres::wire::{Stored, get};

/// A write as the ledger has it.
pub(in crate::postgres) struct Found {
    pub(in crate::postgres) changes: Vec<Change>,
    pub(in crate::postgres) fingerprint: Option<Fingerprint>,
    pub(in crate::postgres) abandoned: bool,
}

/// See `Store::claim`. The insert waits for a first attempt that is about to commit its own row. It proves that the side
/// lives: one that has gone back may have lost the row, and would say that the write never stood.
///
/// What was found is written anew, as it is: so the claim's own commit comes after the one it answers for, and waits for
/// whatever that one waits for. A commit whose wait for a standby somebody broke off can be seen and may be lost.
pub(in crate::postgres) async fn claim(
    session: &Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Claim, StoreError> {
    let insert = format!(
        "INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, state) \
         VALUES ($1::uuid, 0, '', '', '', 0, 0 * {INCARNATION}, 0, 'abandoned') ON CONFLICT DO NOTHING"
    );
    let found = durable(session, contract, side, Some(&insert), BY_WRITE_ID, Stored::Uuid(write.0)).await?;
    if found.abandoned {
        return Ok(Claim::Abandoned);
    }
    Ok(Claim::Stands(found.changes))
}

/// The write with this id, which is known to be there.
pub(in crate::postgres) async fn by_write_id(
    session: &Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Found, StoreError> {
    durable(session, contract, side, None, BY_WRITE_ID, Stored::Uuid(write.0)).await
}

/// The write that used this idempotency key first.
pub(in crate::postgres) async fn by_idempotency_key(
    session: &Session,
    contract: &Contract,
    side: Side,
    key: &IdempotencyKey,
) -> Result<Found, StoreError> {
    let key = Stored::Text(key.as_str().to_owned());
    durable(session, contract, side, None, BY_IDEMPOTENCY_KEY, key).await
}

/// Which rows of the ledger: of the write with an id.
const BY_WRITE_ID: &str = "l.write_id = $1::uuid";

/// Of the write that used an idempotency key first.
const BY_IDEMPOTENCY_KEY: &str =
    "l.write_id = (SELECT k.write_id FROM strangler_ledger AS k WHERE k.idempotency_key = $1::text)";

/// The write that `which` names, as sure to stay as the server can make it: its first row is written anew, and committed.
/// In three statements, since the first may have waited for others to end.
async fn durable(
    session: &Session,
    contract: &Contract,
    side: Side,
    first: Option<&str>,
    which: &str,
    value: Stored,
) -> Result<Found, StoreError> {
    let touch = format!("UPDATE strangler_ledger AS l SET attempts = l.attempts WHERE {which} AND l.ordinal = 0");
    let read = format!("SELECT {ROW} FROM strangler_ledger AS l WHERE {which} ORDER BY l.ordinal");
    let texts: Vec<&str> = first.into_iter().chain([touch.as_str(), read.as_str()]).collect();
    let statements = session.prepare(&texts).await?;
    let steps: Vec<_> = statements.into_iter().map(|statement| (statement, vec![value.clone()])).collect();
    let mut rows = Vec::new();
    for answer in pipeline::whole(session, "", &steps, End::Commit).await? {
        let dead = |error| if is_suspension(&error) { StoreError::suspended(side) } else { session.error(error) };
        rows = answer.map_err(dead)?.rows;
    }
    // Forgotten between two statements, or hidden from us: that it was never there is not known.
    if rows.is_empty() {
        let source = "its row in the ledger cannot be found".into();
        return Err(StoreError::Conflict { side, source });
    }
    found(contract, side, &rows)
}

fn found(contract: &Contract, side: Side, rows: &[Row]) -> Result<Found, StoreError> {
    let mut found = Found { changes: Vec::new(), fingerprint: None, abandoned: false };
    for row in rows {
        found.abandoned |= get::<&str>(side, row, "state")? == "abandoned";
        if get::<i16>(side, row, "ordinal")? == 0 {
            found.fingerprint = get::<Option<String>>(side, row, "fingerprint")?.map(Fingerprint);
        }
        found.changes.extend(change(contract, side, row)?);
    }
    Ok(found)
}
