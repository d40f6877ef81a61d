//! This side's life: its row, its marks, and what it remembers of the other side.
//!
//! Marks are rows of their own, so that the row of the life, which every write reads, is changed by a suspension or a
//! raise only. Two who move the mark at once meet at the key of the next one.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use deadpool::managed::{Hook, HookError};
use deadpool_postgres::ClientWrapper;
use model::life::{Identity, Life, LifeLook, MARKS_KEPT, Mark, Memory, Noted, RAISING};
use model::store::Bare;
use model::{Change, Contract, EntityKey, GroupName, Incarnation, Instant, Side, StoreError, WriteId};
use parking_lot::Mutex;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::bookkeeping::{INCARNATION, LOG};
use super::ledger::{self, ROW, alter, ask, count, entity, uuids};
use super::line::{Dial, Line, NoLine};
use super::pipeline::{self, End};
use super::read::misfit;
use super::session::Session;
use super::wire::Stored;

/// What this process remembers of a side, for its new connections.
pub(super) type Expected = Arc<Mutex<Option<Memory>>>;

/// Why a connection suspends its side.
const MET: &str = "a new connection met a database that lacks a mark which this replica remembers";

/// Compares each new connection before its first use: none to another side's database is used. Where we write, a side that
/// has gone back is suspended, and says so itself to whoever writes.
pub(super) fn compare(side: Side, expected: Option<Expected>) -> Hook<Dial> {
    Hook::async_fn(move |line: &mut Line, _| {
        let memory = expected.as_ref().and_then(|expected| *expected.lock());
        Box::pin(async move {
            require_mine(&line.client, side).await.map_err(HookError::Backend)?;
            let Some(memory) = memory else { return Ok(()) };
            met(&line.client, memory).await.map_err(HookError::Backend)
        })
    })
}

/// Fails where the database says that it is another side's. One without our tables, or with those of an earlier release,
/// says nothing; whatever else keeps it from saying so is no yes.
async fn require_mine(client: &ClientWrapper, side: Side) -> Result<(), NoLine> {
    match client.query("SELECT side FROM strangler_life WHERE side <> $1", &[&side.as_str()]).await {
        Ok(rows) => match rows.first() {
            Some(row) => Err(NoLine::NotMine(row.try_get(0)?)),
            None => Ok(()),
        },
        Err(error) if matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn met(client: &ClientWrapper, memory: Memory) -> Result<(), NoLine> {
    // Each is answered before the next is sent.
    let compared = async {
        client.batch_execute(pipeline::BEGIN).await?;
        gone_back(client, memory).await?;
        client.batch_execute("COMMIT").await
    };
    match compared.await {
        Ok(()) => Ok(()),
        // It answers and takes no change, or has not our tables: no write can commit there either.
        Err(error) if error.as_db_error().is_some() => Ok(client.batch_execute("ROLLBACK").await?),
        Err(error) => Err(error.into()),
    }
}

async fn gone_back(client: &ClientWrapper, memory: Memory) -> Result<u64, tokio_postgres::Error> {
    let text = "UPDATE strangler_life l SET suspended = $1::text WHERE (l.suspended IS NULL OR l.suspended = $5::text) \
                AND NOT (l.incarnation > $2::int8 OR (l.incarnation = $2::int8 AND EXISTS \
                (SELECT FROM strangler_mark m WHERE m.mark = $3::int8 AND m.random = $4::int8)))";
    let (mark, random) = (memory.mark.counter.cast_signed(), memory.mark.random.cast_signed());
    client.execute(text, &[&MET, &i64::from(memory.incarnation.0), &mark, &random, &RAISING]).await
}

fn big(number: u64) -> Stored {
    Stored::Big(number.cast_signed())
}

/// A column that must be there and be what it is said to be.
fn get<'a, T: postgres_types::FromSql<'a>>(side: Side, row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(|_| misfit(side, format!("{column} of strangler_life or its marks cannot be read")))
}

fn number(side: Side, row: &Row, column: &str) -> Result<u32, StoreError> {
    let unreadable = || misfit(side, format!("{column} of strangler_life is out of range"));
    u32::try_from(get::<i64>(side, row, column)?).map_err(|_| unreadable())
}

/// See `Lives::life`.
pub(super) async fn look(session: &Session, side: Side, asked: &[Mark]) -> Result<LifeLook, StoreError> {
    let text = format!(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()) AS now_system, {LOG} AS now_log, \
         pg_postmaster_start_time() AS now_boot, l.boot, l.unasked, \
         coalesce((SELECT min(mark) FROM strangler_mark), 0) AS oldest, \
         l.system, l.log, l.incarnation, l.suspended, m.mark, m.random, m.made_at, \
         (extract(epoch FROM clock_timestamp() - m.made_at) * 1000000)::int8 AS age \
         FROM (SELECT) AS one LEFT JOIN strangler_life l ON true \
         LEFT JOIN (SELECT * FROM strangler_mark ORDER BY mark DESC LIMIT 1) AS m ON true"
    );
    let rows = ask(session, &text, &[]).await?;
    let row = rows.first().ok_or_else(|| misfit(side, "the server says nothing of itself".into()))?;
    let boot = started(get(side, row, "now_boot")?);
    let identity = Identity { system: get(side, row, "now_system")?, log: number(side, row, "now_log")?, boot };
    let has_life = get::<Option<i64>>(side, row, "incarnation")?.is_some();
    let has_mark = get::<Option<i64>>(side, row, "mark")?.is_some();
    let life = if has_life && has_mark { Some(life(side, row)?) } else { None };
    let oldest: i64 = get(side, row, "oldest")?;
    Ok(LifeLook { identity, life, oldest: oldest.cast_unsigned(), kept: kept(session, side, asked).await? })
}

/// When a server was started, for people and to compare.
fn started(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "unknown".into(), |at| at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn life(side: Side, row: &Row) -> Result<Life, StoreError> {
    let boot = started(get(side, row, "boot")?);
    Ok(Life {
        identity: Identity { system: get(side, row, "system")?, log: number(side, row, "log")?, boot },
        unasked: get::<Option<DateTime<Utc>>>(side, row, "unasked")?.map(Instant::new),
        incarnation: Incarnation(number(side, row, "incarnation")?),
        suspended: get(side, row, "suspended")?,
        mark: mark(side, row)?,
        marked_at: Instant::new(get(side, row, "made_at")?),
        // Clocks may be set back.
        mark_age: Duration::from_micros(u64::try_from(get::<i64>(side, row, "age")?).unwrap_or(0)),
    })
}

fn mark(side: Side, row: &Row) -> Result<Mark, StoreError> {
    let (counter, random): (i64, i64) = (get(side, row, "mark")?, get(side, row, "random")?);
    Ok(Mark { counter: counter.cast_unsigned(), random: random.cast_unsigned() })
}

async fn kept(session: &Session, side: Side, asked: &[Mark]) -> Result<Vec<Mark>, StoreError> {
    let text = "SELECT m.mark, m.random FROM strangler_mark m \
                JOIN unnest($1::int8[], $2::int8[]) AS a (mark, random) USING (mark, random)";
    let list = |of: fn(&Mark) -> u64| Stored::List(asked.iter().map(|mark| big(of(mark))).collect());
    let rows = ask(session, text, &[list(|mark| mark.counter), list(|mark| mark.random)]).await?;
    rows.iter().map(|row| mark(side, row)).collect()
}

/// See `Lives::move_mark`.
pub(super) async fn move_mark(session: &Session, from: Mark, to: Mark) -> Result<bool, StoreError> {
    let text = format!(
        "INSERT INTO strangler_mark (mark, random) SELECT $3::int8, $4::int8 FROM strangler_life l \
         WHERE {INCARNATION} IS NOT NULL AND EXISTS (SELECT FROM strangler_mark m \
         WHERE m.mark = $1::int8 AND m.random = $2::int8) AND NOT EXISTS (SELECT FROM strangler_mark m \
         WHERE m.mark > $1::int8) ON CONFLICT DO NOTHING RETURNING mark"
    );
    let values = [big(from.counter), big(from.random), big(to.counter), big(to.random)];
    let moved = !alter(session, &text, &values, End::Commit).await?.is_empty();
    if moved && to.counter.is_multiple_of(1_000) {
        let old = big(to.counter.saturating_sub(MARKS_KEPT));
        alter(session, "DELETE FROM strangler_mark WHERE mark < $1::int8", &[old], End::CommitLoosely).await?;
    }
    Ok(moved)
}

/// See `Lives::suspend`.
pub(super) async fn suspend(session: &Session, of: Incarnation, why: &str) -> Result<(), StoreError> {
    let text = "UPDATE strangler_life SET suspended = $1::text \
                WHERE (suspended IS NULL OR suspended = $2::text) AND incarnation = $3::int8";
    let values = [Stored::Text(why.to_owned()), Stored::Text(RAISING.to_owned()), Stored::Big(of.0.into())];
    alter(session, text, &values, End::Commit).await.map(drop)
}

/// See `Lives::raise`.
pub(super) async fn raise(session: &Session, from: Incarnation, to: Memory) -> Result<bool, StoreError> {
    let text = format!(
        "WITH raised AS (UPDATE strangler_life SET suspended = $5::text, incarnation = $2::int8, log = {LOG}, \
         boot = pg_postmaster_start_time(), unasked = NULL, system = (SELECT system_identifier::text FROM pg_control_system()) \
         WHERE incarnation = $1::int8 RETURNING incarnation) \
         INSERT INTO strangler_mark (mark, random) SELECT $3::int8, $4::int8 FROM raised RETURNING mark"
    );
    let values = [
        Stored::Big(from.0.into()),
        Stored::Big(to.incarnation.0.into()),
        big(to.mark.counter),
        big(to.mark.random),
        Stored::Text(RAISING.to_owned()),
    ];
    Ok(!alter(session, &text, &values, End::Commit).await?.is_empty())
}

/// See `Lives::go_on`.
pub(super) async fn go_on(session: &Session, of: Incarnation, since: Instant) -> Result<bool, StoreError> {
    let text = format!(
        "UPDATE strangler_life SET boot = pg_postmaster_start_time(), unasked = coalesce(unasked, $2::timestamptz) \
         WHERE incarnation = $1::int8 AND suspended IS NULL AND log = {LOG} \
         AND system = (SELECT system_identifier::text FROM pg_control_system()) RETURNING incarnation"
    );
    let values = [Stored::Big(of.0.into()), Stored::TimestampTz(since.to_utc())];
    Ok(!alter(session, &text, &values, End::Commit).await?.is_empty())
}

/// See `Lives::resume`.
pub(super) async fn resume(session: &Session, incarnation: Incarnation) -> Result<(), StoreError> {
    let text = "UPDATE strangler_life SET suspended = NULL WHERE incarnation = $1::int8 AND suspended = $2::text";
    let values = [Stored::Big(incarnation.0.into()), Stored::Text(RAISING.to_owned())];
    alter(session, text, &values, End::Commit).await.map(drop)
}

/// See `Lives::remember`.
pub(super) async fn remember(session: &Session, of: Side, memory: Memory) -> Result<(), StoreError> {
    let text = "INSERT INTO strangler_memory AS m (side, incarnation, mark, random) \
                VALUES ($1::text, $2::int8, $3::int8, $4::int8) ON CONFLICT (side) DO UPDATE \
                SET incarnation = EXCLUDED.incarnation, mark = EXCLUDED.mark, random = EXCLUDED.random \
                WHERE (m.incarnation, m.mark) < (EXCLUDED.incarnation, EXCLUDED.mark)";
    let values = [
        Stored::Text(of.as_str().to_owned()),
        Stored::Big(memory.incarnation.0.into()),
        big(memory.mark.counter),
        big(memory.mark.random),
    ];
    alter(session, text, &values, End::Commit).await.map(drop)
}

/// See `Lives::remembered`.
pub(super) async fn remembered(session: &Session, side: Side, of: Side) -> Result<Option<Memory>, StoreError> {
    let text = "SELECT incarnation, mark, random FROM strangler_memory WHERE side = $1::text";
    let rows = ask(session, text, &[Stored::Text(of.as_str().to_owned())]).await?;
    let memory =
        |row: &Row| Ok(Memory { incarnation: Incarnation(number(side, row, "incarnation")?), mark: mark(side, row)? });
    rows.first().map(memory).transpose()
}

/// See `Lives::writes_since`.
pub(super) async fn writes_since(
    session: &Session,
    contract: &Contract,
    side: Side,
    since: Instant,
    after: Option<WriteId>,
    limit: usize,
) -> Result<Vec<Noted>, StoreError> {
    let text = "WITH w AS (SELECT DISTINCT write_id FROM strangler_ledger WHERE created_at >= $1::timestamptz \
                AND state <> 'abandoned' AND (entity <> '' OR idempotency_key IS NOT NULL) AND write_id > $2::uuid ORDER BY write_id LIMIT $3::int8) \
                SELECT l.write_id, l.grp, l.state, v.entity, v.key FROM w JOIN strangler_ledger l USING (write_id) \
                LEFT JOIN strangler_version v ON v.entity = l.entity AND v.key = l.key AND v.write_id = l.write_id \
                ORDER BY l.write_id, l.ordinal";
    let after = after.map_or(Uuid::nil(), |write| write.0);
    let values = [Stored::TimestampTz(since.to_utc()), Stored::Uuid(after), count(limit)];
    let mut noted: Vec<Noted> = Vec::new();
    for row in &ask(session, text, &values).await? {
        let write = WriteId(get::<Uuid>(side, row, "write_id")?);
        if noted.last().is_none_or(|last| last.write != write) {
            let (group, state): (String, String) = (get(side, row, "grp")?, get(side, row, "state")?);
            noted.push(Noted { write, group: GroupName::new(group), settled: state == "settled", keys: Vec::new() });
        }
        let (name, key): (Option<String>, Option<String>) = (get(side, row, "entity")?, get(side, row, "key")?);
        if let (Some(name), Some(key), Some(last)) = (name, key, noted.last_mut()) {
            let read = EntityKey::from_text(entity(contract, side, &name)?, &key);
            last.keys
                .push(read.ok_or_else(|| misfit(side, format!("the ledger has a key of {name} that cannot be read")))?);
        }
    }
    Ok(noted)
}

/// See `Lives::unsettle`. That they were settled once is kept: they are brought whatever epoch they are of.
pub(super) async fn unsettle(session: &Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET state = 'unsettled', \
                settled_at = coalesce(settled_at, clock_timestamp()), next_attempt_at = '-infinity' \
                WHERE write_id = ANY($1::uuid[]) AND state = 'settled' AND (entity <> '' OR idempotency_key IS NOT NULL)";
    alter(session, text, &[uuids(writes)], End::Commit).await.map(drop)
}

/// See `Lives::changes_of`.
pub(super) async fn changes_of(
    session: &Session,
    contract: &Contract,
    side: Side,
    writes: &[WriteId],
) -> Result<Vec<Change>, StoreError> {
    let text = format!(
        "SELECT {ROW} FROM strangler_ledger l WHERE l.write_id = ANY($1::uuid[]) AND l.state <> 'abandoned' \
         ORDER BY l.write_id, l.ordinal"
    );
    let rows = ask(session, &text, &[uuids(writes)]).await?;
    rows.iter().filter_map(|row| ledger::change(contract, side, row).transpose()).collect()
}

/// See `Lives::bare_of`.
pub(super) async fn bare_of(session: &Session, side: Side, writes: &[WriteId]) -> Result<Vec<Bare>, StoreError> {
    let text = format!(
        "SELECT {ROW}, l.grp FROM strangler_ledger l WHERE l.write_id = ANY($1::uuid[]) AND l.state <> 'abandoned' \
         AND l.entity = '' AND l.idempotency_key IS NOT NULL ORDER BY l.write_id"
    );
    let rows = ask(session, &text, &[uuids(writes)]).await?;
    rows.iter().map(|row| ledger::bare(side, GroupName::new(get::<String>(side, row, "grp")?), row)).collect()
}

/// See `Lives::give_up`.
pub(super) async fn give_up(session: &Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET state = 'abandoned', idempotency_key = NULL, fingerprint = NULL \
                WHERE write_id = ANY($1::uuid[]) AND state = 'settled'";
    alter(session, text, &[uuids(writes)], End::Commit).await.map(drop)
}

/// See `Lives::free_keys`.
pub(super) async fn free_keys(session: &Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET idempotency_key = NULL, fingerprint = NULL \
                WHERE write_id = ANY($1::uuid[]) AND state = 'settled' AND idempotency_key IS NOT NULL";
    alter(session, text, &[uuids(writes)], End::Commit).await.map(drop)
}

/// See `Lives::greatest_incarnation`.
pub(super) async fn greatest(session: &Session, side: Side) -> Result<Incarnation, StoreError> {
    let text = format!(
        "SELECT greatest({LOG}, (SELECT max(incarnation) FROM strangler_life), \
         (SELECT max(incarnation) FROM strangler_memory), (SELECT max(incarnation) FROM strangler_version)) AS incarnation"
    );
    let rows = ask(session, &text, &[]).await?;
    let row = rows.first().ok_or_else(|| misfit(side, "the server says no incarnation".into()))?;
    Ok(Incarnation(number(side, row, "incarnation")?))
}
