//! The tables that every PostgreSQL side carries beside its own: ledger, versions, fence, sagas.
//!
//! Also here: the advisory locks, since they are part of what two processes must agree on.

use std::time::Duration;

use model::write::IdempotencyKey;
use model::{Command, EntityKey, GroupName, Incarnation, Role, Stand, StoreError};

use super::read;
use super::session::Session;
use super::wire::Stored;

/// The life of the log: the timeline in the name of the WAL file that is written now. The control file
/// would do as well, but it lags behind a promotion until the next checkpoint.
pub(super) const INCARNATION: &str = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int8";

/// The place in the log as a number.
pub(super) const POSITION: &str = "(pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8";

/// What [`prepare`] runs, apart from the fences.
pub(super) const DDL: &str = "\
-- One row per change, written in the transaction of the change. A write without change has one row
-- with an empty key; an abandoned write (it never stood and never will) likewise.
CREATE TABLE IF NOT EXISTS strangler_ledger (
    write_id        uuid        NOT NULL,
    ordinal         smallint    NOT NULL,
    grp             text        NOT NULL,
    entity          text        NOT NULL,
    key             text        NOT NULL,
    epoch           bigint      NOT NULL,
    incarnation     bigint      NOT NULL,
    position        bigint      NOT NULL,
    image           jsonb,
    idempotency_key text,
    fingerprint     text,
    state           text        NOT NULL CHECK (state IN ('unsettled', 'settled', 'abandoned')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at      timestamptz,
    CONSTRAINT strangler_ledger_pkey PRIMARY KEY (write_id, ordinal)
);
CREATE UNIQUE INDEX IF NOT EXISTS strangler_ledger_idempotency
    ON strangler_ledger (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS strangler_ledger_unsettled
    ON strangler_ledger (grp, created_at) WHERE state = 'unsettled';
CREATE INDEX IF NOT EXISTS strangler_ledger_states ON strangler_ledger (entity, key);
CREATE INDEX IF NOT EXISTS strangler_ledger_age ON strangler_ledger USING brin (created_at);
-- The newest state that was written or applied here, per key. Stays behind deletions as a tombstone. stands: a number
-- of the row as it then stood (-1: no row), shape: what it is made of, stood: the number before the last apply; who
-- changes the row past us is noticed by them.
CREATE TABLE IF NOT EXISTS strangler_version (
    entity      text    NOT NULL,
    key         text    NOT NULL,
    epoch       bigint  NOT NULL,
    incarnation bigint  NOT NULL,
    position    bigint  NOT NULL,
    write_id    uuid    NOT NULL,
    deleted     boolean NOT NULL,
    shape       bigint,
    stands      bigint,
    stood       bigint,
    CONSTRAINT strangler_version_pkey PRIMARY KEY (entity, key)
);
-- Whether this side takes primary writes of a group, and under which epoch. Change a row only while
-- holding pg_advisory_xact_lock on the group's fence key: it waits for writers in flight.
CREATE TABLE IF NOT EXISTS strangler_fence (
    grp      text        NOT NULL PRIMARY KEY,
    epoch    bigint      NOT NULL,
    state    text        NOT NULL CHECK (state IN ('open', 'frozen', 'closed')),
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- How far the sagas have come that began while this side was primary for their first step. The document
-- holds their arguments and results: business data, as the ledger's images are.
CREATE TABLE IF NOT EXISTS strangler_saga (
    id         text        NOT NULL PRIMARY KEY,
    route      text        NOT NULL,
    status     text        NOT NULL
        CHECK (status IN ('running', 'compensating', 'stuck', 'done', 'undone', 'abandoned')),
    revision   bigint      NOT NULL,
    document   text        NOT NULL,
    due_at     timestamptz NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS strangler_saga_open
    ON strangler_saga (status, due_at) WHERE status IN ('running', 'compensating', 'stuck');
CREATE INDEX IF NOT EXISTS strangler_saga_began ON strangler_saga (began_at);
-- The number that the ERP's own sequence gave to a key of ours, for types with @ownKey. Given once, before the row is
-- written, and never taken back: rows here stay when theirs are deleted.
CREATE TABLE IF NOT EXISTS strangler_id_map (
    entity  text        NOT NULL,
    key     text        NOT NULL,
    own_key numeric(15) NOT NULL,
    CONSTRAINT strangler_id_map_pkey PRIMARY KEY (entity, key),
    CONSTRAINT strangler_id_map_own_key UNIQUE (entity, own_key)
);
";

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

/// Begins a write and takes its locks, in one message: the fence's shared, then the others alone, in order.
pub(super) fn begin(group: &GroupName, touches: &[EntityKey], idempotency: Option<&IdempotencyKey>) -> String {
    let mut locks: Vec<i64> = touches.iter().map(key_lock).chain(idempotency.map(idempotency_lock)).collect();
    locks.sort_unstable();
    locks.dedup();
    let alone: String = locks.iter().map(|lock| format!(", pg_advisory_xact_lock('{lock}'::int8)")).collect();
    format!("BEGIN; SELECT pg_advisory_xact_lock_shared('{}'::int8){alone}", fence_lock(group))
}

/// Begins a rehearsal and takes the locks of its keys, in one message. It waits for nobody's lock longer than half of
/// `within`, and the server gives up on us soon after it: a rehearsal must not hold up what is applied.
pub(super) fn begin_rehearsal(touches: &[EntityKey], within: Duration) -> String {
    let mut locks: Vec<i64> = touches.iter().map(key_lock).collect();
    locks.sort_unstable();
    locks.dedup();
    let locks: Vec<_> = locks.iter().map(|lock| format!("pg_advisory_xact_lock('{lock}'::int8)")).collect();
    // Zero would mean no limit.
    let wait = (within.as_millis() / 2).max(1);
    let silence = within.as_millis() + 1_000;
    format!(
        "BEGIN; SET LOCAL lock_timeout = {wait}; SET LOCAL idle_in_transaction_session_timeout = {silence}; SELECT {}",
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
pub(super) fn ddl(groups: &[GroupName], role: Role) -> String {
    if groups.is_empty() {
        return DDL.to_owned();
    }
    let state = first(role).as_str();
    let row = |group: &GroupName| format!("    ('{}', 1, '{state}')", group.as_str().replace('\'', "''"));
    let rows: Vec<_> = groups.iter().map(row).collect();
    format!(
        "{DDL}-- One row per group of the contract. Run this again when the contract gets another group.\n\
         INSERT INTO strangler_fence (grp, epoch, state) VALUES\n{}\nON CONFLICT (grp) DO NOTHING;\n",
        rows.join(",\n")
    )
}

/// How a new fence stands.
fn first(role: Role) -> Stand {
    match role {
        Role::Primary => Stand::Open,
        Role::Secondary => Stand::Closed,
    }
}

/// See `Store::prepare`. Replicas that start at once wait for each other.
pub(super) async fn prepare(session: &Session, groups: &[GroupName], role: Role) -> Result<(), StoreError> {
    let lock = lock_key(b'd', "bookkeeping");
    let state = first(role).as_str();
    session.begins();
    let client = session.client();
    let made = async {
        client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({lock}); {DDL}")).await?;
        let names: Vec<_> = groups.iter().map(GroupName::as_str).collect();
        client
            .execute(
                "INSERT INTO strangler_fence (grp, epoch, state) SELECT g, 1, $2 FROM unnest($1::text[]) g
                 ON CONFLICT (grp) DO NOTHING",
                &[&names, &state],
            )
            .await?;
        client.batch_execute("COMMIT").await
    };
    match made.await {
        Ok(()) => {
            session.ended();
            Ok(())
        }
        Err(error) => {
            session.roll_back().await;
            Err(session.error(error))
        }
    }
}

/// Whether this side takes writes of the command's group under the command's epoch.
pub(super) async fn is_open(session: &Session, command: &Command) -> Result<bool, StoreError> {
    let text = "SELECT FROM strangler_fence WHERE grp = $1::text AND epoch = $2::int8 AND state = 'open'";
    let statements = session.prepare(&[text]).await?;
    let values = [Stored::Text(command.group.to_string()), Stored::Big(command.epoch.0.into())];
    let rows = read::query(session, &statements[0], &values).await;
    rows.map(|rows| !rows.is_empty()).map_err(|error| session.error(error))
}

/// See `Store::incarnation`.
pub(super) async fn incarnation(session: &Session) -> Result<Incarnation, StoreError> {
    let statements = session.prepare(&[&format!("SELECT {INCARNATION}")]).await?;
    let rows = read::query(session, &statements[0], &[] as &[Stored]).await;
    let rows = rows.map_err(|error| session.error(error))?;
    let number = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    Ok(Incarnation(u32::try_from(number).unwrap_or(u32::MAX)))
}
