//! The saga log with faults.

use std::time::Duration;

use async_trait::async_trait;
use model::saga::{Begun, Leased, OpenSagas, SagaCounts};
use model::{Instant, SagaId, SagaLog, SagaRow, SagaStatus, StoreError};

use super::{Call, FaultyStore};

#[async_trait]
impl SagaLog for FaultyStore {
    async fn begin_saga(&self, saga: &SagaRow, lease: Duration, within: Duration) -> Result<Begun, StoreError> {
        self.run(Call::BeginSaga, within, || self.inner.begin_saga(saga, lease, within)).await
    }

    async fn save_saga(&self, saga: &SagaRow, pause: Duration, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::SaveSaga, within, || self.inner.save_saga(saga, pause, within)).await
    }

    async fn lease_sagas(&self, lease: Duration, limit: usize, within: Duration) -> Result<Leased, StoreError> {
        self.run(Call::LeaseSagas, within, || self.inner.lease_sagas(lease, limit, within)).await
    }

    async fn copy_saga(&self, saga: &SagaRow, within: Duration) -> Result<(), StoreError> {
        self.run(Call::CopySaga, within, || self.inner.copy_saga(saga, within)).await
    }

    async fn saga_copies(
        &self,
        since: Instant,
        after: Option<&SagaId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        self.run(Call::SagaCopies, within, || self.inner.saga_copies(since, after, limit, within)).await
    }

    async fn restore_saga(&self, saga: &SagaRow, within: Duration) -> Result<bool, StoreError> {
        self.run(Call::RestoreSaga, within, || self.inner.restore_saga(saga, within)).await
    }

    async fn saga(&self, id: &SagaId, within: Duration) -> Result<Option<SagaRow>, StoreError> {
        self.run(Call::Saga, within, || self.inner.saga(id, within)).await
    }

    async fn sagas(
        &self,
        status: Option<SagaStatus>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError> {
        self.run(Call::Sagas, within, || self.inner.sagas(status, limit, within)).await
    }

    async fn open_sagas(&self, within: Duration) -> Result<OpenSagas, StoreError> {
        self.run(Call::OpenSagas, within, || self.inner.open_sagas(within)).await
    }

    async fn count_sagas(&self, within: Duration) -> Result<SagaCounts, StoreError> {
        self.run(Call::CountSagas, within, || self.inner.count_sagas(within)).await
    }

    async fn forget_sagas(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError> {
        self.run(Call::ForgetSagas, within, || self.inner.forget_sagas(retention, limit, within)).await
    }
}
