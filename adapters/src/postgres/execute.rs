//! As primary: one write, one transaction, two round trips.
//!
//! 1. The beginning with advisory locks · (was the idempotency key used?) · (look which touched rows exist) ·
//!    the work · read the touched rows back `FOR UPDATE`. Sent together, answered together. Then we decide.
//! 2. Insert the ledger rows, which proves the fence and takes the position in the log · `COMMIT`.
//!
//! Why `COMMIT` may be sent before the insert is answered: the insert writes the epoch of the open fence
//! into a column that cannot be null. No such fence, and the transaction has failed before it commits.
//!
//! Locks, in this order, so that writes cannot block each other for good: the group's fence (shared, held
//! to the end: whoever closes the fence waits for us, and we see what he wrote), then touched keys and
//! idempotency key (alone, sorted). The locks of keys order writes of rows that do not exist (yet).
//!
//! Deletions: a touched key without a row afterwards was deleted only if it had one before; a tombstone for a
//! key that never was could bury a row that somebody inserts meanwhile. Who has to know looks first: statements
//! that contain `DELETE`, and, on a second run, any other write after which a touched row is missing.
//! A touch (`Work::Touch`) states a missing row as deleted: whoever repairs has seen that the other side holds it.
//!
//! Keys: a row counts under the key that it says it has. Where that is none of those named (a trigger made capitals of
//! it, a collation takes two texts for one), or where the work changed rows and left none of those named, nothing is
//! written. Deferred constraints and triggers run before the rows are read back: what they make of a row is part of it.

mod commit;
mod keys;
mod rehearse;
mod told;

use std::collections::{HashMap, HashSet};

use model::contract::{Refusal, Statement as ContractStatement};
use model::write::Work;
use model::{Command, Contract, EntityKey, FieldSet, Record, Side, States, StoreError, Written, fit};

use told::Told;

use super::pipeline::{self, Prepared, Step};
use super::session::Session;
use super::table::{Table, transpose};
use super::wire::Stored;
use super::{bind, bookkeeping, ledger, own_keys, read, write_text};
use crate::id_map::Numbers;
use crate::look::Look;

/// What one transaction came to, when it did not simply succeed or fail.
enum Outcome {
    /// It stands; with the states before the work, where the look was whole.
    Written(Written, States),
    /// A touched row is missing and nobody looked whether it was there before.
    LookFirst,
}

/// See `Store::execute`.
pub(super) async fn execute(
    session: &Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<Written, StoreError> {
    let numbers = own_keys::of_command(session, contract, side, command).await?;
    let plan = Plan::new(contract, side, command, &numbers)?;
    match plan.attempt(session, Look::of(command)).await? {
        Outcome::Written(written, _) => Ok(written),
        Outcome::LookFirst => plan.attempt(session, Look::Keys).await?.after_a_look(side).map(|(written, _)| written),
    }
}

/// See `Store::execute_seeing`.
pub(super) async fn execute_seeing(
    session: &Session,
    contract: &Contract,
    side: Side,
    command: &Command,
) -> Result<(Written, States), StoreError> {
    let numbers = own_keys::of_command(session, contract, side, command).await?;
    Plan::new(contract, side, command, &numbers)?.attempt(session, Look::Whole).await?.after_a_look(side)
}

pub(super) use rehearse::rehearse;

impl Outcome {
    fn after_a_look(self, side: Side) -> Result<(Written, States), StoreError> {
        match self {
            Self::Written(written, before) => Ok((written, before)),
            Self::LookFirst => Err(read::misfit(side, "touched rows come and go".into())),
        }
    }
}

struct Plan<'a> {
    contract: &'a Contract,
    side: Side,
    command: &'a Command,
    touches: Vec<EntityKey>,
    /// Touched keys by entity, and their values for our columns.
    tables: Vec<(Table<'a>, Vec<Stored>)>,
}

/// What the statements of the first round trip are for, in their order.
struct Opening {
    steps: Vec<Prepared>,
    look: Look,
    work: Vec<Task>,
}

/// What is known of a statement of the work before it is answered.
struct Task {
    /// What it means when it touches no row.
    refusal: Option<Refusal>,
    /// Whether the count of its answer is one of changed rows, and not of rows that it gives back.
    counts_changes: bool,
}

/// Deferred triggers and constraints run at once.
const NOTHING_LATER: &str = "SET CONSTRAINTS ALL IMMEDIATE";

impl<'a> Plan<'a> {
    fn new(contract: &'a Contract, side: Side, command: &'a Command, numbers: &'a Numbers) -> Result<Self, StoreError> {
        let mut seen = HashSet::new();
        let fresh = |key: &&EntityKey| seen.insert((*key).clone());
        let touches: Vec<EntityKey> = command.touches.iter().filter(fresh).cloned().collect();
        read::require_batch(side, None, &touches)?;
        if touches.is_empty() {
            return Err(read::misfit(side, "a write that touches nothing".into()));
        }
        let mut tables: Vec<(Table<'a>, Vec<Vec<Stored>>)> = Vec::new();
        for key in &touches {
            let table = Table::new(ledger::entity(contract, side, key.entity().as_str())?, side).with(numbers);
            let values = table.require_fit(key)?;
            match tables.iter_mut().find(|(known, _)| known.entity.name == table.entity.name) {
                Some((_, rows)) => rows.push(values),
                None => tables.push((table, vec![values])),
            }
        }
        let tables = tables.into_iter();
        let tables = tables.map(|(table, rows)| (table, transpose(rows, table.entity.key().len()))).collect();
        Ok(Self { contract, side, command, touches, tables })
    }

    async fn attempt(&self, session: &Session, look: Look) -> Result<Outcome, StoreError> {
        let opening = self.opening(session, look).await?;
        let idempotency = self.command.idempotency.as_ref().map(|(key, _)| key);
        let locks = bookkeeping::locks(&self.command.group, &self.touches, idempotency);
        let answers = pipeline::open(session, &locks, &opening.steps).await?;
        match self.decide(&opening, &mut Told::new(session, answers)) {
            Ok(Decision::Commit(states, before)) => {
                let written = self.commit(session, states).await?;
                // A repeat that shows only now began with other states.
                let before = if matches!(written, Written::Now(_)) { before } else { States::new() };
                Ok(Outcome::Written(written, before))
            }
            Ok(Decision::LookFirst) => {
                session.roll_back().await;
                Ok(Outcome::LookFirst)
            }
            Ok(Decision::Before) => {
                session.roll_back().await;
                let written = self.before(session).await?;
                Ok(Outcome::Written(written, States::new()))
            }
            Err(error @ StoreError::NoAnswer { .. }) => Err(error),
            Err(error) => {
                session.roll_back().await;
                Err(self.failed(session, error).await)
            }
        }
    }

    /// Prepares the first round trip.
    async fn opening(&self, session: &Session, look: Look) -> Result<Opening, StoreError> {
        let mut steps: Vec<_> = self.repeat().into_iter().collect();
        if look != Look::None {
            for (table, keys) in &self.tables {
                steps.push(Step { text: table.lock_many(look.fields(table.entity)), values: keys.clone() });
            }
            steps.push(keys::count(&self.tables));
        }
        let looks = steps.len();
        let (work, sql) = self.work()?;
        let refusals: Vec<_> = work.iter().map(|(_, refusal)| refusal.clone()).collect();
        steps.extend(work.into_iter().map(|(step, _)| step));
        steps.push(Step { text: NOTHING_LATER.into(), values: Vec::new() });
        if look != Look::None {
            steps.push(keys::count(&self.tables));
        }
        for (table, keys) in &self.tables {
            steps.push(Step { text: table.lock_many(table.entity.all_fields()), values: keys.clone() });
        }
        let texts: Vec<_> = steps.iter().map(|step| step.text.as_str()).collect();
        let statements = session.prepare(&texts).await?;
        // The types of the contract's own parameters are known only now.
        if let Some((statements_of_contract, params)) = sql {
            let work = looks..looks + statements_of_contract.len();
            for (place, contract) in work.zip(statements_of_contract) {
                steps[place].values = bind::values(self.side, &contract.sql, params, &statements[place])?;
            }
        }
        let values = steps.into_iter().map(|step| step.values);
        let steps: Vec<Prepared> = statements.into_iter().zip(values).collect();
        let tasks = refusals.into_iter().zip(&steps[looks..]);
        let task = |(refusal, (statement, _)): (_, &Prepared)| Task {
            refusal,
            counts_changes: statement.columns().is_empty(),
        };
        Ok(Opening { work: tasks.map(task).collect(), steps, look })
    }

    /// Whether the idempotency key was used before. A statement of its own, so that it sees what was committed
    /// while we waited for the locks.
    fn repeat(&self) -> Option<Step> {
        let (key, _) = self.command.idempotency.as_ref()?;
        let text = "SELECT FROM strangler_ledger WHERE idempotency_key = $1::text".into();
        Some(Step { text, values: vec![Stored::Text(key.as_str().to_owned())] })
    }

    /// What a failure means. A refusal counts only where the fence is ours, since behind a closed one the state may
    /// be old. Refusals are rare, so only they pay for the look; the ledger's insert proves every other write.
    async fn failed(&self, session: &Session, error: StoreError) -> StoreError {
        match error {
            StoreError::Refused { .. } => match bookkeeping::is_open(session, self.command).await {
                Ok(true) => error,
                Ok(false) => StoreError::Fenced { side: self.side },
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

    /// The statements of the work, with what it means when one touches no row.
    #[expect(clippy::type_complexity, reason = "private, and named by its doc")]
    fn work(
        &self,
    ) -> Result<(Vec<(Step, Option<Refusal>)>, Option<(&'a [ContractStatement], &'a model::sql::Params)>), StoreError>
    {
        let (key, table) = (&self.touches[0], self.tables[0].0);
        match &self.command.work {
            Work::Run { statements, params } => {
                let steps = statements.iter().map(|statement| {
                    let text = bind::text(&statement.sql, "");
                    (Step { text, values: Vec::new() }, statement.refuse.clone())
                });
                Ok((steps.collect(), Some((statements, params))))
            }
            Work::Set(record) => {
                let steps = write_text::set(table, key, record)?;
                Ok((steps.into_iter().map(|step| (step, None)).collect(), None))
            }
            Work::Delete => {
                let step = Step { text: write_text::delete_one(table), values: table.require_fit(key)? };
                let refusal =
                    Refusal { code: "NOT_FOUND".into(), message: format!("there is no such {}", table.entity.name) };
                Ok((vec![(step, Some(refusal))], None))
            }
            Work::Touch => Ok((Vec::new(), None)),
        }
    }

    /// What the answers of the first round trip mean.
    fn decide(&self, opening: &Opening, told: &mut Told<'_>) -> Result<Decision, StoreError> {
        if self.command.idempotency.is_some() && !told.next()?.rows.is_empty() {
            return Ok(Decision::Before);
        }
        let existed = self.looked(opening.look, told)?;
        let exists = |key: &EntityKey| existed.contains_key(key);
        self.command.refuse_absent(exists).map_err(|refusal| self.refused(refusal))?;
        let (mut after, changed) = self.worked(opening, told, &existed)?;
        let deleted = matches!(self.command.work, Work::Delete | Work::Touch);
        let mut states = Vec::new();
        for key in &self.touches {
            match after.remove(key) {
                Some(record) => states.push((key.clone(), Some(record))),
                None if deleted || existed.contains_key(key) => states.push((key.clone(), None)),
                None if opening.look != Look::None => {}
                None => return Ok(Decision::LookFirst),
            }
        }
        let (was, is) = (!existed.is_empty(), states.iter().any(|(_, state)| state.is_some()));
        self.command.refuse_unkept(changed, was, is).map_err(|refusal| self.refused(refusal))?;
        let before = if opening.look == Look::Whole { self.all(existed) } else { States::new() };
        Ok(Decision::Commit(states, before))
    }

    /// The touched rows before the work, as far as they were looked at.
    fn looked(&self, look: Look, told: &mut Told<'_>) -> Result<HashMap<EntityKey, Record>, StoreError> {
        if look == Look::None { Ok(HashMap::new()) } else { self.rows(|table| look.fields(table.entity), told) }
    }

    /// The touched rows after the work, which nothing refused; and whether it is known to have changed rows.
    fn worked(
        &self,
        opening: &Opening,
        told: &mut Told<'_>,
        existed: &HashMap<EntityKey, Record>,
    ) -> Result<(HashMap<EntityKey, Record>, bool), StoreError> {
        let mut changed = false;
        let counted =
            if opening.look == Look::None { None } else { Some(keys::counted(self.side, &told.next()?.rows)?) };
        for task in &opening.work {
            let answer = told.next()?;
            if let Some(refusal) = task.refusal.clone().filter(|_| answer.affected == 0) {
                return Err(self.refused(refusal));
            }
            if matches!(self.command.work, Work::Delete) {
                keys::deleted(self, &answer.rows)?;
            }
            changed |= task.counts_changes && answer.affected > 0;
        }
        let _constraints = told.next()?;
        let counted = match counted {
            Some(before) => Some((before, keys::counted(self.side, &told.next()?.rows)?)),
            None => None,
        };
        let after = self.rows(|table| table.entity.all_fields(), told)?;
        after.iter().try_for_each(|(key, record)| self.fits(key, record)).map_err(|refusal| self.refused(refusal))?;
        if let Some((before, then)) = counted {
            changed |= then.changed_since(before);
            let moved = then.refuse_moved(before, &self.touches, existed, &after);
            moved.map_err(|refusal| self.refused(refusal))?;
        }
        Ok((after, changed))
    }

    fn rows(
        &self,
        fields: impl Fn(Table<'_>) -> FieldSet,
        told: &mut Told<'_>,
    ) -> Result<HashMap<EntityKey, Record>, StoreError> {
        let mut found = HashMap::new();
        for (table, _) in &self.tables {
            for row in &told.next()?.rows {
                let (key, record) = table.keyed(fields(*table), row)?;
                found.insert(key, record);
            }
        }
        self.command.refuse_unnamed(found.keys()).map_err(|refusal| self.refused(refusal))?;
        Ok(found)
    }

    fn refused(&self, refusal: Refusal) -> StoreError {
        StoreError::Refused { side: self.side, refusal, source: None }
    }

    /// Every touched key with its row, if there is one.
    fn all(&self, mut rows: HashMap<EntityKey, Record>) -> States {
        self.touches.iter().map(|key| (key.clone(), rows.remove(key))).collect()
    }

    /// Whether every side that must hold the new state can.
    fn fits(&self, key: &EntityKey, record: &Record) -> Result<(), Refusal> {
        let Some(entity) = self.contract.entity(key.entity()) else { return Ok(()) };
        self.command.refuse_unread(entity, record)?;
        self.command.must_fit.iter().try_for_each(|side| fit::record_fits(entity, *side, record))
    }
}

enum Decision {
    /// The states that the work has left, and those before it where the look was whole.
    Commit(States, States),
    LookFirst,
    Before,
}
