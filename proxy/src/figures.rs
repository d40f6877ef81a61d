//! Figures as this replica counts them, and their way to the control store.
//!
//! Counting is a few additions to atomic numbers: no lock, no allocation, no waiting. Each second
//! what was counted is put into the slot of that second and sent. The last hour is kept here too, so
//! that the guard can judge while the control store is down.
//!
//! Bounded: so many groups, an hour of slots; what could not be sent for an hour is dropped.
//! Not here: what figures mean (`model::control::figures`), what is too much (`guard`).

mod counters;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::control::figures::UnsettledPeak;
use model::control::{BatchId, ControlError, ControlStore, Figures, Slot};
use model::evidence::Observation;
use model::store::Backlog;
use model::{Contract, GroupName, Instant, ReplicaId, RolloutVersion, RouteName, Side, WriteId};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::telemetry;

use counters::Counters;

/// Pause between two flushes.
const FLUSH: Duration = Duration::from_secs(1);
/// How long figures are kept here.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// The route whose comparisons are the guard's canary. No contract has it.
pub const CANARY_ROUTE: &str = "strangler:canary";

/// The group under which the canary of `replica` is counted.
pub fn canary_group(replica: &ReplicaId) -> GroupName {
    GroupName::new(format!("strangler:canary:{replica}"))
}

/// Counts. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    groups: HashMap<GroupName, Counters>,
    routes: HashMap<RouteName, GroupName>,
    kept: Mutex<Kept>,
    clock: fn() -> Instant,
}

#[derive(Default)]
struct Kept {
    /// What was counted here within the last hour.
    own: Figures,
    /// What the control store does not have yet.
    unsent: Figures,
    /// The rollout that was in force when counters were emptied last.
    rollout: Option<RolloutVersion>,
}

/// Figures that are not acknowledged yet.
struct Batch {
    id: BatchId,
    figures: Figures,
    made: Instant,
}

impl Recorder {
    /// Counts for every group of `contract`, and for the canary of `replica`.
    pub fn new(contract: &Contract, replica: &ReplicaId, clock: fn() -> Instant) -> Self {
        let canary = canary_group(replica);
        let names = contract.groups().into_iter().chain([canary.clone()]);
        let routes = contract.roots.values().map(|root| (root.route.clone(), root.group.clone()));
        Self(Arc::new(Inner {
            groups: names.map(|group| (group, Counters::default())).collect(),
            routes: routes.chain([(CANARY_ROUTE.into(), canary)]).collect(),
            kept: Mutex::default(),
            clock,
        }))
    }

    /// `side` answered a client's read of `group`.
    pub fn answered(&self, group: &GroupName, side: Side, took: Duration) {
        self.with(group, |counters| counters.sides.get(side).answered.count(took));
    }

    /// `side` was asked for a client's read of `group` and did not answer.
    pub fn failed(&self, group: &GroupName, side: Side) {
        self.with(group, |counters| counters.sides.get(side).errors.add(1));
    }

    /// `side` answered a shadow read.
    pub fn shadowed(&self, group: &GroupName, side: Side, took: Duration) {
        self.with(group, |counters| counters.sides.get(side).shadowed.count(took));
    }

    /// A shadow read was not made.
    pub fn shadow_dropped(&self, group: &GroupName) {
        self.with(group, |counters| counters.shadow_dropped.add(1));
    }

    /// A comparison came to its verdict; a mismatch is confirmed by then.
    pub fn observed(&self, observation: &Observation) {
        if let Some(group) = self.0.routes.get(&observation.route) {
            self.with(group, |counters| counters.verdict(observation.verdict).add(1));
        }
    }

    /// The secondary has a write of `group`, so long after the primary had it.
    pub fn settled(&self, group: &GroupName, took: Duration) {
        self.with(group, |counters| counters.settle.count(took));
    }

    /// The relay has brought the write that made `change`. A write's id tells when it began, by the clock
    /// of the replica that wrote; that is a little before the primary's commit.
    pub fn relayed(&self, group: &GroupName, write: WriteId) {
        let began = write.0.get_timestamp().map(|stamp| stamp.to_unix());
        let began = began.and_then(|(seconds, nanos)| DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos));
        if let Some(began) = began {
            // Another machine's clock may be ahead, or ours was put back: how long it took is not known, and not "no time".
            if let Ok(took) = ((self.0.clock)().to_utc() - began).to_std() {
                self.settled(group, took);
            }
        }
    }

    /// So much of `group` waits to be settled now.
    pub fn backlog(&self, group: &GroupName, backlog: &Backlog) {
        let age = if backlog.writes == 0 { Some(Duration::ZERO) } else { backlog.oldest };
        // Writes of unknown age say nothing, which is not the same as young ones: no data pauses who judges it.
        let Some(age) = age else { return };
        let now = UnsettledPeak { writes: backlog.writes, age };
        self.with(group, |counters| counters.unsettled(now));
    }

    /// `source` brings changes of `group` so late now.
    pub fn lagged(&self, group: &GroupName, source: &str, lag: Duration) {
        self.with(group, |counters| counters.lagged(source, lag));
    }

    fn with(&self, group: &GroupName, count: impl FnOnce(&Counters)) {
        // A group of an older contract may still be in the rollout; nobody serves it.
        if let Some(counters) = self.0.groups.get(group) {
            count(counters);
        }
    }

    /// Puts what was counted since the last time into the slot of now. `rollout` is in force now; what was
    /// counted while it came into force belongs to the one before.
    pub fn gather(&self, rollout: RolloutVersion) {
        let now = (self.0.clock)();
        let at = Slot::start(now);
        let mut kept = self.0.kept.lock();
        let rollout = kept.rollout.replace(rollout).unwrap_or(rollout);
        for (group, counters) in &self.0.groups {
            let figures = counters.take();
            if !figures.is_empty() {
                let slot = Slot { at, group: group.clone(), rollout };
                kept.unsent.add(slot.clone(), &figures);
                kept.own.add(slot, &figures);
            }
        }
        let oldest = Instant::new(now.to_utc() - KEPT);
        kept.own.slots.retain(|slot, _| slot.at >= oldest);
        kept.unsent.slots.retain(|slot, _| slot.at >= oldest);
    }

    /// What this replica has counted itself within the last hour, the canary included.
    pub fn own(&self) -> Figures {
        self.0.kept.lock().own.clone()
    }

    /// Gathers and sends each second, until `stop`; then once more. Run it as a task.
    pub async fn run(
        self,
        control: Arc<dyn ControlStore>,
        rollout: Arc<dyn Fn() -> RolloutVersion + Send + Sync>,
        stop: CancellationToken,
    ) {
        let mut batch = None;
        // Beside each other: a control store that hangs must not keep figures from being gathered.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.gather_on(rollout.as_ref()) => {}
            () = self.send_on(control.as_ref(), &mut batch) => {}
        }
        self.gather(rollout());
        // The first may have repeated an older batch. Nobody is left to retry.
        for _ in 0..2 {
            let _ = self.flush(control.as_ref(), &mut batch).await;
        }
    }

    async fn gather_on(&self, rollout: &(dyn Fn() -> RolloutVersion + Send + Sync)) {
        let mut ticks = tokio::time::interval(FLUSH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.gather(rollout());
        }
    }

    async fn send_on(&self, control: &dyn ControlStore, batch: &mut Option<Batch>) {
        let mut failing = false;
        loop {
            tokio::time::sleep(FLUSH).await;
            let failed = self.flush(control, batch).await;
            match &failed {
                Some(error) if !failing => tracing::warn!(%error, "figures wait: {error}"),
                None if failing => tracing::info!("figures are recorded again"),
                Some(_) | None => {}
            }
            failing = failed.is_some();
        }
    }

    /// Sends `batch` (again), or what was gathered since; the error when that failed.
    async fn flush(&self, control: &dyn ControlStore, batch: &mut Option<Batch>) -> Option<ControlError> {
        let now = (self.0.clock)();
        let fresh = |batch: &Batch| now.to_utc() - batch.made.to_utc() < KEPT;
        if batch.as_ref().is_some_and(|batch| !fresh(batch)) {
            telemetry::figures_dropped("too-old");
        }
        if batch.as_ref().is_none_or(|batch| !fresh(batch)) {
            let figures = std::mem::take(&mut self.0.kept.lock().unsent);
            *batch = (!figures.is_empty()).then(|| Batch { id: BatchId(Uuid::new_v4()), figures, made: now });
        }
        // Kept in its place while it is under way: whoever drops this call loses nothing.
        let error = {
            let sent = batch.as_ref()?;
            control.add_figures(sent.id, &sent.figures).await.err()
        };
        // What is refused would be refused for ever, and nothing behind it would arrive.
        if error.as_ref().is_none_or(|error| !error.is_outage()) {
            if let Some(error) = &error {
                telemetry::figures_dropped("refused");
                tracing::error!(%error, "figures were refused and are dropped: {error}");
            }
            *batch = None;
        }
        error
    }
}

/// The wall clock of replicas.
pub fn wall_clock() -> Instant {
    Instant::new(Utc::now())
}

#[cfg(test)]
mod tests;
