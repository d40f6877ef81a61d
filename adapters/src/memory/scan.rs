//! Reading at large: a copy of the rows is a snapshot, and the store answers as a snapshot of now does.

use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Keyless, LeftOut, Record, Scan, StoreError};

use super::{MemoryStore, Rows, checksum};

/// The rows of one moment.
pub(super) struct Snapshot(pub(super) Rows);

#[async_trait]
impl Scan for Snapshot {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let rows = self.0.iter().filter(|(key, _)| *key.entity() == entity.name && !key.has_null());
        let rows = rows.filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(rows.take(limit).map(|(_, record)| record.clone()).collect())
    }

    async fn keyless(&self, entity: &EntityType, limit: usize, _within: Duration) -> Result<Keyless, StoreError> {
        let keys: Vec<_> = self.0.keys().filter(|key| *key.entity() == entity.name && key.has_null()).collect();
        Ok(Keyless { rows: keys.len() as u64, some: keys.into_iter().take(limit).cloned().collect() })
    }

    /// Rows in memory have fields and no other columns.
    async fn left_out(&self, _entity: &EntityType, _within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        Ok(Vec::new())
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        _within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        Ok(checksum::sums(&self.0, entity, chunk))
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(checksum::members(&self.0, entity, chunk).take(limit).map(|(_, record)| record.clone()).collect())
    }
}

#[async_trait]
impl Scan for MemoryStore {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        Snapshot(self.rows()).scan(entity, after, limit, within).await
    }

    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError> {
        Snapshot(self.rows()).keyless(entity, limit, within).await
    }

    /// Rows in memory have fields and no other columns.
    async fn left_out(&self, _entity: &EntityType, _within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        Ok(Vec::new())
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        Snapshot(self.rows()).sums(entity, chunk, within).await
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        Snapshot(self.rows()).members(entity, chunk, limit, within).await
    }
}
