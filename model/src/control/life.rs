//! What the control store remembers of the sides' lives; see [`crate::life`].

use async_trait::async_trait;

use super::ControlError;
use crate::life::Memory;
use crate::side::Side;

/// Where the newest mark of each side is remembered for the whole fleet.
#[async_trait]
pub trait LifeStore: Send + Sync {
    /// Remembers a mark of a side, unless something newer is remembered already.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn remember(&self, of: Side, memory: Memory) -> Result<(), ControlError>;

    /// The newest mark of `of` that is remembered.
    ///
    /// # Errors
    /// As `remember`.
    async fn remembered(&self, of: Side) -> Result<Option<Memory>, ControlError>;
}
