//! How far webhooks were told, in memory.

use std::time::Duration;

use async_trait::async_trait;
use model::control::{ControlError, WebhookStore};
use model::{ReplicaId, WebhookName};
use tokio::time::Instant;

use super::MemoryControl;

/// How far one webhook was told, and who tells it until when.
#[derive(Debug)]
pub(super) struct Telling {
    told: u64,
    replica: ReplicaId,
    leased_until: Instant,
}

#[async_trait]
impl WebhookStore for MemoryControl {
    async fn lease_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        term: Duration,
    ) -> Result<Option<u64>, ControlError> {
        self.up()?;
        let now = Instant::now();
        let mut state = self.state.lock();
        let newest = state.audit.last().map_or(0, |entry| entry.place);
        let begun = Telling { told: newest, replica: replica.clone(), leased_until: now };
        let telling = state.webhooks.entry(webhook.clone()).or_insert(begun);
        if telling.replica != *replica && telling.leased_until > now {
            return Ok(None);
        }
        telling.replica = replica.clone();
        telling.leased_until = now + term;
        Ok(Some(telling.told))
    }

    async fn advance_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        from: u64,
        to: u64,
    ) -> Result<bool, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let holds = |telling: &&mut Telling| {
            telling.replica == *replica && telling.told == from && telling.leased_until > Instant::now()
        };
        let held = state.webhooks.get_mut(webhook).filter(holds);
        Ok(held.map(|telling| telling.told = to).is_some())
    }
}
