//! Trying statements, with faults.

use std::time::Duration;

use async_trait::async_trait;
use model::contract::Wrong;
use model::{StoreError, Tries};

use super::{Call, FaultyStore};

#[async_trait]
impl Tries for FaultyStore {
    async fn wrong_statements(&self, within: Duration) -> Result<Vec<Wrong>, StoreError> {
        self.run(Call::Inspect, within, || self.inner.wrong_statements(within)).await
    }

    fn has_letters(&self, text: &str) -> bool {
        self.inner.has_letters(text)
    }
}
