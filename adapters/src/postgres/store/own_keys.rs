//! The two names of a row, filled: see `model::own_key`.

use std::time::Duration;

use async_trait::async_trait;
use model::own_key::Reach;
use model::{EntityKey, EntityType, OwnKeys, OwnNumber, StoreError, Unnumbered};

use super::PostgresStore;
use crate::postgres::session::Use;
use crate::postgres::table::Table;
use crate::postgres::{own_keys, read};

#[async_trait]
impl OwnKeys for PostgresStore {
    async fn numbers(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        unnumbered: Unnumbered,
        within: Duration,
    ) -> Result<Vec<Option<OwnNumber>>, StoreError> {
        let table = Table::new(entity, self.side);
        read::require_batch(self.side, Some(entity), keys)?;
        let numbers = call!(self, Use::Write, within, |session| own_keys::of_type(&session, table, keys, unnumbered))?;
        Ok(keys.iter().map(|key| numbers.get(key).copied()).collect())
    }

    async fn pass_on(
        &self,
        entity: &EntityType,
        spare: &EntityKey,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<OwnNumber>, StoreError> {
        let table = Table::new(entity, self.side);
        call!(self, Use::Write, within, |session| own_keys::pass_on(&session, table, spare, key))
    }

    async fn keys_of(
        &self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        within: Duration,
    ) -> Result<Vec<Option<EntityKey>>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| own_keys::keys_of(&session, table, numbers))
    }

    async fn learn(
        &self,
        entity: &EntityType,
        numbered: &[(EntityKey, OwnNumber)],
        within: Duration,
    ) -> Result<(), StoreError> {
        let table = Table::new(entity, self.side);
        call!(self, Use::Write, within, |session| own_keys::learn(&session, table, numbered))
    }

    async fn reach(&self, entity: &EntityType, within: Duration) -> Result<Reach, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| own_keys::reach(&session, table))
    }
}
