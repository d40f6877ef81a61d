//! The part of the port that tries statements.

use std::time::Duration;

use async_trait::async_trait;
use model::contract::Wrong;
use model::{StoreError, Tries};

use super::PostgresStore;
use crate::postgres::trial;

#[async_trait]
impl Tries for PostgresStore {
    async fn wrong_statements(&self, within: Duration) -> Result<Vec<Wrong>, StoreError> {
        look!(self, within, |session| trial::wrong(&session, &self.contract, self.side))
    }

    fn has_letters(&self, text: &str) -> bool {
        self.pools.encoding().holds(text)
    }
}
