//! A write of which nobody knows whether it stands: its id is claimed, never guessed.

use std::sync::Arc;
use std::time::Duration;

use model::write::Claim;
use model::{Change, GroupName, Policy, Side, Store, WriteId};
use tokio::time::Instant;

use super::road::WriteRoad;
use request::error::{Fault, InternalError};
use telemetry::traces;

/// How long a write with unknown outcome is claimed in the background before the relay's word counts.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);

impl WriteRoad {
    /// Settles the outcome of an attempt that may still be in flight. `None`: it never will stand.
    pub(super) async fn resolve(
        self: &Arc<Self>,
        group: &GroupName,
        write: WriteId,
        policy: Policy,
        deadline: Instant,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let within = remaining.max(self.settings.claim_within);
        let side = policy.primary();
        let store = &self.sides.get(side).store;
        match traces::within(traces::call(&**store, "store.claim"), store.claim(write, within)).await {
            Ok(Claim::Stands(changes)) => Ok(Some(changes)),
            Ok(Claim::Abandoned) => {
                self.unsettled.end(group, write);
                Ok(None)
            }
            Err(error) => {
                telemetry::side_error(side, &error);
                tracing::warn!(write.id = %write, %side, error = %error, "outcome of write {write} on {side} unknown, claiming goes on");
                self.tasks.spawn(Arc::clone(self).keep_claiming(group.clone(), write, side));
                Err(InternalError::OutcomeUnknown(error.to_string()).into())
            }
        }
    }

    /// Claims until the primary answers. Until then the keys stay unsettled, so nobody reads what
    /// may be an older state; the relay carries the write to the secondary if it stands.
    async fn keep_claiming(self: Arc<Self>, group: GroupName, write: WriteId, side: Side) {
        let store: &Arc<dyn Store> = &self.sides.get(side).store;
        loop {
            if self.tasks.is_closed() {
                return;
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
            match store.claim(write, self.settings.claim_within).await {
                Ok(Claim::Stands(_)) => return self.unsettled.leave(&group, write, Instant::now()),
                Ok(Claim::Abandoned) => return self.unsettled.end(&group, write),
                Err(_) => {}
            }
        }
    }
}
