//! Reading at large with faults: of the store itself, and of snapshots taken from it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::checksum::{Chunk, ChunkSum};
use model::{EntityKey, EntityType, Keyless, LeftOut, Record, Scan, StoreError};

use super::{Call, FaultyStore};

/// A snapshot whose calls count and fail as the store's own do.
pub(super) struct FaultySnapshot {
    pub(super) store: FaultyStore,
    pub(super) inner: Arc<dyn Scan>,
}

/// Both read through `$inner` of themselves, with the faults of `$store`.
macro_rules! scan_with_faults {
    ($type:ty, |$this:ident| $store:expr, $inner:expr) => {
        #[async_trait]
        impl Scan for $type {
            async fn scan(
                &self,
                entity: &EntityType,
                after: Option<&EntityKey>,
                limit: usize,
                within: Duration,
            ) -> Result<Vec<Record>, StoreError> {
                let $this = self;
                $store.run(Call::Scan, within, || $inner.scan(entity, after, limit, within)).await
            }

            async fn keyless(
                &self,
                entity: &EntityType,
                limit: usize,
                within: Duration,
            ) -> Result<Keyless, StoreError> {
                let $this = self;
                $store.run(Call::Keyless, within, || $inner.keyless(entity, limit, within)).await
            }

            async fn left_out(&self, entity: &EntityType, within: Duration) -> Result<Vec<LeftOut>, StoreError> {
                let $this = self;
                $store.run(Call::LeftOut, within, || $inner.left_out(entity, within)).await
            }

            async fn sums(
                &self,
                entity: &EntityType,
                chunk: &Chunk,
                within: Duration,
            ) -> Result<Vec<(Chunk, ChunkSum)>, StoreError> {
                let $this = self;
                let mut sums = $store.run(Call::Sums, within, || $inner.sums(entity, chunk, within)).await?;
                if $store.plan.lock().wrong_sums {
                    sums.iter_mut().for_each(|(_, sum)| sum.sum += 1);
                }
                Ok(sums)
            }

            async fn members(
                &self,
                entity: &EntityType,
                chunk: &Chunk,
                limit: usize,
                within: Duration,
            ) -> Result<Vec<Record>, StoreError> {
                let $this = self;
                $store.run(Call::Members, within, || $inner.members(entity, chunk, limit, within)).await
            }
        }
    };
}

scan_with_faults!(FaultyStore, |this| this, this.inner);
scan_with_faults!(FaultySnapshot, |this| this.store, this.inner);

impl FaultyStore {
    /// Every sum is one off, as of a server that adds up otherwise than it reads.
    pub fn wrong_sums(&self) {
        self.plan.lock().wrong_sums = true;
    }
}
