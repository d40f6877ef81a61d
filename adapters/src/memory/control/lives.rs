//! What is remembered of the sides' lives, in memory.

use async_trait::async_trait;
use model::Side;
use model::control::{ControlError, LifeStore};
use model::life::Memory;

use super::MemoryControl;

#[async_trait]
impl LifeStore for MemoryControl {
    async fn remember(&self, of: Side, memory: Memory) -> Result<(), ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let known = state.lives.entry(of).or_insert(memory);
        if (known.incarnation, known.mark.counter) < (memory.incarnation, memory.mark.counter) {
            *known = memory;
        }
        Ok(())
    }

    async fn remembered(&self, of: Side) -> Result<Option<Memory>, ControlError> {
        self.up()?;
        Ok(self.state.lock().lives.get(&of).copied())
    }
}
