//! The guard's task: looks at every group each second, and rolls back what is not well.
//!
//! Over the figures of the whole fleet while the control store answers, over this replica's own while it
//! does not. The rollback itself needs neither.
//!
//! Promise: one rollback for one rollout, however many replicas make it; none without a reason in words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::control::{Author, ControlError, ControlStore, Figures, OverrideId, Print};
use model::{Contract, GroupName, Instant, Percentage, Policy, ReplicaId, RolloutVersion, Stage};
use tokio::time::{Instant as Moment, MissedTickBehavior};

use super::breach::{Breach, Measure};
use super::canary::Canary;
use super::cut::{self, Since, earlier};
use super::judge::{Baseline, Judgement, Window, judge};
use super::pulse::Pulse;
use super::settings::GuardSettings;
use super::since;
use super::view::{Action, Board, GuardState, GuardView};
use crate::rollout::{Override, RolloutHandle};
use data_plane::figures::{Recorder, canary_group};

/// Pause between two looks.
const TICK: Duration = Duration::from_secs(1);
/// A control store that failed is asked again after this; meanwhile looks are quick.
const RETRY: Duration = Duration::from_secs(5);
/// Longest time that one question to the control store may hold up a look.
const WITHIN: Duration = Duration::from_secs(2);
/// Slots so much older than the window are read again: other replicas may be late.
const LATE: Duration = Duration::from_secs(60);

/// What the guard needs.
#[derive(Clone)]
pub struct Parts {
    /// This replica.
    pub replica: ReplicaId,
    /// The groups of the contract.
    pub groups: Vec<GroupName>,
    /// Where the figures of the fleet are.
    pub control: Arc<dyn ControlStore>,
    /// What is rolled back.
    pub rollout: RolloutHandle,
    /// This replica's own figures.
    pub figures: Recorder,
    /// How the guard works.
    pub settings: GuardSettings,
    /// The wall clock.
    pub clock: fn() -> Instant,
}

/// The guard at work.
pub(super) struct Guard {
    parts: Parts,
    board: Arc<Board>,
    pulse: Arc<Pulse>,
    canary: Canary,
    /// The fleet's figures, as far back as baselines reach.
    fleet: Figures,
    /// When they were last brought up to date.
    fleet_at: Option<Instant>,
    /// The control store is left alone until then.
    not_before: Option<Moment>,
    groups: BTreeMap<GroupName, Watched>,
}

/// What is remembered of a group.
#[derive(Default)]
struct Watched {
    since: Option<Since>,
    /// The rollout for which `since` was asked; `None`: it was guessed.
    asked_for: Option<RolloutVersion>,
    /// Made anew each slot.
    baseline: Option<(Instant, Since, Baseline)>,
    /// Breaches counted since the last change.
    counted: BTreeSet<Measure>,
    acted: Option<RolloutVersion>,
}

impl Guard {
    pub(super) fn new(parts: Parts, board: Arc<Board>, pulse: Arc<Pulse>) -> Self {
        let canary = Canary::new(canary_group(&parts.replica));
        let groups = parts.groups.iter().map(|group| (group.clone(), Watched::default())).collect();
        let (fleet, fleet_at, not_before) = (Figures::default(), None, None);
        Self { parts, board, pulse, canary, fleet, fleet_at, not_before, groups }
    }

    /// Looks until the task is ended.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
            self.pulse.looked();
        }
    }

    /// One look at every group.
    pub(super) async fn look(&mut self) {
        let now = (self.parts.clock)();
        self.canary.fly(&self.parts.figures, &self.parts.settings, now);
        let version = self.parts.rollout.version();
        self.parts.figures.gather(version);
        let canary = self.refresh(now).await;
        let own = canary.is_none().then(|| self.parts.figures.own());
        if let Some(figures) = canary.as_ref().or(own.as_ref())
            && let Some(print) = self.parts.figures.print(self.canary.group())
            && self.canary.is_caught(figures, &print, &self.parts.settings, now)
        {
            self.pulse.caught();
            telemetry::canary_caught(now);
        }
        for group in self.parts.groups.clone() {
            self.learn_since(&group, version).await;
            let (view, breaches) = self.judge(&group, now, own.as_ref());
            self.report(&group, &view, &breaches);
            self.board.show(view);
            if let Some(breach) = breaches.first() {
                self.act(&group, breach, now).await;
            }
        }
    }

    /// Brings the fleet's figures up to date, and returns those of the canary; `None` while the control
    /// store does not answer.
    async fn refresh(&mut self, now: Instant) -> Option<Figures> {
        let (overlap, reach) = (self.parts.settings.window + LATE, self.parts.settings.baseline);
        let since = self.fleet_at.map_or_else(|| earlier(now, reach), |at| earlier(at, overlap));
        let control = Arc::clone(&self.parts.control);
        let young = self.ask(control.figures(None, since)).await?;
        let group = self.canary.group().clone();
        let canary = self.ask(control.figures(Some(&group), earlier(now, overlap))).await?;
        self.fleet.slots.extend(young.slots);
        let oldest = earlier(now, reach);
        self.fleet.slots.retain(|slot, _| slot.at >= oldest);
        self.fleet_at = Some(now);
        Some(canary)
    }

    /// Asks the control store, unless it has failed just now.
    async fn ask<T>(&mut self, question: impl Future<Output = Result<T, ControlError>>) -> Option<T> {
        if self.not_before.is_some_and(|moment| Moment::now() < moment) {
            return None;
        }
        let answer = tokio::time::timeout(WITHIN, question).await.ok().and_then(Result::ok);
        self.not_before = answer.is_none().then(|| Moment::now() + RETRY);
        answer
    }

    /// Learns which rollout changed the group last.
    async fn learn_since(&mut self, group: &GroupName, version: RolloutVersion) {
        let Some(watched) = self.groups.get(group) else { return };
        if watched.asked_for == Some(version) {
            return;
        }
        let control = Arc::clone(&self.parts.control);
        let told = self.ask(since::ask(control.as_ref(), group, version)).await;
        let Some(watched) = self.groups.get_mut(group) else { return };
        if told.is_some() {
            watched.asked_for = Some(version);
        }
        let since = told.or(watched.since).unwrap_or(Since { change: version, run: version });
        if watched.since.replace(since).is_none_or(|before| before.change != since.change) {
            watched.counted.clear();
        }
    }

    /// Judges a group, over `own` figures or the fleet's.
    fn judge(&mut self, group: &GroupName, now: Instant, own: Option<&Figures>) -> (GuardView, Vec<Breach>) {
        let policy = self.parts.rollout.policy(group);
        let settings = &self.parts.settings;
        let watched = self.groups.entry(group.clone()).or_default();
        let version = self.parts.rollout.version();
        let since = watched.since.unwrap_or(Since { change: version, run: version });
        // A group that nobody counts has no figures either.
        let print = self.parts.figures.print(group).unwrap_or_else(|| Print::of(&Contract::default(), group));
        let of = (group, &print);
        let window = cut::window(own.unwrap_or(&self.fleet), of, since.change, now, settings.window);
        let slot = cut::window_start(now, settings.window);
        if watched.baseline.as_ref().is_none_or(|(at, for_since, _)| (*at, *for_since) != (slot, since)) {
            // While the control store is down the fleet's past is as good as ever; without one, ours must do.
            let past = own.filter(|_| self.fleet.is_empty()).unwrap_or(&self.fleet);
            watched.baseline = Some((slot, since, cut::baseline(past, of, since.run, now, settings)));
        }
        let none = Baseline::default();
        let baseline = watched.baseline.as_ref().map_or(&none, |(_, _, baseline)| baseline);
        let (state, reasons, breaches) = verdict(group, &policy, &window, baseline, settings);
        let view = GuardView {
            group: group.clone(),
            state,
            sentence: reasons.first().cloned().unwrap_or_else(|| all_well(baseline, settings)),
            reasons: if state == GuardState::Idle { Vec::new() } else { reasons },
            figures: window.sum().clone(),
            window: settings.window,
            baseline_windows: baseline.windows(),
            whole_fleet: own.is_none(),
            since: since.change,
            at: now,
            rolled_back: self.board.rolled_back(group),
        };
        (view, breaches)
    }

    fn report(&mut self, group: &GroupName, view: &GuardView, breaches: &[Breach]) {
        telemetry::guard_state(group, GuardState::ALL.map(|state| (state.as_str(), state == view.state)));
        let Some(watched) = self.groups.get_mut(group) else { return };
        for breach in breaches {
            if watched.counted.insert(breach.measure()) {
                let sentence = breach.sentence(group);
                tracing::warn!(%group, reason = breach.measure().as_str(), "breach: {sentence}");
                telemetry::guard_breach(group, breach.measure().as_str());
            }
        }
    }

    /// Rolls the group back, once for each rollout, if modern answers any of its reads.
    async fn act(&mut self, group: &GroupName, breach: &Breach, now: Instant) {
        let policy = self.parts.rollout.policy(group);
        let Some(watched) = self.groups.get_mut(group) else { return };
        let Some(Since { change, .. }) = watched.since else { return };
        let is_read = policy.stage() == Stage::Shift && policy.reads() > Percentage::ZERO;
        if !is_read || watched.acted == Some(change) {
            return;
        }
        watched.acted = Some(change);
        let sentence = breach.sentence(group);
        tracing::error!(%group, rollout = %change, "the guard rolls group {group} back: {sentence}");
        let origin = self.parts.rollout.own_name().unwrap_or_else(|| self.parts.replica.clone()).to_string();
        let author = Author { who: "guard".to_owned(), origin, reason: Some(sentence.clone()) };
        let told = Override { id: override_id(group, change), group: group.clone(), author, at: now, idle_under: None };
        self.parts.rollout.roll_back(told).await;
        let action = Action { at: now, rollout: change, sentence };
        if let Some(mut view) = self.board.views().into_iter().find(|view| view.group == *group) {
            view.rolled_back = Some(action);
            self.board.show(view);
        }
    }
}

fn verdict(
    group: &GroupName,
    policy: &Policy,
    window: &Window,
    baseline: &Baseline,
    settings: &GuardSettings,
) -> (GuardState, Vec<String>, Vec<Breach>) {
    if !policy.stage().shadows() {
        let idle = format!("nothing to guard: in stage {} no read of {group} is compared", policy.stage());
        return (GuardState::Idle, vec![idle], Vec::new());
    }
    match judge(window, baseline, &settings.limits, policy.reads() > Percentage::ZERO) {
        Judgement::Well { .. } => (GuardState::Well, Vec::new(), Vec::new()),
        Judgement::Thin(thin) => {
            let reasons = thin.iter().map(|thin| thin.sentence(group, settings.window)).collect();
            (GuardState::Paused, reasons, Vec::new())
        }
        Judgement::Breach(breaches) => {
            let reasons = breaches.iter().map(|breach| breach.sentence(group)).collect();
            (GuardState::Breach, reasons, breaches)
        }
    }
}

fn all_well(baseline: &Baseline, settings: &GuardSettings) -> String {
    let (have, need) = (baseline.windows(), settings.limits.baseline_windows);
    if have < need {
        format!("every fixed limit holds; the baseline has {have} of {need} windows yet")
    } else {
        "every limit holds, and nothing is out of the ordinary".to_owned()
    }
}

/// The same on every replica, for the same group and rollout: their rollbacks are one.
fn override_id(group: &GroupName, change: RolloutVersion) -> OverrideId {
    let mut hasher = blake3::Hasher::new_derive_key("strangler guard rollback 1");
    hasher.update(&change.0.to_be_bytes());
    hasher.update(group.as_str().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    // Version 8: made by a rule of our own.
    OverrideId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests;
