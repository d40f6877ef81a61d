//! The ledger: what stands, what waits for the other side, what was given up.

mod claim;

use std::time::Duration;

use model::store::{Bare, Unsettled};
use model::write::IdempotencyKey;
use model::{
    Base, Change, Command, Contract, EntityKey, EntityType, Epoch, Fingerprint, GroupName, Incarnation, Position,
    Record, Side, Stand, StoreError, UnreadableBase, Version, WriteId,
};
use tokio_postgres::Row;

pub(super) use claim::{by_idempotency_key, by_write_id, claim};

use super::bookkeeping::{INCARNATION, POSITION};
use super::pipeline::{self, End, Step};
use super::read::{self, misfit};
use super::session::Session;
use super::shapes;
use super::waiting::{OF_GROUP, is_brought, of_group};
use super::wire::{Stored, get, number};
use super::write_text::raise_version;
use crate::known::Known;
use crate::number::{self, rules, shape};
use crate::stored;

/// What every reader of ledger rows selects, of `l`.
pub(super) const ROW: &str = "l.write_id, l.ordinal, l.entity, l.key, l.epoch, l.incarnation, l.position, \
                   l.image, l.idempotency_key, l.fingerprint, l.state, l.attempts, l.base";

/// The SQLSTATE of an insert that has left no row: something on the table swallows them.
pub(super) const UNWRITTEN: &str = "22012";

/// The SQLSTATE of a write whose place in the log is not beyond what is recorded for a key of it.
pub(super) const WENT_BACK: &str = "2201E";

/// The entity type that a key or a ledger row speaks of.
pub(super) fn entity<'a>(contract: &'a Contract, side: Side, name: &str) -> Result<&'a EntityType, StoreError> {
    let entity = contract.entity(&name.into());
    let unknown = || misfit(side, format!("the contract has no type {name}"));
    entity.map(AsRef::as_ref).ok_or_else(unknown)
}

/// The ledger rows of a write that is about to commit: proves the fence and takes the position. A
/// write without change has one row all the same, so that claims and repeats find it; repeats on the other side, too.
///
/// Fails where a row was not written ([`UNWRITTEN`]), and where the version of a key has not risen ([`WENT_BACK`]): what
/// was committed without either would never reach the other side, and nobody would know.
///
/// The version of each key is recorded too: what another side wrote before this one was primary, and arrives late, must
/// find that this side has something newer. And so is the number of its row, from the record that was read back: whoever
/// changes the row past us is met when this side is secondary again.
///
/// The base of each is that of the key's oldest unsettled write, else what the version row says: see [`Base`].
pub(super) fn insert(
    contract: &Contract,
    side: Side,
    command: &Command,
    states: &[(EntityKey, Option<Record>)],
) -> Result<Step, StoreError> {
    let (mut ordinals, mut entities, mut keys, mut images) = (vec![], vec![], vec![], vec![]);
    let (mut shapes, mut stands, mut bases) = (vec![], vec![], vec![]);
    for (ordinal, (key, state)) in (0_i16..).zip(states) {
        let entity = entity(contract, side, key.entity().as_str())?;
        let image = state.as_ref().map(|record| record.to_json(entity).to_string());
        ordinals.push(Stored::Small(ordinal));
        entities.push(Stored::Text(key.entity().to_string()));
        keys.push(Stored::Text(key.as_text().to_owned()));
        images.push(image.map_or(Stored::Null, Stored::Text));
        shapes.push(Stored::Big(shape(entity)));
        stands.push(Stored::Big(number::number(entity, state.as_ref())));
        bases.push(Stored::Big(rules(entity)));
    }
    if states.is_empty() {
        ordinals.push(Stored::Small(0));
        entities.push(Stored::Text(String::new()));
        keys.push(Stored::Text(String::new()));
        images.push(Stored::Null);
        shapes.push(Stored::Null);
        stands.push(Stored::Null);
        bases.push(Stored::Null);
    }
    let client = command.idempotency.as_ref();
    Ok(Step {
        text: format!(
            "WITH written AS (INSERT INTO strangler_ledger (write_id, ordinal, grp, entity, key, epoch, incarnation, \
             position, image, idempotency_key, fingerprint, state, base, shape) \
             SELECT $1::uuid, c.ordinal, $2::text, c.entity, c.key, \
             (SELECT f.epoch FROM strangler_fence f WHERE f.grp = $2::text AND f.epoch = $3::int8 AND f.state IN ('open', 'alone')), \
             (SELECT {INCARNATION}), (SELECT {POSITION}), c.image::jsonb, \
             CASE WHEN c.ordinal = 0 THEN $4::text END, CASE WHEN c.ordinal = 0 THEN $5::text END, \
             CASE WHEN c.entity = '' AND $4::text IS NULL OR \
             (SELECT f.state FROM strangler_fence f WHERE f.grp = $2::text) = 'alone' THEN 'settled' ELSE 'unsettled' END, \
             (SELECT CASE WHEN o.write_id IS NOT NULL THEN o.base WHEN v.shape = c.shape THEN \
             v.epoch || '.' || v.incarnation || '.' || v.position || ':' || c.rules || ':' || v.stands END \
             FROM strangler_version v LEFT JOIN LATERAL (SELECT w.write_id, w.base FROM strangler_ledger w \
             WHERE w.entity = v.entity AND w.key = v.key AND w.state = 'unsettled' AND EXISTS \
             (SELECT FROM strangler_ledger n WHERE n.write_id = v.write_id AND n.state = 'unsettled') \
             ORDER BY w.epoch, w.incarnation, w.position LIMIT 1) AS o ON true \
             WHERE v.entity = c.entity AND v.key = c.key), c.shape \
             FROM unnest($6::int2[], $7::text[], $8::text[], $9::text[], $10::int8[], $12::int8[]) \
             AS c(ordinal, entity, key, image, shape, rules) \
             RETURNING entity, key, epoch, incarnation, position, write_id, image IS NULL AS deleted, ordinal, base), \
             recorded AS (INSERT INTO strangler_version AS v \
             (entity, key, epoch, incarnation, position, write_id, deleted, shape, stands) \
             SELECT entity, key, epoch, incarnation, position, write_id, deleted, n.shape, n.stands FROM written \
             JOIN unnest($7::text[], $8::text[], $10::int8[], $11::int8[]) AS n(entity, key, shape, stands) \
             USING (entity, key) WHERE entity <> '' ORDER BY entity, key \
             {} RETURNING v.write_id) \
             SELECT incarnation, position, ordinal, base, \
             1 / CASE WHEN (SELECT count(*) FROM written) = cardinality($6::int2[]) THEN 1 ELSE 0 END, \
             ln(CASE WHEN (SELECT count(*) FROM recorded WHERE write_id = $1::uuid) = \
             (SELECT count(*) FROM written WHERE entity <> '') \
             THEN 1 ELSE 0 END) FROM (SELECT 1) AS always LEFT JOIN written ON true",
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
            Stored::List(bases),
        ],
    })
}

/// Prepares, runs and reads one statement of our own.
pub(super) async fn ask(session: &Session, text: &str, values: &[Stored]) -> Result<Vec<Row>, StoreError> {
    let statements = session.prepare(&[text]).await?;
    let rows = read::query(session, &statements[0], values).await;
    rows.map_err(|error| session.error(error))
}

/// Prepares and runs one statement of our own that changes something, in a transaction of its own.
pub(super) async fn alter(session: &Session, text: &str, values: &[Stored], end: End) -> Result<Vec<Row>, StoreError> {
    let statement = session.prepare(&[text]).await?.remove(0);
    let mut answers = pipeline::whole(session, "", &[(statement, values.to_vec())], end).await?;
    answers.remove(0).map(|answer| answer.rows).map_err(|error| session.error(error))
}

/// Reads one ledger row; `None` for the row of a write without change. What the contract does not know of it is carried
/// along ([`stored::kept`]).
pub(super) fn change(contract: &Contract, side: Side, row: &Row) -> Result<Option<Change>, StoreError> {
    let name: &str = get(side, row, "entity")?;
    if name.is_empty() {
        return Ok(None);
    }
    let image: Option<serde_json::Value> = get(side, row, "image")?;
    let (key, state) = stored::kept(contract, name, get(side, row, "key")?, image);
    Ok(Some(Change {
        write: WriteId(get(side, row, "write_id")?),
        ordinal: get::<i16>(side, row, "ordinal")?.cast_unsigned(),
        key,
        version: version(side, row)?,
        state,
        idempotency: client(side, row)?,
        base: base(side, get(side, row, "base")?)?,
    }))
}

fn version(side: Side, row: &Row) -> Result<Version, StoreError> {
    Ok(Version {
        epoch: Epoch(number(side, row, "epoch")?),
        incarnation: Incarnation(number(side, row, "incarnation")?),
        position: Position(number(side, row, "position")?),
    })
}

/// The client's key of a ledger row, and what was asked with it.
fn client(side: Side, row: &Row) -> Result<Option<(IdempotencyKey, Fingerprint)>, StoreError> {
    let client: Option<String> = get(side, row, "idempotency_key")?;
    let print: Option<String> = get(side, row, "fingerprint")?;
    Ok(client.zip(print).map(|(key, print)| (IdempotencyKey::from_ledger(key), Fingerprint(print))))
}

/// The base of a ledger row.
pub(super) fn base(side: Side, text: Option<&str>) -> Result<Option<Base>, StoreError> {
    text.map(str::parse).transpose().map_err(|error: UnreadableBase| misfit(side, error.to_string()))
}

pub(super) fn uuids(writes: &[WriteId]) -> Stored {
    Stored::List(writes.iter().map(|write| Stored::Uuid(write.0)).collect())
}

pub(super) fn micros(time: Duration) -> Stored {
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
    alter(session, text, &[uuids(writes)], End::CommitLoosely).await.map(drop)
}

/// Who may be given what by [`lease_unsettled`].
pub(super) struct Due<'a> {
    pub(super) group: &'a GroupName,
    pub(super) stand: Stand,
    pub(super) older_than: Duration,
    pub(super) lease: Duration,
    pub(super) limit: usize,
}

/// See `Store::lease_unsettled`. A lease is the time of the next attempt, put off.
///
/// What was written or leased in the future was so before the server's clock was put back. It is due: nobody would
/// bring it to the other side before that time has come again. No lease is as long as ten minutes.
///
/// The fence is read by the statement that chooses: behind one that stands otherwise, nothing is due; nor on a suspended
/// side, whose ledger may be of a life that is over. What this replica
/// does not know is left to others: it is never leased, so they need not wait for a lease to be over.
pub(super) async fn lease_unsettled(
    session: &Session,
    contract: &Contract,
    side: Side,
    known: &Known,
    due: &Due<'_>,
) -> Result<Vec<Unsettled>, StoreError> {
    let picture = known.saw(&shapes::read(session, side).await?);
    let text = format!(
        "WITH due AS (SELECT write_id FROM strangler_ledger l \
           WHERE state = 'unsettled' AND ordinal = 0 AND {OF_GROUP} \
           AND {} \
           AND (created_at <= clock_timestamp() - $3::int8 * interval '1 microsecond' \
             OR created_at > clock_timestamp()) \
           AND (next_attempt_at <= clock_timestamp() \
             OR next_attempt_at > clock_timestamp() + interval '10 minutes') \
           AND NOT EXISTS (SELECT FROM strangler_ledger AS x WHERE x.write_id = l.write_id AND x.entity <> '' AND {}) \
           ORDER BY created_at, write_id LIMIT $5::int8 FOR UPDATE OF l SKIP LOCKED), \
         leased AS (UPDATE strangler_ledger AS u SET attempts = u.attempts + 1, \
           next_attempt_at = clock_timestamp() + $4::int8 * interval '1 microsecond' \
           FROM due WHERE u.write_id = due.write_id AND u.ordinal = 0 RETURNING u.write_id, u.created_at) \
         SELECT {ROW} FROM leased JOIN strangler_ledger AS l USING (write_id) \
         ORDER BY leased.created_at, l.write_id, l.ordinal",
        is_brought(
            "l",
            "(SELECT coalesce(f.since, 0) FROM strangler_fence f CROSS JOIN strangler_life a \
             WHERE f.grp = $1::text AND f.state = $6::text AND a.suspended IS NULL)"
        ),
        shapes::not_for_us("x", 7)
    );
    let [group, types] = of_group(contract, due.group);
    let stand = Stored::Text(due.stand.as_str().to_owned());
    let mut values = vec![group, types, micros(due.older_than), micros(due.lease), count(due.limit), stand];
    values.extend(shapes::for_us(&picture));
    // The rows are as they were before this statement, so attempts are those made so far.
    writes(contract, side, due.group, &alter(session, &text, &values, End::CommitLoosely).await?)
}

/// Whole writes of `group`, from their rows in order.
pub(super) fn writes(
    contract: &Contract,
    side: Side,
    group: &GroupName,
    rows: &[Row],
) -> Result<Vec<Unsettled>, StoreError> {
    let mut writes: Vec<Unsettled> = Vec::new();
    for row in rows {
        let write = WriteId(get(side, row, "write_id")?);
        if writes.last().is_none_or(|last| last.write != write) {
            let attempts = get::<i32>(side, row, "attempts")?.cast_unsigned();
            writes.push(Unsettled { write, changes: Vec::new(), bare: None, attempts });
        }
        let (change, last) = (change(contract, side, row)?, writes.last_mut());
        match (change, last) {
            (Some(change), Some(last)) => last.changes.push(change),
            (None, Some(last)) => {
                last.bare = Some(bare(side, group.clone(), row)?);
            }
            (_, None) => {}
        }
    }
    Ok(writes)
}

/// The row of a write that changed nothing.
pub(super) fn bare(side: Side, group: GroupName, row: &Row) -> Result<Bare, StoreError> {
    let write = WriteId(get(side, row, "write_id")?);
    Ok(Bare { write, group, version: version(side, row)?, idempotency: client(side, row)? })
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
        "SELECT l.entity, l.key, l.write_id FROM strangler_ledger l WHERE l.state = 'unsettled' AND {OF_GROUP} AND l.entity <> '' \
         ORDER BY l.created_at, l.write_id, l.ordinal LIMIT $3::int8"
    );
    let [group, types] = of_group(contract, group);
    let values = [group, types, count(limit)];
    let rows = ask(session, &text, &values).await?;
    // Without the images: there may be a hundred thousand, and this is asked four times a second.
    let named = |row: &Row| {
        let (key, _) = stored::kept(contract, get(side, row, 0)?, get(side, row, 1)?, None);
        Ok((key, WriteId(get(side, row, 2)?)))
    };
    rows.iter().map(named).collect()
}

/// See `Store::standing`.
pub(super) async fn standing(session: &Session, side: Side, writes: &[WriteId]) -> Result<Vec<WriteId>, StoreError> {
    let text = "SELECT DISTINCT write_id FROM strangler_ledger \
                WHERE write_id = ANY($1::uuid[]) AND state <> 'abandoned'";
    let rows = ask(session, text, &[uuids(writes)]).await?;
    rows.iter().map(|row| get(side, row, 0).map(WriteId)).collect()
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
