//! The part of the port that reads at large, as of now: each call at a moment of its own.

use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Keyless, LeftOut, Record, Scan, StoreError};

use super::PostgresStore;
use crate::postgres::table::Table;
use crate::postgres::{checksum, left_out, read};

#[async_trait]
impl Scan for PostgresStore {
    async fn scan(
        &self,
        entity: &EntityType,
        after: Option<&EntityKey>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| read::scan(&session, table, after, limit))
    }

    async fn keyless(&self, entity: &EntityType, limit: usize, within: Duration) -> Result<Keyless, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| read::keyless(&session, table, limit))
    }

    async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| left_out::left_out(&session, table))
    }

    async fn sums(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        within: Duration,
    ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| checksum::sums(&session, table, chunk))
    }

    async fn members(
        &self,
        entity: &EntityType,
        chunk: &Chunk,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let table = Table::new(entity, self.side);
        look!(self, within, |session| checksum::members(&session, table, chunk, limit))
    }
}
