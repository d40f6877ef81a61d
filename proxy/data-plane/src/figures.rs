//! Figures as this replica counts them, and their way to the control store.
//!
//! Counting a client's read is a few additions to atomic numbers: no lock, no allocation, no waiting. Each second
//! what was counted is put into the slot of that second and sent. The last hour is kept here too, so
//! that the guard can judge while the control store is down. Records that were compared are kept by the hour besides,
//! for the gates; all of it by what is compared and in which lives of the sides.
//!
//! Bounded: so many groups, an hour of slots; what could not be sent for an hour is dropped.
//! Not here: what figures mean (`model::control::figures`), what is too much (`guard`).

mod counters;
mod marks;
mod pairs;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::control::figures::UnsettledPeak;
use model::control::records::{BITS_OF_AN_HOUR, days_of, hours_of};
use model::control::{BatchId, ControlError, ControlStore, Figures, Found, GroupFigures, Mark, Print, Slot};
use model::evidence::Observation;
use model::store::Backlog;
use model::{
    Contract, EntityName, GroupName, Incarnation, Instant, PerSide, ReplicaId, RolloutVersion, RouteName, Side, WriteId,
};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use counters::Counters;
use marks::Marks;

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
    routes: HashMap<RouteName, (GroupName, EntityName)>,
    /// What was found of each type since the last time, and the group that it moves with.
    entities: HashMap<EntityName, (GroupName, Mutex<Found>)>,
    /// `None`: this replica has not been told yet.
    lives: Mutex<PerSide<Option<Incarnation>>>,
    kept: Mutex<Kept>,
    clock: fn() -> Instant,
}

#[derive(Default)]
struct Kept {
    /// What was counted here within the last hour.
    own: Figures,
    /// What the control store does not have yet.
    unsent: Figures,
    /// The same of records by the hour and the day.
    unsent_records: Figures,
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
        let counters = |group: GroupName| (group.clone(), Counters::new(Print::of(contract, &group)));
        let routes = contract.roots.values().map(|root| {
            let (group, entity) = (root.group.clone(), root.entity.name.clone());
            (root.route.clone(), (group, entity))
        });
        let entities = contract.roots.values().map(|root| {
            let found = Mutex::new(Found::of_bits(BITS_OF_AN_HOUR));
            (root.entity.name.clone(), (root.entity.group.clone(), found))
        });
        Self(Arc::new(Inner {
            groups: names.map(counters).collect(),
            routes: routes.chain([(CANARY_ROUTE.into(), (canary, CANARY_ROUTE.into()))]).collect(),
            entities: entities.collect(),
            lives: Mutex::default(),
            kept: Mutex::default(),
            clock,
        }))
    }

    /// `side` lives this life now: what was found in another one does not count for it.
    pub fn lives(&self, side: Side, incarnation: Incarnation) {
        *self.0.lives.lock().get_mut(side) = Some(incarnation);
    }

    /// What `group` is compared by, in the lives that the sides live now.
    pub fn print(&self, group: &GroupName) -> Option<Print> {
        let lives = known(*self.0.lives.lock());
        self.0.groups.get(group).map(|counters| counters.print.in_lives(lives))
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
        let Some((group, entity)) = self.0.routes.get(&observation.route) else { return };
        let marks = Marks::of(entity.as_str(), observation);
        let now = (self.0.clock)();
        let tell = |found: &mut Found| {
            *found.verdicts.of(observation.verdict) += 1;
            marks.compared.iter().for_each(|mark| found.records.add(*mark));
            found.merge(&Found { wrong: marks.wrong.clone(), first: Some(now), last: Some(now), ..Found::default() });
        };
        self.with(group, |counters| tell(&mut counters.found.lock()));
        if let Some((_, found)) = self.0.entities.get(entity) {
            tell(&mut found.lock());
        }
    }

    /// Whether `question`, which modern has answered and legacy was asked for a comparison, is to be put to modern once
    /// more for its time.
    pub fn wants_pair(&self, group: &GroupName, question: Mark) -> bool {
        let now = (self.0.clock)();
        self.0.groups.get(group).is_some_and(|counters| counters.pairs.wants(question, now))
    }

    /// Both sides answered one question in the lane of shadows, and took so long.
    pub fn paired(&self, group: &GroupName, took: PerSide<Duration>) {
        self.with(group, |counters| {
            let mut found = counters.found.lock();
            found.pairs.legacy.count(took.legacy);
            found.pairs.modern.count(took.modern);
        });
    }

    /// A comparison met a record that somebody has changed past us on the secondary: counted in the metrics once.
    pub fn found_foreign(&self, group: &GroupName, record: Mark) {
        self.with(group, |counters| {
            if counters.foreign.is_news(record) {
                telemetry::foreign_found(group, 1);
            }
        });
    }

    /// Modern was asked in the lane of shadows, and answered or did not.
    pub fn modern_was_asked(&self, group: &GroupName, answered: bool) {
        self.with(group, |counters| {
            let mut found = counters.found.lock();
            *(if answered { &mut found.answered } else { &mut found.unanswered }) += 1;
        });
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
        let lives = known(*self.0.lives.lock());
        for (group, counters) in &self.0.groups {
            let figures = counters.take(&counters.print.in_lives(lives));
            if !figures.is_empty() {
                let slot = Slot { at, group: group.clone(), rollout };
                kept.unsent.add(slot.clone(), &figures);
                kept.own.add(slot, &figures);
            }
        }
        self.gather_records(&mut kept.unsent_records, now, rollout);
        let oldest = Instant::new(now.to_utc() - KEPT);
        kept.own.slots.retain(|slot, _| slot.at >= oldest);
        kept.unsent.slots.retain(|slot, _| slot.at >= oldest);
        kept.unsent_records.slots.retain(|slot, _| slot.at >= Slot::day(oldest));
    }

    /// The records of each type by the hour, and by the day what they were compared by. What was found before this replica
    /// knows which lives the sides live is no evidence for a gate: a restart would look like a change.
    fn gather_records(&self, unsent: &mut Figures, now: Instant, rollout: RolloutVersion) {
        let PerSide { legacy, modern } = *self.0.lives.lock();
        let told = legacy.is_some() && modern.is_some();
        for (entity, (group, found)) in &self.0.entities {
            let found = std::mem::replace(&mut *found.lock(), Found::of_bits(BITS_OF_AN_HOUR));
            let Some(print) = self.print(group).filter(|_| told && !found.is_empty()) else { continue };
            let (first, last) = (found.first, found.last);
            let figures = |found| GroupFigures { found: [(print.clone(), found)].into(), ..GroupFigures::default() };
            let slot = Slot { at: Slot::hour(now), group: hours_of(entity), rollout };
            unsent.add(slot, &figures(found));
            let slot = Slot { at: Slot::day(now), group: days_of(group), rollout };
            unsent.add(slot, &figures(Found { first, last, ..Found::default() }));
        }
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
            let mut kept = self.0.kept.lock();
            let mut figures = std::mem::take(&mut kept.unsent);
            figures.merge(&std::mem::take(&mut kept.unsent_records));
            drop(kept);
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

fn known(lives: PerSide<Option<Incarnation>>) -> PerSide<Incarnation> {
    lives.map(|_, incarnation| incarnation.unwrap_or(Incarnation(0)))
}

/// The wall clock of replicas.
pub fn wall_clock() -> Instant {
    Instant::new(Utc::now())
}

#[cfg(test)]
mod tests;
