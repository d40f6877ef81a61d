//! Evidence over time: the counts that are kept by the minute, added up in periods of a span.
//!
//! A period in which nothing was compared is absent, never zero: no data is not success.
//! Not here: how a trend looks (`shadow_compare::report`).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::ControlError;
use super::sums::{DifferenceKind, EvidenceFilter, Sums};
use crate::evidence::Verdict;
use crate::name::RouteName;
use crate::value::Instant;

/// How much time a period holds. Periods begin at whole minutes, hours or days in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    /// A minute, as finely as counts are kept.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Width {
    /// The width for a span: at most 90 minutes by the minute, 4 days by the hour, else by the day.
    pub fn of(span: Duration) -> Self {
        match span.as_secs() {
            0..=5_400 => Self::Minute,
            5_401..=345_600 => Self::Hour,
            _ => Self::Day,
        }
    }

    /// The word: `hour`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// The beginning of the period in which `at` lies.
    pub fn floor(self, at: Instant) -> Period {
        let seconds = at.to_utc().timestamp();
        let floor = DateTime::from_timestamp(seconds - seconds.rem_euclid(self.seconds()), 0);
        Period(floor.map_or(at, Instant::new))
    }
}

/// A stretch of time, by its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(pub Instant);

/// From when to when, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first period begins at or before it.
    pub since: Instant,
    /// The last period holds it.
    pub until: Instant,
    /// Of each period.
    pub width: Width,
}

impl Span {
    /// The span between two instants, in periods that suit its length.
    pub fn between(since: Instant, until: Instant) -> Self {
        let length = (until.to_utc() - since.to_utc()).to_std().unwrap_or_default();
        Self { since, until, width: Width::of(length) }
    }

    /// Every period of the span in order, those without data too.
    pub fn periods(&self) -> Vec<Period> {
        let (first, last) = (self.width.floor(self.since), self.width.floor(self.until));
        let step = TimeDelta::seconds(self.width.seconds());
        let next = |period: &Period| Some(Period(Instant::new(period.0.to_utc() + step)));
        std::iter::successors(Some(first), next).take_while(|period| *period <= last).collect()
    }
}

/// Something counted by period.
pub type Counts = BTreeMap<Period, u64>;

/// Evidence over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trend {
    /// Comparisons.
    pub comparisons: BTreeMap<(RouteName, Verdict), Counts>,
    /// Differences.
    pub differences: BTreeMap<DifferenceKind, Counts>,
}

impl Trend {
    /// Adds sums that were last seen in one minute each, as they are kept.
    pub fn add(&mut self, sums: &Sums, width: Width) {
        for (finding, seen) in &sums.comparisons {
            let counts = self.comparisons.entry((finding.route.clone(), finding.verdict)).or_default();
            *counts.entry(width.floor(seen.last)).or_default() += seen.count;
        }
        for (kind, seen) in &sums.differences {
            let counts = self.differences.entry(kind.clone()).or_default();
            *counts.entry(width.floor(seen.last)).or_default() += seen.count;
        }
    }
}

/// Reads evidence over time. Limits and errors as for the rest of the control store.
#[async_trait]
pub trait TrendStore: Send + Sync {
    /// What `filter` wants (its `since` does not count; `span` says when), added up in the periods of `span`.
    /// Counts are kept by the minute: the first period, and the minute in which the span ends, count as a whole.
    /// `field` and `cause` narrow the differences and not the comparisons, which are of whole answers.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn trend(&self, filter: &EvidenceFilter, span: Span) -> Result<Trend, ControlError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn the_width_follows_the_span_and_no_span_has_too_many_periods() {
        let until = at("2026-01-31T12:34:56Z");
        for (hours, width, periods) in [(1, Width::Minute, 61), (24, Width::Hour, 25), (30 * 24, Width::Day, 31)] {
            let since = Instant::new(until.to_utc() - TimeDelta::hours(hours));
            let span = Span::between(since, until);
            assert_eq!((span.width, span.periods().len()), (width, periods));
        }
        assert_eq!(Width::Hour.floor(until), Period(at("2026-01-31T12:00:00Z")));
        assert_eq!(Width::Day.floor(at("1969-12-31T23:59:59Z")), Period(at("1969-12-31T00:00:00Z")));
    }
}
