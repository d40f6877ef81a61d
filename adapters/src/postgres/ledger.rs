//! The ledger: what stands, what waits for the other side, what was given up.

use std::time::Duration;

use model::store::{Backlog, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Change, Command, Contract, EntityKey, EntityType, Epoch, Fingerprint, GroupName, Incarnation, Position, Record,
    Side, StoreError, Version, WriteId,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::bookkeeping::{INCARNATION, POSITION};
use super::pipeline::Step;
use super::read::{self, misfit};
use super::session::Session;
use super::wire::Stored;
use super::write_text::raise_version;
use crate::number::{number, shape};

/// What every reader of ledger rows selects, of `l`.
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
    let unknown = || misfit(side, format!("the contract has no type {name}"));
    entity.map(AsRef::as_ref).ok_or_else(unknown)
}

/// The ledger rows of a write that is about to commit: proves the fence and takes the position. A
/// write without change has one row all the same, so that claims and repeats find it.
///
/// The version of each key is recorded too: what another side wrote before this one was primary, and arrives late, must
/// find that this side has something newer. And so is the number of its row, from the record that was read back: whoever
/// changes the row past us is met when this side is secondary again.
pub(super) fn insert(
    contract: &Contract,
    side: Side,
    command: &Command,
    states: &[(EntityKey, Option<Record>)],
) -> Result<Step, StoreError> {
    let (mut ordinals, mut entities, mut keys, mut images) = (vec![], vec![], vec![], vec![]);
    let (mut shapes, mut stands) = (vec![], vec![]);
    for (ordinal, (key, state)) in (0_i16..).zip(states) {
        let entity = entity(contract, side, key.entity().as_str())?;
        let image = state.as_ref().map(|record| record.to_json(entity).to_string());
        ordinals.push(Stored::Small(ordinal));
        entities.push(Stored::Text(key.entity().to_string()));
        keys.push(Stored::Text(key.as_text().to_owned()));
        images.push(image.map_or(Stored::Null, Stored::Text));
        shapes.push(Stored::Big(shape(entity, side)));
        stands.push(Stored::Big(number(entity, state.as_ref())));
    }
    if states.is_empty() {
        ordinals.push(Stored::Small(0));
        entities.push(Stored::Text(String::new()));
        keys.push(Stored::Text(String::new()));
        images.push(Stored::Null);
        shapes.push(Stored::Null);
        stands.push(Stored::Null);
    }
    let client = command.idempotency.as_ref();
    Ok(Step {
        text: format!(
            "WITH written AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, \
             position, image, idempotency_key, fingerprint, state) \
             SELECT $1::uuid, c.ordinal, $2::text, c.entity, c.key, \
             (SELECT f.epoch FROM strangler_fence f WHERE f.grp = $2::text AND f.epoch = $3::int8 AND f.state = 'open'), \
             (SELECT {INCARNATION}), (SELECT {POSITION}), c.image::jsonb, \
             CASE WHEN c.ordinal = 0 THEN $4::text END, CASE WHEN c.ordinal = 0 THEN $5::text END, \
             CASE WHEN c.entity = '' THEN 'settled' ELSE 'unsettled' END \
             FROM unnest($6::int2[], $7::text[], $8::text[], $9::text[]) AS c(ordinal, entity, key, image) \
             RETURNING entity, key, epoch, incarnation, position, write_id, image IS NULL AS deleted), \
             recorded AS (INSERT INTO strangler_version AS v \
             (entity, key, epoch, incarnation, position, write_id, deleted, shape, stands) \
             SELECT entity, key, epoch, incarnation, position, write_id, deleted, n.shape, n.stands FROM written \
             JOIN unnest($7::text[], $8::text[], $10::int8[], $11::int8[]) AS n(entity, key, shape, stands) \
             USING (entity, key) WHERE entity <> '' ORDER BY entity, key \
             {}) \
             SELECT incarnation, position FROM written",
            raise_version(", shape = EXCLUDED.shape, stands = EXCLUDED.stands")
        ),
        values: vec![
            Stored::Uuid(command.write.0),
            Stored::Text(command.group.to_string()),
            Stored::Big(command.epoch.0.into()),
            client.map_or(Stored::Null, |(key, _)| Stored::Text(key.as_str().to_owned())),
            client.map_or(Stored::Null, |(_, print)| Stored::Text(print.0.clone())),
            Stored::List(ordinals),
            Stored::List(entities),
            Stored::List(keys),
            Stored::List(images),
            Stored::List(shapes),
            Stored::List(stands),
        ],
    })
}

/// Prepares, runs and reads one statement of our own.
pub(super) async fn ask(session: &Session, text: &str, values: &[Stored]) -> Result<Vec<Row>, StoreError> {
    let statements = session.prepare(&[text]).await?;
    let rows = read::query(session, &statements[0], values).await;
    rows.map_err(|error| session.error(error))
}

/// Reads one ledger row; `None` for the row of a write without change.
pub(super) fn change(contract: &Contract, side: Side, row: &Row) -> Result<Option<Change>, StoreError> {
    let name = row.get::<_, &str>("entity");
    if name.is_empty() {
        return Ok(None);
    }
    let entity = entity(contract, side, name)?;
    let unreadable = || misfit(side, format!("the ledger has a row of {name} that the contract cannot read"));
    let key = EntityKey::from_text(entity, row.get("key")).ok_or_else(unreadable)?;
    let state = match row.get::<_, Option<serde_json::Value>>("image") {
        Some(image) => Some(Record::from_json(entity, &image).ok_or_else(unreadable)?),
        None => None,
    };
    let number = |column| u32::try_from(row.get::<_, i64>(column)).map_err(|_| unreadable());
    let client: Option<String> = row.get("idempotency_key");
    let print: Option<String> = row.get("fingerprint");
    Ok(Some(Change {
        write: WriteId(row.get("write_id")),
        ordinal: row.get::<_, i16>("ordinal").cast_unsigned(),
        key,
        version: Version {
            epoch: Epoch(number("epoch")?),
            incarnation: Incarnation(number("incarnation")?),
            position: Position(row.get::<_, i64>("position").cast_unsigned()),
        },
        state,
        idempotency: client.zip(print).map(|(key, print)| (IdempotencyKey::from_ledger(key), Fingerprint(print))),
    }))
}

fn found(contract: &Contract, side: Side, rows: &[Row]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for row in rows {
        found.abandoned |= row.get::<_, &str>("state") == "abandoned";
        if row.get::<_, i16>("ordinal") == 0 {
            found.fingerprint = row.get::<_, Option<String>>("fingerprint").map(Fingerprint);
        }
        found.changes.extend(change(contract, side, row)?);
    }
    Ok(found)
}

/// The write with this id, which is known to be there.
pub(super) async fn by_write_id(
    session: &Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Found, StoreError> {
    let text = format!("SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = $1::uuid ORDER BY l.ordinal");
    let rows = ask(session, &text, &[Stored::Uuid(write.0)]).await?;
    found(contract, side, &rows)
}

/// The write that used this idempotency key first.
pub(super) async fn by_idempotency_key(
    session: &Session,
    contract: &Contract,
    side: Side,
    key: &IdempotencyKey,
) -> Result<Found, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = \
         (SELECT write_id FROM strangler_ledger WHERE idempotency_key = $1::text) ORDER BY l.ordinal"
    );
    let rows = ask(session, &text, &[Stored::Text(key.as_str().to_owned())]).await?;
    found(contract, side, &rows)
}

/// See `Store::claim`. The insert waits for a first attempt that is about to commit its own row.
pub(super) async fn claim(
    session: &Session,
    contract: &Contract,
    side: Side,
    write: WriteId,
) -> Result<Claim, StoreError> {
    let text = "INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, position, state) \
                VALUES ($1::uuid, 0, '', '', '', 0, 0, 0, 'abandoned') ON CONFLICT DO NOTHING RETURNING ordinal";
    if !ask(session, text, &[Stored::Uuid(write.0)]).await?.is_empty() {
        return Ok(Claim::Abandoned);
    }
    let found = by_write_id(session, contract, side, write).await?;
    if found.abandoned {
        return Ok(Claim::Abandoned);
    }
    Ok(Claim::Stands(found.changes))
}

fn uuids(writes: &[WriteId]) -> Stored {
    Stored::List(writes.iter().map(|write| Stored::Uuid(write.0)).collect())
}

fn micros(time: Duration) -> Stored {
    Stored::Big(i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2))
}

pub(super) fn count(limit: usize) -> Stored {
    Stored::Big(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// See `Store::settle`. Rows are locked in order, so that two callers cannot block each other.
pub(super) async fn settle(session: &Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger AS l SET state = 'settled', settled_at = clock_timestamp() \
                FROM (SELECT write_id, ordinal FROM strangler_ledger \
                      WHERE write_id = ANY($1::uuid[]) AND state = 'unsettled' \
                      ORDER BY write_id, ordinal FOR UPDATE) AS open \
                WHERE l.write_id = open.write_id AND l.ordinal = open.ordinal";
    ask(session, text, &[uuids(writes)]).await.map(|_| ())
}

/// Who may be given what by [`lease_unsettled`].
pub(super) struct Due<'a> {
    pub(super) groups: &'a [GroupName],
    pub(super) older_than: Duration,
    pub(super) lease: Duration,
    pub(super) limit: usize,
}

/// See `Store::lease_unsettled`. A lease is the time of the next attempt, put off.
///
/// What was written or leased in the future was so before the server's clock was put back. It is due: nobody would
/// bring it to the other side before that time has come again. No lease is as long as ten minutes.
pub(super) async fn lease_unsettled(
    session: &Session,
    contract: &Contract,
    side: Side,
    due: &Due<'_>,
) -> Result<Vec<Unsettled>, StoreError> {
    let text = format!(
        "WITH due AS (SELECT write_id FROM strangler_ledger \
           WHERE state = 'unsettled' AND ordinal = 0 AND grp = ANY($1::text[]) \
           AND (created_at <= clock_timestamp() - $2::int8 * interval '1 microsecond' \
             OR created_at > clock_timestamp()) \
           AND (next_attempt_at <= clock_timestamp() \
             OR next_attempt_at > clock_timestamp() + interval '10 minutes') \
           ORDER BY created_at, write_id LIMIT $4::int8 FOR UPDATE SKIP LOCKED), \
         leased AS (UPDATE strangler_ledger AS u SET attempts = u.attempts + 1, \
           next_attempt_at = clock_timestamp() + $3::int8 * interval '1 microsecond' \
           FROM due WHERE u.write_id = due.write_id AND u.ordinal = 0 RETURNING u.write_id, u.created_at) \
         SELECT {ROW} FROM leased JOIN strangler_ledger AS l USING (write_id) \
         ORDER BY leased.created_at, l.write_id, l.ordinal"
    );
    let groups = due.groups.iter().map(|group| Stored::Text(group.to_string()));
    let values = [Stored::List(groups.collect()), micros(due.older_than), micros(due.lease), count(due.limit)];
    let mut leased: Vec<Unsettled> = Vec::new();
    for row in &ask(session, &text, &values).await? {
        let Some(change) = change(contract, side, row)? else {
            continue;
        };
        // The rows are as they were before this statement, so attempts are those made so far.
        let attempts = row.get::<_, i32>("attempts").cast_unsigned();
        match leased.last_mut() {
            Some(last) if last.changes.first().is_some_and(|c| c.write == change.write) => {
                last.changes.push(change);
            }
            Some(_) | None => leased.push(Unsettled { changes: vec![change], attempts }),
        }
    }
    Ok(leased)
}

/// See `Store::unsettled_keys`.
pub(super) async fn unsettled_keys(
    session: &Session,
    contract: &Contract,
    side: Side,
    group: &GroupName,
    limit: usize,
) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.state = 'unsettled' AND l.grp = $1::text \
         ORDER BY l.created_at, l.write_id, l.ordinal LIMIT $2::int8"
    );
    let values = [Stored::Text(group.to_string()), count(limit)];
    let rows = ask(session, &text, &values).await?;
    let changes = rows.iter().filter_map(|row| change(contract, side, row).transpose());
    changes.map(|change| change.map(|change| (change.key, change.write))).collect()
}

/// See `Store::backlog`.
pub(super) async fn backlog(session: &Session, group: &GroupName) -> Result<Backlog, StoreError> {
    let text = "SELECT count(*) FILTER (WHERE ordinal = 0), \
                (coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) * 1000000)::int8 \
                FROM strangler_ledger WHERE state = 'unsettled' AND grp = $1::text";
    let rows = ask(session, text, &[Stored::Text(group.to_string())]).await?;
    let number = |row: &Row, place| u64::try_from(row.get::<_, i64>(place)).unwrap_or_default();
    Ok(rows.first().map_or_else(Backlog::default, |row| Backlog {
        writes: number(row, 0),
        oldest: Duration::from_micros(number(row, 1)),
    }))
}

/// See `Store::standing`.
pub(super) async fn standing(session: &Session, writes: &[WriteId]) -> Result<Vec<WriteId>, StoreError> {
    let text = "SELECT DISTINCT write_id FROM strangler_ledger \
                WHERE write_id = ANY($1::uuid[]) AND state <> 'abandoned'";
    let rows = ask(session, text, &[uuids(writes)]).await?;
    Ok(rows.iter().map(|row| WriteId(row.get::<_, Uuid>(0))).collect())
}

/// See `Store::past_states`.
pub(super) async fn past_states(
    session: &Session,
    contract: &Contract,
    side: Side,
    key: &EntityKey,
    limit: usize,
) -> Result<Vec<Option<Record>>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.entity = $1::text AND l.key = $2::text \
         ORDER BY l.epoch DESC, l.incarnation DESC, l.position DESC LIMIT $3::int8"
    );
    let values = [Stored::Text(key.entity().to_string()), Stored::Text(key.as_text().to_owned()), count(limit)];
    let rows = ask(session, &text, &values).await?;
    let changes = rows.iter().filter_map(|row| change(contract, side, row).transpose());
    changes.map(|change| change.map(|change| change.state)).collect()
}

/// See `Store::forget`. Abandoned rows go too: a first attempt does not outlive the retention.
pub(super) async fn forget(session: &Session, retention: Duration, limit: usize) -> Result<u64, StoreError> {
    let text = "WITH gone AS (DELETE FROM strangler_ledger WHERE ctid = ANY(ARRAY( \
                SELECT ctid FROM strangler_ledger WHERE state <> 'unsettled' \
                AND created_at < clock_timestamp() - $1::int8 * interval '1 microsecond' \
                LIMIT $2::int8 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone";
    let rows = ask(session, text, &[micros(retention), count(limit)]).await?;
    let number = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    Ok(number.cast_unsigned())
}
