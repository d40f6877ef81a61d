//! Brings the numbers that the ERP gave to the rows of modern. See `model::own_key`.
//!
//! An entity that was made on modern has no number until legacy has applied it. Modern learns it in the same step in
//! which the write is applied, before the write counts as settled: whoever finishes the write finishes this too.

use std::sync::Arc;
use std::time::Duration;

use model::{Change, Contract, EntityKey, EntityType, Side, Store, StoreError, Unnumbered, Value};

/// What a door needs in order to tell numbers.
pub(super) struct Numbering {
    /// The types.
    pub(super) contract: Arc<Contract>,
    /// The side that is told.
    pub(super) other: Arc<dyn Store>,
}

/// Keys of one type whose number the other side does not know.
type Untold = Vec<(Arc<EntityType>, Vec<EntityKey>)>;

impl Numbering {
    /// Which of `changes`, brought to `side`, came without the number that `side` has or gives.
    pub(super) fn untold(&self, side: Side, changes: &[Change]) -> Untold {
        let mut untold: Untold = Vec::new();
        for change in changes {
            let Some(entity) = self.contract.entity(change.key.entity()) else { continue };
            let Some((own, state)) = entity.own_key(side).zip(change.state.as_ref()) else { continue };
            if state.get(own.number).is_none_or(Value::is_null) {
                match untold.iter_mut().find(|(known, _)| known.name == entity.name) {
                    Some((_, keys)) => keys.push(change.key.clone()),
                    None => untold.push((Arc::clone(entity), vec![change.key.clone()])),
                }
            }
        }
        untold
    }

    /// Tells the other side the numbers of `untold`, which `store` has.
    pub(super) async fn tell(&self, store: &dyn Store, untold: Untold, within: Duration) -> Result<(), StoreError> {
        for (entity, keys) in untold {
            let numbers = store.numbers(&entity, &keys, Unnumbered::Leave, within).await?;
            let numbered: Vec<_> = keys.into_iter().zip(numbers).filter_map(|(key, n)| Some((key, n?))).collect();
            self.other.learn(&entity, &numbered, within).await?;
        }
        Ok(())
    }
}
