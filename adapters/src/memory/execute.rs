//! Writes, as primary.

use std::collections::HashSet;

use model::contract::Refusal;
use model::write::{Work, went_back};
use model::{
    Base, Change, Command, EntityKey, Fence, Position, Record, Recorded, Rehearsal, Rehearsed, Stand, States,
    StoreError, Version, WriteId, Written, fit,
};

use crate::number::rules;

use super::{Entry, MemoryStore, Rows, Standing, State};

/// Where its log begins: as in other systems, far above the numbers of baseline copies.
const LOG_BEGINS: u64 = 1 << 32;

impl MemoryStore {
    /// See `Store::execute_seeing`. The lock is the transaction; the records before it are the way back.
    pub(super) fn write(&self, command: &Command) -> Result<(Written, States), StoreError> {
        let mut state = self.shared.lock();
        self.keys_fit(command)?;
        if let Some(before) = self.before(&state, command)? {
            return Ok((before, States::new()));
        }
        let fence = state.fences.get(&command.group).map(|kept| kept.fence);
        let proven = |fence: &Fence| fence.stand.takes_writes() && fence.epoch == command.epoch;
        let fence = fence.filter(proven).ok_or(StoreError::Fenced { side: self.side })?;
        let incarnation = self.living(&state)?;
        let before = self.transact(&mut state, command)?;
        state.position += 1;
        let version = Version { epoch: command.epoch, incarnation, position: Position(LOG_BEGINS + state.position) };
        let mut changes = changes(command, version, &before, &state.rows);
        let newer =
            |change: &&Change| state.versions.get(&change.key).is_some_and(|recorded| recorded.version >= version);
        if changes.iter().any(|change| newer(&change)) {
            state.rows = before;
            return Err(self.misfit(went_back(changes.iter().map(|change| change.key.entity()))));
        }
        for change in &mut changes {
            let known = state.versions.get(&change.key).zip(state.left.get(&change.key));
            let rules = rules(self.entity(&change.key)?);
            let before = known.map(|(recorded, number)| Base { version: recorded.version, rules, number: *number });
            let newest = state.versions.get(&change.key).map(|recorded| recorded.write);
            let oldest = newest.and_then(|newest| oldest_waiting(&state, &change.key, newest));
            change.base = oldest.map_or(before, |oldest| oldest.base);
        }
        // What another side wrote before this one was primary, and arrives late, must find something newer here.
        // And whoever changes a row past us after that is met when this side is secondary again.
        for change in &changes {
            let stands = self.stands(&state, &change.key)?;
            let recorded = Recorded { write: change.write, version: change.version };
            state.versions.insert(change.key.clone(), recorded);
            state.left.insert(change.key.clone(), stands);
        }
        let sequence = state.position;
        // Nobody asks for a write that changed nothing, unless by its key.
        let nothing = changes.is_empty() && command.idempotency.is_none();
        let settled = nothing || fence.stand == Stand::Alone;
        let standing = if settled { Standing::Settled } else { Standing::Unsettled };
        let entry = Entry {
            changes: changes.clone(),
            idempotency: command.idempotency.clone(),
            ..Entry::new(Some(command.group.clone()), version, standing, sequence)
        };
        state.ledger.insert(command.write, entry);
        Ok((Written::Now(changes), states(command, &before)))
    }

    /// See `Store::rehearse`.
    pub(super) fn try_out(&self, command: &Command) -> Result<Rehearsal, StoreError> {
        let mut state = self.shared.lock();
        self.keys_fit(command)?;
        let outcome = match self.transact(&mut state, command) {
            Ok(before) => {
                let after = std::mem::replace(&mut state.rows, before);
                Rehearsed::Done(states(command, &after))
            }
            Err(StoreError::Refused { refusal, .. }) => Rehearsed::Refused(refusal),
            Err(error) => return Err(error),
        };
        Ok(Rehearsal { before: states(command, &state.rows), outcome })
    }

    fn keys_fit(&self, command: &Command) -> Result<(), StoreError> {
        command.touches.iter().try_for_each(|key| {
            fit::key_fits(self.entity(key)?, self.side, key).map_err(|refusal| self.refused(refusal))
        })
    }

    /// Does the work and gives back the records before it. After an error they are as they were.
    fn transact(&self, state: &mut State, command: &Command) -> Result<Rows, StoreError> {
        let before = state.rows.clone();
        command.refuse_absent(|key| before.contains_key(key)).map_err(|refusal| self.refused(refusal))?;
        let done = self.work(state, command).and_then(|changed| {
            let any = |rows: &Rows| command.touches.iter().any(|key| rows.contains_key(key));
            let kept = command.refuse_unkept(changed, any(&before), any(&state.rows));
            kept.map_err(|refusal| self.refused(refusal))?;
            self.states_fit(state, command)
        });
        match done {
            Ok(()) => Ok(before),
            Err(error) => {
                state.rows = before;
                Err(error)
            }
        }
    }

    fn states_fit(&self, state: &State, command: &Command) -> Result<(), StoreError> {
        for key in &command.touches {
            let entity = self.entity(key)?;
            let fits = |record| {
                command.refuse_unread(entity, record)?;
                command.must_fit.iter().try_for_each(|side| fit::record_fits(entity, *side, record))
            };
            state.rows.get(key).map_or(Ok(()), fits).map_err(|refusal| self.refused(refusal))?;
        }
        Ok(())
    }

    /// The result of an earlier write with the same idempotency key or id.
    fn before(&self, state: &State, command: &Command) -> Result<Option<Written>, StoreError> {
        if let Some((key, fingerprint)) = &command.idempotency {
            let same = |entry: &&Entry| entry.idempotency.as_ref().is_some_and(|(k, _)| k == key);
            if let Some(entry) = state.ledger.values().find(same) {
                let print = entry.idempotency.as_ref().map(|(_, print)| print);
                return match print == Some(fingerprint) {
                    true => Ok(Some(Written::Before(entry.changes.clone()))),
                    false => Err(StoreError::KeyReused),
                };
            }
        }
        match state.ledger.get(&command.write) {
            Some(entry) if entry.standing == Standing::Abandoned => {
                Err(StoreError::Conflict { side: self.side, source: "the write was abandoned".into() })
            }
            Some(entry) => Ok(Some(Written::Before(entry.changes.clone()))),
            None => Ok(None),
        }
    }

    /// Whether it has changed records.
    fn work(&self, state: &mut State, command: &Command) -> Result<bool, StoreError> {
        let Some(key) = command.touches.first() else {
            return Err(self.misfit("a write that touches nothing"));
        };
        match &command.work {
            Work::Run { statements, params } => {
                let mut changed = false;
                for statement in statements {
                    let run = state.statements.get(&statement.sql).cloned();
                    let run = run.ok_or_else(|| self.misfit("a statement that nobody taught"))?;
                    let touched = run(&mut state.rows, params)?;
                    if let Some(refusal) = statement.refuse.clone().filter(|_| touched == 0) {
                        return Err(self.refused(refusal));
                    }
                    changed |= touched > 0;
                }
                Ok(changed)
            }
            Work::Touch => Ok(false),
            Work::Set(record) => self.put(state, key, record).map(|()| true),
            Work::Delete => match state.rows.remove(key) {
                Some(_) => Ok(true),
                None => Err(self.refused(Refusal {
                    code: "NOT_FOUND".into(),
                    message: format!("there is no such {}", key.entity()),
                })),
            },
        }
    }

    /// Sets the known fields of `record`; a new record has null in the others.
    pub(super) fn put(&self, state: &mut State, key: &EntityKey, record: &Record) -> Result<(), StoreError> {
        let entity = self.entity(key)?;
        let number = self.numbered(state, entity, key)?;
        fit::record_fits(entity, self.side, record).map_err(|refusal| self.refused(refusal))?;
        let blank = || {
            let mut blank = Record::empty(entity);
            for index in entity.all_fields().iter() {
                blank.set(index, model::Value::Null);
            }
            blank
        };
        let row = state.rows.entry(key.clone()).or_insert_with(blank);
        for (index, value) in record.iter() {
            row.set(index, value.clone());
        }
        for (index, part) in entity.key().iter().zip(key.parts()) {
            row.set(*index, part.clone());
        }
        if let (Some(field), Some(number)) = (entity.number_field(), number) {
            row.set(field, model::Value::Text(number.to_string()));
        }
        Ok(())
    }
}

/// How every touched key stands in `rows`, each once.
fn states(command: &Command, rows: &Rows) -> States {
    let mut seen = HashSet::new();
    let touched = command.touches.iter().filter(|key| seen.insert(*key));
    touched.map(|key| (key.clone(), rows.get(key).cloned())).collect()
}

/// One change per touched key that has a record now, or had one before, or is stated anew.
fn changes(command: &Command, version: Version, before: &Rows, after: &Rows) -> Vec<Change> {
    let mut seen = HashSet::new();
    let touched = command.touches.iter().filter(|key| seen.insert(*key));
    let anew = matches!(command.work, Work::Touch);
    let known = touched.filter(|key| anew || before.contains_key(*key) || after.contains_key(*key));
    let change = |(ordinal, key): (u16, &EntityKey)| Change {
        write: command.write,
        ordinal,
        key: key.clone(),
        version,
        state: after.get(key).cloned(),
        idempotency: command.idempotency.clone().filter(|_| ordinal == 0),
        base: None,
    };
    (0_u16..).zip(known).map(change).collect()
}

/// The change of `key` in its oldest write that is not settled, when the `newest` is not either.
fn oldest_waiting<'a>(state: &'a State, key: &EntityKey, newest: WriteId) -> Option<&'a Change> {
    state.ledger.get(&newest).filter(|newest| newest.standing == Standing::Unsettled)?;
    let waiting = state.ledger.values().filter(|entry| entry.standing == Standing::Unsettled);
    let changes = waiting.flat_map(|entry| &entry.changes).filter(|change| change.key == *key);
    changes.min_by_key(|change| change.version)
}
