//! A moment kept: nothing but a system change number. Any session can read as of it, several at once, for as long as
//! the server keeps what was overwritten since (`UNDO_RETENTION`, a quarter of an hour by default and not promised).

use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Keyless, LeftOut, Record, Scan, StoreError};
use tokio::time::Instant;

use super::store::OracleStore;
use super::table::Table;
use super::{checksum, left_out, read};

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

    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError> {
        self.store.keyless_as_of(entity, limit, Some(self.scn), within).await
    }

    async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        self.store.left_out(entity, within).await
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

/// As of now, each call at a moment of its own.
#[async_trait]
impl Scan for OracleStore {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.scan_as_of(entity, after, limit, None, within).await
    }

    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError> {
        self.keyless_as_of(entity, limit, None, within).await
    }

    async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        let entity = entity.clone();
        self.reading(within, move |session, _, side| left_out::left_out(session, Table::new(&entity, side))).await
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        self.sums_as_of(entity, chunk, None, within).await
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        self.members_as_of(entity, chunk, limit, None, within).await
    }
}

/// As of a system change number, or as of now.
impl OracleStore {
    pub(super) async fn scan_as_of(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let began = Instant::now();
        let numbers = self.numbers_of(entity, after.map_or(&[], std::slice::from_ref), within).await?;
        let table = Table::new(entity, self.side).with(&numbers);
        let within = within.saturating_sub(began.elapsed());
        self.records(table, read::scan(table, after, limit, as_of)?, within).await
    }

    pub(super) async fn keyless_as_of(
        &self,
        entity: &EntityType,
        limit: usize,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Keyless, StoreError> {
        let table = Table::new(entity, self.side);
        let rows = self.ask(read::keyless(table, limit, as_of), within).await?;
        read::read_keyless(table, &rows)
    }

    pub(super) async fn sums_as_of(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        let rows = self.ask(checksum::sums(Table::new(entity, self.side), chunk, as_of), within).await?;
        checksum::read_sums(self.side, &rows)
    }

    pub(super) async fn members_as_of(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        as_of: Option<u64>,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        self.records(table, checksum::members(table, chunk, limit, as_of), within).await
    }
}
