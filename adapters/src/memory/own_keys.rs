//! The ID map in memory. Rows are kept under their canonical keys on both sides; legacy's carry their numbers.

use std::time::Duration;

use async_trait::async_trait;
use model::own_key::{Reach, Sequence, derived_key, number_of_derived};
use model::{EntityKey, EntityType, OwnKeys, OwnNumber, StoreError, Unnumbered, Value};

use super::{MemoryStore, State};

/// Where the ERP's sequence starts: after this.
const START: u64 = 999;

impl MemoryStore {
    /// The number of `key`, if its type has its own key on this side.
    pub(super) fn number_of(&self, state: &State, entity: &EntityType, key: &EntityKey) -> Option<OwnNumber> {
        entity.own_key(self.side)?;
        let is_given = |number: &OwnNumber| {
            state.numbers.iter().any(|(known, given)| given == number && known.entity() == key.entity())
        };
        state.numbers.get(key).copied().or_else(|| number_of_derived(key).filter(|number| !is_given(number)))
    }

    /// The same; a key without number is given the next.
    pub(super) fn numbered(
        &self,
        state: &mut State,
        entity: &EntityType,
        key: &EntityKey,
    ) -> Result<Option<OwnNumber>, StoreError> {
        if entity.own_key(self.side).is_none() {
            return Ok(None);
        }
        if let Some(known) = self.number_of(state, entity, key) {
            return Ok(Some(known));
        }
        if number_of_derived(key).is_some() {
            return Err(self.misfit("a key that names a number of the ERP, which belongs to another key"));
        }
        loop {
            state.sequence += 1;
            let next =
                OwnNumber::new(START + state.sequence).ok_or_else(|| self.misfit("the sequence is at its end"))?;
            if !state.rows.contains_key(&derived_key(&entity.name, next)) {
                state.numbers.insert(key.clone(), next);
                return Ok(Some(next));
            }
        }
    }
}

#[async_trait]
impl OwnKeys for MemoryStore {
    async fn numbers(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        unnumbered: Unnumbered,
        _within: Duration,
    ) -> Result<Vec<Option<OwnNumber>>, StoreError> {
        let mut state = self.shared.lock();
        let number = |key| match unnumbered {
            Unnumbered::Leave => Ok(self.number_of(&state, entity, key)),
            Unnumbered::Number => self.numbered(&mut state, entity, key),
        };
        keys.iter().map(number).collect()
    }

    async fn pass_on(
        &self,
        entity: &EntityType,
        spare: &EntityKey,
        key: &EntityKey,
        _within: Duration,
    ) -> Result<Option<OwnNumber>, StoreError> {
        let mut state = self.shared.lock();
        let Some(number) = state.numbers.get(spare).copied() else { return Ok(None) };
        let has_row = state.rows.contains_key(spare) || state.rows.contains_key(&derived_key(&entity.name, number));
        if has_row || state.numbers.contains_key(key) {
            return Ok(None);
        }
        state.numbers.remove(spare);
        state.numbers.insert(key.clone(), number);
        Ok(Some(number))
    }

    async fn keys_of(
        &self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        _within: Duration,
    ) -> Result<Vec<Option<EntityKey>>, StoreError> {
        let state = self.shared.lock();
        let unknown = || self.misfit(format!("{} has no key of the ERP's own", entity.name));
        let field = entity.number_field().ok_or_else(unknown)?;
        let given = |number: &OwnNumber| {
            if entity.own_key(self.side).is_some() {
                let given = state.numbers.iter().find(|(key, given)| *given == number && *key.entity() == entity.name);
                return Some(given.map_or_else(|| derived_key(&entity.name, *number), |(key, _)| key.clone()));
            }
            let text = Value::Text(number.to_string());
            let row =
                state.rows.iter().find(|(key, row)| *key.entity() == entity.name && row.get(field) == Some(&text));
            row.map(|(key, _)| key.clone())
        };
        Ok(numbers.iter().map(given).collect())
    }

    async fn learn(
        &self,
        entity: &EntityType,
        numbered: &[(EntityKey, OwnNumber)],
        _within: Duration,
    ) -> Result<(), StoreError> {
        let (Some(field), None) = (entity.number_field(), entity.own_key(self.side)) else {
            return Err(self.misfit(format!("{} learns no numbers here", entity.name)));
        };
        let mut state = self.shared.lock();
        for (key, number) in numbered {
            let as_left = self.is_as_left(&state, key)?;
            if let Some(row) = state.rows.get_mut(key)
                && row.get(field).is_none_or(Value::is_null)
            {
                row.set(field, Value::Text(number.to_string()));
                if as_left == Some(true) {
                    let stands = self.stands(&state, key)?;
                    state.left.insert(key.clone(), stands);
                }
            }
        }
        Ok(())
    }

    async fn reach(&self, entity: &EntityType, _within: Duration) -> Result<Reach, StoreError> {
        let state = self.shared.lock();
        let Some(field) = entity.number_field() else { return Ok(Reach::default()) };
        let of_rows =
            state.rows.iter().filter(|(key, _)| *key.entity() == entity.name).filter_map(|(_, row)| {
                match row.get(field) {
                    Some(Value::Text(number)) => number.parse::<i64>().ok(),
                    Some(_) | None => None,
                }
            });
        let given = state.numbers.iter().filter(|(key, _)| *key.entity() == entity.name);
        let used = of_rows.chain(given.filter_map(|(_, number)| i64::try_from(number.get()).ok())).max();
        let last = i64::try_from(START + state.sequence).unwrap_or(i64::MAX);
        let sequence = entity.own_key(self.side).map(|_| Sequence { last, step: 1, left: None });
        Ok(Reach { used, sequence })
    }
}
