//! Is a group well? Pure: figures and limits in, a judgement out.
//!
//! Three kinds of tests: fixed limits; deviation from the group's own baseline; and what a mean does not
//! show, the share of slow reads and bursts within one slot (`docs/adr/0014`).
//!
//! What one client can repeat, it can neither use nor hide behind (`docs/adr/0032`): wrong *records* are counted, each
//! once; latency is that of one question put to both sides; errors of clients' reads count when shadow reads do not
//! answer otherwise.
//!
//! Promise: no data is not success. Where a fixed limit cannot be tested the judgement is
//! [`Judgement::Thin`], which neither rolls back nor passes.

use std::time::Duration;

use model::PerSide;
use model::control::GroupFigures;
use model::control::histogram::{BOUNDS, Histogram, step};

use super::breach::{Breach, Counted, Thin};
use super::settings::Limits;
use super::statistics::{Part, usual_share, usual_value};

/// A deviation smaller than this part of the fixed limit, times the standard deviations, is never a breach.
const FLOOR: f64 = 0.1;
/// The same for the share of slow reads: with three standard deviations, about one read in a hundred.
const SPIKE_FLOOR: f64 = 0.003;
/// A usual mean may move by this part of itself.
const DRIFT: f64 = 0.1;
/// Reads that are slower than all but one in so many of the baseline are slow.
const ONE_IN: u64 = 100;
/// The percentile at which both sides' latencies are compared.
const PERCENTILE: f64 = 0.95;
/// Questions put to both sides that suffice for their times; each counts once in ten seconds.
const PAIRS: u64 = 30;
/// Shadow reads that modern must have been asked before they say that it is well.
const SHADOWS: u64 = 10;

/// What is judged.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Slot by slot.
    slots: Vec<GroupFigures>,
    sum: GroupFigures,
    span: Duration,
}

/// What is usual for the group.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    /// Each as long as the window that is judged; none of them overlaps it.
    windows: Vec<GroupFigures>,
    sum: GroupFigures,
    /// The worst shares of a slot with enough samples.
    worst_mismatches: f64,
    worst_errors: f64,
}

/// What the guard makes of a window.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Every fixed limit was tested and holds, and so does the baseline, as far as there is one.
    Well {
        /// Windows of the baseline.
        baseline: usize,
    },
    /// Too little is known.
    Thin(Vec<Thin>),
    /// Too much of something; never empty.
    Breach(Vec<Breach>),
}

impl Window {
    /// A window of these slots, `span` long.
    pub fn new(slots: Vec<GroupFigures>, span: Duration) -> Self {
        Self { sum: GroupFigures::sum(&slots), slots, span }
    }

    /// All of it.
    pub fn sum(&self) -> &GroupFigures {
        &self.sum
    }
}

impl Baseline {
    /// A baseline of these windows, each given slot by slot.
    pub fn new<'a>(windows: impl IntoIterator<Item = Vec<&'a GroupFigures>>, limits: &Limits) -> Self {
        let mut baseline = Self::default();
        for slots in windows {
            let worst = |part: fn(&GroupFigures) -> Part| {
                let parts = slots.iter().map(|slot| part(slot)).filter(|part| part.of >= limits.samples);
                parts.map(Part::share).fold(0.0, f64::max)
            };
            baseline.worst_mismatches = baseline.worst_mismatches.max(worst(mismatches));
            baseline.worst_errors = baseline.worst_errors.max(worst(errors));
            let window = GroupFigures::sum(slots);
            baseline.sum.merge(&window);
            baseline.windows.push(window);
        }
        baseline
    }

    /// How many windows it has.
    pub fn windows(&self) -> usize {
        self.windows.len()
    }
}

/// Judges `window`. `modern_answers`: whether clients' reads go to modern at all.
pub fn judge(window: &Window, baseline: &Baseline, limits: &Limits, modern_answers: bool) -> Judgement {
    let mut found = Found { window, baseline, limits, breaches: Vec::new(), thin: Vec::new() };
    found.share(Counted::Mismatches);
    if modern_answers {
        found.errors();
        found.latency();
        found.spikes();
    }
    found.waiting();
    if !found.breaches.is_empty() {
        Judgement::Breach(found.breaches)
    } else if !found.thin.is_empty() {
        Judgement::Thin(found.thin)
    } else {
        Judgement::Well { baseline: baseline.windows() }
    }
}

struct Found<'a> {
    window: &'a Window,
    baseline: &'a Baseline,
    limits: &'a Limits,
    breaches: Vec<Breach>,
    thin: Vec<Thin>,
}

impl Found<'_> {
    /// Mismatches of comparisons, or errors of reads.
    fn share(&mut self, what: Counted) {
        let limits = self.limits;
        let (measure, limit, worst): (fn(&GroupFigures) -> Part, _, _) = match what {
            Counted::Mismatches => (mismatches, limits.mismatches, self.baseline.worst_mismatches),
            Counted::Errors | Counted::SlowReads(_) => (errors, limits.errors, self.baseline.worst_errors),
        };
        let (part, span) = (measure(&self.window.sum), self.window.span);
        let need = match what {
            Counted::Mismatches => self.needed(limits.samples),
            Counted::Errors | Counted::SlowReads(_) => limits.samples,
        };
        let wrong = what == Counted::Mismatches && part.events > limits.wrong_records;
        if part.of < need && !wrong {
            let have = part.of;
            self.thin.push(match what {
                Counted::Mismatches => Thin::Records { have, need },
                Counted::Errors | Counted::SlowReads(_) => Thin::Reads { have, need },
            });
            return;
        }
        if part.events < limits.events {
            return;
        }
        if part.of >= need && part.share() > limit {
            self.breaches.push(Breach::TooMany { what, part, span, limit });
        } else if wrong {
            let (records, limit) = (part.events, limits.wrong_records);
            self.breaches.push(Breach::Wrong { records, span, limit });
        } else if let Some((usual, limit)) = self.unusual(part, measure, (limit * FLOOR, need)) {
            self.breaches.push(Breach::Unusual { what, part, span, usual, limit });
        } else if self.has_baseline() {
            let slots = self.window.slots.iter().map(measure);
            let enough = slots.filter(|slot| slot.of >= limits.samples && slot.events >= limits.events);
            let bursts = enough.filter(|slot| slot.share() > limit && slot.share() > worst);
            if let Some(part) = bursts.max_by(|a, b| a.share().total_cmp(&b.share())) {
                self.breaches.push(Breach::Burst { what, part, limit, worst });
            }
        }
    }

    /// So many, or half of all records that were ever compared in the baseline: a group that has few is known by few.
    fn needed(&self, most: u64) -> u64 {
        let (ever, _) = self.baseline.sum.records();
        if ever == 0 { most } else { (ever / 2).clamp(self.limits.events.min(most), most) }
    }

    /// Clients' reads of modern that failed, unless it answers the shadow reads meanwhile. Those have a lane of their own
    /// and take turns by client: no load of one client, no wait for our own connections and no open breaker is in them.
    fn errors(&mut self) {
        let before = self.breaches.len();
        self.share(Counted::Errors);
        let found = self.window.sum.found.values().next();
        let (answered, unanswered) = found.map_or((0, 0), |found| (found.answered, found.unanswered));
        let asked = Part { events: unanswered, of: answered.saturating_add(unanswered) };
        if self.breaches.len() > before && asked.of >= SHADOWS && asked.share() <= self.limits.errors {
            self.breaches.truncate(before);
            self.thin.push(Thin::OnlyClients(errors(&self.window.sum)));
        }
    }

    /// The usual share and the most that chance explains, when `part` is more than that.
    fn unusual(
        &self,
        part: Part,
        measure: impl Fn(&GroupFigures) -> Part,
        (floor, least): (f64, u64),
    ) -> Option<(f64, f64)> {
        let past = self.baseline.windows.iter().map(measure).filter(|past| past.of >= least);
        let past: Vec<Part> = past.collect();
        if past.len() < self.limits.baseline_windows {
            return None;
        }
        let usual = usual_share(&past, part.of, floor)?;
        let sigmas = self.limits.sigmas;
        usual.is_exceeded_by(part.share(), sigmas).then_some((usual.mean, usual.mean + sigmas * usual.sigma))
    }

    /// Modern against legacy for the same questions, and against itself.
    fn latency(&mut self) {
        let limits = self.limits;
        let PerSide { legacy, modern } = pairs(&self.window.sum);
        let (have, need) = (modern.total(), self.needed(PAIRS));
        if self.window.sum.sides.modern.asked() < limits.samples {
            // Too few reads at all are reported with the errors.
            return;
        }
        if have < need {
            self.thin.push(Thin::Pairs { have, need });
            return;
        }
        let percentile = |times: &Histogram| times.quantile(PERCENTILE).map(|estimate| estimate.value);
        if let (Some(slowest), Some(legacy)) = (percentile(&modern), percentile(&legacy)) {
            let limit = legacy.mul_f64(limits.latency_ratio).max(limits.latency_floor);
            // Of few questions one makes the percentile.
            let slow = modern.above(step(limit).saturating_sub(1));
            if slowest > limit && slow >= limits.events {
                self.breaches.push(Breach::Slow { modern: slowest, legacy, limit });
                return;
            }
        }
        let means = self.baseline.windows.iter().map(|window| pairs(window).modern);
        let means = means.filter(|times| times.total() >= need).filter_map(|times| times.mean());
        let means: Vec<f64> = means.map(|mean| mean.as_secs_f64()).collect();
        let floor = limits.latency_floor.as_secs_f64() * FLOOR;
        let (Some(mean), Some(mut usual)) = (modern.mean(), usual_value(&means, floor)) else { return };
        usual.sigma = usual.sigma.max(usual.mean * DRIFT);
        if means.len() >= limits.baseline_windows && usual.is_exceeded_by(mean.as_secs_f64(), limits.sigmas) {
            let limit = Duration::from_secs_f64(usual.mean + limits.sigmas * usual.sigma);
            let usual = Duration::from_secs_f64(usual.mean);
            self.breaches.push(Breach::UnusuallySlow { mean, usual, limit });
        }
    }

    /// A few very slow reads, which a mean does not show.
    fn spikes(&mut self) {
        let usual = pairs(&self.baseline.sum).modern;
        let rare = usual.total() / ONE_IN;
        let is_slow = |place: &usize| BOUNDS[*place] >= self.limits.latency_floor && usual.above(*place) <= rare;
        let Some(place) = (0..BOUNDS.len()).find(is_slow) else { return };
        let slow = |figures: &GroupFigures| {
            let times = pairs(figures).modern;
            Part { events: times.above(place), of: times.total() }
        };
        let part = slow(&self.window.sum);
        let need = self.needed(PAIRS);
        if part.of < need || part.events < self.limits.events {
            return;
        }
        if let Some((usual, limit)) = self.unusual(part, slow, (SPIKE_FLOOR, need)) {
            let (what, span) = (Counted::SlowReads(BOUNDS[place]), self.window.span);
            self.breaches.push(Breach::Unusual { what, part, span, usual, limit });
        }
    }

    /// What waits: writes, and changes that bypass us.
    fn waiting(&mut self) {
        match self.window.sum.unsettled {
            None => self.thin.push(Thin::Unsettled),
            Some(peak) if peak.age > self.limits.unsettled_age => {
                self.breaches.push(Breach::Unsettled { age: peak.age, limit: self.limits.unsettled_age });
            }
            Some(_) => {}
        }
        for (source, lag) in &self.window.sum.lag {
            if *lag > self.limits.lag {
                let (source, limit) = (source.clone(), self.limits.lag);
                self.breaches.push(Breach::Late { source, lag: *lag, limit });
            }
        }
    }

    fn has_baseline(&self) -> bool {
        self.baseline.windows() >= self.limits.baseline_windows
    }
}

fn mismatches(figures: &GroupFigures) -> Part {
    let (of, events) = figures.records();
    Part { events, of }
}

/// How long both sides took for the same questions.
fn pairs(figures: &GroupFigures) -> PerSide<Histogram> {
    figures.found.values().next().map_or(PerSide::default(), |found| found.pairs)
}

fn errors(figures: &GroupFigures) -> Part {
    Part { events: figures.sides.modern.errors, of: figures.sides.modern.asked() }
}

#[cfg(test)]
mod tests;
