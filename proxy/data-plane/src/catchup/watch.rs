//! Watches the primary's ledger, so that this replica knows of the other replicas' unsettled writes.
//!
//! It also counts the backlog, and reports when a side's log begins a new life (a failover or a
//! restore): from then on its positions count anew, which versions know, but people should too.
//!
//! A look that fails says nothing: soon every key of the group is in doubt, and answered by the primary. Only while the
//! primary cannot be reached by the clients' own road either does what was known last go on to hold: nobody could answer
//! instead. A replica that alone is cut off from the primary may then be behind the others' writes; who sends the
//! version token of his write is not.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use model::store::Strays;
use model::{GroupName, Incarnation, PerSide, Policy, Rollout, Side, Store};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::figures::Recorder;
use crate::write::unsettled::{FRESH, Look, UnsettledKeys};

/// Pause between two looks: half of what the design allows for propagation, and half again.
const INTERVAL: Duration = Duration::from_millis(250);
/// A look that takes longer than this may be one at a primary that is out of reach; how long that is asked for.
const PATIENCE: Duration = Duration::from_millis(300);
/// Looks between two counts of the backlog.
const COUNT_EVERY: u32 = 4;
/// Looks between two questions after the logs' incarnations, and after what lies there for nobody.
const LIVES_EVERY: u32 = 20;
const STRAYS_EVERY: u32 = 240;
/// Most keys of a group that are read; beyond, all of that group counts as unsettled, and no other. They hold about 30 MB.
const MOST_KEYS: usize = 100_000;

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
    /// How many writes of a group may wait; `None`: as many as there are.
    pub most_unsettled: Option<NonZeroU64>,
    /// Counts what waits.
    pub figures: Recorder,
    /// Limit of one call.
    pub within: Duration,
    /// The groups that are in doubt: said once.
    pub doubted: Mutex<HashSet<GroupName>>,
}

/// The looks at one group.
struct Looks {
    made: u32,
    /// When the next one is due; `None`: one is under way.
    next: Option<Instant>,
}

impl Watch {
    /// Watches until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let watched = async { tokio::join!(self.watch_groups(), self.watch_logs()) };
        stop.run_until_cancelled(watched).await;
    }

    /// Each group at its own pace: one whose primary hangs, or for which very many keys wait, must not let the looks at
    /// the others grow old. Never ends.
    async fn watch_groups(self: &Arc<Self>) {
        let mut looks: HashMap<GroupName, Looks> = HashMap::new();
        let mut under_way = JoinSet::new();
        loop {
            let (now, rollout) = (Instant::now(), (self.rollout)());
            looks.retain(|group, looks| looks.next.is_none() || rollout.policies.contains_key(group));
            for (group, policy) in &rollout.policies {
                let looks = looks.entry(group.clone()).or_insert(Looks { made: 0, next: Some(now) });
                if looks.next.is_some_and(|next| next <= now) {
                    let counts = looks.made.is_multiple_of(COUNT_EVERY);
                    *looks = Looks { made: looks.made.wrapping_add(1), next: None };
                    let (watch, group, policy) = (Arc::clone(self), group.clone(), *policy);
                    under_way.spawn(async move {
                        watch.watch(&group, &policy, counts).await;
                        (group, Instant::now() + pause(now.elapsed()))
                    });
                }
            }
            let next = looks.values().filter_map(|looks| looks.next).min().unwrap_or(now + INTERVAL);
            tokio::select! {
                Some(ended) = under_way.join_next() => {
                    // Whoever keeps this task begins it anew.
                    let (group, next) = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                    looks.entry(group).and_modify(|looks| looks.next = Some(next));
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Never ends.
    async fn watch_logs(&self) {
        let mut looks = 0_u32;
        let mut lives = PerSide { legacy: None, modern: None };
        loop {
            for side in Side::BOTH {
                if looks.is_multiple_of(LIVES_EVERY) {
                    self.report_new_life(side, lives.get_mut(side)).await;
                }
                if looks % STRAYS_EVERY == 1 {
                    self.report_strays(side).await;
                }
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(INTERVAL).await;
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

    /// Says whether the group takes further writes: what waits lies on the primary's disk.
    fn limit(&self, group: &GroupName, policy: &Policy, waiting: u64) {
        let most = self.most_unsettled.filter(|_| policy.stage().dual_writes());
        let is_full = most.is_some_and(|most| waiting >= most.get());
        if !self.unsettled.set_full(group, is_full) {
            return;
        }
        if is_full {
            tracing::error!(%group, waiting, "{waiting} writes of group {group} wait for the secondary, which is writes.unsettled_limit: further ones are refused until it has some of them");
        } else {
            tracing::warn!(%group, waiting, "{waiting} writes of group {group} wait for the secondary: it takes writes again");
        }
    }

    /// Counts what waits, whether anybody brings it over at this stage or not, and what a handover left behind.
    async fn count(&self, group: &GroupName, policy: &Policy) {
        let (primary, other) = (self.stores.get(policy.primary()), self.stores.get(policy.primary().other()));
        let Ok(backlog) = primary.backlog(group, self.within).await else { return };
        telemetry::backlog(group, &backlog);
        self.limit(group, policy, backlog.writes);
        if policy.stage().dual_writes() {
            self.figures.backlog(group, &backlog);
        }
        if let Ok(left) = other.backlog(group, self.within).await {
            telemetry::left_behind(group, backlog.left_behind + left.all());
        }
    }
}

/// The pause after looks that took `took`: where very many keys wait, the primary rests for three times as long as it
/// works, as far as looks stay fresh.
fn pause(took: Duration) -> Duration {
    let longest = (FRESH * 3 / 4).saturating_sub(took).max(INTERVAL);
    (took * 3).clamp(INTERVAL, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_take_long_leave_the_primary_alone_and_are_renewed_in_time() {
        let pause = |took| pause(Duration::from_millis(took)).as_millis();
        assert_eq!([0, 10, 80, 100, 150].map(pause), [250, 250, 250, 300, 450]);
        assert_eq!([200, 400, 600, 60_000].map(pause), [550, 350, 250, 250]);
    }
}
