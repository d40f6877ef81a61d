//! The tables that every Oracle side carries beside its own: ledger, versions, fence, sagas.
//!
//! Also here: the user locks, since they are part of what two processes must agree on.

use std::fmt::Write;

use model::write::IdempotencyKey;
use model::{Command, EntityKey, GroupName, Incarnation, Role, Stand, StoreError};

use super::bind::Bind;
use super::error;
use super::session::Session;
use super::table::misfit;
use super::wire;

/// The place in the log. Outside of a transaction it is also a moment to read as of.
pub(super) const POSITION: &str = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL";

const INCARNATION: &str = "SELECT last_open_incarnation# FROM v$database";

/// Now, in UTC, by the server's clock.
pub(super) const NOW: &str = "SYS_EXTRACT_UTC(SYSTIMESTAMP)";

/// What [`prepare`] makes, one statement each.
const TABLES: [&str; 11] = [
    "CREATE TABLE strangler_ledger (
    write_id        VARCHAR2(36)   NOT NULL,
    ordinal         NUMBER(5)      NOT NULL,
    grp             VARCHAR2(200),
    entity          VARCHAR2(200),
    key             VARCHAR2(2000),
    epoch           NUMBER(10)     NOT NULL,
    incarnation     NUMBER(10)     NOT NULL,
    position        NUMBER(20)     NOT NULL,
    image           CLOB,
    idempotency_key VARCHAR2(500),
    fingerprint     VARCHAR2(200),
    state           VARCHAR2(9)    NOT NULL,
    attempts        NUMBER(10)     DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP(6)   DEFAULT TIMESTAMP '0001-01-01 00:00:00' NOT NULL,
    created_at      TIMESTAMP(6)   DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    settled_at      TIMESTAMP(6),
    CONSTRAINT strangler_ledger_pkey PRIMARY KEY (write_id, ordinal),
    CONSTRAINT strangler_ledger_state CHECK (state IN ('unsettled', 'settled', 'abandoned'))
)",
    "CREATE UNIQUE INDEX strangler_ledger_idempotency ON strangler_ledger (idempotency_key)",
    "CREATE INDEX strangler_ledger_unsettled ON strangler_ledger (state, grp, created_at)",
    "CREATE INDEX strangler_ledger_states ON strangler_ledger (entity, key)",
    "CREATE INDEX strangler_ledger_age ON strangler_ledger (created_at)",
    "CREATE TABLE strangler_version (
    entity      VARCHAR2(200)  NOT NULL,
    key         VARCHAR2(2000) NOT NULL,
    epoch       NUMBER(10)     NOT NULL,
    incarnation NUMBER(10)     NOT NULL,
    position    NUMBER(20)     NOT NULL,
    write_id    VARCHAR2(36)   NOT NULL,
    deleted     CHAR(1)        NOT NULL,
    shape       NUMBER(19),
    stands      NUMBER(19),
    CONSTRAINT strangler_version_pkey PRIMARY KEY (entity, key)
)",
    "CREATE TABLE strangler_fence (
    grp      VARCHAR2(200) NOT NULL,
    epoch    NUMBER(10)    NOT NULL,
    state    VARCHAR2(6)   NOT NULL,
    moved_at TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_fence_pkey PRIMARY KEY (grp),
    CONSTRAINT strangler_fence_state CHECK (state IN ('open', 'frozen', 'closed'))
)",
    "CREATE TABLE strangler_saga (
    id         VARCHAR2(64)  NOT NULL,
    route      VARCHAR2(200) NOT NULL,
    status     VARCHAR2(12)  NOT NULL,
    revision   NUMBER(18)    NOT NULL,
    document   CLOB          NOT NULL,
    due_at     TIMESTAMP(6)  NOT NULL,
    began_at   TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    changed_at TIMESTAMP(6)  DEFAULT SYS_EXTRACT_UTC(SYSTIMESTAMP) NOT NULL,
    CONSTRAINT strangler_saga_pkey PRIMARY KEY (id),
    CONSTRAINT strangler_saga_status
        CHECK (status IN ('running', 'compensating', 'stuck', 'done', 'undone', 'abandoned'))
)",
    "CREATE INDEX strangler_saga_open ON strangler_saga (status, due_at)",
    "CREATE INDEX strangler_saga_began ON strangler_saga (began_at)",
    "CREATE TABLE strangler_id_map (
    entity  VARCHAR2(200) NOT NULL,
    key     VARCHAR2(800) NOT NULL,
    own_key NUMBER(15)    NOT NULL,
    CONSTRAINT strangler_id_map_pkey PRIMARY KEY (entity, key),
    CONSTRAINT strangler_id_map_own_key UNIQUE (entity, own_key)
)",
];

/// What each of [`TABLES`] is for; said in what a DBA reads.
const WHY: [&str; 11] = [
    "One row per change, written in the transaction of the change. A write without change has one row\n\
     -- without entity and key; an abandoned write (it never stood and never will) likewise. Times are UTC.",
    "The client's idempotency key: a repeat finds the first attempt. Rows without one are not in it.",
    "What the relay looks for.",
    "Older states of a key, newest first.",
    "What is old enough to be forgotten.",
    "The newest state that was written or applied here, per key. Stays behind deletions as a tombstone. stands: a number\n\
     -- of the row as it then stood (-1: no row), shape: what it is made of; who changes the row past us is noticed by it.",
    "Whether this side takes primary writes of a group, and under which epoch. Change a row only while\n\
     -- holding the group's lock (DBMS_LOCK, mode 6): it waits for writers in flight.",
    "How far the sagas have come that began while this side was primary for their first step. The document\n\
     -- holds their arguments and results: business data, as the ledger's images are.",
    "What is to be gone on with.",
    "The newest first.",
    "The number that the ERP's own sequence gave to a key of ours, for types with @ownKey. Given once, before the\n\
     -- row is written, and never taken back: rows here stay when theirs are deleted.",
];

/// Rights, and what each is needed for. The account owns the bookkeeping and nothing else.
const GRANTS: &str = "\
-- The account's rights, no more than these. :proxy is the account, :erp the owner of the ERP's tables.
-- GRANT CREATE SESSION TO :proxy;                              -- to log in
-- GRANT CREATE TABLE TO :proxy;                                -- for these tables; may be taken back afterwards
-- ALTER USER :proxy QUOTA 10G ON users;                        -- for their rows: about 1 KB per write until forgotten
-- GRANT SELECT, INSERT, UPDATE, DELETE ON :erp.TABLE TO :proxy; -- for each table of the contract
-- GRANT FLASHBACK ON :erp.TABLE TO :proxy;                     -- to read it as of one moment: first copy, reconcile
-- GRANT SELECT ON :erp.SEQUENCE TO :proxy;                     -- for each sequence that @ownKey names
-- GRANT EXECUTE ON :erp.PROCEDURE TO :proxy;                   -- for each procedure that the contract calls
-- GRANT EXECUTE ON SYS.DBMS_LOCK TO :proxy;                    -- writers hold the group's fence shared, handover alone
-- GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO :proxy;               -- the position (SCN) of each write
-- GRANT SELECT ON SYS.V_$DATABASE TO :proxy;                   -- the incarnation of the log; archive-log mode in `check`
-- GRANT SELECT ON SYS.V_$PARAMETER TO :proxy;                  -- optional: undo retention and such in `check`
";

/// How a new fence stands.
fn first(role: Role) -> &'static str {
    match role {
        Role::Primary => Stand::Open.as_str(),
        Role::Secondary => Stand::Closed.as_str(),
    }
}

/// See `Store::bookkeeping_ddl`.
pub(super) fn ddl(groups: &[GroupName], role: Role) -> String {
    let mut text = GRANTS.to_owned();
    for (statement, why) in TABLES.iter().zip(WHY) {
        let _ = write!(text, "-- {why}\n{statement};\n");
    }
    if !groups.is_empty() {
        text += "-- One row per group of the contract. Run this again when the contract gets another group.\n";
    }
    for group in groups {
        let (name, state) = (group.as_str().replace('\'', "''"), first(role));
        let _ = write!(
            text,
            "INSERT INTO strangler_fence (grp, epoch, state) SELECT '{name}', 1, '{state}' FROM DUAL\n    \
             WHERE NOT EXISTS (SELECT 1 FROM strangler_fence WHERE grp = '{name}');\n"
        );
    }
    if !groups.is_empty() {
        text += "COMMIT;\n";
    }
    text
}

/// See `Store::prepare`. Replicas that start at once find each other's tables and rows.
pub(super) fn prepare(session: &mut Session, groups: &[GroupName], role: Role) -> Result<(), StoreError> {
    for statement in TABLES {
        session.make(statement)?;
    }
    let text = "INSERT INTO strangler_fence (grp, epoch, state) SELECT :1, 1, :2 FROM DUAL \
                WHERE NOT EXISTS (SELECT 1 FROM strangler_fence WHERE grp = :3)";
    let row = |group: &GroupName| vec![Bind::text(group.as_str()), Bind::text(first(role)), Bind::text(group.as_str())];
    let rows: Vec<_> = groups.iter().map(row).collect();
    for slot in session.batch(text, &rows)? {
        match slot {
            Ok(_) | Err(error::EXISTS) => {}
            Err(code) => return Err(session.of_code(code)),
        }
    }
    session.commit()
}

/// The life of the log; asked once per session, since a new life ends all sessions.
pub(super) fn incarnation(session: &mut Session) -> Result<Incarnation, StoreError> {
    if let Some(known) = session.incarnation {
        return Ok(Incarnation(known));
    }
    let rows = session.query(INCARNATION, &[], 1)?;
    let number = rows.first().and_then(|row| wire::number::<u32>(row, 0));
    let number = number.ok_or_else(|| misfit(session.side, "V$DATABASE tells no incarnation"))?;
    session.incarnation = Some(number);
    Ok(Incarnation(number))
}

/// The place in the log, now.
pub(super) fn position(session: &mut Session) -> Result<u64, StoreError> {
    let rows = session.query(POSITION, &[], 1)?;
    let scn = rows.first().and_then(|row| wire::number(row, 0));
    scn.ok_or_else(|| misfit(session.side, "the server tells no system change number"))
}

/// Whether the command's group takes writes under its epoch; and if so, the place in the log, now.
pub(super) fn fence(session: &mut Session, command: &Command) -> Result<Option<u64>, StoreError> {
    let text = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM strangler_fence f \
                WHERE f.grp = :1 AND f.epoch = :2 AND f.state = 'open'";
    let binds = [Bind::text(command.group.as_str()), Bind::number(command.epoch.0)];
    let rows = session.query(text, &binds, 1)?;
    Ok(rows.first().and_then(|row| wire::number(row, 0)))
}

/// User locks are numbers below 2^30. The fences have the first quarter, keys the rest.
const FENCES: u64 = 1 << 28;
const LOCKS: u64 = 1 << 30;

/// The lock of a group's fence: writers hold it shared from before their first statement to the end of their
/// transaction; whoever changes the fence takes it alone and thereby waits for them.
pub fn fence_lock(group: &GroupName) -> u64 {
    hash(b'f', group.as_str()) % FENCES
}

fn key_lock(kind: u8, name: &str) -> u64 {
    FENCES + hash(kind, name) % (LOCKS - FENCES)
}

/// FNV-1a, 64 bit: the same in every process and release. Two names with one lock only wait for each other.
fn hash(kind: u8, name: &str) -> u64 {
    let bytes = std::iter::once(kind).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Takes a write's locks in one round trip: the fence's shared, then those of keys and idempotency key alone, in
/// order, so that writers cannot block each other for good. They go with the transaction.
pub(super) fn lock(
    session: &mut Session,
    group: &GroupName,
    touches: &[EntityKey],
    idempotency: Option<&IdempotencyKey>,
) -> Result<(), StoreError> {
    let wait = session.seconds_left();
    let alone = alone(touches.iter().map(lock_of).chain(idempotency.map(|key| key_lock(b'i', key.as_str()))));
    request(session, std::iter::once((fence_lock(group), SHARED)).chain(alone), wait)
}

/// Takes the locks of a rehearsal's keys, and waits for none of them.
pub(super) fn lock_keys(session: &mut Session, touches: &[EntityKey]) -> Result<(), StoreError> {
    request(session, alone(touches.iter().map(lock_of)), 0)
}

/// Takes the group's fence alone: waits for writers in flight.
pub(super) fn lock_fence(session: &mut Session, group: &GroupName) -> Result<(), StoreError> {
    let wait = session.seconds_left();
    request(session, std::iter::once((fence_lock(group), ALONE)), wait)
}

const SHARED: u8 = 4;
const ALONE: u8 = 6;

fn lock_of(key: &EntityKey) -> u64 {
    key_lock(b'k', &format!("{}{}", key.entity(), key.as_text()))
}

/// Each lock once, in order, so that writers cannot block each other for good.
fn alone(locks: impl Iterator<Item = u64>) -> impl Iterator<Item = (u64, u8)> {
    let mut locks: Vec<u64> = locks.collect();
    locks.sort_unstable();
    locks.dedup();
    locks.into_iter().map(|lock| (lock, ALONE))
}

/// Requests locks with their modes in one round trip, and waits `wait` seconds for each.
fn request(session: &mut Session, locks: impl Iterator<Item = (u64, u8)>, wait: u64) -> Result<(), StoreError> {
    let mut ins = vec![("w".to_owned(), Bind::number(wait))];
    let (mut outs, mut text) = (Vec::new(), String::from("BEGIN"));
    for (number, (lock, mode)) in locks.enumerate() {
        let _ = write!(text, " :r{number} := DBMS_LOCK.REQUEST(:l{number}, {mode}, :w, TRUE);");
        ins.push((format!("l{number}"), Bind::number(lock)));
        outs.push(format!("r{number}"));
    }
    text.push_str(" END;");
    for result in session.block(&text, &ins, &outs)? {
        match result {
            // 4: this session has it already.
            0 | 4 => {}
            1 | 2 => {
                let source = "a lock was not given in time".into();
                return Err(StoreError::Conflict { side: session.side, source });
            }
            other => return Err(misfit(session.side, format!("DBMS_LOCK.REQUEST answered {other}"))),
        }
    }
    Ok(())
}
