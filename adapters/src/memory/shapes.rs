//! Shapes in memory. A store in memory has one contract: it shows who registers what, and that only whole states are
//! applied.

use std::time::Duration;

use async_trait::async_trait;
use model::shape::{Remembered, registered};
use model::{GroupName, NotRead, Shape, ShapeLog, StoreError};

use super::{MemoryStore, Standing};
use crate::known::Known;

#[async_trait]
impl ShapeLog for MemoryStore {
    async fn shapes(&self, _within: Duration) -> Result<Vec<Remembered>, StoreError> {
        Ok(self.shared.lock().shapes.clone())
    }

    async fn register(&self, shape: &Shape, after: u32, _within: Duration) -> Result<bool, StoreError> {
        let mut state = self.shared.lock();
        if registered(&state.shapes, &shape.entity).map_or(0, |one| one.rank) != after {
            return Ok(false);
        }
        state.shapes.retain(|one| one.id != shape.id());
        state.shapes.push(remembered(shape, after + 1));
        Ok(true)
    }

    async fn remember_shape(&self, shape: &Shape, _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        if !state.shapes.iter().any(|one| one.id == shape.id()) {
            state.shapes.push(remembered(shape, 0));
        }
        Ok(())
    }

    async fn left_to_newer(
        &self,
        group: &GroupName,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<NotRead>, StoreError> {
        let state = self.shared.lock();
        let picture = Known::new(self.contract.clone()).saw(&state.shapes);
        let waiting = state.ledger.values().filter(|entry| entry.standing == Standing::Unsettled);
        let changes = waiting.filter(|entry| entry.group.as_ref() == Some(group)).flat_map(|entry| &entry.changes);
        let others = changes.filter(|change| !picture.applied().any(|name| name == change.key.entity()));
        Ok(others.take(limit).map(|change| change.left_by(&self.contract)).collect())
    }
}

fn remembered(shape: &Shape, rank: u32) -> Remembered {
    Remembered { entity: shape.entity.clone(), id: shape.id(), rank, shape: Some(shape.clone()) }
}
