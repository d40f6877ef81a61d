//! The tables that every Oracle side carries beside its own: ledger, versions, fence, sagas.
//!
//! Also here: the user locks, since they are part of what two processes must agree on.

use std::collections::BTreeSet;
use std::fmt::Write;

use model::write::IdempotencyKey;
use model::{
    Bookkeeping, Change, Command, Contract, EntityKey, Fence, GroupName, Incarnation, Side, Stand, StoreError,
};

use super::bind::Bind;
use super::life::require_mine;
use super::session::Session;
use super::table::misfit;
use super::wire;
use super::write_text::not_open;
use super::{error, ledger};
use crate::steps::{self, Step};

/// The place in the log. Outside of a transaction it is also a moment to read as of.
pub(super) const POSITION: &str = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL";

/// Which life the log itself is in.
const LOG: &str = "SELECT last_open_incarnation# FROM v$database";

/// When the server was started.
const BOOT: &str = "SELECT CASE i.parallel WHEN 'NO' THEN TO_CHAR(i.startup_time, 'YYYY-MM-DD HH24:MI:SS') ELSE '-' END \
                    FROM v$instance i";

/// Now, in UTC, by the server's clock.
pub(super) const NOW: &str = "SYS_EXTRACT_UTC(SYSTIMESTAMP)";

/// The steps in which the tables came about.
pub(super) const STEPS: [Step; 3] = [
    Step { number: 1, works_from: 0, text: include_str!("bookkeeping/1.sql") },
    Step { number: 2, works_from: 0, text: include_str!("bookkeeping/2.sql") },
    Step { number: 3, works_from: 0, text: include_str!("bookkeeping/3.sql") },
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
-- GRANT SELECT ON SYS.V_$INSTANCE TO :proxy;                   -- whether the server was started anew
-- GRANT SELECT ON SYS.V_$PARAMETER TO :proxy;                  -- optional: undo retention and such in `check`
";

/// See `Store::bookkeeping_ddl`.
pub(super) fn ddl(found: Option<&Bookkeeping>, groups: &[GroupName]) -> String {
    let nothing = steps::nothing(&STEPS);
    let found = found.unwrap_or(&nothing);
    let mut text = GRANTS.to_owned() + &steps::heading(&STEPS, found);
    let due: Vec<_> = steps::due(&STEPS, found).collect();
    text.extend(due.iter().map(|step| step.text));
    for step in due {
        let (number, from) = (step.number, step.works_from);
        let _ = write!(
            text,
            "INSERT INTO strangler_bookkeeping (step, works_from) SELECT {number}, {from} FROM DUAL\n    \
             WHERE NOT EXISTS (SELECT 1 FROM strangler_bookkeeping WHERE step = {number});\n"
        );
    }
    if !groups.is_empty() {
        text += "-- One row per group of the contract. Run this again when the contract gets another group, and then\n\
                 -- `strangler init`: it opens a group's fence on one side, after it has looked at both.\n";
    }
    for group in groups {
        let Fence { epoch, stand } = Fence::BORN;
        let (name, epoch, state) = (group.as_str().replace('\'', "''"), epoch.0, stand.as_str());
        let _ = write!(
            text,
            "INSERT INTO strangler_fence (grp, epoch, state) SELECT '{name}', {epoch}, '{state}' FROM DUAL\n    \
             WHERE NOT EXISTS (SELECT 1 FROM strangler_fence WHERE grp = '{name}');\n"
        );
    }
    text + "COMMIT;\n"
}

/// See `Store::bookkeeping`.
pub(super) fn found(session: &mut Session) -> Result<Bookkeeping, StoreError> {
    let text = "SELECT table_name, column_name FROM user_tab_columns WHERE table_name LIKE 'STRANGLER%'";
    let mut columns = BTreeSet::new();
    for row in session.query(text, &[], 200)? {
        let (Some(table), Some(column)) = (wire::text(&row, 0), wire::text(&row, 1)) else {
            return Err(misfit(session.side, "the catalogue has a column without a name"));
        };
        columns.insert((table.to_lowercase(), column.to_lowercase()));
    }
    let mut recorded = Vec::new();
    if columns.iter().any(|(table, _)| table == "strangler_bookkeeping") {
        for row in session.query("SELECT step, works_from FROM strangler_bookkeeping", &[], 50)? {
            let (Some(step), Some(from)) = (wire::number(&row, 0), wire::number(&row, 1)) else {
                return Err(misfit(session.side, "a step in strangler_bookkeeping is no number"));
            };
            recorded.push((step, from));
        }
    }
    Ok(steps::compare(&STEPS, &columns, &recorded))
}

/// See `Store::prepare`. Replicas that start at once find each other's tables and rows.
pub(super) fn prepare(session: &mut Session, groups: &[GroupName]) -> Result<(), StoreError> {
    let found = found(session)?;
    if let Some(problem) = found.problem(session.side.as_str()).filter(|_| found.is_beyond_us()) {
        return Err(misfit(session.side, problem));
    }
    let due: Vec<_> = steps::due(&STEPS, &found).collect();
    for statement in due.iter().flat_map(|step| step.statements()) {
        session.make(&statement)?;
    }
    let text = "INSERT INTO strangler_bookkeeping (step, works_from) SELECT :1, :2 FROM DUAL \
                WHERE NOT EXISTS (SELECT 1 FROM strangler_bookkeeping WHERE step = :3)";
    let row = |step: &&Step| vec![Bind::number(step.number), Bind::number(step.works_from), Bind::number(step.number)];
    let rows: Vec<_> = due.iter().map(row).collect();
    insert_once(session, text, &rows)?;
    let text = "INSERT INTO strangler_fence (grp, epoch, state) SELECT :1, :2, :3 FROM DUAL \
                WHERE NOT EXISTS (SELECT 1 FROM strangler_fence WHERE grp = :4)";
    let Fence { epoch, stand } = Fence::BORN;
    let name = |group: &GroupName| Bind::text(group.as_str());
    let row = |group: &GroupName| vec![name(group), Bind::number(epoch.0), Bind::text(stand.as_str()), name(group)];
    let rows: Vec<_> = groups.iter().map(row).collect();
    insert_once(session, text, &rows)?;
    let side = session.side;
    session.run("UPDATE strangler_life SET side = :1 WHERE side IS NULL", &[Bind::text(side.as_str())])?;
    session.commit()?;
    require_mine(session)
}

/// Inserts rows, those that another replica inserts at the same time excepted.
fn insert_once(session: &mut Session, text: &str, rows: &[Vec<Bind>]) -> Result<(), StoreError> {
    for slot in session.batch(text, rows)? {
        match slot {
            Ok(_) | Err(error::EXISTS) => {}
            Err(code) => return Err(session.of_code(code)),
        }
    }
    Ok(())
}

/// Which log is written; asked once per session, since another one ends all sessions.
pub(super) fn log(session: &mut Session) -> Result<u32, StoreError> {
    if let Some(known) = session.log {
        return Ok(known);
    }
    let rows = session.query(LOG, &[], 1)?;
    let number = rows.first().and_then(|row| wire::number::<u32>(row, 0));
    let number = number.ok_or_else(|| misfit(session.side, "V$DATABASE tells no incarnation"))?;
    session.log = Some(number);
    Ok(number)
}

/// When the server was started; asked once per session, since the end of the server ends all sessions. Always the same
/// in a cluster, where each instance has a start of its own.
pub(super) fn boot(session: &mut Session) -> Result<String, StoreError> {
    if let Some(known) = &session.boot {
        return Ok(known.clone());
    }
    let rows = session.query(BOOT, &[], 1)?;
    let boot = rows.first().and_then(|row| wire::text(row, 0));
    let boot = boot.ok_or_else(|| misfit(session.side, "V$INSTANCE does not tell when it was started"))?;
    session.boot = Some(boot.clone());
    Ok(boot)
}

/// See `Store::incarnation`.
pub(super) fn incarnation(session: &mut Session) -> Result<Incarnation, StoreError> {
    let rows = session.query("SELECT incarnation FROM strangler_life", &[], 1)?;
    let number = rows.first().and_then(|row| wire::number::<u32>(row, 0));
    number.map(Incarnation).ok_or_else(|| misfit(session.side, "it has no life: run `strangler init`"))
}

/// The place in the log, now.
pub(super) fn position(session: &mut Session) -> Result<u64, StoreError> {
    let rows = session.query(POSITION, &[], 1)?;
    let scn = rows.first().and_then(|row| wire::number(row, 0));
    scn.ok_or_else(|| misfit(session.side, "the server tells no system change number"))
}

/// What a write proves at its end.
pub(super) struct Proof {
    /// The place in the log, now.
    pub(super) position: u64,
    /// The incarnation under which this side takes writes; `None` when it is suspended.
    pub(super) incarnation: Option<Incarnation>,
    /// Whether nobody keeps the other side equal any more. Our lock keeps the fence as it is to the end.
    pub(super) alone: bool,
}

/// Whether the command's group takes writes under its epoch; and if so, where, and in which life.
pub(super) fn fence(session: &mut Session, command: &Command) -> Result<Option<Proof>, StoreError> {
    let (log, boot) = (log(session)?, boot(session)?);
    let text = "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER, \
                (SELECT l.incarnation FROM strangler_life l WHERE l.suspended IS NULL AND l.log = :1 AND l.boot = :2), f.state \
                FROM strangler_fence f WHERE f.grp = :3 AND f.epoch = :4 AND f.state IN ('open', 'alone')";
    let binds =
        [Bind::number(log), Bind::text(boot), Bind::text(command.group.as_str()), Bind::number(command.epoch.0)];
    let rows = session.query(text, &binds, 1)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let position = wire::number(row, 0);
    let position = position.ok_or_else(|| misfit(session.side, "the server tells no system change number"))?;
    let alone = wire::text(row, 2).as_deref() == Some(Stand::Alone.as_str());
    Ok(Some(Proof { position, incarnation: wire::number(row, 1).map(Incarnation), alone }))
}

/// Whether this side is not suspended, and its server is the one that its life speaks of.
pub(super) fn takes_writes(session: &mut Session) -> Result<bool, StoreError> {
    let (log, boot) = (log(session)?, boot(session)?);
    let text = "SELECT l.incarnation FROM strangler_life l WHERE l.suspended IS NULL AND l.log = :1 AND l.boot = :2";
    Ok(!session.query(text, &[Bind::number(log), Bind::text(boot)], 1)?.is_empty())
}

/// Whether this side may be opened: it is not suspended, its server is the one that its life speaks of, and nothing is owed
/// that nobody could be asked for.
pub(super) fn is_living(session: &mut Session) -> Result<bool, StoreError> {
    let (log, boot) = (log(session)?, boot(session)?);
    let text = "SELECT l.incarnation FROM strangler_life l WHERE l.suspended IS NULL AND l.unasked IS NULL \
                AND l.log = :1 AND l.boot = :2";
    Ok(!session.query(text, &[Bind::number(log), Bind::text(boot)], 1)?.is_empty())
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

/// Takes the fences of the groups of `changes`, shared and in order: whoever opens one waits for us.
pub(super) fn lock_fences(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &[&Change],
) -> Result<(), StoreError> {
    let group = |change: &&Change| Ok(&ledger::entity(contract, side, change.key.entity().as_str())?.group);
    let groups = changes.iter().map(group).collect::<Result<Vec<_>, StoreError>>()?;
    lock_groups(session, groups)
}

/// Takes the fences of these groups, shared and in order.
pub(super) fn lock_groups<'g>(
    session: &mut Session,
    groups: impl IntoIterator<Item = &'g GroupName>,
) -> Result<(), StoreError> {
    let locks: BTreeSet<_> = groups.into_iter().map(fence_lock).collect();
    let wait = session.seconds_left();
    request(session, locks.into_iter().map(|lock| (lock, SHARED)), wait)
}

/// What [`not_open`] takes.
pub(super) fn proof(side: Side, group: &GroupName, source: Incarnation) -> Vec<Bind> {
    vec![Bind::text(group.as_str()), Bind::text(side.other().as_str()), Bind::number(source.0)]
}

/// Whether this side takes changes of `group` from who has last read the other side as `source`.
pub(super) fn is_not_open(session: &mut Session, group: &GroupName, source: Incarnation) -> Result<bool, StoreError> {
    let text = format!("SELECT 1 FROM DUAL WHERE {}", not_open(1));
    let binds = proof(session.side, group, source);
    Ok(!session.query(&text, &binds, 1)?.is_empty())
}

/// Whether the side is suspended and of this incarnation. Locks its life: whoever raises it waits for us.
pub(super) fn holds_gone_back(session: &mut Session, of: Incarnation) -> Result<bool, StoreError> {
    let text = gone_back_text(session.seconds_left());
    Ok(!session.query(&text, &[Bind::number(of.0)], 1)?.is_empty())
}

pub(super) fn gone_back_text(seconds: u64) -> String {
    format!(
        "SELECT incarnation FROM strangler_life WHERE suspended IS NOT NULL AND incarnation = :1 FOR UPDATE WAIT {seconds}"
    )
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
