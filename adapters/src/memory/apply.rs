//! As secondary, in memory: the lock is the transaction.

use std::collections::{HashMap, HashSet};

use model::foreign::{Found, is_foreign};
use model::store::MAX_BATCH;
use model::{Applied, Change, EntityKey, StoreError, WriteId, fit};
use tokio::time::Instant;

use super::{Entry, MemoryStore, Standing, State};
use crate::number::number;

impl MemoryStore {
    /// See `Store::apply` and `Store::apply_over`.
    pub(super) fn take(&self, changes: &[Change], over: bool) -> Result<Vec<Applied>, StoreError> {
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
        let mut met: HashMap<&EntityKey, Found> = HashMap::new();
        let mut blocked: HashSet<WriteId> = HashSet::new();
        for change in changes.iter().filter(|change| is_newer(&state, change)) {
            if let Some(found) = self.foreign(&state, change)? {
                met.insert(&change.key, found);
                blocked.extend((!over).then_some(change.write));
            }
        }
        let mut applied = Vec::with_capacity(changes.len());
        for change in changes {
            applied.push(match met.remove(&change.key) {
                Some(found) if !over => Applied::Foreign(found),
                None if blocked.contains(&change.write) => Applied::Held,
                found => self.take_one(&mut state, change, found)?,
            });
        }
        Ok(applied)
    }

    fn take_one(&self, state: &mut State, change: &Change, over: Option<Found>) -> Result<Applied, StoreError> {
        self.carry(state, change)?;
        if !is_newer(state, change) {
            return Ok(Applied::Stale);
        }
        state.versions.insert(change.key.clone(), change.version);
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

    /// What somebody else has made of the row of `change`, unless it is what the change would leave.
    fn foreign(&self, state: &State, change: &Change) -> Result<Option<Found>, StoreError> {
        if self.is_as_left(state, &change.key)? != Some(false) {
            return Ok(None);
        }
        let entity = self.entity(&change.key)?;
        let found = state.rows.get(&change.key).cloned().map_or(Found::Nothing, Found::Record);
        Ok((!found.is(entity, change.state.as_ref())).then_some(found))
    }

    /// See `Store::as_left`.
    pub(super) fn is_as_left(&self, state: &State, key: &EntityKey) -> Result<Option<bool>, StoreError> {
        let stands = self.stands(state, key)?;
        Ok(state.left.get(key).map(|left| !is_foreign(Some(*left), stands)))
    }

    /// The number of a row as it stands.
    pub(super) fn stands(&self, state: &State, key: &EntityKey) -> Result<i64, StoreError> {
        Ok(number(self.entity(key)?, state.rows.get(key)))
    }

    /// Keeps the primary's ledger row on this side. A baseline copy (epoch 0) is no write.
    fn carry(&self, state: &mut State, change: &Change) -> Result<(), StoreError> {
        if change.version.epoch.0 == 0 {
            return Ok(());
        }
        let group = self.entity(&change.key)?.group.clone();
        state.position += 1;
        let sequence = state.position;
        let entry = state.ledger.entry(change.write).or_insert_with(|| Entry {
            group: Some(group),
            changes: Vec::new(),
            idempotency: None,
            standing: Standing::Settled,
            attempts: 0,
            next_attempt_at: Instant::now(),
            created_at: Instant::now(),
            written_at: super::wall_clock(),
            sequence,
        });
        if !entry.changes.iter().any(|known| known.ordinal == change.ordinal) {
            entry.idempotency = entry.idempotency.take().or(change.idempotency.clone());
            entry.changes.push(change.clone());
            entry.changes.sort_by_key(|change| change.ordinal);
        }
        Ok(())
    }
}

fn is_newer(state: &State, change: &Change) -> bool {
    state.versions.get(&change.key).is_none_or(|version| *version < change.version)
}
