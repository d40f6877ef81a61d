//! The saga log in memory.

use std::time::Duration;

use async_trait::async_trait;
use model::saga::{Begun, Leased, OpenSagas, SagaCounts};
use model::{Instant as WallClock, SagaId, SagaLog, SagaRow, SagaStatus, StoreError};
use tokio::time::Instant;

use super::MemoryStore;

/// A saga and when it may be taken next.
#[derive(Clone)]
pub(super) struct Kept {
    row: SagaRow,
    due: Instant,
    changed: Instant,
    /// Order of creation, since many are made at one instant.
    sequence: u64,
}

#[async_trait]
impl SagaLog for MemoryStore {
    async fn begin_saga(&self, saga: &SagaRow, lease: Duration, _within: Duration) -> Result<Begun, StoreError> {
        let mut state = self.shared.lock();
        if let Some(kept) = state.sagas.get(&saga.id) {
            return Ok(Begun::Before(kept.row.clone()));
        }
        self.living(&state)?;
        state.position += 1;
        let now = Instant::now();
        let row = SagaRow { revision: 1, began_at: super::wall_clock(), ..saga.clone() };
        let sequence = state.position;
        state.sagas.insert(saga.id.clone(), Kept { row, due: now + lease, changed: now, sequence });
        Ok(Begun::Now)
    }

    async fn save_saga(&self, saga: &SagaRow, pause: Duration, _within: Duration) -> Result<bool, StoreError> {
        let mut state = self.shared.lock();
        let kept = state.sagas.get_mut(&saga.id).filter(|kept| kept.row.revision == saga.revision);
        let Some(kept) = kept else {
            return Ok(false);
        };
        kept.row.status = saga.status;
        kept.row.document.clone_from(&saga.document);
        kept.row.revision += 1;
        kept.changed = Instant::now();
        kept.due = kept.changed + pause;
        Ok(true)
    }

    async fn lease_sagas(&self, lease: Duration, limit: usize, _within: Duration) -> Result<Leased, StoreError> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let mut due: Vec<_> =
            state.sagas.values_mut().filter(|kept| kept.row.status.is_under_way() && kept.due <= now).collect();
        due.sort_by_key(|kept| (kept.due, kept.sequence));
        let lease = |kept: &mut Kept| {
            kept.due = now + lease;
            kept.row.revision += 1;
            kept.row.clone()
        };
        Ok(Leased { sagas: due.into_iter().take(limit).map(lease).collect(), unreadable: 0 })
    }

    async fn copy_saga(&self, saga: &SagaRow, _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        self.living(&state)?;
        state.saga_copies.insert(saga.id.clone(), (super::wall_clock(), saga.clone()));
        Ok(())
    }

    async fn saga_copies(
        &self,
        since: WallClock,
        after: Option<&SagaId>,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        let state = self.shared.lock();
        let found =
            state.saga_copies.iter().filter(|(id, (made, _))| *made >= since && after.is_none_or(|after| *id > after));
        Ok(found.map(|(_, (_, row))| row.clone()).take(limit).collect())
    }

    async fn restore_saga(&self, saga: &SagaRow, _within: Duration) -> Result<bool, StoreError> {
        let mut state = self.shared.lock();
        if state.sagas.contains_key(&saga.id) {
            return Ok(false);
        }
        state.position += 1;
        let now = Instant::now();
        let row = SagaRow { revision: 1, began_at: super::wall_clock(), ..saga.clone() };
        let sequence = state.position;
        state.sagas.insert(saga.id.clone(), Kept { row, due: now, changed: now, sequence });
        Ok(true)
    }

    async fn saga(&self, id: &SagaId, _within: Duration) -> Result<Option<SagaRow>, StoreError> {
        Ok(self.shared.lock().sagas.get(id).map(|kept| kept.row.clone()))
    }

    async fn sagas(
        &self,
        status: Option<SagaStatus>,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        let state = self.shared.lock();
        let mut found: Vec<_> =
            state.sagas.values().filter(|kept| status.is_none_or(|status| kept.row.status == status)).collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.sequence));
        Ok(found.into_iter().take(limit).map(|kept| kept.row.clone()).collect())
    }

    async fn open_sagas(&self, _within: Duration) -> Result<OpenSagas, StoreError> {
        let state = self.shared.lock();
        let open = state.sagas.iter().filter(|(_, kept)| !kept.row.status.has_ended());
        let open: Vec<_> = open.map(|(id, _)| id.clone()).take(OpenSagas::MOST + 1).collect();
        Ok(if open.len() > OpenSagas::MOST { OpenSagas::Unknown } else { OpenSagas::These(open) })
    }

    async fn count_sagas(&self, _within: Duration) -> Result<SagaCounts, StoreError> {
        let state = self.shared.lock();
        let count = |status| state.sagas.values().filter(|kept| kept.row.status == status).count() as u64;
        Ok(SagaCounts {
            running: count(SagaStatus::Running),
            compensating: count(SagaStatus::Compensating),
            stuck: count(SagaStatus::Stuck),
        })
    }

    async fn forget_sagas(&self, retention: Duration, limit: usize, _within: Duration) -> Result<u64, StoreError> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let old = |kept: &Kept| kept.row.status.has_ended() && now.saturating_duration_since(kept.changed) > retention;
        let gone: Vec<SagaId> =
            state.sagas.iter().filter(|(_, kept)| old(kept)).map(|(id, _)| id.clone()).take(limit).collect();
        for id in &gone {
            state.sagas.remove(id);
        }
        Ok(gone.len() as u64)
    }
}
