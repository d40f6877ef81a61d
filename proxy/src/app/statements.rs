//! Tries every statement of the contract on both sides when a replica begins, and says loudly what a side would not run.
//!
//! A replica with a wrong statement is ready all the same. Missing bookkeeping fails every write, a wrong statement only the
//! route that it stands in, and often only on the side that nobody asks today: to take every route away for it, on the day
//! on which replicas are restarted since something is down, would be the larger outage. What must not happen, that the
//! authority goes to a side which cannot run what it is asked, is refused where it is ordered (`desk::handover`).

use std::sync::Arc;
use std::time::Duration;

use model::{PerSide, Side, Store};
use tokio_util::sync::CancellationToken;

use crate::admin::Health;

/// How long one side may take for all of them.
const WITHIN: Duration = Duration::from_secs(10);

/// How long a side that did not answer is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Tries both sides, each until it has answered.
pub(super) async fn follow(sides: PerSide<Arc<dyn Store>>, health: Arc<Health>, stop: CancellationToken) {
    let trying = futures::future::join_all(Side::BOTH.map(|side| one(side, Arc::clone(sides.get(side)), &health)));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = trying => {}
    }
}

async fn one(side: Side, store: Arc<dyn Store>, health: &Health) {
    let wrong = loop {
        match store.wrong_statements(WITHIN).await {
            Ok(wrong) if wrong.iter().all(|one| one.tried) => break wrong,
            Ok(_) => {
                tracing::debug!(%side, "some of the contract's statements could not be tried on {side}: something is locked");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Err(error) => {
                tracing::debug!(%side, %error, "the contract's statements were not tried on {side}: {error}");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    for one in &wrong {
        tracing::error!(%side, group = %one.group, "{side} would not run {one}. Clients get INTERNAL where it is needed: mend it, see `strangler check`");
    }
    health.statements(wrong.iter().map(|one| format!("{side}: {one}")));
}
