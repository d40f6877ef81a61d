//! The ledger: what stands, what waits for the other side, what was given up.

use std::time::Duration;

use model::store::{Backlog, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Change, Contract, EntityKey, EntityType, Epoch, Fingerprint, GroupName, Incarnation, Position, Record, Side,
    StoreError, Version, WriteId,
};
use oracle::Row;

use super::bind::Bind;
use super::bookkeeping::NOW;
use super::error;
use super::session::Session;
use super::table::{MAX_LIST, bucket, misfit, places};
use super::wire;
use super::write_text::LEDGER_ROW;

/// What every reader of ledger rows selects, of `l`; read by place in [`change`].
pub(super) const ROW: &str = "l.write_id, l.ordinal, l.entity, l.key, l.epoch, l.incarnation, l.position, \
                   l.image, l.idempotency_key, l.fingerprint, l.state, l.attempts";

/// A write as the ledger has it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) changes: Vec<Change>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) abandoned: bool,
}

/// The entity type that a key or a ledger row speaks of.
pub(super) fn entity<'a>(contract: &'a Contract, side: Side, name: &str) -> Result<&'a EntityType, StoreError> {
    let entity = contract.entity(&name.into());
    entity.map(AsRef::as_ref).ok_or_else(|| misfit(side, format!("the contract has no type {name}")))
}

/// The binds of [`LEDGER_ROW`] for a change.
pub(super) fn row(
    contract: &Contract,
    side: Side,
    change: &Change,
    state: &'static str,
) -> Result<Vec<Bind>, StoreError> {
    let entity = entity(contract, side, change.key.entity().as_str())?;
    let image = change.state.as_ref().map(|record| record.to_json(entity).to_string());
    let client = change.idempotency.as_ref();
    Ok(vec![
        Bind::write(change.write),
        Bind::number(change.ordinal),
        Bind::text(entity.group.as_str()),
        Bind::text(entity.name.as_str()),
        Bind::text(change.key.as_text()),
        Bind::number(change.version.epoch.0),
        Bind::number(change.version.incarnation.0),
        Bind::number(change.version.position.0),
        Bind::optional(image),
        Bind::optional(client.map(|(key, _)| key.as_str().to_owned())),
        Bind::optional(client.map(|(_, print)| print.0.clone())),
        Bind::text(state),
    ])
}

/// The binds of [`LEDGER_ROW`] for a write that changed nothing, or never will.
pub(super) fn bare_row(
    write: WriteId,
    group: &str,
    version: Version,
    client: Option<&(IdempotencyKey, Fingerprint)>,
    state: &'static str,
) -> Vec<Bind> {
    vec![
        Bind::write(write),
        Bind::number(0),
        Bind::text(group),
        Bind::optional(None),
        Bind::optional(None),
        Bind::number(version.epoch.0),
        Bind::number(version.incarnation.0),
        Bind::number(version.position.0),
        Bind::optional(None),
        Bind::optional(client.map(|(key, _)| key.as_str().to_owned())),
        Bind::optional(client.map(|(_, print)| print.0.clone())),
        Bind::text(state),
    ]
}

/// Reads one ledger row; `None` for the row of a write without change.
pub(super) fn change(contract: &Contract, side: Side, row: &Row) -> Result<Option<Change>, StoreError> {
    let Some(name) = wire::text(row, 2) else { return Ok(None) };
    let entity = entity(contract, side, &name)?;
    let unreadable = || misfit(side, format!("the ledger has a row of {name} that the contract cannot read"));
    let key = EntityKey::from_text(entity, &wire::text(row, 3).unwrap_or_default()).ok_or_else(unreadable)?;
    let state = match wire::text(row, 7) {
        Some(image) => {
            let image = serde_json::from_str(&image).map_err(|_| unreadable())?;
            Some(Record::from_json(entity, &image).ok_or_else(unreadable)?)
        }
        None => None,
    };
    let idempotency = wire::text(row, 8).zip(wire::text(row, 9));
    Ok(Some(Change {
        write: write_id(row).ok_or_else(unreadable)?,
        ordinal: wire::number(row, 1).ok_or_else(unreadable)?,
        key,
        version: Version {
            epoch: Epoch(wire::number(row, 4).ok_or_else(unreadable)?),
            incarnation: Incarnation(wire::number(row, 5).ok_or_else(unreadable)?),
            position: Position(wire::number(row, 6).ok_or_else(unreadable)?),
        },
        state,
        idempotency: idempotency.map(|(key, print)| (IdempotencyKey::from_ledger(key), Fingerprint(print))),
    }))
}

fn write_id(row: &Row) -> Option<WriteId> {
    wire::text(row, 0)?.parse().ok().map(WriteId)
}

fn found(contract: &Contract, side: Side, rows: &[Row]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for row in rows {
        found.abandoned |= wire::text(row, 10).as_deref() == Some("abandoned");
        if wire::number::<u16>(row, 1) == Some(0) {
            found.fingerprint = wire::text(row, 9).map(Fingerprint);
        }
        found.changes.extend(change(contract, side, row)?);
    }
    Ok(found)
}

/// The write with this id, which is known to be there.
pub(super) fn by_write_id(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Found, StoreError> {
    let text = format!("SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = :1 ORDER BY l.ordinal");
    let rows = session.query(&text, &[Bind::write(write)], 2)?;
    found(contract, side, &rows)
}

/// The write that used this idempotency key first; `None` when none did.
pub(super) fn by_idempotency_key(
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
    if rows.is_empty() {
        return Ok(None);
    }
    found(contract, side, &rows).map(Some)
}

/// See `Store::claim`. The insert waits for a first attempt that is about to commit its own row.
pub(super) fn claim(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Claim, StoreError> {
    let row = bare_row(write, "", Version::baseline(0), None, "abandoned");
    match session.batch(LEDGER_ROW, &[row])?.first() {
        Some(Err(error::EXISTS)) => session.roll_back(),
        Some(Err(code)) => return Err(session.of_code(*code)),
        Some(Ok(_)) | None => {
            session.commit()?;
            return Ok(Claim::Abandoned);
        }
    }
    let found = by_write_id(session, contract, side, write)?;
    if found.abandoned {
        return Ok(Claim::Abandoned);
    }
    Ok(Claim::Stands(found.changes))
}

/// See `Store::settle`. Rows are locked in order, so that two callers cannot block each other.
pub(super) fn settle(session: &mut Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE strangler_ledger SET state = 'settled', settled_at = {NOW} WHERE write_id = :1 AND state = 'unsettled'"
    );
    let mut writes = writes.to_vec();
    writes.sort_unstable();
    writes.dedup();
    for page in writes.chunks(MAX_LIST) {
        let rows: Vec<_> = page.iter().map(|write| vec![Bind::write(*write)]).collect();
        session.batch_all(&text, &rows)?;
        session.commit()?;
    }
    Ok(())
}

/// Who may be given what by [`lease_unsettled`].
pub(super) struct Due {
    pub(super) groups: Vec<GroupName>,
    pub(super) older_than: Duration,
    pub(super) lease: Duration,
    pub(super) limit: usize,
}

pub(super) fn seconds(time: Duration) -> Bind {
    Bind::number(format!("{}.{:06}", time.as_secs().min(3_000_000_000), time.subsec_micros()))
}

/// What was written or leased in the future was so before the server's clock was put back. It is due: nobody would
/// bring it to the other side before that time has come again. No lease is as long as ten minutes.
fn due(row: &str) -> String {
    format!("({row}.next_attempt_at <= {NOW} OR {row}.next_attempt_at > {NOW} + NUMTODSINTERVAL(600, 'SECOND'))")
}

/// Locks the oldest due writes of so many groups.
pub(super) fn lease_text(groups: usize) -> String {
    let next = bucket(groups) + 1;
    let groups = places(1, bucket(groups));
    format!(
        "SELECT c.write_id FROM strangler_ledger c WHERE c.ordinal = 0 AND c.state = 'unsettled' \
         AND {} AND c.write_id IN (SELECT d.write_id FROM strangler_ledger d \
         WHERE d.state = 'unsettled' AND d.ordinal = 0 AND d.grp IN ({groups}) \
         AND (d.created_at <= {NOW} - NUMTODSINTERVAL(:{next}, 'SECOND') OR d.created_at > {NOW}) AND {} \
         ORDER BY d.created_at, d.write_id FETCH FIRST :{} ROWS ONLY) FOR UPDATE SKIP LOCKED",
        due("c"),
        due("d"),
        next + 1
    )
}

/// See `Store::lease_unsettled`. A lease is the time of the next attempt, put off. The oldest are chosen first and
/// locked then, as an Oracle cannot do both at once: of those that others hold none is waited for, and whoever
/// was leased meanwhile is seen by the time of its next attempt.
pub(super) fn lease_unsettled(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    due: &Due,
) -> Result<Vec<Unsettled>, StoreError> {
    let count = due.groups.len().min(MAX_LIST);
    if count == 0 || due.limit == 0 {
        return Ok(Vec::new());
    }
    let text = lease_text(count);
    let mut names: Vec<_> = due.groups.iter().take(count).map(|group| Bind::text(group.as_str())).collect();
    names.resize(bucket(count), Bind::text(due.groups[count - 1].as_str()));
    let limit = due.limit.min(MAX_LIST);
    names.extend([seconds(due.older_than), Bind::number(limit)]);
    let locked = session.query(&text, &names, u32::try_from(limit).unwrap_or(100))?;
    let writes: Vec<WriteId> = locked.iter().filter_map(write_id).collect();
    if writes.is_empty() {
        session.roll_back();
        return Ok(Vec::new());
    }
    // Read before the leases are written, so that attempts are those made so far.
    let leased = of_writes(session, contract, side, &writes)?;
    let lease = format!(
        "UPDATE strangler_ledger SET attempts = attempts + 1, next_attempt_at = {NOW} + NUMTODSINTERVAL(:1, 'SECOND') \
         WHERE write_id = :2 AND ordinal = 0"
    );
    let rows: Vec<_> = writes.iter().map(|write| vec![seconds(due.lease), Bind::write(*write)]).collect();
    session.batch_all(&lease, &rows)?;
    session.commit()?;
    Ok(leased)
}

/// Unsettled writes by id, oldest first.
fn of_writes(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    writes: &[WriteId],
) -> Result<Vec<Unsettled>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l JOIN strangler_ledger o ON o.write_id = l.write_id AND o.ordinal = 0 \
         WHERE l.write_id IN ({}) ORDER BY o.created_at, l.write_id, l.ordinal",
        places(1, bucket(writes.len()))
    );
    let mut leased: Vec<Unsettled> = Vec::new();
    for row in &session.query(&text, &list(writes), 500)? {
        let Some(change) = change(contract, side, row)? else { continue };
        let attempts = wire::number(row, 11).unwrap_or_default();
        match leased.last_mut() {
            Some(last) if last.changes.first().is_some_and(|c| c.write == change.write) => last.changes.push(change),
            Some(_) | None => leased.push(Unsettled { changes: vec![change], attempts }),
        }
    }
    Ok(leased)
}

/// An IN list of write ids, filled up with the last.
fn list(writes: &[WriteId]) -> Vec<Bind> {
    let mut binds: Vec<_> = writes.iter().map(|write| Bind::write(*write)).collect();
    if let Some(last) = binds.last().cloned() {
        binds.resize(bucket(writes.len()), last);
    }
    binds
}

/// See `Store::unsettled_keys`.
pub(super) fn unsettled_keys(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
    limit: usize,
) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.state = 'unsettled' AND l.grp = :1 \
         ORDER BY l.created_at, l.write_id, l.ordinal FETCH FIRST :2 ROWS ONLY"
    );
    let rows = session.query(&text, &[Bind::text(group.as_str()), Bind::number(limit)], 200)?;
    let changes = rows.iter().filter_map(|row| change(contract, side, row).transpose());
    changes.map(|change| change.map(|change| (change.key, change.write))).collect()
}

/// See `Store::backlog`.
pub(super) fn backlog(session: &mut Session, group: &GroupName) -> Result<Backlog, StoreError> {
    let text = format!(
        "SELECT COUNT(CASE WHEN ordinal = 0 THEN 1 END), MIN(created_at), {NOW} FROM strangler_ledger \
         WHERE state = 'unsettled' AND grp = :1"
    );
    let rows = session.query(&text, &[Bind::text(group.as_str())], 1)?;
    let Some(row) = rows.first() else { return Ok(Backlog::default()) };
    let age =
        wire::moment(row, 2).zip(wire::moment(row, 1)).map(|(now, first)| (now - first).to_std().unwrap_or_default());
    Ok(Backlog { writes: wire::number(row, 0).unwrap_or_default(), oldest: age.unwrap_or_default() })
}

/// See `Store::standing`.
pub(super) fn standing(session: &mut Session, writes: &[WriteId]) -> Result<Vec<WriteId>, StoreError> {
    let mut standing = Vec::new();
    for page in writes.chunks(MAX_LIST) {
        let text = format!(
            "SELECT DISTINCT write_id FROM strangler_ledger WHERE write_id IN ({}) AND state <> 'abandoned'",
            places(1, bucket(page.len()))
        );
        let rows = session.query(&text, &list(page), 500)?;
        standing.extend(rows.iter().filter_map(write_id));
    }
    Ok(standing)
}

/// See `Store::past_states`.
pub(super) fn past_states(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    key: &EntityKey,
    limit: usize,
) -> Result<Vec<Option<Record>>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.entity = :1 AND l.key = :2 \
         ORDER BY l.epoch DESC, l.incarnation DESC, l.position DESC FETCH FIRST :3 ROWS ONLY"
    );
    let binds = [Bind::text(key.entity().as_str()), Bind::text(key.as_text()), Bind::number(limit)];
    let rows = session.query(&text, &binds, 50)?;
    let changes = rows.iter().filter_map(|row| change(contract, side, row).transpose());
    changes.map(|change| change.map(|change| change.state)).collect()
}

/// See `Store::forget`. Abandoned rows go too: a first attempt does not outlive the retention.
pub(super) fn forget(session: &mut Session, retention: Duration, limit: usize) -> Result<u64, StoreError> {
    let text = format!(
        "DELETE FROM strangler_ledger WHERE ROWID IN (SELECT l.ROWID FROM strangler_ledger l \
         WHERE l.state <> 'unsettled' AND l.created_at < {NOW} - NUMTODSINTERVAL(:1, 'SECOND') \
         FETCH FIRST :2 ROWS ONLY)"
    );
    let gone = session.run(&text, &[seconds(retention), Bind::number(limit)])?;
    session.commit()?;
    Ok(gone)
}
