//! This side's life: its row, its marks, and what it remembers of the other side.
//!
//! As in `postgres/life.rs`: marks are rows of their own, and two who move the mark at once meet at the key of the next.

use std::sync::Arc;
use std::time::Duration;

use model::life::{Identity, Life, LifeLook, MARKS_KEPT, Mark, Memory, Noted, RAISING};
use model::store::Bare;
use model::{Applied, Change, Contract, EntityKey, GroupName, Incarnation, Instant, Side, StoreError, WriteId};
use oracle::Row;
use parking_lot::Mutex;
use uuid::Uuid;

use super::bind::Bind;
use super::bookkeeping;
use super::carry;
use super::error;
use super::ledger::{self, entity, write_id};
use super::session::Session;
use super::store::OracleStore;
use super::table::misfit;
use super::wire;
use crate::gate::Gate;

/// What this process remembers of a side, for its new sessions.
pub(super) type Expected = Arc<Mutex<Option<Memory>>>;

/// Why a session suspends its side.
const MET: &str = "a new session met a database that lacks a mark which this replica remembers";

/// Fails where the database says that it is another side's. One without our tables says nothing.
pub(super) fn require_mine(session: &mut Session) -> Result<(), StoreError> {
    let side = session.side;
    let whose = session.query("SELECT side FROM strangler_life WHERE side <> :1", &[Bind::text(side.as_str())], 1);
    match whose {
        Ok(rows) => match rows.first().and_then(|row| wire::text(row, 0)) {
            Some(whose) => Err(StoreError::not_mine(side, &whose)),
            None => Ok(()),
        },
        Err(StoreError::Misfit { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Compares a new session before its first use. A side that has gone back is suspended, and says so itself to whoever
/// writes; one on another server forgets which log it wrote, so that no write commits until somebody has looked.
pub(super) fn compare(session: &mut Session, expected: &Expected) -> Result<(), StoreError> {
    let memory = *expected.lock();
    let met = gone_back(session, memory).and_then(|gone_back| Ok(gone_back + moved(session)?));
    match met {
        // As good as always: a session that has changed nothing owes nobody a commit, whose answer could be lost.
        Ok(0) => {
            session.roll_back();
            Ok(())
        }
        Ok(_) => session.commit(),
        // It has not our tables, or takes no change: no write can commit there either.
        Err(StoreError::Misfit { .. } | StoreError::Unwritable { .. }) => {
            session.roll_back();
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// How many rows it changed.
fn gone_back(session: &mut Session, memory: Option<Memory>) -> Result<u64, StoreError> {
    let Some(memory) = memory else { return Ok(0) };
    let text = "UPDATE strangler_life SET suspended = :1 WHERE (suspended IS NULL OR suspended = :2) AND NOT (incarnation > :3 OR \
                (incarnation = :4 AND EXISTS (SELECT 1 FROM strangler_mark m WHERE m.mark = :5 AND m.random = :6)))";
    let incarnation = || Bind::number(memory.incarnation.0);
    let mark = [Bind::number(memory.mark.counter), Bind::number(memory.mark.random)];
    let binds: Vec<_> =
        [Bind::text(MET), Bind::text(RAISING), incarnation(), incarnation()].into_iter().chain(mark).collect();
    session.run(text, &binds)
}

/// How many rows it changed.
fn moved(session: &mut Session) -> Result<u64, StoreError> {
    let text = "UPDATE strangler_life SET log = 0 WHERE log <> 0 AND system <> (SELECT TO_CHAR(dbid) FROM v$database)";
    session.run(text, &[])
}

fn unreadable(side: Side) -> impl Fn() -> StoreError {
    move || misfit(side, "strangler_life or its marks cannot be read")
}

/// See `Lives::life`.
pub(super) fn look(session: &mut Session, asked: &[Mark]) -> Result<LifeLook, StoreError> {
    let unreadable = unreadable(session.side);
    let log = bookkeeping::log(session)?;
    let rows = session.query("SELECT TO_CHAR(dbid) FROM v$database", &[], 1)?;
    let system = rows.first().and_then(|row| wire::text(row, 0)).ok_or_else(&unreadable)?;
    let identity = Identity { system, log, boot: bookkeeping::boot(session)? };
    let rows =
        session.query("SELECT system, log, incarnation, suspended, boot, unasked FROM strangler_life", &[], 1)?;
    let newest = "SELECT mark, random, made_at, SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM strangler_mark \
                  WHERE mark = (SELECT MAX(mark) FROM strangler_mark)";
    let marks = session.query(newest, &[], 1)?;
    let life = match (rows.first(), marks.first()) {
        (Some(row), Some(newest)) => Some(life(row, newest).ok_or_else(&unreadable)?),
        (None, _) | (_, None) => None,
    };
    let rows = session.query("SELECT COALESCE(MIN(mark), 0) FROM strangler_mark", &[], 1)?;
    let oldest = rows.first().and_then(|row| wire::number(row, 0)).ok_or_else(&unreadable)?;
    let mut kept = Vec::new();
    for one in asked {
        let text = "SELECT mark, random FROM strangler_mark WHERE mark = :1 AND random = :2";
        let rows = session.query(text, &[Bind::number(one.counter), Bind::number(one.random)], 1)?;
        kept.extend((!rows.is_empty()).then_some(*one));
    }
    Ok(LifeLook { identity, life, oldest, kept })
}

fn life(row: &Row, newest: &Row) -> Option<Life> {
    Some(Life {
        identity: Identity {
            system: wire::text(row, 0)?,
            log: wire::number(row, 1)?,
            boot: wire::text(row, 4).unwrap_or_else(|| "unknown".into()),
        },
        unasked: wire::moment(row, 5).map(|at| Instant::new(at.and_utc())),
        incarnation: Incarnation(wire::number(row, 2)?),
        suspended: wire::text(row, 3),
        mark: mark(newest, 0)?,
        marked_at: Instant::new(wire::moment(newest, 2)?.and_utc()),
        mark_age: (wire::moment(newest, 3)? - wire::moment(newest, 2)?).to_std().unwrap_or_default(),
    })
}

fn mark(row: &Row, place: usize) -> Option<Mark> {
    Some(Mark { counter: wire::number(row, place)?, random: wire::number(row, place + 1)? })
}

/// See `Lives::move_mark`.
pub(super) fn move_mark(session: &mut Session, from: Mark, to: Mark) -> Result<bool, StoreError> {
    let (log, boot) = (bookkeeping::log(session)?, bookkeeping::boot(session)?);
    let text = "INSERT INTO strangler_mark (mark, random) SELECT :1, :2 FROM strangler_life l \
                WHERE l.suspended IS NULL AND l.log = :3 AND l.boot = :4 AND EXISTS (SELECT 1 FROM strangler_mark m \
                WHERE m.mark = :5 AND m.random = :6) AND NOT EXISTS (SELECT 1 FROM strangler_mark m WHERE m.mark > :7)";
    let binds = vec![
        Bind::number(to.counter),
        Bind::number(to.random),
        Bind::number(log),
        Bind::text(boot),
        Bind::number(from.counter),
        Bind::number(from.random),
        Bind::number(from.counter),
    ];
    let moved = match session.batch(text, &[binds])?.first() {
        Some(Ok(rows)) => *rows == 1,
        Some(Err(error::EXISTS)) => false,
        Some(Err(code)) => return Err(session.of_code(*code)),
        None => return Err(misfit(session.side, "a statement was not answered")),
    };
    if moved && to.counter.is_multiple_of(1_000) {
        let old = Bind::number(to.counter.saturating_sub(MARKS_KEPT));
        session.run("DELETE FROM strangler_mark WHERE mark < :1", &[old])?;
    }
    session.commit()?;
    Ok(moved)
}

/// See `Lives::suspend`.
pub(super) fn suspend(session: &mut Session, of: Incarnation, why: &str) -> Result<(), StoreError> {
    let text =
        "UPDATE strangler_life SET suspended = :1 WHERE (suspended IS NULL OR suspended = :2) AND incarnation = :3";
    session.run(text, &[Bind::text(why), Bind::text(RAISING), Bind::number(of.0)])?;
    session.commit()
}

/// See `Lives::raise`.
pub(super) fn raise(session: &mut Session, from: Incarnation, to: Memory) -> Result<bool, StoreError> {
    let (log, boot) = (Bind::number(bookkeeping::log(session)?), Bind::text(bookkeeping::boot(session)?));
    let text = "UPDATE strangler_life SET suspended = :1, incarnation = :2, log = :3, boot = :4, unasked = NULL, \
                system = (SELECT TO_CHAR(dbid) FROM v$database) WHERE incarnation = :5";
    let binds = [Bind::text(RAISING), Bind::number(to.incarnation.0), log, boot, Bind::number(from.0)];
    if session.run(text, &binds)? == 0 {
        session.roll_back();
        return Ok(false);
    }
    let mark = [Bind::number(to.mark.counter), Bind::number(to.mark.random)];
    session.run("INSERT INTO strangler_mark (mark, random) VALUES (:1, :2)", &mark)?;
    session.commit()?;
    Ok(true)
}

/// See `Lives::go_on`.
pub(super) fn go_on(session: &mut Session, of: Incarnation, since: Instant) -> Result<bool, StoreError> {
    let (log, boot) = (Bind::number(bookkeeping::log(session)?), Bind::text(bookkeeping::boot(session)?));
    let text = "UPDATE strangler_life SET boot = :1, unasked = COALESCE(unasked, :2) WHERE incarnation = :3 \
                AND suspended IS NULL AND log = :4 AND system = (SELECT TO_CHAR(dbid) FROM v$database)";
    let binds = [boot, Bind::instant(since.to_utc().naive_utc()), Bind::number(of.0), log];
    let goes_on = session.run(text, &binds)? == 1;
    session.commit()?;
    Ok(goes_on)
}

/// See `Lives::resume`.
pub(super) fn resume(session: &mut Session, incarnation: Incarnation) -> Result<(), StoreError> {
    let text = "UPDATE strangler_life SET suspended = NULL WHERE incarnation = :1 AND suspended = :2";
    session.run(text, &[Bind::number(incarnation.0), Bind::text(RAISING)])?;
    session.commit()
}

/// See `Lives::remember`.
pub(super) fn remember(session: &mut Session, of: Side, memory: Memory) -> Result<(), StoreError> {
    let all = || {
        let Mark { counter, random } = memory.mark;
        vec![Bind::number(memory.incarnation.0), Bind::number(counter), Bind::number(random), Bind::text(of.as_str())]
    };
    let first = "INSERT INTO strangler_memory (incarnation, mark, random, side) VALUES (:1, :2, :3, :4)";
    match session.batch(first, &[all()])?.first() {
        Some(Ok(_)) => return session.commit(),
        Some(Err(error::EXISTS)) => {}
        Some(Err(code)) => return Err(session.of_code(*code)),
        None => return Err(misfit(session.side, "a statement was not answered")),
    }
    let text = "UPDATE strangler_memory SET incarnation = :1, mark = :2, random = :3 WHERE side = :4 \
                AND (incarnation < :5 OR (incarnation = :6 AND mark < :7))";
    let mut binds = all();
    let incarnation = Bind::number(memory.incarnation.0);
    binds.extend([incarnation.clone(), incarnation, Bind::number(memory.mark.counter)]);
    session.run(text, &binds)?;
    session.commit()
}

/// See `Lives::remembered`.
pub(super) fn remembered(session: &mut Session, of: Side) -> Result<Option<Memory>, StoreError> {
    let unreadable = unreadable(session.side);
    let text = "SELECT incarnation, mark, random FROM strangler_memory WHERE side = :1";
    let rows = session.query(text, &[Bind::text(of.as_str())], 1)?;
    let memory = |row: &Row| Some(Memory { incarnation: Incarnation(wire::number(row, 0)?), mark: mark(row, 1)? });
    rows.first().map(|row| memory(row).ok_or_else(&unreadable)).transpose()
}

/// See `Lives::writes_since`.
pub(super) fn writes_since(
    session: &mut Session,
    contract: &Contract,
    since: Instant,
    after: Option<WriteId>,
    limit: usize,
) -> Result<Vec<Noted>, StoreError> {
    let unreadable = unreadable(session.side);
    let side = session.side;
    let text = "SELECT l.write_id, l.grp, l.state, v.entity, v.key FROM (SELECT DISTINCT write_id FROM strangler_ledger \
                WHERE created_at >= :1 AND state <> 'abandoned' AND (entity IS NOT NULL OR idempotency_key IS NOT NULL) AND write_id > :2 \
                ORDER BY write_id FETCH FIRST :3 ROWS ONLY) w JOIN strangler_ledger l ON l.write_id = w.write_id \
                LEFT JOIN strangler_version v ON v.entity = l.entity AND v.key = l.key AND v.write_id = l.write_id \
                ORDER BY l.write_id, l.ordinal";
    let after = after.unwrap_or(WriteId(Uuid::nil()));
    let binds = [Bind::instant(since.to_utc().naive_utc()), Bind::write(after), Bind::number(limit)];
    let mut noted: Vec<Noted> = Vec::new();
    for row in &session.query(text, &binds, 500)? {
        let write = write_id(row).ok_or_else(&unreadable)?;
        if noted.last().is_none_or(|last| last.write != write) {
            let (group, state) = (wire::text(row, 1).unwrap_or_default(), wire::text(row, 2).ok_or_else(&unreadable)?);
            noted.push(Noted { write, group: GroupName::new(group), settled: state == "settled", keys: Vec::new() });
        }
        if let (Some(name), Some(key), Some(last)) = (wire::text(row, 3), wire::text(row, 4), noted.last_mut()) {
            let key = EntityKey::from_text(entity(contract, side, &name)?, &key);
            last.keys.push(key.ok_or_else(&unreadable)?);
        }
    }
    Ok(noted)
}

/// See `Lives::unsettle`. That they were settled once is kept: they are brought whatever epoch they are of.
pub(super) fn unsettle(session: &mut Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET state = 'unsettled', \
                settled_at = COALESCE(settled_at, SYS_EXTRACT_UTC(SYSTIMESTAMP)), next_attempt_at = TIMESTAMP '0001-01-01 00:00:00' \
                WHERE write_id = :1 AND state = 'settled' AND (entity IS NOT NULL OR idempotency_key IS NOT NULL)";
    let rows: Vec<_> = writes.iter().map(|write| vec![Bind::write(*write)]).collect();
    session.batch_all(text, &rows)?;
    session.commit()
}

/// See `Lives::changes_of`.
pub(super) fn changes_of(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    writes: &[WriteId],
) -> Result<Vec<Change>, StoreError> {
    let rows = ledger::rows_of(session, writes)?;
    rows.iter().filter_map(|row| ledger::change(contract, side, row).transpose()).collect()
}

/// See `Lives::bare_of`.
pub(super) fn bare_of(session: &mut Session, writes: &[WriteId]) -> Result<Vec<Bare>, StoreError> {
    let unreadable = unreadable(session.side);
    let rows = ledger::rows_of(session, writes)?;
    let bare = rows.iter().filter(|row| ledger::is_bare(row));
    bare.map(|row| ledger::bare(row).ok_or_else(&unreadable)).collect()
}

/// See `Lives::give_up`.
pub(super) fn give_up(session: &mut Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET state = 'abandoned', idempotency_key = NULL, fingerprint = NULL \
                WHERE write_id = :1 AND state = 'settled'";
    of_each(session, text, writes)
}

/// See `Lives::free_keys`.
pub(super) fn free_keys(session: &mut Session, writes: &[WriteId]) -> Result<(), StoreError> {
    let text = "UPDATE strangler_ledger SET idempotency_key = NULL, fingerprint = NULL \
                WHERE write_id = :1 AND state = 'settled' AND idempotency_key IS NOT NULL";
    of_each(session, text, writes)
}

fn of_each(session: &mut Session, text: &str, writes: &[WriteId]) -> Result<(), StoreError> {
    let rows: Vec<_> = writes.iter().map(|write| vec![Bind::write(*write)]).collect();
    session.batch_all(text, &rows)?;
    session.commit()
}

/// See `Lives::greatest_incarnation`.
pub(super) fn greatest(session: &mut Session) -> Result<Incarnation, StoreError> {
    let unreadable = unreadable(session.side);
    let log = bookkeeping::log(session)?;
    let text = "SELECT GREATEST(COALESCE((SELECT MAX(incarnation) FROM strangler_life), 0), \
                COALESCE((SELECT MAX(incarnation) FROM strangler_memory), 0), \
                COALESCE((SELECT MAX(incarnation) FROM strangler_version), 0)) FROM DUAL";
    let rows = session.query(text, &[], 1)?;
    let found: u32 = rows.first().and_then(|row| wire::number(row, 0)).ok_or_else(&unreadable)?;
    Ok(Incarnation(found.max(log)))
}

impl OracleStore {
    /// `Store::keep` and `Lives::keep_back`.
    pub(super) async fn keep_call(
        &self,
        writes: &[Bare],
        gate: Gate,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        let writes = writes.to_vec();
        self.writing(within, move |session, _, _| carry::keep(session, &writes, gate)).await
    }
}
