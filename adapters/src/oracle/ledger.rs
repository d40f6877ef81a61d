//! The ledger: what stands, what waits for the other side, what was given up.

mod claim;

use std::time::Duration;

use model::store::{Bare, Unsettled};
use model::write::IdempotencyKey;
use model::{
    Change, Contract, EntityKey, EntityType, Epoch, Fingerprint, GroupName, Incarnation, Position, Record, Side, Stand,
    StoreError, Version, WriteId,
};
use oracle::Row;

pub(super) use claim::{Found, by_idempotency_key, by_write_id, claim};

use super::bind::Bind;
use super::bookkeeping::NOW;
use super::session::Session;
use super::shapes::{self, ForUs};
use super::table::{MAX_LIST, bucket, misfit, places};
use super::waiting::{is_brought, of_group, types};
use super::wire;
use crate::known::Known;
use crate::number::shape;
use crate::stored;

/// What every reader of ledger rows selects, of `l`; read by place in [`change`].
pub(super) const ROW: &str = "l.write_id, l.ordinal, l.entity, l.key, l.epoch, l.incarnation, l.position, \
                   l.image, l.idempotency_key, l.fingerprint, l.state, l.attempts, l.base";

/// The entity type that a key or a ledger row speaks of.
pub(super) fn entity<'a>(contract: &'a Contract, side: Side, name: &str) -> Result<&'a EntityType, StoreError> {
    let entity = contract.entity(&name.into());
    entity.map(AsRef::as_ref).ok_or_else(|| misfit(side, format!("the contract has no type {name}")))
}

/// The binds of [`super::write_text::LEDGER_ROW`] for a change.
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
        Bind::optional(change.base.map(|base| base.to_string())),
        if state == UNSETTLED { Bind::number(shape(entity)) } else { Bind::null() },
    ])
}

/// The state of a row that waits for the other side. It says in which shape its image was written.
pub(super) const UNSETTLED: &str = "unsettled";

/// The binds of [`super::write_text::LEDGER_ROW`] for a write that changed nothing, or never will.
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
        Bind::optional(None),
        Bind::null(),
    ]
}

/// Reads one ledger row; `None` for the row of a write without change. What the contract does not know of it is carried
/// along ([`stored::kept`]).
pub(super) fn change(contract: &Contract, side: Side, row: &Row) -> Result<Option<Change>, StoreError> {
    let Some(name) = wire::text(row, 2) else { return Ok(None) };
    let unreadable = || misfit(side, format!("the ledger has a row of {name} that cannot be read"));
    // What is no JSON is carried along as the text that it is.
    let json = |image: String| serde_json::from_str(&image).unwrap_or(serde_json::Value::String(image));
    let key = wire::text(row, 3).ok_or_else(unreadable)?;
    let (key, state) = stored::kept(contract, &name, &key, wire::text(row, 7).map(json));
    Ok(Some(Change {
        write: write_id(row).ok_or_else(unreadable)?,
        ordinal: wire::number(row, 1).ok_or_else(unreadable)?,
        key,
        version: version(row).ok_or_else(unreadable)?,
        state,
        idempotency: client(row),
        base: wire::text(row, 12).map(|text| text.parse()).transpose().map_err(|_| unreadable())?,
    }))
}

fn version(row: &Row) -> Option<Version> {
    Some(Version {
        epoch: Epoch(wire::number(row, 4)?),
        incarnation: Incarnation(wire::number(row, 5)?),
        position: Position(wire::number(row, 6)?),
    })
}

/// The client's key of a ledger row, and what was asked with it.
fn client(row: &Row) -> Option<(IdempotencyKey, Fingerprint)> {
    let client = wire::text(row, 8).zip(wire::text(row, 9));
    client.map(|(key, print)| (IdempotencyKey::from_ledger(key), Fingerprint(print)))
}

pub(super) fn write_id(row: &Row) -> Option<WriteId> {
    wire::text(row, 0)?.parse().ok().map(WriteId)
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
    pub(super) group: GroupName,
    pub(super) stand: Stand,
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

/// Locks the oldest due writes of a group of so many types that are `ours` to bring over, behind a fence that stands as
/// it must.
pub(super) fn lease_text(types: usize, ours: &ForUs) -> String {
    let (of_group, next) = of_group("d", types);
    let not_for_us = ours.not_for_us("x", next + 3);
    format!(
        "SELECT c.write_id FROM strangler_ledger c WHERE c.ordinal = 0 AND c.state = 'unsettled' \
         AND {} AND c.write_id IN (SELECT d.write_id FROM strangler_ledger d \
         WHERE d.state = 'unsettled' AND d.ordinal = 0 AND {of_group} \
         AND {} \
         AND (d.created_at <= {NOW} - NUMTODSINTERVAL(:{}, 'SECOND') OR d.created_at > {NOW}) AND {} \
         AND NOT EXISTS (SELECT 1 FROM strangler_ledger x WHERE x.write_id = d.write_id AND {not_for_us}) \
         ORDER BY d.created_at, d.write_id FETCH FIRST :{} ROWS ONLY) FOR UPDATE SKIP LOCKED",
        due("c"),
        is_brought(
            "d",
            &format!(
                "(SELECT NVL(f.since, 0) FROM strangler_fence f CROSS JOIN strangler_life a \
                 WHERE f.grp = :{next} AND f.state = :{} AND a.suspended IS NULL)",
                next + 1
            )
        ),
        next + 2,
        due("d"),
        next + 3 + ours.count()
    )
}

/// See `Store::lease_unsettled`. A lease is the time of the next attempt, put off. The oldest are chosen first and
/// locked then, as an Oracle cannot do both at once: of those that others hold none is waited for, and whoever
/// was leased meanwhile is seen by the time of its next attempt.
pub(super) fn lease_unsettled(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    known: &Known,
    due: &Due,
) -> Result<Vec<Unsettled>, StoreError> {
    if due.limit == 0 {
        return Ok(Vec::new());
    }
    let ours = ForUs::of(&known.saw(&shapes::read(session, side)?));
    let (types, mut binds) = types(contract, &due.group);
    let text = lease_text(types, &ours);
    let limit = due.limit.min(MAX_LIST);
    let (group, stand) = (Bind::text(due.group.as_str()), Bind::text(due.stand.as_str()));
    binds.extend([group, stand, seconds(due.older_than)]);
    binds.extend(ours.binds());
    binds.push(Bind::number(limit));
    let locked = session.query(&text, &binds, u32::try_from(limit).unwrap_or(100))?;
    let writes: Vec<WriteId> = locked.iter().filter_map(write_id).collect();
    if writes.is_empty() {
        session.roll_back();
        return Ok(Vec::new());
    }
    // Read before the leases are written, so that attempts are those made so far.
    let leased = of_writes(session, contract, side, &due.group, &writes)?;
    let lease = format!(
        "UPDATE strangler_ledger SET attempts = attempts + 1, next_attempt_at = {NOW} + NUMTODSINTERVAL(:1, 'SECOND') \
         WHERE write_id = :2 AND ordinal = 0"
    );
    let rows: Vec<_> = writes.iter().map(|write| vec![seconds(due.lease), Bind::write(*write)]).collect();
    session.batch_all(&lease, &rows)?;
    session.commit()?;
    Ok(leased)
}

/// Unsettled writes of `group` by id, whole, oldest first.
pub(super) fn of_writes(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
    writes: &[WriteId],
) -> Result<Vec<Unsettled>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l JOIN strangler_ledger o ON o.write_id = l.write_id AND o.ordinal = 0 \
         WHERE l.write_id IN ({}) ORDER BY o.created_at, l.write_id, l.ordinal",
        places(1, bucket(writes.len()))
    );
    let unreadable = || misfit(side, "the ledger has a row that cannot be read");
    let mut found: Vec<Unsettled> = Vec::new();
    for row in &session.query(&text, &list(writes), 500)? {
        let write = write_id(row).ok_or_else(unreadable)?;
        if found.last().is_none_or(|last| last.write != write) {
            let attempts = wire::number(row, 11).unwrap_or_default();
            found.push(Unsettled { write, changes: Vec::new(), bare: None, attempts });
        }
        let (change, last) = (change(contract, side, row)?, found.last_mut());
        match (change, last) {
            (Some(change), Some(last)) => last.changes.push(change),
            (None, Some(last)) => {
                let version = version(row).ok_or_else(unreadable)?;
                last.bare = Some(Bare { write, group: group.clone(), version, idempotency: client(row) });
            }
            (_, None) => {}
        }
    }
    Ok(found)
}

/// The ledger rows of those of `writes` that are not abandoned, by write and ordinal.
pub(super) fn rows_of(session: &mut Session, writes: &[WriteId]) -> Result<Vec<Row>, StoreError> {
    let mut writes = writes.to_vec();
    writes.sort_unstable();
    let mut rows = Vec::new();
    for page in writes.chunks(MAX_LIST) {
        let text = format!(
            "SELECT {ROW}, l.grp FROM strangler_ledger l WHERE l.write_id IN ({}) AND l.state <> 'abandoned' \
             ORDER BY l.write_id, l.ordinal",
            places(1, bucket(page.len()))
        );
        rows.extend(session.query(&text, &list(page), 500)?);
    }
    Ok(rows)
}

/// Whether a row of [`rows_of`] is that of a write that changed nothing, and has the client's key.
pub(super) fn is_bare(row: &Row) -> bool {
    wire::text(row, 2).is_none() && client(row).is_some()
}

/// Such a row.
pub(super) fn bare(row: &Row) -> Option<Bare> {
    let group = GroupName::new(wire::text(row, 13)?);
    Some(Bare { write: write_id(row)?, group, version: version(row)?, idempotency: client(row) })
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
    let (types, mut binds) = types(contract, group);
    let (of_group, next) = of_group("l", types);
    let text = format!(
        "SELECT l.write_id, l.ordinal, l.entity, l.key FROM strangler_ledger l WHERE l.state = 'unsettled' AND {of_group} \
         AND l.entity IS NOT NULL ORDER BY l.created_at, l.write_id, l.ordinal FETCH FIRST :{next} ROWS ONLY"
    );
    binds.push(Bind::number(limit));
    let rows = session.query(&text, &binds, 1_000)?;
    // Without the images: there may be a hundred thousand, and this is asked four times a second.
    let named = |row: &Row| {
        let unreadable = || misfit(side, "the ledger has a row whose key cannot be read".to_owned());
        let (name, key) = wire::text(row, 2).zip(wire::text(row, 3)).ok_or_else(unreadable)?;
        let (key, _) = stored::kept(contract, &name, &key, None);
        Ok((key, write_id(row).ok_or_else(unreadable)?))
    };
    rows.iter().map(named).collect()
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
