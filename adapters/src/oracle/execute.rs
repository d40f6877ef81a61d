//! As primary: one write, one transaction.
//!
//! 1. Locks: the group's fence (shared, held to the end: whoever closes the fence waits for us, and we see what he
//!    wrote), then touched keys and idempotency key (alone, in order). They order writes of rows that do not exist yet.
//! 2. Was the idempotency key used? 3. (Look which touched rows exist.) 4. The work.
//! 5. Read the touched rows back under their locks. 6. Prove the fence and take the position, in one look.
//! 7. The ledger rows. 8. Commit.
//!
//! Each is a round trip: an Oracle takes no pipeline of statements through its client library.
//!
//! Deletions: a touched key without a row afterwards was deleted only if it had one before; a tombstone for a key that
//! never was could bury a row that somebody inserts meanwhile. Who has to know looks first: statements that contain
//! `DELETE`, and, on a second run, any other write after which a touched row is missing.
//! A touch (`Work::Touch`) states a missing row as deleted: whoever repairs has seen that the other side holds it.
//!
//! Keys: a row counts under the key that it says it has. Where that is none of those named, or where the work changed rows
//! and left none of those named, nothing is written. (What a procedure changes is not known: a block counts as nothing.)

mod rehearse;

use std::collections::{HashMap, HashSet};

use model::contract::Refusal;
use model::write::Work;
use model::{
    Change, Command, Contract, EntityKey, FieldSet, Position, Record, Side, States, StoreError, Version, Written, fit,
};

use super::bind::Bind;
use super::params::{self, Prepared};
use super::session::Session;
use super::table::{Table, misfit};
use super::write_text::{self, LEDGER_ROW, Step};
use super::{apply, bookkeeping, error, ledger, own_keys, read, stands};
use crate::id_map::Numbers;
use crate::look::Look;
use crate::number::{number, shape};

/// What one transaction came to, when it did not simply succeed or fail.
enum Outcome {
    /// It stands; with the states before the work, where the look was whole.
    Written(Written, States),
    /// A touched row is missing and nobody looked whether it was there before.
    LookFirst,
}

/// See `Store::execute`.
pub(super) fn execute(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Written, StoreError> {
    let numbers = own_keys::of_command(session, contract, side, command)?;
    let plan = Plan::new(contract, side, command, &numbers)?;
    // An Oracle does not say which row it has deleted.
    let look = if matches!(command.work, Work::Delete) { Look::Keys } else { Look::of(command) };
    match plan.attempt(session, look)? {
        Outcome::Written(written, _) => Ok(written),
        Outcome::LookFirst => plan.attempt(session, Look::Keys)?.after_a_look(side).map(|(written, _)| written),
    }
}

/// See `Store::execute_seeing`.
pub(super) fn execute_seeing(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<(Written, States), StoreError> {
    let numbers = own_keys::of_command(session, contract, side, command)?;
    Plan::new(contract, side, command, &numbers)?.attempt(session, Look::Whole)?.after_a_look(side)
}

pub(super) use rehearse::rehearse;

impl Outcome {
    fn after_a_look(self, side: Side) -> Result<(Written, States), StoreError> {
        match self {
            Self::Written(written, before) => Ok((written, before)),
            Self::LookFirst => Err(misfit(side, "touched rows come and go")),
        }
    }
}

/// A statement of the work, and what it means when it touches no row.
type Task = (Step, Option<Refusal>);

struct Plan<'a> {
    contract: &'a Contract,
    side: Side,
    command: &'a Command,
    touches: Vec<EntityKey>,
    /// Touched keys by entity, and their values for our columns.
    tables: Vec<(Table<'a>, Vec<Vec<Bind>>)>,
}

impl<'a> Plan<'a> {
    fn new(contract: &'a Contract, side: Side, command: &'a Command, numbers: &'a Numbers) -> Result<Self, StoreError> {
        let mut seen = HashSet::new();
        let fresh = |key: &&EntityKey| seen.insert((*key).clone());
        let touches: Vec<EntityKey> = command.touches.iter().filter(fresh).cloned().collect();
        read::require_batch(side, None, &touches)?;
        if touches.is_empty() {
            return Err(misfit(side, "a write that touches nothing"));
        }
        let mut tables: Vec<(Table<'a>, Vec<Vec<Bind>>)> = Vec::new();
        for key in &touches {
            let table = Table::new(ledger::entity(contract, side, key.entity().as_str())?, side).with(numbers);
            let values = table.require_fit(key)?;
            match tables.iter_mut().find(|(known, _)| known.entity.name == table.entity.name) {
                Some((_, rows)) => rows.push(values),
                None => tables.push((table, vec![values])),
            }
        }
        Ok(Self { contract, side, command, touches, tables })
    }

    fn attempt(&self, session: &mut Session, look: Look) -> Result<Outcome, StoreError> {
        let tasks = self.tasks()?;
        match self.transact(session, &tasks, look) {
            Ok(Decision::Written(written, before)) => Ok(Outcome::Written(written, before)),
            Ok(Decision::LookFirst) => {
                session.roll_back();
                Ok(Outcome::LookFirst)
            }
            Ok(Decision::Before(found)) => {
                session.roll_back();
                Ok(Outcome::Written(found, States::new()))
            }
            Err(error @ StoreError::NoAnswer { .. }) => Err(error),
            Err(error) => {
                session.roll_back();
                Err(self.failed(session, error))
            }
        }
    }

    fn transact(&self, session: &mut Session, tasks: &[Task], look: Look) -> Result<Decision, StoreError> {
        let client = self.command.idempotency.as_ref();
        bookkeeping::lock(session, &self.command.group, &self.touches, client.map(|(key, _)| key))?;
        if let Some((key, _)) = client
            && let Some(found) = ledger::by_idempotency_key(session, self.contract, self.side, key)?
        {
            return self.before(found).map(Decision::Before);
        }
        let existed = self.looked(session, look)?;
        let exists = |key: &EntityKey| existed.contains_key(key);
        self.command.refuse_absent(exists).map_err(|refusal| self.refused(refusal))?;
        let (after, changed) = self.worked(session, tasks)?;
        let Some(states) = self.states(after, &existed, look) else { return Ok(Decision::LookFirst) };
        let (was, is) = (!existed.is_empty(), states.iter().any(|(_, state)| state.is_some()));
        self.command.refuse_unkept(changed, was, is).map_err(|refusal| self.refused(refusal))?;
        let before = if look == Look::Whole { self.all(existed) } else { States::new() };
        self.commit(session, states, before)
    }

    /// The touched rows before the work, as far as they are looked at.
    fn looked(&self, session: &mut Session, look: Look) -> Result<HashMap<EntityKey, Record>, StoreError> {
        if look == Look::None { Ok(HashMap::new()) } else { self.locked(session, |table| look.fields(table.entity)) }
    }

    /// Does the work; the touched rows after it, which nothing refused, and whether it is known to have changed rows.
    fn worked(&self, session: &mut Session, tasks: &[Task]) -> Result<(HashMap<EntityKey, Record>, bool), StoreError> {
        let mut changed = false;
        for (Step { text, binds }, refusal) in tasks {
            let (touched, counts_changes) = session.run_counted(text, binds)?;
            changed |= counts_changes && touched > 0;
            if let Some(refusal) = refusal.clone().filter(|_| touched == 0) {
                return Err(self.refused(refusal));
            }
        }
        let after = self.locked(session, |table| table.entity.all_fields())?;
        after.iter().try_for_each(|(key, record)| self.fits(key, record)).map_err(|refusal| self.refused(refusal))?;
        Ok((after, changed))
    }

    fn refused(&self, refusal: Refusal) -> StoreError {
        StoreError::Refused { side: self.side, refusal, source: None }
    }

    /// Every touched key with its row, if there is one.
    fn all(&self, mut rows: HashMap<EntityKey, Record>) -> States {
        self.touches.iter().map(|key| (key.clone(), rows.remove(key))).collect()
    }

    /// The touched rows that exist, locked.
    fn locked(
        &self,
        session: &mut Session,
        fields: impl Fn(Table<'_>) -> FieldSet,
    ) -> Result<HashMap<EntityKey, Record>, StoreError> {
        let mut found = HashMap::new();
        for (table, keys) in &self.tables {
            let fields = fields(*table);
            let text = table.lock(fields, keys.len(), session.seconds_left());
            let rows =
                session.query(&text, &Table::key_binds(keys.clone()), u32::try_from(keys.len()).unwrap_or(100))?;
            for row in &rows {
                let (key, record) = table.keyed(fields, row)?;
                found.insert(key, record);
            }
        }
        self.command.refuse_unnamed(found.keys()).map_err(|refusal| self.refused(refusal))?;
        Ok(found)
    }

    /// The state of every touched key; `None` when it must be known first which rows existed.
    fn states(
        &self,
        mut after: HashMap<EntityKey, Record>,
        existed: &HashMap<EntityKey, Record>,
        look: Look,
    ) -> Option<States> {
        let deleted = matches!(self.command.work, Work::Delete | Work::Touch);
        let mut states = Vec::new();
        for key in &self.touches {
            match after.remove(key) {
                Some(record) => states.push((key.clone(), Some(record))),
                None if deleted || existed.contains_key(key) => states.push((key.clone(), None)),
                None if look != Look::None => {}
                None => return None,
            }
        }
        Some(states)
    }

    /// Whether every side that must hold the new state can.
    fn fits(&self, key: &EntityKey, record: &Record) -> Result<(), Refusal> {
        let Some(entity) = self.contract.entity(key.entity()) else { return Ok(()) };
        self.command.refuse_unread(entity, record)?;
        self.command.must_fit.iter().try_for_each(|side| fit::record_fits(entity, *side, record))
    }

    /// What a failure means. A refusal counts only where the fence is ours, since behind a closed one the state may be
    /// old. Refusals are rare, so only they pay for the look.
    fn failed(&self, session: &mut Session, error: StoreError) -> StoreError {
        match error {
            StoreError::Refused { .. } => match bookkeeping::fence(session, self.command) {
                Ok(Some(_)) => error,
                Ok(None) => StoreError::Fenced { side: self.side },
                Err(unknown) => unknown,
            },
            StoreError::Unreachable { .. }
            | StoreError::Unwritable { .. }
            | StoreError::NoAnswer { .. }
            | StoreError::Conflict { .. }
            | StoreError::KeyReused
            | StoreError::Fenced { .. }
            | StoreError::SnapshotLost { .. }
            | StoreError::Misfit { .. } => error,
        }
    }

    /// The statements of the work.
    fn tasks(&self) -> Result<Vec<Task>, StoreError> {
        let (key, table) = (&self.touches[0], self.tables[0].0);
        match &self.command.work {
            Work::Run { statements, params } => {
                let task = |statement: &model::contract::Statement| {
                    let Prepared { text, binds } = params::prepare(self.side, &statement.sql, params, "")?;
                    Ok((Step { text, binds }, statement.refuse.clone()))
                };
                statements.iter().map(task).collect()
            }
            Work::Set(record) => self.set(table, key, record),
            Work::Delete => {
                let step = Step { text: write_text::delete(table), binds: table.require_fit(key)? };
                let message = format!("there is no such {}", table.entity.name);
                Ok(vec![(step, Some(Refusal { code: "NOT_FOUND".into(), message }))])
            }
            Work::Touch => Ok(Vec::new()),
        }
    }

    /// An update, and an insert of what is not there: an Oracle's `MERGE` would be refused for columns that it does not
    /// set although the row has them. The key's lock keeps other writers of ours from coming between.
    fn set(&self, table: Table<'_>, key: &EntityKey, record: &Record) -> Result<Vec<Task>, StoreError> {
        let fields = write_text::plain_fields(table, record.fields());
        let binds = write_text::values(table, key, record, &fields)?;
        let found = table.key_equals(fields.len() + table.entity.key().len() + 1);
        let insert = write_text::insert(table, &fields);
        let (head, places) = insert.split_once(" VALUES ").unwrap_or((&insert, "()"));
        let text = format!(
            "{head} SELECT {} FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM {} t WHERE {found})",
            places.trim_matches(['(', ')']),
            table.name()
        );
        let mut insert_binds = binds.clone();
        insert_binds.extend(table.require_fit(key)?);
        let update = write_text::update(table, &fields).map(|text| (Step { text, binds }, None));
        Ok(update.into_iter().chain([(Step { text, binds: insert_binds }, None)]).collect())
    }

    /// Proves the fence, takes the position, writes the ledger and commits.
    fn commit(&self, session: &mut Session, states: States, before: States) -> Result<Decision, StoreError> {
        let Some(bookkeeping::Proof { position, incarnation, alone }) = bookkeeping::fence(session, self.command)?
        else {
            return Err(StoreError::Fenced { side: self.side });
        };
        let incarnation = incarnation.ok_or_else(|| StoreError::suspended(self.side))?;
        let version = Version { epoch: self.command.epoch, incarnation, position: Position(position) };
        let changes = self.changes(states, version);
        let changes = stands::with_bases(session, self.contract, self.side, changes)?;
        let born = if alone { "settled" } else { ledger::UNSETTLED };
        let of = |change| ledger::row(self.contract, self.side, change, born);
        let mut rows = changes.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            let client = self.command.idempotency.as_ref();
            // Nobody asks for a write that changed nothing, unless by its key.
            let state = if client.is_some() { born } else { "settled" };
            rows.push(ledger::bare_row(self.command.write, self.command.group.as_str(), version, client, state));
        }
        for slot in session.batch(LEDGER_ROW, &rows)? {
            match slot {
                Ok(1) => {}
                Ok(_) => return Err(misfit(self.side, "strangler_ledger keeps no row of a write: a policy is on it")),
                Err(error::EXISTS) => return self.repeated(session),
                Err(code) => return Err(session.of_code(code)),
            }
        }
        // What another side wrote before this one was primary, and arrives late, must find something newer here.
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by(|a, b| changes[*a].key.cmp(&changes[*b].key));
        // And whoever changes a row past us after that is met when this side is secondary again.
        let number = |change: &Change| {
            let entity = ledger::entity(self.contract, self.side, change.key.entity().as_str())?;
            Ok((shape(entity), number(entity, change.state.as_ref())))
        };
        let numbers = changes.iter().map(number).collect::<Result<Vec<_>, StoreError>>()?;
        let risen = apply::record_versions(session, &changes, &order, &numbers)?;
        if risen.len() < changes.len() {
            let types = changes.iter().map(|change| change.key.entity());
            return Err(misfit(self.side, model::write::went_back(types)));
        }
        session.commit()?;
        Ok(Decision::Written(Written::Now(changes), before))
    }

    fn changes(&self, states: States, version: Version) -> Vec<Change> {
        let numbered = (0_u16..).zip(states);
        let change = |(ordinal, (key, state))| Change {
            write: self.command.write,
            ordinal,
            key,
            version,
            state,
            idempotency: self.command.idempotency.clone().filter(|_| ordinal == 0),
            base: None,
        };
        numbered.map(change).collect()
    }

    /// The first result of the idempotency key.
    fn before(&self, found: ledger::Found) -> Result<Written, StoreError> {
        let fingerprint = self.command.idempotency.as_ref().map(|(_, print)| print);
        if found.fingerprint.as_ref() != fingerprint {
            return Err(StoreError::KeyReused);
        }
        Ok(Written::Before(found.changes))
    }

    /// The ledger has this write id already, or its idempotency key: it stands, or was abandoned meanwhile.
    fn repeated(&self, session: &mut Session) -> Result<Decision, StoreError> {
        session.roll_back();
        if let Some((key, _)) = &self.command.idempotency
            && let Some(found) = ledger::by_idempotency_key(session, self.contract, self.side, key)?
        {
            return self.before(found).map(Decision::Before);
        }
        let found = ledger::by_write_id(session, self.contract, self.side, self.command.write)?;
        if found.abandoned {
            let source = "the write was given up meanwhile".into();
            return Err(StoreError::Conflict { side: self.side, source });
        }
        Ok(Decision::Before(Written::Before(found.changes)))
    }
}

enum Decision {
    /// It stands; with the states before the work, where the look was whole.
    Written(Written, States),
    LookFirst,
    Before(Written),
}
