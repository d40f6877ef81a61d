//! A moment kept: nothing but a system change number. Any session can read as of it, several at once, for as long as
//! the server keeps what was overwritten since (`UNDO_RETENTION`, a quarter of an hour by default and not promised).

use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Record, Scan, StoreError};

use super::store::OracleStore;

/// The store as of one system change number.
pub(super) struct OracleSnapshot {
    pub(super) store: OracleStore,
    pub(super) scn: u64,
}

#[async_trait]
impl Scan for OracleSnapshot {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.store.scan_as_of(entity, after, limit, Some(self.scn), within).await
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        self.store.sums_as_of(entity, chunk, Some(self.scn), within).await
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.store.members_as_of(entity, chunk, limit, Some(self.scn), within).await
    }
}
