//! The canary: a breach that we make ourselves, to see whether the guard would see a real one.
//!
//! It takes the road of real ones: counted by the recorder, flushed, summed up in the control store (or
//! kept here while that is down), cut into a window, judged under the same limits. Only its name is
//! reserved, one for each replica, so that no user is ever told of it and no group counts it.

use std::time::Duration;

use model::control::{Figures, Print, Slot};
use model::evidence::{Cause, Difference, Observation, Verdict};
use model::store::Backlog;
use model::{GroupName, Instant, PerSide, RolloutVersion, Side};
use tokio::time::Instant as Moment;

use super::breach::Measure;
use super::cut;
use super::judge::{Baseline, Judgement, judge};
use super::settings::GuardSettings;
use data_plane::figures::{CANARY_ROUTE, Recorder};

/// What a canary must be caught by. Lag is left out: there are no sources of changes yet.
const CAUGHT_BY: [Measure; 4] = [Measure::Mismatches, Measure::Errors, Measure::Latency, Measure::UnsettledAge];

/// How long legacy takes of the canary's reads.
const QUICK: Duration = Duration::from_micros(100);

/// The canary of this replica.
#[derive(Debug)]
pub(super) struct Canary {
    group: GroupName,
    /// The last one that was let loose: when, by both clocks, and whether it was caught.
    last: Option<Loose>,
}

#[derive(Debug)]
struct Loose {
    at: Instant,
    moment: Moment,
    caught: bool,
}

impl Canary {
    /// No canary is at large.
    pub(super) fn new(group: GroupName) -> Self {
        Self { group, last: None }
    }

    /// The name under which it is counted.
    pub(super) fn group(&self) -> &GroupName {
        &self.group
    }

    /// Lets one loose when it is time; whether it did.
    pub(super) fn fly(&mut self, recorder: &Recorder, settings: &GuardSettings, now: Instant) -> bool {
        let is_due = self.last.as_ref().is_none_or(|last| last.moment.elapsed() >= settings.canary);
        if is_due {
            self.last = Some(Loose { at: now, moment: Moment::now(), caught: false });
            misbehave(recorder, &self.group, settings);
        }
        is_due
    }

    /// Whether the one at large is seen in `figures`, for the first time.
    pub(super) fn is_caught(
        &mut self,
        figures: &Figures,
        print: &Print,
        settings: &GuardSettings,
        now: Instant,
    ) -> bool {
        let Some(last) = self.last.as_mut().filter(|last| !last.caught) else { return false };
        // An older one must not be taken for it.
        let young = figures.clone().retained(Some(&self.group), Slot::start(last.at));
        let window = cut::window(&young, (&self.group, print), RolloutVersion(0), now, settings.window);
        let Judgement::Breach(breaches) = judge(&window, &Baseline::default(), &settings.limits, true) else {
            return false;
        };
        last.caught = CAUGHT_BY.iter().all(|wanted| breaches.iter().any(|breach| breach.measure() == *wanted));
        last.caught
    }
}

/// Wrong, failing, slow and late, as often as it takes to be noticed.
fn misbehave(recorder: &Recorder, group: &GroupName, settings: &GuardSettings) {
    let limits = &settings.limits;
    let slow = limits.latency_floor.mul_f64(limits.latency_ratio * 4.0).max(Duration::from_secs(1));
    let events = limits.samples.max(limits.events);
    for place in 0..events {
        recorder.observed(&wrong(place));
        recorder.failed(group, Side::Modern);
        recorder.modern_was_asked(group, false);
        recorder.answered(group, Side::Modern, slow);
        recorder.answered(group, Side::Legacy, QUICK);
        recorder.paired(group, PerSide { legacy: QUICK, modern: slow });
    }
    let oldest = limits.unsettled_age * 2 + Duration::from_secs(1);
    recorder.backlog(group, &Backlog { writes: 1, oldest: Some(oldest), left_behind: 0 });
}

/// A confirmed mismatch of a record of its own.
fn wrong(place: u64) -> Observation {
    let key = place.to_string();
    let differs = Difference {
        field: None,
        cause: Cause::Different,
        key: key.clone(),
        values: PerSide::default(),
        records: PerSide::default(),
        excused: false,
        explained: Vec::new(),
    };
    Observation {
        route: CANARY_ROUTE.into(),
        verdict: Verdict::Mismatch,
        reason: None,
        differences: vec![differs],
        fields: Vec::new(),
        keys: vec![key],
    }
}
