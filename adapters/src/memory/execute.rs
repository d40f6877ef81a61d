//! Writes, as primary.

use std::collections::HashSet;

use model::contract::Refusal;
use model::write::Work;
use model::{
    Change, Command, EntityKey, Fence, Incarnation, Position, Record, Rehearsal, Rehearsed, Stand, States, StoreError,
    Version, Written, fit,
};
use tokio::time::Instant;

use super::{Entry, MemoryStore, Rows, Standing, State};

impl MemoryStore {
    /// See `Store::execute_seeing`. The lock is the transaction; the records before it are the way back.
    pub(super) fn write(&self, command: &Command) -> Result<(Written, States), StoreError> {
        let mut state = self.shared.lock();
        self.keys_fit(command)?;
        if let Some(before) = self.before(&state, command)? {
            return Ok((before, States::new()));
        }
        let open = Fence::new(command.epoch, Stand::Open);
        if state.fences.get(&command.group).is_none_or(|(fence, _)| *fence != open) {
            return Err(StoreError::Fenced { side: self.side });
        }
        let before = self.transact(&mut state, command)?;
        state.position += 1;
        let version = Version { epoch: command.epoch, incarnation: Incarnation(1), position: Position(state.position) };
        let changes = changes(command, version, &before, &state.rows);
        // What another side wrote before this one was primary, and arrives late, must find something newer here.
        // And whoever changes a row past us after that is met when this side is secondary again.
        for change in &changes {
            let stands = self.stands(&state, &change.key)?;
            state.versions.insert(change.key.clone(), change.version);
            state.left.insert(change.key.clone(), stands);
        }
        let sequence = state.position;
        let standing = if changes.is_empty() { Standing::Settled } else { Standing::Unsettled };
        let entry = Entry {
            group: Some(command.group.clone()),
            changes: changes.clone(),
            idempotency: command.idempotency.clone(),
            standing,
            attempts: 0,
            next_attempt_at: Instant::now(),
            created_at: Instant::now(),
            written_at: super::wall_clock(),
            sequence,
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
        let done = self.work(state, command).and_then(|()| self.states_fit(state, command));
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
            let fits = |record| command.must_fit.iter().try_for_each(|side| fit::record_fits(entity, *side, record));
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

    fn work(&self, state: &mut State, command: &Command) -> Result<(), StoreError> {
        let Some(key) = command.touches.first() else {
            return Err(self.misfit("a write that touches nothing"));
        };
        match &command.work {
            Work::Run { statements, params } => {
                for statement in statements {
                    let run = state.statements.get(&statement.sql).cloned();
                    let run = run.ok_or_else(|| self.misfit("a statement that nobody taught"))?;
                    let touched = run(&mut state.rows, params)?;
                    if let Some(refusal) = statement.refuse.clone().filter(|_| touched == 0) {
                        return Err(self.refused(refusal));
                    }
                }
                Ok(())
            }
            Work::Touch => Ok(()),
            Work::Set(record) => self.put(state, key, record),
            Work::Delete => match state.rows.remove(key) {
                Some(_) => Ok(()),
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
    };
    (0_u16..).zip(known).map(change).collect()
}
