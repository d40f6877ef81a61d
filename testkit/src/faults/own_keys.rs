//! Both keys, with faults.

use std::time::Duration;

use async_trait::async_trait;
use model::own_key::Reach;
use model::{EntityKey, EntityType, OwnKeys, OwnNumber, StoreError, Unnumbered};

use super::{Call, FaultyStore};

#[async_trait]
impl OwnKeys for FaultyStore {
    async fn numbers(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        unnumbered: Unnumbered,
        within: Duration,
    ) -> Result<Vec<Option<OwnNumber>>, StoreError> {
        self.run(Call::Numbers, within, || self.inner.numbers(entity, keys, unnumbered, within)).await
    }

    async fn pass_on(
        &self,
        entity: &EntityType,
        spare: &EntityKey,
        key: &EntityKey,
        within: Duration,
    ) -> Result<Option<OwnNumber>, StoreError> {
        self.run(Call::Numbers, within, || self.inner.pass_on(entity, spare, key, within)).await
    }

    async fn keys_of(
        &self,
        entity: &EntityType,
        numbers: &[OwnNumber],
        within: Duration,
    ) -> Result<Vec<Option<EntityKey>>, StoreError> {
        self.run(Call::KeysOf, within, || self.inner.keys_of(entity, numbers, within)).await
    }

    async fn learn(
        &self,
        entity: &EntityType,
        numbered: &[(EntityKey, OwnNumber)],
        within: Duration,
    ) -> Result<(), StoreError> {
        self.run(Call::Learn, within, || self.inner.learn(entity, numbered, within)).await
    }

    async fn reach(&self, entity: &EntityType, within: Duration) -> Result<Reach, StoreError> {
        self.run(Call::KeysOf, within, || self.inner.reach(entity, within)).await
    }
}
