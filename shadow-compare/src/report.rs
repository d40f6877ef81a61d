//! Reports: from stored evidence to lines, records and pages that people and scripts read.
//!
//! A report begins with the answer in a sentence, then says by route what was compared, what never
//! was, what differs and why, worst first. Three forms of the same content: [`Report::text`] for a
//! terminal, [`Report::json`] for scripts, [`Report::html`] as one page without anything to load.
//!
//! Promises: pure, the same evidence gives the same bytes; every value is escaped for its form.
//! No comparisons are never reported as "no differences", and "never" is not said of a part of the evidence.
//! Not here: reading the evidence store, choosing what to show (`proxy`, `strangler diffs`).

use std::collections::BTreeMap;

use model::control::{DifferenceKind, Span, Trend};
use model::evidence::{Cause, Coverage, Evidence, Explained, Sample, Tally, Verdict};
use model::{FieldName, Instant, RouteName};
use serde::Serialize;

use crate::propose::{Noise, Proposal, propose};
use scope::Scope;

mod answer;
mod diff;
mod excuse;
mod history;
mod html;
mod json;
mod sample;
mod scope;
mod table;
mod text;
mod trend;

pub use excuse::ExcuseReport;
pub use history::{HistoryReport, SideHistory, StateReport};
pub use sample::SampleReport;
pub use scope::AskedFor;
pub use trend::{Counted, Point, TrendReport};

/// Everything that is known about all routes, worst route first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The whole report in a sentence or two.
    pub answer: String,
    /// When it was made.
    pub made_at: Instant,
    /// What part of the evidence it is about.
    pub asked: AskedFor,
    /// Answers compared, of all routes.
    pub totals: Totals,
    /// Those over time; null where they were not asked for.
    pub trend: Option<TrendReport>,
    /// One part per route.
    pub routes: Vec<RouteReport>,
}

/// Answers by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Those that say something: all but the inconclusive ones.
    pub comparisons: u64,
    /// The same answer.
    pub matches: u64,
    /// Different as the contract declares.
    pub excused: u64,
    /// Different, confirmed.
    pub mismatches: u64,
    /// Nothing known.
    pub inconclusive: u64,
}

/// What is known about one route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// The route.
    pub route: RouteName,
    /// The route's part of the answer.
    pub answer: String,
    /// Its comparisons.
    pub totals: Totals,
    /// Those over time; null where they were not asked for.
    pub trend: Option<TrendReport>,
    /// Why comparisons were inconclusive, by reason.
    pub inconclusive_reasons: BTreeMap<String, u64>,
    /// What was compared of it.
    pub coverage: CoverageReport,
    /// What differs: mismatches first, then by count.
    pub differences: Vec<Line>,
    /// What is or was excused: by the contract, then in the running fleet, oldest first.
    pub excuses: Vec<ExcuseReport>,
}

/// What was compared on a route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageReport {
    /// Different keys ever compared, estimated.
    pub keys_compared: u64,
    /// Keys that exist; null when nobody has counted them.
    pub keys_total: Option<u64>,
    /// Share of keys compared, from 0 to 1 with four digits; null without a total.
    pub keys_ratio: Option<f64>,
    /// Fields compared at least once in the time that was asked for.
    pub fields_compared: Vec<FieldName>,
    /// Fields that were not.
    pub fields_never: Vec<FieldName>,
}

/// One kind of difference on a route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The field; null when records or their order differ.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// `mismatch` or `excused`.
    pub verdict: Verdict,
    /// How many rows, counted in each answer that holds them.
    pub count: u64,
    /// The same, under the name of its unit.
    pub rows: u64,
    /// How many answers hold them; null where a release that counted rows only has counted some.
    pub answers: Option<u64>,
    /// When first.
    pub first_seen: Instant,
    /// When last.
    pub last_seen: Instant,
    /// How often in each period in which it was seen at all; empty where the trend was not asked for.
    pub trend: Vec<Counted>,
    /// What would end it, the rule that explains most first; only for mismatches.
    pub proposals: Vec<Proposal>,
    /// Some of them, newest first.
    pub samples: Vec<SampleReport>,
}

impl Report {
    /// Puts the report together.
    pub fn of(evidence: &Evidence, made_at: Instant) -> Self {
        let mut routes: BTreeMap<&RouteName, Parts<'_>> = BTreeMap::new();
        for coverage in &evidence.coverage {
            routes.entry(&coverage.route).or_default().coverage = Some(coverage);
        }
        for tally in &evidence.tallies {
            routes.entry(&tally.route).or_default().tallies.push(tally);
        }
        for sample in &evidence.samples {
            routes.entry(&sample.route).or_default().samples.push(sample);
        }
        for explained in &evidence.explained {
            routes.entry(&explained.route).or_default().explained.push(explained);
        }
        let today = made_at.to_utc().date_naive();
        for declared in &evidence.declared {
            let excuse = ExcuseReport::declared(declared, today);
            routes.entry(&declared.route).or_default().excuses.push(excuse);
        }
        for record in &evidence.excuses {
            let excuse = ExcuseReport::accepted(record, today);
            routes.entry(&record.excuse.scope.route).or_default().excuses.push(excuse);
        }
        let (trend, scope) = (evidence.trend.as_ref(), Scope::of(evidence, made_at));
        let parts = routes.into_iter();
        let of_route = |(name, parts)| RouteReport::of(name, &Parts { trend, ..parts }, &scope);
        let mut routes: Vec<_> = parts.map(of_route).collect();
        // Stable: routes that are equally bad stay in the order of their names.
        routes.sort_by_key(|route| std::cmp::Reverse(route.totals.mismatches));
        let totals = routes.iter().map(|route| route.totals).fold(Totals::default(), Totals::plus);
        let of_all = |(span, trend): &(Span, Trend)| {
            TrendReport::of(span, trend.comparisons.iter().map(|((_, verdict), counts)| (*verdict, counts)))
        };
        let answer = answer::of_all(&totals, &routes, &scope);
        Self { answer, made_at, asked: scope.asked(), totals, trend: trend.map(of_all), routes }
    }
}

/// The evidence of one route.
#[derive(Default)]
struct Parts<'a> {
    coverage: Option<&'a Coverage>,
    tallies: Vec<&'a Tally>,
    samples: Vec<&'a Sample>,
    explained: Vec<&'a Explained>,
    excuses: Vec<ExcuseReport>,
    trend: Option<&'a (Span, Trend)>,
}

impl RouteReport {
    fn of(route: &RouteName, parts: &Parts<'_>, scope: &Scope<'_>) -> Self {
        let (totals, scope) = (parts.coverage.map(Totals::of).unwrap_or_default(), scope.of_route(parts.coverage));
        let reasons = parts.coverage.map(|c| c.reasons.clone()).unwrap_or_default();
        let differences = lines(route, parts);
        let trend = |(span, trend): &(Span, Trend)| {
            let own = trend.comparisons.iter().filter(|((of, _), _)| of == route);
            TrendReport::of(span, own.map(|((_, verdict), counts)| (*verdict, counts)))
        };
        Self {
            answer: answer::of_route(&totals, &reasons, &differences, &scope),
            route: route.clone(),
            totals,
            trend: parts.trend.map(trend),
            excuses: parts.excuses.clone(),
            inconclusive_reasons: reasons,
            coverage: CoverageReport::of(parts.coverage),
            differences,
        }
    }
}

impl Totals {
    fn of(coverage: &Coverage) -> Self {
        Self {
            comparisons: coverage.conclusive(),
            matches: coverage.count(Verdict::Match),
            excused: coverage.count(Verdict::Excused),
            mismatches: coverage.count(Verdict::Mismatch),
            inconclusive: coverage.count(Verdict::Inconclusive),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            comparisons: self.comparisons + other.comparisons,
            matches: self.matches + other.matches,
            excused: self.excused + other.excused,
            mismatches: self.mismatches + other.mismatches,
            inconclusive: self.inconclusive + other.inconclusive,
        }
    }
}

impl CoverageReport {
    fn of(coverage: Option<&Coverage>) -> Self {
        let keys_compared = coverage.map_or(0, |c| c.keys_compared);
        let keys_total = coverage.and_then(|c| c.keys_total);
        let ratio = |total: u64| {
            // An estimate may exceed the total; nobody has compared more keys than there are.
            let ratio = (keys_compared as f64 / total as f64).min(1.0);
            (ratio * 10_000.0).round() / 10_000.0
        };
        Self {
            keys_compared,
            keys_total,
            keys_ratio: keys_total.filter(|total| *total > 0).map(ratio),
            fields_compared: coverage.map(|c| c.fields_compared.clone()).unwrap_or_default(),
            fields_never: coverage.map(|c| c.fields_never.clone()).unwrap_or_default(),
        }
    }
}

/// One line per field, cause and verdict. A sample whose tally is gone still gets its line.
fn lines(route: &RouteName, parts: &Parts<'_>) -> Vec<Line> {
    let mut lines: BTreeMap<_, Line> = BTreeMap::new();
    for tally in &parts.tallies {
        let line = lines.entry((&tally.field, tally.cause, tally.verdict));
        let line = line.or_insert_with(|| Line::empty(tally.field.as_ref(), tally.cause, tally.verdict));
        (line.count, line.rows, line.answers) = (tally.count, tally.count, tally.answers);
        (line.first_seen, line.last_seen) = (tally.first_seen, tally.last_seen);
    }
    let mut samples = parts.samples.clone();
    samples.sort_by(|a, b| (b.seen_at, &a.id).cmp(&(a.seen_at, &b.id)));
    for sample in samples {
        let difference = &sample.difference;
        let verdict = if difference.excused { Verdict::Excused } else { Verdict::Mismatch };
        let line = lines.entry((&difference.field, difference.cause, verdict));
        let line = line.or_insert_with(|| Line {
            count: 1,
            rows: 1,
            first_seen: sample.seen_at,
            last_seen: sample.seen_at,
            ..Line::empty(difference.field.as_ref(), difference.cause, verdict)
        });
        line.samples.push(SampleReport::of(sample));
    }
    let mut lines: Vec<_> = lines.into_values().collect();
    for line in &mut lines {
        line.proposals = proposals(route, line, parts);
        let kind = DifferenceKind {
            route: route.clone(),
            field: line.field.clone(),
            cause: line.cause,
            verdict: line.verdict,
        };
        let counts = parts.trend.and_then(|(_, trend)| trend.differences.get(&kind));
        line.trend = counts.map(trend::counted).unwrap_or_default();
    }
    lines.sort_by_key(|line| (line.verdict != Verdict::Mismatch, std::cmp::Reverse(line.count)));
    lines
}

impl Line {
    fn empty(field: Option<&FieldName>, cause: Cause, verdict: Verdict) -> Self {
        let never = Instant::new(chrono::DateTime::UNIX_EPOCH);
        Self {
            field: field.cloned(),
            cause,
            verdict,
            count: 0,
            rows: 0,
            answers: None,
            first_seen: never,
            last_seen: never,
            trend: Vec::new(),
            proposals: Vec::new(),
            samples: Vec::new(),
        }
    }
}

fn proposals(route: &RouteName, line: &Line, parts: &Parts<'_>) -> Vec<Proposal> {
    if line.verdict != Verdict::Mismatch {
        return Vec::new();
    }
    let of_line = |explained: &&&Explained| {
        let same = line.field.as_ref() == Some(&explained.field) && explained.cause == line.cause;
        same && explained.verdict == line.verdict
    };
    let samples = parts.samples.iter().map(|sample| &sample.difference);
    let samples = samples.filter(|d| d.field == line.field && d.cause == line.cause && !d.excused);
    propose(&Noise {
        route,
        field: line.field.as_ref(),
        cause: line.cause,
        count: line.count,
        explained: parts.explained.iter().filter(of_line).map(|explained| (explained.rule, explained.count)).collect(),
        samples: samples.collect(),
    })
}

#[cfg(test)]
mod tests;
