//! The relay finishes unsettled writes: it takes them from the primary's ledger and applies them to
//! the secondary. Any replica may do it, at any time, more than once: newer wins.
//!
//! A write that the secondary refuses is tried again whenever its lease is over, is counted, and
//! never holds up the others. So is one whose row somebody else has changed (`write::foreign`), until it is repaired.

use std::sync::Arc;
use std::time::Duration;

use model::store::Unsettled;
use model::{Applied, GroupName, PerSide, Rollout, Side, Store, StoreError, WriteId};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::figures::Recorder;
use crate::telemetry;
use crate::write::apply::Door;

/// Pace of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelaySettings {
    /// Pause between two looks when nothing is due.
    pub interval: Duration,
    /// Younger writes are left to the replica that wrote them.
    pub older_than: Duration,
    /// For how long a taken write is nobody else's.
    pub lease: Duration,
    /// Most writes taken at once.
    pub limit: usize,
    /// Limit of one call to the primary.
    pub within: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(250),
            older_than: Duration::from_millis(500),
            lease: Duration::from_secs(3),
            limit: 200,
            within: Duration::from_secs(2),
        }
    }
}

/// Longest pause after outages in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Finishes unsettled writes.
pub struct Relay {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// The doors to them.
    pub doors: PerSide<Arc<Door>>,
    /// The newest rollout.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// Counts how long writes took to settle.
    pub figures: Recorder,
    /// Pace.
    pub settings: RelaySettings,
}

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing is due.
    Idle,
    /// As much as was allowed: there may be more.
    Full,
    /// A side did not answer.
    Outage,
}

impl Relay {
    /// Relays until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut outages = 0u32;
        loop {
            let mut rounds = Vec::new();
            for primary in Side::BOTH {
                rounds.push(self.round(primary).await);
            }
            outages = if rounds.contains(&Round::Outage) { outages + 1 } else { 0 };
            let pause = match outages {
                0 if rounds.contains(&Round::Full) => Duration::ZERO,
                _ => (self.settings.interval * 2u32.pow(outages.min(4))).min(LONGEST_PAUSE),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes what is due from the ledger of `primary`, which is or was the authority, and brings it to the other side.
    async fn round(&self, primary: Side) -> Round {
        let groups = self.groups();
        if groups.is_empty() {
            return Round::Idle;
        }
        let RelaySettings { older_than, lease, limit, within, .. } = self.settings;
        let store = self.stores.get(primary);
        let taken = match store.lease_unsettled(&groups, older_than, lease, limit, within).await {
            Ok(taken) => taken,
            Err(error) => {
                telemetry::side_error(primary, &error);
                return Round::Outage;
            }
        };
        if taken.is_empty() {
            return Round::Idle;
        }
        let full = taken.len() >= limit;
        let span = tracing::debug_span!(parent: None, "catchup.relay", %primary, writes = taken.len());
        let (settled, outage) = self.bring(primary.other(), taken).instrument(span).await;
        if !settled.is_empty()
            && let Err(error) = store.settle(&settled, within).await
        {
            // They will be taken again and found to be stale, which is harmless.
            telemetry::side_error(primary, &error);
            return Round::Outage;
        }
        match (outage, full) {
            (true, _) => Round::Outage,
            (false, true) => Round::Full,
            (false, false) => Round::Idle,
        }
    }

    /// The groups that are written to both sides. What a side holds from the time when it was primary is brought over
    /// too, should a handover have left it behind: where the key was written since, it is stale.
    fn groups(&self) -> Vec<GroupName> {
        let rollout = (self.rollout)();
        let relayed = rollout.policies.iter().filter(|(_, policy)| policy.stage().dual_writes());
        relayed.map(|(group, _)| group.clone()).collect()
    }

    /// Applies the writes; which of them the side has now, and whether it was out of reach.
    async fn bring(&self, secondary: Side, taken: Vec<Unsettled>) -> (Vec<WriteId>, bool) {
        let door = self.doors.get(secondary);
        let applying = taken.into_iter().filter_map(|unsettled| {
            let first = unsettled.changes.first()?.clone();
            Some(async move { (first, unsettled.attempts, door.apply(unsettled.changes).await) })
        });
        let mut settled = Vec::new();
        let mut outage = false;
        for (first, attempts, outcome) in futures::future::join_all(applying).await {
            match outcome {
                // Somebody else has changed a row there. The door has told it; it waits for an order to repair.
                Ok(applied) if !applied.iter().all(Applied::is_done) => {}
                Ok(_) => {
                    telemetry::relayed();
                    self.figures.relayed(&first);
                    settled.push(first.write);
                }
                Err(error) if error.is_outage() => outage = true,
                Err(error) => {
                    telemetry::relay_refused();
                    if attempts <= 1 {
                        log_refusal(first.write, secondary, &error);
                    }
                }
            }
        }
        (settled, outage)
    }
}

fn log_refusal(write: WriteId, side: Side, error: &StoreError) {
    tracing::error!(write.id = %write, %side, error = %error, "{side} does not take write {write}, it stays unsettled until somebody mends the cause");
}
