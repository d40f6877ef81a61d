//! A side that is ready for writes: for tests of what stands on one side, or on two that are as at the beginning.
//!
//! What runs in production looks at both sides before it opens a fence (`proxy::handover::begin`).

use std::time::Duration;

use async_trait::async_trait;
use model::fence::{Fence, Move};
use model::{Epoch, GroupName, Role, Stand, Store, StoreError};

/// Prepares a store and moves fences that nobody has moved.
#[async_trait]
pub trait Begin {
    /// Prepares the store; then the fence of each of `groups` that was born now is open under epoch 1 where `role` is
    /// primary, and closed under it where it is secondary.
    ///
    /// # Errors
    /// As [`Store::prepare`] and [`Store::move_fence`].
    async fn begin_as(&self, groups: &[GroupName], role: Role, within: Duration) -> Result<(), StoreError>;
}

#[async_trait]
impl<S: Store + ?Sized> Begin for S {
    async fn begin_as(&self, groups: &[GroupName], role: Role, within: Duration) -> Result<(), StoreError> {
        self.prepare(groups, within).await?;
        let stand = match role {
            Role::Primary => Stand::Open,
            Role::Secondary => Stand::Closed,
        };
        let to = Fence::new(Epoch(1), stand);
        for group in groups {
            let step = Move { side: self.side(), from: Fence::BORN, to, takes_over: false };
            self.move_fence(group, &step, within).await?;
        }
        Ok(())
    }
}
