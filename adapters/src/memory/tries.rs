//! What nobody has taught this store it would not run; one that was taught nothing has nothing to say.

use std::time::Duration;

use async_trait::async_trait;
use model::contract::{TrialOf, Wrong, trials};
use model::{StoreError, Tries};

use super::MemoryStore;

#[async_trait]
impl Tries for MemoryStore {
    async fn wrong_statements(&self, _within: Duration) -> Result<Vec<Wrong>, StoreError> {
        let state = self.shared.lock();
        // Who was taught nothing is asked for no SQL in his test.
        if state.statements.is_empty() && state.queries.is_empty() {
            return Ok(Vec::new());
        }
        let trials = trials(&self.contract, self.side).into_iter();
        let wrong = trials.filter_map(|trial| match &trial.of {
            TrialOf::Sql { sql, columns: Some(_), .. } if !state.queries.contains_key(*sql) => {
                Some(Wrong::of(&trial, "a query that nobody taught"))
            }
            TrialOf::Sql { sql, columns: None, .. } if !state.statements.contains_key(*sql) => {
                Some(Wrong::of(&trial, "a statement that nobody taught"))
            }
            TrialOf::Sql { .. } | TrialOf::Type(_) => None,
        });
        Ok(wrong.collect())
    }
}
