//! As secondary, in memory: the lock is the transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::foreign::{Found, Whose, whose};
use model::store::{Bare, MAX_BATCH};
use model::{Applied, Change, EntityKey, GroupName, IdempotencyKey, Recorded, StoreError, WriteId, fit};

use super::{Entry, MemoryStore, Standing, State};
use crate::gate::Gate;
use crate::known::{Fate, Known};
use crate::number::{base, number};

impl MemoryStore {
    /// See `Store::apply`, `Store::apply_over` and `Lives::bring_back`: only whole states of shapes that are known.
    pub(super) fn take(&self, changes: &[Change], over: bool, gate: Gate) -> Result<Vec<Applied>, StoreError> {
        let picture = Known::new(Arc::clone(&self.contract)).saw(&self.shared.lock().shapes);
        let fates = picture.fates(&self.contract, changes);
        let through: Vec<Change> =
            changes.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Apply).map(|(one, _)| one.clone()).collect();
        let mut applied = self.take_whole(&through, over, gate)?.into_iter();
        let missing = || self.misfit("an apply answered for fewer changes than it was given");
        let state = self.shared.lock();
        let slot = |(change, fate): (&Change, &Fate)| match fate {
            Fate::Apply => applied.next().ok_or_else(missing),
            Fate::NotKnown => Ok(Applied::NotKnown),
            Fate::NotWhole => Ok(beneath(&state, changes, change)),
        };
        changes.iter().zip(&fates).map(slot).collect()
    }

    fn take_whole(&self, changes: &[Change], over: bool, gate: Gate) -> Result<Vec<Applied>, StoreError> {
        let keys: HashSet<_> = changes.iter().map(|change| &change.key).collect();
        if keys.len() < changes.len() || changes.len() > MAX_BATCH {
            return Err(self.misfit("two changes of one key, or too many, in one call"));
        }
        for change in changes {
            let entity = self.entity(&change.key)?;
            let fits = fit::key_fits(entity, self.side, &change.key);
            let record = change.state.as_ref();
            let fits = fits.and_then(|()| record.map_or(Ok(()), |record| fit::record_fits(entity, self.side, record)));
            fits.map_err(|refusal| self.refused(refusal))?;
        }
        let mut state = self.shared.lock();
        let mut out: HashMap<&EntityKey, Applied> = HashMap::new();
        let mut met: HashMap<&EntityKey, Found> = HashMap::new();
        let mut unproven: HashSet<&EntityKey> = HashSet::new();
        let mut blocked: HashSet<WriteId> = HashSet::new();
        for change in changes {
            if self.is_barred(&state, change, gate)? {
                out.insert(&change.key, Applied::Barred);
                blocked.insert(change.write);
            } else if is_newer(&state, change) {
                let (whose, found) = self.found(&state, change)?;
                match (whose, found) {
                    (Whose::Ours, _) | (Whose::Foreign | Whose::Unproven, None) => {}
                    (Whose::Unproven, Some(_)) if !change.version.is_baseline() && !gate.leaves_unproven() => {
                        unproven.insert(&change.key);
                    }
                    (Whose::Foreign | Whose::Unproven, Some(found)) if over => {
                        met.insert(&change.key, found);
                    }
                    (Whose::Foreign | Whose::Unproven, Some(found)) => {
                        out.insert(&change.key, Applied::Foreign(found));
                        blocked.insert(change.write);
                    }
                }
            }
        }
        let mut applied = Vec::with_capacity(changes.len());
        for change in changes {
            applied.push(match out.remove(&change.key) {
                Some(answer) => answer,
                None if blocked.contains(&change.write) => Applied::Held,
                None => match self.take_one(&mut state, change, met.remove(&change.key))? {
                    Applied::Newer if unproven.contains(&change.key) => Applied::Unproven,
                    answer => answer,
                },
            });
        }
        self.carry_whole(&mut state, changes, &mut applied, gate)?;
        Ok(applied)
    }

    fn take_one(&self, state: &mut State, change: &Change, over: Option<Found>) -> Result<Applied, StoreError> {
        match state.versions.get(&change.key) {
            Some(recorded) if recorded.write == change.write => return Ok(Applied::There),
            Some(recorded) if recorded.version >= change.version => return Ok(Applied::Stale(*recorded)),
            Some(_) | None => {}
        }
        let recorded = Recorded { write: change.write, version: change.version };
        state.versions.insert(change.key.clone(), recorded);
        match &change.state {
            Some(record) => self.put(state, &change.key, record)?,
            None => {
                state.rows.remove(&change.key);
            }
        }
        let stands = self.stands(state, &change.key)?;
        state.left.insert(change.key.clone(), stands);
        Ok(over.map_or(Applied::Newer, Applied::Over))
    }

    /// Whether the gate lets no changes of the change's group pass.
    fn is_barred(&self, state: &State, change: &Change, gate: Gate) -> Result<bool, StoreError> {
        Ok(is_shut(state, &self.entity(&change.key)?.group, gate))
    }

    /// Whose the row of `change` is, and what it is unless that is what the change would leave. Where nobody can say,
    /// nothing is nobody's.
    fn found(&self, state: &State, change: &Change) -> Result<(Whose, Option<Found>), StoreError> {
        let entity = self.entity(&change.key)?;
        let (left, number) = (state.left.get(&change.key).copied(), self.stands(state, &change.key)?);
        let whose = whose(left, base(entity, change), number);
        let found = match state.rows.get(&change.key) {
            None => Found::Nothing,
            Some(row) if row.unreadable().is_empty() => Found::Record(row.clone()),
            Some(_) => Found::Unreadable,
        };
        let nobodys = whose == Whose::Unproven && found == Found::Nothing;
        Ok((whose, (!nobodys && !found.is(entity, change.state.as_ref())).then_some(found)))
    }

    /// See `Store::as_left`.
    pub(super) fn is_as_left(&self, state: &State, key: &EntityKey) -> Result<Option<bool>, StoreError> {
        let stands = self.stands(state, key)?;
        Ok(state.left.get(key).map(|left| *left == stands))
    }

    /// The number of a row as it stands.
    pub(super) fn stands(&self, state: &State, key: &EntityKey) -> Result<i64, StoreError> {
        Ok(number(self.entity(key)?, state.rows.get(key)))
    }

    /// Carries the writes each of whose changes stands here; to a side that has gone back, also where it came too late.
    /// Says where another write has the idempotency key.
    fn carry_whole(
        &self,
        state: &mut State,
        changes: &[Change],
        applied: &mut [Applied],
        gate: Gate,
    ) -> Result<(), StoreError> {
        let is_there = |answer: &Applied| match answer {
            Applied::Newer | Applied::Unproven | Applied::Over(_) | Applied::There => true,
            Applied::Stale(_) => gate.carries_late(),
            Applied::Overtaken(_)
            | Applied::Foreign(_)
            | Applied::Altered(_)
            | Applied::NotThere
            | Applied::KeyTaken(_)
            | Applied::Barred
            | Applied::NotWhole
            | Applied::NotKnown
            | Applied::Held => false,
        };
        let late = changes.iter().zip(&*applied).filter(|(_, answer)| !is_there(answer));
        let late: HashSet<WriteId> = late.map(|(change, _)| change.write).collect();
        let whole: Vec<&Change> = changes.iter().filter(|change| !late.contains(&change.write)).collect();
        let taken: HashMap<WriteId, WriteId> =
            whole.iter().filter_map(|change| Some((change.write, key_of(state, change)?))).collect();
        for change in whole.iter().filter(|change| !taken.contains_key(&change.write)) {
            self.carry(state, change)?;
        }
        for (change, answer) in changes.iter().zip(applied).filter(|(change, _)| change.idempotency.is_some()) {
            if let Some(other) = taken.get(&change.write) {
                *answer = Applied::KeyTaken(*other);
            }
        }
        Ok(())
    }

    /// See `Store::carry`.
    pub(super) fn carry_proven(&self, changes: &[Change]) -> Result<Option<WriteId>, StoreError> {
        let mut state = self.shared.lock();
        for change in changes {
            if self.is_barred(&state, change, Gate::Secondary(self.source.read()))? {
                return Err(StoreError::Fenced { side: self.side });
            }
        }
        if let Some(other) = changes.iter().find_map(|change| key_of(&state, change)) {
            return Ok(Some(other));
        }
        changes.iter().try_for_each(|change| self.carry(&mut state, change))?;
        Ok(None)
    }

    /// See `Store::keep` and `Lives::keep_back`.
    pub(super) fn keep_bare(&self, writes: &[Bare], gate: Gate) -> Result<Vec<Applied>, StoreError> {
        let mut state = self.shared.lock();
        let mut keep = |bare: &Bare| {
            if is_shut(&state, &bare.group, gate) {
                return Ok(Applied::Barred);
            }
            let key = bare.idempotency.as_ref().map(|(key, _)| key);
            if let Some(other) = key.and_then(|key| holder(&state, bare.write, key)) {
                return Ok(Applied::KeyTaken(other));
            }
            state.position += 1;
            let sequence = state.position;
            let entry = state.ledger.entry(bare.write).or_insert_with(|| Entry {
                idempotency: bare.idempotency.clone(),
                ..Entry::new(Some(bare.group.clone()), bare.version, Standing::Settled, sequence)
            });
            if entry.standing == Standing::Abandoned {
                let source = "the write was abandoned here".into();
                return Err(StoreError::Conflict { side: self.side, source });
            }
            Ok(Applied::There)
        };
        writes.iter().map(&mut keep).collect()
    }

    /// Keeps the primary's ledger row on this side. A baseline copy (epoch 0) is no write.
    fn carry(&self, state: &mut State, change: &Change) -> Result<(), StoreError> {
        if change.version.is_baseline() {
            return Ok(());
        }
        let group = self.entity(&change.key)?.group.clone();
        state.position += 1;
        let sequence = state.position;
        let made = || Entry::new(Some(group), change.version, Standing::Settled, sequence);
        let entry = state.ledger.entry(change.write).or_insert_with(made);
        if !entry.changes.iter().any(|known| known.ordinal == change.ordinal) {
            entry.idempotency = entry.idempotency.take().or(change.idempotency.clone());
            entry.changes.push(change.clone());
            entry.changes.sort_by_key(|change| change.ordinal);
        }
        Ok(())
    }
}

/// Whether nothing of the group passes: its fence is open, there is none, the side is suspended, or knows a later life of
/// the primary; of a side that has gone back, whether it is not suspended, or of another life.
fn is_shut(state: &State, group: &GroupName, gate: Gate) -> bool {
    match gate {
        Gate::GoneBack(of, _) => !state.life.is_suspended() || state.life.incarnation != of,
        Gate::Secondary(source) => {
            let fence = state.fences.get(group);
            let old = state.life.is_brought_by_an_old_one(source);
            old || state.life.is_suspended() || fence.is_none_or(|kept| kept.fence.stand.takes_writes())
        }
    }
}

fn is_newer(state: &State, change: &Change) -> bool {
    state.versions.get(&change.key).is_none_or(|recorded| recorded.version < change.version)
}

/// The other write that has the idempotency key of `change`.
fn key_of(state: &State, change: &Change) -> Option<WriteId> {
    let (key, _) = change.idempotency.as_ref()?;
    holder(state, change.write, key)
}

/// The other write than `write` that has `key`.
fn holder(state: &State, write: WriteId, key: &IdempotencyKey) -> Option<WriteId> {
    let has = |entry: &Entry| entry.idempotency.as_ref().is_some_and(|(known, _)| known == key);
    let found = state.ledger.iter().find(|(other, entry)| **other != write && has(entry));
    found.map(|(write, _)| *write)
}

/// A state that is not whole: where something newer stands in the place of each of its write's, that has come too late.
fn beneath(state: &State, changes: &[Change], change: &Change) -> Applied {
    let open = changes.iter().any(|other| other.write == change.write && is_newer(state, other));
    match state.versions.get(&change.key).filter(|_| !open) {
        Some(recorded) => Applied::Stale(*recorded),
        None => Applied::NotWhole,
    }
}
