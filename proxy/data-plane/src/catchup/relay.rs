//! The relay finishes unsettled writes: it takes them from the primary's ledger and applies them to
//! the secondary. Any replica may do it, at any time, more than once: newer wins.
//!
//! Only the ledger of the side whose fence is open is relayed, and only what it has written since it has the authority.
//! What the other side's ledger still holds, a handover left behind by force: it was not in what the new primary has
//! computed its own states from, so newer would not win over it but drop it, or one half of it. It waits for a person
//! ([`super::left_behind`]).
//!
//! A write that the secondary refuses is tried again whenever its lease is over, is counted, and
//! never holds up the others. So is one whose row somebody else has changed (`write::foreign`), until it is repaired.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::store::Unsettled;
use model::{Applied, Change, Contract, GroupName, PerSide, Rollout, Side, Stand, Store, StoreError, WriteId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::again::Again;
use crate::figures::Recorder;
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
    /// The contract, for the groups of keys that are looked up again.
    pub contract: Arc<Contract>,
    /// The newest rollout.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// Counts how long writes took to settle.
    pub figures: Recorder,
    /// Pace.
    pub settings: RelaySettings,
    /// The groups whose last round failed: said once, until one succeeds.
    pub failing: Mutex<HashSet<GroupName>>,
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
            for (group, policy) in &(self.rollout)().policies {
                if policy.stage().dual_writes() {
                    rounds.push(self.round(group, policy.primary()).await);
                }
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

    /// Takes what is due from the ledger of `primary`, if its fence says that it is, and brings it to the other side.
    async fn round(&self, group: &GroupName, primary: Side) -> Round {
        let RelaySettings { older_than, lease, limit, within, .. } = self.settings;
        let store = self.stores.get(primary);
        let taken = match store.lease_unsettled(group, Stand::Open, older_than, lease, limit, within).await {
            Ok(taken) => taken,
            Err(error) => {
                telemetry::side_error(primary, &error);
                self.log_once(group, "what is unsettled could not be taken", &error);
                return Round::Outage;
            }
        };
        self.failing.lock().remove(group);
        if taken.is_empty() {
            return Round::Idle;
        }
        let full = taken.len() >= limit;
        let span = tracing::debug_span!(parent: None, "catchup.relay", %primary, writes = taken.len());
        let (settled, outage) = self.bring(group, primary.other(), taken).instrument(span).await;
        if !settled.is_empty()
            && let Err(error) = store.settle(&settled, within).await
        {
            // They will be taken again and found to be stale, which is harmless.
            telemetry::side_error(primary, &error);
            self.log_once(group, "what is on both sides could not be marked as settled", &error);
            return Round::Outage;
        }
        match (outage, full) {
            (true, _) => Round::Outage,
            (false, true) => Round::Full,
            (false, false) => Round::Idle,
        }
    }

    /// Applies the writes; which of them the side has now, and whether it was out of reach.
    async fn bring(&self, group: &GroupName, secondary: Side, taken: Vec<Unsettled>) -> (Vec<WriteId>, bool) {
        let door = self.doors.get(secondary);
        let applying = taken.into_iter().map(|unsettled| async move {
            let outcome = door.bring(unsettled.clone()).await;
            (unsettled, outcome)
        });
        let (mut settled, mut again): (Vec<WriteId>, Vec<Vec<Change>>) = (Vec::new(), Vec::new());
        let mut outage = false;
        for (unsettled, outcome) in futures::future::join_all(applying).await {
            match outcome {
                // States of a narrower contract, or such a one has won: they only name their keys.
                Ok(applied) if applied.contains(&Applied::NotWhole) => again.push(unsettled.changes),
                // It is not there: the door has told why. It waits until the cause is mended, or for an order to repair.
                Ok(applied) if !Applied::settle(&applied, applied.len()) => {}
                Ok(_) => {
                    telemetry::relayed();
                    self.figures.relayed(group, unsettled.write);
                    settled.push(unsettled.write);
                }
                Err(error) if error.is_outage() => outage = true,
                Err(error) => {
                    telemetry::relay_refused();
                    if unsettled.attempts <= 1 {
                        log_refusal(unsettled.write, secondary, &error);
                    }
                }
            }
        }
        if !again.is_empty() {
            settled.extend(self.look_again(secondary, again).await);
        }
        (settled, outage)
    }

    /// Looks up the keys of writes that only name them; the writes that are over now.
    async fn look_again(&self, secondary: Side, writes: Vec<Vec<Change>>) -> Vec<WriteId> {
        let again = Again {
            contract: &self.contract,
            rollout: &(self.rollout)(),
            primary: self.stores.get(secondary.other()),
            door: self.doors.get(secondary),
            within: self.settings.within,
        };
        let over = again.look(writes).await;
        over.iter().for_each(|_| telemetry::relayed());
        over
    }
}

impl Relay {
    fn log_once(&self, group: &GroupName, what: &str, error: &StoreError) {
        if self.failing.lock().insert(group.clone()) {
            tracing::warn!(%group, %error, "the relay of group {group} goes on trying: {what}: {error}");
        }
    }
}

fn log_refusal(write: WriteId, side: Side, error: &StoreError) {
    tracing::error!(write.id = %write, %side, error = %error, "{side} does not take write {write}, it stays unsettled until somebody mends the cause");
}
