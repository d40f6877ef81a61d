//! The shapes that a side remembers, with faults.

use std::time::Duration;

use async_trait::async_trait;
use model::shape::Remembered;
use model::{GroupName, NotRead, Shape, ShapeLog, StoreError};

use super::{Call, FaultyStore};

#[async_trait]
impl ShapeLog for FaultyStore {
    async fn shapes(&self, within: Duration) -> Result<Vec<Remembered>, StoreError> {
        self.run(Call::Shapes, within, || self.inner.shapes(within)).await
    }

    async fn register(&self, shape: &Shape, after: u32, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::Register, within, || self.inner.register(shape, after, within)).await
    }

    async fn remember_shape(&self, shape: &Shape, within: Duration) -> Result<(), StoreError> {
        self.run(Call::Register, within, || self.inner.remember_shape(shape, within)).await
    }

    async fn left_to_newer(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<NotRead>, StoreError> {
        self.run(Call::Shapes, within, || self.inner.left_to_newer(group, limit, within)).await
    }
}
