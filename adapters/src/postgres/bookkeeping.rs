//! The tables that every PostgreSQL side carries beside its own: ledger, versions, fence, sagas.
//!
//! Also here: the advisory locks, since they are part of what two processes must agree on.

use std::time::Duration;

use model::write::IdempotencyKey;
use model::{Bookkeeping, Command, EntityKey, Fence, GroupName, Incarnation, Side, StoreError};

use super::session::Session;
use super::wire::Stored;
use super::{migrate, pipeline, read};
use crate::steps::Step;

/// Which log is written: the timeline in the name of the WAL file that is written now. The control file
/// would do as well, but it lags behind a promotion until the next checkpoint.
pub(super) const LOG: &str = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int8";

/// The incarnation under which this side takes writes; null when it is suspended, writes another log than the one that the
/// incarnation was given for, or was started since.
pub(super) const INCARNATION: &str = "(SELECT l.incarnation FROM strangler_life l WHERE l.suspended IS NULL \
     AND l.boot = pg_postmaster_start_time() \
     AND l.log = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int8)";

/// The place in the log as a number.
pub(super) const POSITION: &str = "(pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8";

/// The steps in which the tables came about.
pub(super) const STEPS: [Step; 3] = [
    Step { number: 1, works_from: 0, text: include_str!("bookkeeping/1.sql") },
    Step { number: 2, works_from: 0, text: include_str!("bookkeeping/2.sql") },
    Step { number: 3, works_from: 0, text: include_str!("bookkeeping/3.sql") },
];

/// Where the steps that were run are recorded.
const RECORD: &str = "strangler_bookkeeping";

/// The advisory lock of a group's fence. Writers hold it shared from before their first statement to
/// the end of their transaction; whoever changes the fence takes it alone and thereby waits for them.
///
/// An advisory lock and not a row lock: shared locks of many writers on one row would cost a
/// multixact for each of them, and the row would be written by every write.
pub fn fence_lock(group: &GroupName) -> i64 {
    lock_key(b'f', group.as_str())
}

/// Held alone by a write for each key that it touches. Orders writes of keys that have no row to lock.
pub(super) fn key_lock(key: &EntityKey) -> i64 {
    lock_key(b'k', &format!("{}{}", key.entity(), key.as_text()))
}

/// Held alone by a write with an idempotency key: a repeat waits for the first attempt.
pub(super) fn idempotency_lock(key: &IdempotencyKey) -> i64 {
    lock_key(b'i', key.as_str())
}

/// Takes a write's locks, as its transaction begins: the fence's shared, then the others alone, in order.
pub(super) fn locks(group: &GroupName, touches: &[EntityKey], idempotency: Option<&IdempotencyKey>) -> String {
    let mut locks: Vec<i64> = touches.iter().map(key_lock).chain(idempotency.map(idempotency_lock)).collect();
    locks.sort_unstable();
    locks.dedup();
    let alone: String = locks.iter().map(|lock| format!(", pg_advisory_xact_lock('{lock}'::int8)")).collect();
    format!("SELECT pg_advisory_xact_lock_shared('{}'::int8){alone}", fence_lock(group))
}

/// Takes the locks of a rehearsal's keys, as its transaction begins. It waits for nobody's lock longer than half of
/// `within`, and the server gives up on us soon after it: a rehearsal must not hold up what is applied.
pub(super) fn rehearsal_locks(touches: &[EntityKey], within: Duration) -> String {
    let mut locks: Vec<i64> = touches.iter().map(key_lock).collect();
    locks.sort_unstable();
    locks.dedup();
    let locks: Vec<_> = locks.iter().map(|lock| format!("pg_advisory_xact_lock('{lock}'::int8)")).collect();
    // Zero would mean no limit.
    let wait = (within.as_millis() / 2).max(1);
    let silence = within.as_millis() + 1_000;
    format!(
        "SET LOCAL lock_timeout = {wait}; SET LOCAL idle_in_transaction_session_timeout = {silence}; SELECT {}",
        locks.join(", ")
    )
}

/// FNV-1a, 64 bit: the same in every process and release. Two keys with one lock only wait for
/// each other; locks are taken in order, so they cannot block each other.
fn lock_key(kind: u8, name: &str) -> i64 {
    let bytes = std::iter::once(kind).chain(name.bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash.cast_signed()
}

/// See `Store::bookkeeping_ddl`.
pub(super) fn ddl(found: Option<&Bookkeeping>, groups: &[GroupName]) -> String {
    let tables = migrate::ddl(&STEPS, RECORD, found);
    if groups.is_empty() {
        return tables;
    }
    let Fence { epoch, stand } = Fence::BORN;
    let (epoch, state) = (epoch.0, stand.as_str());
    let row = |group: &GroupName| format!("    ('{}', {epoch}, '{state}')", group.as_str().replace('\'', "''"));
    let rows: Vec<_> = groups.iter().map(row).collect();
    format!(
        "{tables}-- One row per group of the contract. Run this again when the contract gets another group, and then\n\
         -- `strangler init`: it opens a group's fence on one side, after it has looked at both.\n\
         INSERT INTO strangler_fence (grp, epoch, state) VALUES\n{}\nON CONFLICT (grp) DO NOTHING;\n",
        rows.join(",\n")
    )
}

/// See `Store::bookkeeping`.
pub(super) async fn found(session: &Session) -> Result<Bookkeeping, StoreError> {
    let found = migrate::look(session.client(), &STEPS, RECORD).await;
    found.map_err(|error| session.error(error))
}

/// See `Store::prepare`. Replicas that start at once wait for each other.
pub(super) async fn prepare(session: &Session, side: Side, groups: &[GroupName]) -> Result<(), StoreError> {
    let found = found(session).await?;
    if let Some(problem) = found.problem(side.as_str()).filter(|_| found.is_beyond_us()) {
        return Err(StoreError::Misfit { side, problem, source: None });
    }
    let lock = lock_key(b'd', "bookkeeping");
    let steps = migrate::statements(&STEPS, RECORD, &found);
    let Fence { epoch, stand } = Fence::BORN;
    session.may_write()?;
    session.begins();
    let client = session.client();
    let made = async {
        // Each is answered before the next is sent.
        let setup = format!("SELECT pg_advisory_xact_lock({lock}); {steps}");
        client.batch_execute(&pipeline::begin(session, &setup)).await?;
        let names: Vec<_> = groups.iter().map(GroupName::as_str).collect();
        client
            .execute(
                "INSERT INTO strangler_fence (grp, epoch, state) SELECT g, $2, $3 FROM unnest($1::text[]) g
                 ON CONFLICT (grp) DO NOTHING",
                &[&names, &i64::from(epoch.0), &stand.as_str()],
            )
            .await?;
        client.execute("UPDATE strangler_life SET side = $1 WHERE side IS NULL", &[&side.as_str()]).await?;
        let whose = client.query("SELECT side FROM strangler_life WHERE side <> $1", &[&side.as_str()]).await?;
        if let Some(row) = whose.first() {
            return Ok(Some(row.try_get::<_, String>(0)?));
        }
        client.batch_execute("COMMIT").await.map(|()| None)
    };
    match made.await {
        Ok(None) => {
            session.ended();
            Ok(())
        }
        Ok(Some(whose)) => {
            session.roll_back().await;
            Err(StoreError::not_mine(side, &whose))
        }
        Err(error) => {
            session.roll_back().await;
            Err(session.error(error))
        }
    }
}

/// Whether this side takes writes of the command's group under the command's epoch.
pub(super) async fn is_open(session: &Session, command: &Command) -> Result<bool, StoreError> {
    let text = "SELECT FROM strangler_fence WHERE grp = $1::text AND epoch = $2::int8 AND state IN ('open', 'alone')";
    let statements = session.prepare(&[text]).await?;
    let values = [Stored::Text(command.group.to_string()), Stored::Big(command.epoch.0.into())];
    let rows = read::query(session, &statements[0], &values).await;
    rows.map(|rows| !rows.is_empty()).map_err(|error| session.error(error))
}

/// See `Store::incarnation`.
pub(super) async fn incarnation(session: &Session, side: Side) -> Result<Incarnation, StoreError> {
    let statements = session.prepare(&["SELECT incarnation FROM strangler_life"]).await?;
    let rows = read::query(session, &statements[0], &[] as &[Stored]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    let number = rows.first().and_then(|row| row.try_get::<_, i64>(0).ok());
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.map(Incarnation).ok_or_else(|| read::misfit(side, "it has no life: run `strangler init`".into()))
}
