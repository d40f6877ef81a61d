//! Watches the primary's ledger, so that this replica knows of the other replicas' unsettled writes.
//!
//! It also counts the backlog, and reports when a side's log begins a new life (a failover or a
//! restore): from then on its positions count anew, which versions know, but people should too.
//!
//! While the primary cannot be asked, what was known last goes on to hold: no new write can have
//! been acknowledged meanwhile.

use std::sync::Arc;
use std::time::Duration;

use model::{GroupName, Incarnation, PerSide, Policy, Rollout, Side, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::figures::Recorder;
use crate::telemetry;
use crate::write::unsettled::{Look, UnsettledKeys};

/// Pause between two looks: half of what the design allows for propagation, and half again.
const INTERVAL: Duration = Duration::from_millis(250);
/// Looks between two counts of the backlog.
const COUNT_EVERY: u32 = 4;
/// Looks between two questions after the logs' incarnations, and between two clean-ups.
const LIVES_EVERY: u32 = 20;
const FORGET_EVERY: u32 = 240;
/// Ledger rows forgotten at once.
const FORGET_MOST: usize = 5_000;
/// Most keys that are read; beyond, the whole group counts as unsettled.
const MOST_KEYS: usize = 5_000;

/// Keeps [`UnsettledKeys`] up to date with the ledger.
pub struct Watch {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// The newest rollout.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// What is kept up to date.
    pub unsettled: Arc<UnsettledKeys>,
    /// Counts what waits.
    pub figures: Recorder,
    /// How long settled ledger rows are kept: idempotency keys are known for as long.
    pub retention: Duration,
    /// Limit of one call.
    pub within: Duration,
}

impl Watch {
    /// Watches until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = 0u32;
        let mut lives = PerSide { legacy: None, modern: None };
        loop {
            let rollout = (self.rollout)();
            for (group, policy) in &rollout.policies {
                if policy.stage().dual_writes() {
                    self.look(group, policy, looks.is_multiple_of(COUNT_EVERY)).await;
                } else {
                    self.unsettled.unwatch(group);
                    telemetry::backlog(group, 0, Duration::ZERO);
                }
            }
            for side in Side::BOTH {
                if looks.is_multiple_of(LIVES_EVERY) {
                    self.report_new_life(side, lives.get_mut(side)).await;
                }
                if looks % FORGET_EVERY == FORGET_EVERY - 1 {
                    self.forget(side).await;
                }
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn report_new_life(&self, side: Side, known: &mut Option<Incarnation>) {
        let Ok(now) = self.stores.get(side).incarnation(self.within).await else { return };
        if let Some(before) = known.replace(now).filter(|before| *before != now) {
            tracing::warn!(%side, before = before.0, now = now.0, "{side}'s log began a new life: it was failed over or restored");
        }
        telemetry::incarnation(side, now);
    }

    async fn forget(&self, side: Side) {
        match self.stores.get(side).forget(self.retention, FORGET_MOST, self.within).await {
            Ok(rows) if rows > 0 => tracing::debug!(%side, rows, "{rows} settled ledger rows forgotten on {side}"),
            Ok(_) => {}
            Err(error) => telemetry::side_error(side, &error),
        }
    }

    async fn look(&self, group: &GroupName, policy: &Policy, count: bool) {
        let store = self.stores.get(policy.primary());
        let began = Instant::now();
        match store.unsettled_keys(group, MOST_KEYS + 1, self.within).await {
            Ok(mut keys) => {
                let overflow = keys.len() > MOST_KEYS;
                keys.truncate(MOST_KEYS);
                self.unsettled.saw(group, Look { began, keys, overflow });
            }
            Err(error) => telemetry::side_error(policy.primary(), &error),
        }
        if count && let Ok(backlog) = store.backlog(group, self.within).await {
            telemetry::backlog(group, backlog.writes, backlog.oldest);
            self.figures.backlog(group, &backlog);
        }
    }
}
