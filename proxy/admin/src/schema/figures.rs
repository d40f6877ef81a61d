//! Figures and the guard, as the admin API shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::{Context, Result, SimpleObject};
use chrono::TimeDelta;
use model::control::GroupFigures;
use model::control::histogram::Histogram;
use model::{GroupName, Instant};

use super::types::rfc3339;
use super::{desk, shown};
use control_plane::desk::{Lately, RECENT_MINUTES};

/// Most points of one chart.
const MOST_POINTS: usize = 240;
/// The longest time that is looked back.
const LONGEST: TimeDelta = TimeDelta::days(7);

/// What was counted in a stretch of time, over all replicas.
#[derive(SimpleObject)]
pub(super) struct FigurePoint {
    /// When it begins.
    at: String,
    legacy: SidePoint,
    modern: SidePoint,
    /// Comparisons that say something.
    comparisons: u64,
    /// Confirmed mismatches among them.
    mismatches: u64,
    /// Share of mismatches, from 0 to 1; null without comparisons.
    mismatch_ratio: Option<f64>,
    /// Age of the oldest unsettled write that was seen; null when nobody looked.
    unsettled_seconds: Option<f64>,
    /// How long 99 of 100 writes took until both sides had them; null without writes.
    settle_p99_millis: Option<f64>,
    /// Largest lag of change capture; null where there is none.
    lag_seconds: Option<f64>,
}

/// What one side did for clients.
#[derive(SimpleObject)]
pub(super) struct SidePoint {
    /// Reads of clients that it answered.
    answered: u64,
    /// Reads of clients that it was asked and did not answer.
    errors: u64,
    /// Of what it answered, shadow reads where there were no others; null without.
    p50_millis: Option<f64>,
    p95_millis: Option<f64>,
}

/// What the guard of the replica that answers makes of a group.
#[derive(SimpleObject)]
pub(super) struct GuardShape {
    /// idle, well, paused or breach.
    state: String,
    /// Why, as one sentence.
    sentence: String,
    /// Every breach or gap.
    reasons: Vec<String>,
    /// Whether the guard sees the breaches that it makes itself; else what is wrong with it.
    healthy: bool,
    health: String,
}

/// How a group does now. Counts are of answers that were compared and say something.
#[derive(SimpleObject)]
pub(super) struct LatelyShape {
    /// What counts as now.
    minutes: u32,
    answers: u64,
    mismatches: u64,
    /// In the last 24 hours.
    day_answers: u64,
    day_mismatches: u64,
    /// How long ago the last mismatch was confirmed; null: none is on record.
    last_mismatch_seconds: Option<f64>,
    /// How long ago an answer was compared last; null: none is on record.
    last_compared_seconds: Option<f64>,
    /// Whether the last mismatch is older than the last repair of the group.
    repaired_since: bool,
    /// When the last repair of the group ended, in RFC 3339; null without one.
    repaired_at: Option<String>,
    /// now: answers differ; fading: some did within a day; none: none did within a day; unknown: nothing was compared.
    concern: String,
    /// All of it in a line.
    in_words: String,
}

impl From<Lately> for LatelyShape {
    fn from(lately: Lately) -> Self {
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
        Self {
            minutes: u32::try_from(RECENT_MINUTES).unwrap_or_default(),
            answers: lately.recent.answers,
            mismatches: lately.recent.mismatches,
            day_answers: lately.day.answers,
            day_mismatches: lately.day.mismatches,
            last_mismatch_seconds: seconds(lately.last_mismatch),
            last_compared_seconds: seconds(lately.last_compared),
            repaired_since: lately.is_repaired_since(),
            repaired_at: lately.repaired.map(|(_, at)| rfc3339(at)),
            concern: lately.concern().as_str().to_owned(),
            in_words: lately.in_words(),
        }
    }
}

fn millis(histogram: &Histogram, share: f64) -> Option<f64> {
    histogram.quantile(share).map(|estimate| estimate.value.as_secs_f64() * 1_000.0)
}

impl SidePoint {
    fn of(side: &model::control::figures::SideFigures) -> Self {
        let times = if side.answered.total() > 0 { &side.answered } else { &side.shadowed };
        Self {
            answered: side.answered.total(),
            errors: side.errors,
            p50_millis: millis(times, 0.5),
            p95_millis: millis(times, 0.95),
        }
    }
}

impl FigurePoint {
    fn of(at: Instant, figures: &GroupFigures) -> Self {
        let (comparisons, mismatches) = (figures.verdicts.conclusive(), figures.verdicts.mismatches);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 comparisons")]
        let ratio = (comparisons > 0).then(|| mismatches as f64 / comparisons as f64);
        Self {
            at: rfc3339(at),
            legacy: SidePoint::of(&figures.sides.legacy),
            modern: SidePoint::of(&figures.sides.modern),
            comparisons,
            mismatches,
            mismatch_ratio: ratio,
            unsettled_seconds: figures.unsettled.map(|peak| peak.age.as_secs_f64()),
            settle_p99_millis: millis(&figures.settle, 0.99),
            lag_seconds: figures.lag.values().max().map(Duration::as_secs_f64),
        }
    }
}

/// The figures of `group` over the last `seconds`, in at most so many points that a chart can show.
pub(super) async fn over_time(context: &Context<'_>, group: &GroupName, seconds: u32) -> Result<Vec<FigurePoint>> {
    let desk = desk(context)?;
    let back = TimeDelta::seconds(seconds.into()).min(LONGEST);
    let since = Instant::new((desk.clock)().to_utc() - back);
    let figures = desk.control.figures(Some(group), since).await.map_err(|error| shown(error.into()))?;
    let by_time = figures.by_time(group);
    let width = by_time.len().div_ceil(MOST_POINTS).max(1);
    let mut points: BTreeMap<usize, (Instant, GroupFigures)> = BTreeMap::new();
    for (place, (at, slot)) in by_time.iter().enumerate() {
        points.entry(place / width).or_insert_with(|| (*at, GroupFigures::default())).1.merge(slot);
    }
    Ok(points.values().map(|(at, figures)| FigurePoint::of(*at, figures)).collect())
}

/// What the guard makes of `group`; null where there is none, as on the command line.
pub(super) fn guard(context: &Context<'_>, group: &GroupName) -> Result<Option<GuardShape>> {
    let Some(guard) = &desk(context)?.guard else { return Ok(None) };
    let (healthy, health) = match guard.check() {
        Ok(sentence) => (true, sentence),
        Err(sentence) => (false, sentence),
    };
    let view = guard.views().into_iter().find(|view| view.group == *group);
    Ok(view.map(|view| GuardShape {
        state: view.state.as_str().to_owned(),
        sentence: view.sentence,
        reasons: view.reasons,
        healthy,
        health,
    }))
}
