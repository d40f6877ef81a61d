//! Watches the primary's ledger, so that this replica knows of the other replicas' unsettled writes.
//!
//! It also counts the backlog, and reports when a side's log begins a new life (a failover or a
//! restore): from then on its positions count anew, which versions know, but people should too.
//!
//! A look that fails says nothing: soon every key of the group is in doubt, and answered by the primary. Only while the
//! primary cannot be reached by the clients' own road either does what was known last go on to hold: nobody could answer
//! instead. A replica that alone is cut off from the primary may then be behind the others' writes; who sends the
//! version token of his write is not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::store::Strays;
use model::{GroupName, Incarnation, PerSide, Policy, Rollout, Side, Store};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::figures::Recorder;
use crate::write::unsettled::{Look, UnsettledKeys};

/// Pause between two looks: half of what the design allows for propagation, and half again.
const INTERVAL: Duration = Duration::from_millis(250);
/// A look that takes longer than this may be one at a primary that is out of reach; how long that is asked for.
const PATIENCE: Duration = Duration::from_millis(300);
/// Looks between two counts of the backlog.
const COUNT_EVERY: u32 = 4;
/// Looks between two questions after the logs' incarnations, and after what lies there for nobody.
const LIVES_EVERY: u32 = 20;
const STRAYS_EVERY: u32 = 240;
/// Most keys that are read; beyond, the whole group counts as unsettled.
const MOST_KEYS: usize = 5_000;

/// Keeps [`UnsettledKeys`] up to date with the ledger.
pub struct Watch {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// The same, in the lane of clients' writes.
    pub clients: PerSide<Arc<dyn Store>>,
    /// The newest rollout.
    pub rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    /// What is kept up to date.
    pub unsettled: Arc<UnsettledKeys>,
    /// Counts what waits.
    pub figures: Recorder,
    /// Limit of one call.
    pub within: Duration,
    /// The groups that are in doubt: said once.
    pub doubted: Mutex<HashSet<GroupName>>,
}

impl Watch {
    /// Watches until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = 0u32;
        let mut lives = PerSide { legacy: None, modern: None };
        loop {
            let rollout = (self.rollout)();
            // At once: a group whose primary hangs must not let the looks at the others grow old.
            let counts = looks.is_multiple_of(COUNT_EVERY);
            let groups = rollout.policies.iter().map(|(group, policy)| self.watch(group, policy, counts));
            futures::future::join_all(groups).await;
            for side in Side::BOTH {
                if looks.is_multiple_of(LIVES_EVERY) {
                    self.report_new_life(side, lives.get_mut(side)).await;
                }
                if looks % STRAYS_EVERY == 1 {
                    self.report_strays(side).await;
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

    /// Says what lies in a ledger for types that the contract does not have: nobody brings it over.
    async fn report_strays(&self, side: Side) {
        match self.stores.get(side).strays(self.within).await {
            Ok(strays) => {
                telemetry::strays(side, strays.iter().map(|stray| stray.changes).sum());
                for Strays { group, entity, changes } in strays {
                    if entity.as_str().is_empty() {
                        tracing::error!(%side, %group, changes, "{changes} unsettled writes of group {group} that changed nothing are on {side} alone, and the contract has no such group: put it back until they are settled");
                        continue;
                    }
                    tracing::error!(%side, %group, %entity, changes, "{changes} unsettled changes of {entity} (group {group}) are on {side} alone, and the contract has no such type: put it back until they are settled");
                }
            }
            Err(error) => telemetry::side_error(side, &error),
        }
    }

    async fn watch(&self, group: &GroupName, policy: &Policy, counts: bool) {
        if policy.stage().dual_writes() {
            tokio::select! {
                () = self.look(group, policy) => {}
                () = self.hold_while_out_of_reach(group, policy.primary()) => {}
            }
            self.report_doubt(group);
        } else {
            self.unsettled.unwatch(group);
            self.doubted.lock().remove(group);
        }
        if counts {
            self.count(group, policy).await;
        }
    }

    /// While a look takes long, finds out whether the primary is out of reach for clients, too. Never ends.
    async fn hold_while_out_of_reach(&self, group: &GroupName, primary: Side) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            self.hold_if_out_of_reach(group, primary).await;
        }
    }

    async fn hold_if_out_of_reach(&self, group: &GroupName, primary: Side) {
        let asked = self.clients.get(primary).incarnation(PATIENCE).await;
        if asked.is_err_and(|error| error.is_out_of_reach()) {
            self.unsettled.hold(group);
        }
    }

    fn report_doubt(&self, group: &GroupName) {
        if let Some(age) = self.unsettled.look_age(group) {
            telemetry::unsettled_look(group, age);
        }
        let mut doubted = self.doubted.lock();
        if !self.unsettled.is_in_doubt(group) {
            doubted.remove(group);
        } else if doubted.insert(group.clone()) {
            tracing::warn!(%group, "this replica does not know which keys of group {group} are unsettled: the primary answers them all");
        }
    }

    async fn look(&self, group: &GroupName, policy: &Policy) {
        let store = self.stores.get(policy.primary());
        let began = Instant::now();
        match store.unsettled_keys(group, MOST_KEYS + 1, self.within).await {
            Ok(mut keys) => {
                let overflow = keys.len() > MOST_KEYS;
                keys.truncate(MOST_KEYS);
                self.unsettled.saw(group, Look { began, keys, overflow });
            }
            Err(error) => {
                telemetry::side_error(policy.primary(), &error);
                if error.is_out_of_reach() {
                    self.hold_if_out_of_reach(group, policy.primary()).await;
                }
            }
        }
    }

    /// Counts what waits, whether anybody brings it over at this stage or not, and what a handover left behind.
    async fn count(&self, group: &GroupName, policy: &Policy) {
        let (primary, other) = (self.stores.get(policy.primary()), self.stores.get(policy.primary().other()));
        let Ok(backlog) = primary.backlog(group, self.within).await else { return };
        telemetry::backlog(group, &backlog);
        if policy.stage().dual_writes() {
            self.figures.backlog(group, &backlog);
        }
        if let Ok(left) = other.backlog(group, self.within).await {
            telemetry::left_behind(group, backlog.left_behind + left.all());
        }
    }
}
