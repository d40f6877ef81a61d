//! As secondary: states that are newer than what is recorded for their key, where nobody else has changed the row.
//!
//! One transaction, whose statements are sent together: one round trip (`apply_text` has them). Version rows are
//! locked in key order within a statement; two mixed batches may still block each other, and one of them gets
//! `Conflict`.
//!
//! Where a row is not as we left it, or not what we have just written, the transaction fails as a whole. Then we look
//! who is concerned, leave out the writes of these (or take exactly what was found, to overwrite it), and try again.
//! What is found in between is checked again, under the row's lock, by the next try.

use std::collections::{HashMap, HashSet};

use model::foreign::Found;
use model::{Applied, Change, Contract, EntityKey, GroupName, Side, StoreError, Unnumbered, WriteId};
use tokio_postgres::Row;

use super::apply_batch::{Batch, Parts, Purpose, batches, stands_of, unkept};
use super::apply_seen::{Seen, seen};
use super::apply_steps::goes_in_steps;
use super::apply_text::{self, ALTERED, BARRED, END, MET, UNKEPT};
use super::carry::{self, Stand};
use super::pipeline::{Answers, End, Prepared, Step, whole};
use super::session::Session;
use super::table::Table;
use super::wire::get;
use super::{apply_steps, ledger, own_keys, read};
use crate::gate::Gate;
use crate::id_map::Numbers;
use crate::known::Known;
use crate::number::stands_as;

/// How often rows are looked at that somebody goes on changing.
const TRIES: u32 = 5;

/// What a call works with.
pub(super) struct Call<'a> {
    pub(super) session: &'a Session,
    pub(super) contract: &'a Contract,
    pub(super) side: Side,
    /// Whether what somebody else has made of a row is overwritten.
    pub(super) over: bool,
    pub(super) gate: Gate,
    /// The statement that proves the shapes of the types: see `shapes`. May be empty.
    pub(super) proof: &'a str,
    /// Keeps the order in which tables are changed.
    pub(super) known: &'a Known,
}

/// What one transaction came to.
pub(super) enum Tried {
    /// It stands.
    Stands(Stands),
    /// A row is not as we left it, or cannot be seen (or a trigger has divided by zero: then the error tells).
    Met(StoreError),
    /// A row was not what we had written.
    Altered(StoreError),
    /// The gate lets no change of this group pass.
    Barred(GroupName),
    /// A rule between rows forbids a state on the way, and perhaps not the one at the end.
    InTheWay(StoreError),
}

/// What stands after a transaction.
#[derive(Default)]
pub(super) struct Stands {
    /// The keys whose version it recorded.
    pub(super) newer: HashSet<EntityKey>,
    /// Those of them whose row was there, and nobody knows whose it was.
    pub(super) unproven: HashSet<EntityKey>,
    /// How each change of it stands.
    pub(super) rows: Vec<Option<Stand>>,
}

/// What is known so far.
pub(super) struct Work<'c> {
    numbers: Numbers,
    open: Vec<&'c Change>,
    /// The numbers of rows that are taken beside the recorded ones, before and after the change.
    taken: HashMap<EntityKey, i64>,
    kept: HashMap<EntityKey, i64>,
    /// What was met and is overwritten.
    met: HashMap<EntityKey, Found>,
    /// Whether each statement must have touched as many rows as it was given. A look that finds nobody who has come
    /// between leaves it to the verification to say what the store makes of them.
    strict: bool,
    /// The answers of changes that are left out.
    out: HashMap<EntityKey, Applied>,
}

impl Work<'_> {
    /// Leaves out the writes of the changes that have these answers.
    fn leave_out(&mut self, answers: Vec<(EntityKey, WriteId, Applied)>) {
        let writes: HashSet<WriteId> = answers.iter().map(|(_, write, _)| *write).collect();
        self.open.retain(|change| !writes.contains(&change.write));
        self.out.extend(answers.into_iter().map(|(key, _, answer)| (key, answer)));
    }
}

impl Call<'_> {
    /// See `Store::apply`, `Store::apply_over` and `Lives::bring_back`, for whole states of shapes that are known. Should
    /// another shape be registered meanwhile than `proof` knows, its refusal.
    pub(super) async fn apply(&self, changes: &[Change]) -> Result<Vec<Applied>, StoreError> {
        let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        read::require_batch(self.side, None, &keys)?;
        if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
            return Err(read::misfit(self.side, "two changes of one key in one call".into()));
        }
        let mut work = Work {
            numbers: self.numbers(changes).await?,
            open: changes.iter().collect(),
            taken: HashMap::new(),
            kept: HashMap::new(),
            met: HashMap::new(),
            strict: true,
            out: HashMap::new(),
        };
        let mut tries = 0;
        let stands = loop {
            if work.open.is_empty() {
                break Stands::default();
            }
            let mut tried = self.attempt(&work).await?;
            if let Tried::InTheWay(error) = tried {
                if !goes_in_steps(&work.open) {
                    return Err(error);
                }
                tried = self.in_steps(&work).await?;
            }
            let error = match tried {
                Tried::InTheWay(error) => return Err(error),
                Tried::Stands(stands) => break stands,
                Tried::Barred(group) => {
                    self.bar(&mut work, &group);
                    continue;
                }
                Tried::Met(error) => {
                    self.look(&mut work).await?;
                    error
                }
                Tried::Altered(error) => {
                    self.witness(&mut work).await?;
                    error
                }
            };
            tries += 1;
            if tries > TRIES {
                return Err(error);
            }
        };
        self.answers(changes, work, stands)
    }

    /// One answer per change, in order.
    fn answers(
        &self,
        changes: &[Change],
        mut work: Work<'_>,
        Stands { newer, unproven, rows }: Stands,
    ) -> Result<Vec<Applied>, StoreError> {
        let open = std::mem::take(&mut work.open);
        let keys = open.iter().map(|change| &change.key);
        let mut stands: HashMap<&EntityKey, Stand> = keys.zip(stands_of(self.side, rows)?).collect();
        let slot = |change: &Change| {
            let Some(stand) = stands.remove(&change.key) else {
                return work.out.remove(&change.key).unwrap_or(Applied::Held);
            };
            let is_newer = newer.contains(&change.key);
            match (stand.key_of, work.met.remove(&change.key)) {
                (Some(other), _) => Applied::KeyTaken(other),
                (None, Some(found)) if self.over && is_newer => Applied::Over(found),
                (None, _) if unproven.contains(&change.key) => Applied::Unproven,
                (None, _) if is_newer => Applied::Newer,
                (None, _) if stand.recorded.write == change.write => Applied::There,
                (None, _) => Applied::Stale(stand.recorded),
            }
        };
        Ok(changes.iter().map(slot).collect())
    }

    /// The numbers of the keys, where this side has keys of its own; what is kept is given one.
    async fn numbers<'c>(&self, changes: &'c [Change]) -> Result<Numbers, StoreError> {
        let (session, contract, side) = (self.session, self.contract, self.side);
        let (kept, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.state.is_some());
        let keys = |changes: Vec<&'c Change>| changes.into_iter().map(|change| &change.key);
        let mut numbers = own_keys::of_keys(session, contract, side, keys(kept), Unnumbered::Number).await?;
        numbers.extend(own_keys::of_keys(session, contract, side, keys(gone), Unnumbered::Leave).await?);
        Ok(numbers)
    }

    /// One transaction: record and change each batch, run what waits for the end, verify each batch, carry the ledger.
    async fn attempt(&self, work: &Work<'_>) -> Result<Tried, StoreError> {
        let order = self.order(&work.open).await?;
        let batches = batches(self, work, &order, Purpose::Apply)?;
        let mut steps: Vec<&Step> = batches.iter().flat_map(|batch| [&batch.record, &batch.act]).collect();
        let (end, carry) = (
            Step { text: END.to_owned(), values: Vec::new() },
            carry::step(self.contract, self.side, &work.open, self.gate.carries_late(), self.gate)?,
        );
        steps.push(&end);
        steps.extend(batches.iter().map(|batch| &batch.verify));
        steps.push(&carry);
        let last = steps.len() - 1;
        let mut stands = Stands::default();
        for (place, answer) in self.send(&work.open, &steps, End::Commit).await?.into_iter().enumerate() {
            // Two answers for each batch come first.
            let batch = batches.get(place / 2);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => return self.failed(error, batch),
            };
            match batch {
                Some(batch) if place % 2 == 0 => stands.newer.extend(batch.recorded(self.side, &answer.rows)?),
                Some(batch) => stands.unproven.extend(batch.unproven(self.side, &answer.rows)?),
                None if place == last => stands.rows = carry::stands(self.side, &answer.rows, work.open.len())?,
                None => {}
            }
        }
        Ok(Tried::Stands(stands))
    }

    /// What the first error of a transaction says.
    pub(super) fn failed(
        &self,
        error: tokio_postgres::Error,
        batch: Option<&Batch<'_, '_>>,
    ) -> Result<Tried, StoreError> {
        if apply_steps::is_in_the_way(&error) {
            return Ok(Tried::InTheWay(self.session.error(error)));
        }
        let code = error.code().map(|state| state.code().to_owned());
        let error = self.session.error(error);
        match (code.as_deref(), batch) {
            (Some(MET), _) => Ok(Tried::Met(error)),
            (Some(ALTERED), _) => Ok(Tried::Altered(error)),
            (Some(UNKEPT), _) => Err(unkept(self.side)),
            (Some(BARRED), Some(batch)) => Ok(Tried::Barred(batch.table.entity.group.clone())),
            (_, _) => Err(error),
        }
    }

    fn bar(&self, work: &mut Work<'_>, group: &GroupName) {
        let of_group =
            |change: &&&Change| self.contract.entity(change.key.entity()).is_some_and(|entity| entity.group == *group);
        let concerned = work.open.iter().filter(of_group);
        let answers = concerned.map(|change| (change.key.clone(), change.write, Applied::Barred)).collect();
        work.leave_out(answers);
    }

    /// Looks which rows have not the number that is on record, of the changes that are newer.
    async fn look(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let seen = self.seen(work, Purpose::Look).await?;
        work.strict &= !seen.iter().all(|(change, seen)| work.taken.get(&change.key) == Some(&seen.number));
        let mut out = Vec::new();
        for (change, Seen { found, number, hidden }) in seen {
            let entity = ledger::entity(self.contract, self.side, change.key.entity().as_str())?;
            // What the change would leave anyway is nothing to argue about.
            let found = found.filter(|found| !found.is(entity, change.state.as_ref()));
            match found {
                _ if hidden && change.state.is_none() => {
                    out.push((change.key.clone(), change.write, Applied::NotThere));
                }
                Some(found) if !self.over => out.push((change.key.clone(), change.write, Applied::Foreign(found))),
                found => {
                    work.taken.insert(change.key.clone(), number);
                    match found {
                        Some(found) => work.met.insert(change.key.clone(), found),
                        None => work.met.remove(&change.key),
                    };
                }
            }
        }
        work.leave_out(out);
        Ok(())
    }

    /// Looks what the rows became that are not what was written. What only has another number, as some engines fold
    /// letters otherwise than we do, is what was written.
    async fn witness(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut out = Vec::new();
        for (change, Seen { found, number, .. }) in self.seen(work, Purpose::Witness).await? {
            let entity = ledger::entity(self.contract, self.side, change.key.entity().as_str())?;
            let as_written = match &found {
                None => true,
                Some(Found::Record(record)) => stands_as(entity, self.side, record, change.state.as_ref()),
                Some(Found::Nothing | Found::Unreadable) => false,
            };
            let answer = match found {
                _ if as_written => {
                    work.kept.insert(change.key.clone(), number);
                    continue;
                }
                Some(Found::Nothing) | None => Applied::NotThere,
                Some(found) => Applied::Altered(found),
            };
            out.push((change.key.clone(), change.write, answer));
        }
        work.leave_out(out);
        Ok(())
    }

    /// The rows that have not the number which they should have, for this purpose.
    async fn seen<'c>(&self, work: &Work<'c>, purpose: Purpose) -> Result<Vec<(&'c Change, Seen)>, StoreError> {
        let order = self.order(&work.open).await?;
        let rows = self.rows(&work.open, batches(self, work, &order, purpose)?).await?;
        let seen = |(change, table, row): (&'c Change, Table<'_>, Row)| {
            seen(self.side, table, &row).map(|seen| seen.map(|seen| (change, seen))).transpose()
        };
        rows.into_iter().filter_map(seen).collect()
    }

    /// The rows that the last statement of each batch finds, in a transaction that leaves nothing behind.
    async fn rows<'s, 'c>(
        &self,
        open: &[&'c Change],
        batches: Vec<Batch<'s, 'c>>,
    ) -> Result<Vec<(&'c Change, Table<'s>, Row)>, StoreError> {
        let mut steps: Vec<&Step> = Vec::new();
        let end = Step { text: END.to_owned(), values: Vec::new() };
        let witness = batches.iter().any(|batch| batch.purpose == Purpose::Witness);
        if witness {
            steps.extend(batches.iter().flat_map(|batch| [&batch.record, &batch.act]));
            steps.push(&end);
        } else {
            steps.extend(batches.iter().map(|batch| &batch.record));
        }
        let first = steps.len();
        steps.extend(batches.iter().map(|batch| &batch.verify));
        let mut found = Vec::new();
        for (place, answer) in self.send(open, &steps, End::RollBack).await?.into_iter().enumerate() {
            let answer = match answer {
                Ok(answer) => answer,
                // Something came between: the next try will say.
                Err(error) if error.code().is_some_and(|state| [MET, BARRED].contains(&state.code())) => {
                    return Ok(Vec::new());
                }
                Err(error) if error.code().is_some_and(|state| state.code() == UNKEPT) => {
                    return Err(unkept(self.side));
                }
                Err(error) => return Err(self.session.error(error)),
            };
            let Some(batch) = place.checked_sub(first).and_then(|place| batches.get(place)) else { continue };
            let mut once = HashSet::new();
            for row in answer.rows {
                let width = batch.table.entity.fields.len();
                let key: String = get(self.side, &row, width + 2)?;
                let Some(change) = batch.changes.iter().find(|change| change.key.as_text() == key) else { continue };
                if !once.insert(key) {
                    let problem = format!("{} has two rows for one key: {}", batch.table.name(), change.key.as_text());
                    return Err(read::misfit(self.side, problem));
                }
                found.push((*change, batch.table, row));
            }
        }
        Ok(found)
    }

    /// Sends a transaction of these steps, under the fences of `open`.
    async fn send(&self, open: &[&Change], steps: &[&Step], how: End) -> Result<Answers, StoreError> {
        let (setup, steps) = (self.setup(open)?, self.prepared(steps).await?);
        whole(self.session, &setup, &steps, how).await
    }

    /// What each transaction begins with, under the fences of `open`.
    pub(super) fn setup(&self, open: &[&Change]) -> Result<String, StoreError> {
        Ok(format!("{}; {}", apply_text::locks(self.contract, self.side, open)?, self.proof))
    }

    pub(super) async fn prepared(&self, steps: &[&Step]) -> Result<Vec<Prepared>, StoreError> {
        let texts: Vec<_> = steps.iter().map(|step| step.text.as_str()).collect();
        let statements = self.session.prepare(&texts).await?;
        Ok(statements.into_iter().zip(steps.iter().map(|step| step.values.clone())).collect())
    }
}

impl<'c> Work<'c> {
    /// For the batches of a call.
    pub(super) fn parts(&self) -> Parts<'_, 'c> {
        Parts { open: &self.open, numbers: &self.numbers, taken: &self.taken, kept: &self.kept, strict: self.strict }
    }
}
