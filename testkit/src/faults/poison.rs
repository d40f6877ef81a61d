//! Keys that a side cannot be asked for.

use model::contract::Refusal;
use model::{EntityKey, StoreError};

use super::FaultyStore;

impl FaultyStore {
    /// From now on each fetch that names `key` is refused as a whole.
    pub fn poison(&self, key: EntityKey) {
        self.plan.lock().poison.insert(key);
    }

    pub(super) fn poisoned(&self, keys: &[EntityKey]) -> Result<(), StoreError> {
        if !keys.iter().any(|key| self.plan.lock().poison.contains(key)) {
            return Ok(());
        }
        let refusal = Refusal { code: "BAD_VALUE".into(), message: "a planned fault".into() };
        Err(StoreError::Refused { side: self.inner.side(), refusal, source: None })
    }
}
