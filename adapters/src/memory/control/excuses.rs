//! Accepted excuses in memory.

use async_trait::async_trait;
use chrono::Utc;
use model::Instant;
use model::control::{AcceptedExcuse, Author, ControlError, ExcuseId, ExcuseRecord, ExcuseStore, Withdrawal};

use super::MemoryControl;

#[async_trait]
impl ExcuseStore for MemoryControl {
    async fn excuse(&self, excuse: &AcceptedExcuse) -> Result<(), ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.excuses.iter().all(|known| known.excuse.id != excuse.id) {
            let at = Instant::new(Utc::now());
            state.excuses.push(ExcuseRecord { excuse: excuse.clone(), at, withdrawn: None });
        }
        Ok(())
    }

    async fn withdraw_excuse(&self, id: ExcuseId, author: &Author) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let Some(record) = state.excuses.iter_mut().find(|known| known.excuse.id == id) else { return Ok(false) };
        let withdrawal = || Withdrawal { author: author.clone(), at: Instant::new(Utc::now()) };
        record.withdrawn.get_or_insert_with(withdrawal);
        Ok(true)
    }

    async fn excuses(&self) -> Result<Vec<ExcuseRecord>, ControlError> {
        self.up()?;
        Ok(self.state.lock().excuses.clone())
    }
}
