//! Evidence over time: numbers for scripts, a line of bars for terminals, an SVG for pages.
//!
//! A period in which nothing was compared has no mismatch rate; it shows as a gap, never as zero. A rate above
//! zero never shows as zero.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use model::Instant;
use model::control::{Counts, Period, Span, Width};
use model::evidence::Verdict;
use serde::Serialize;

use crate::words::{number, percent};

/// Heights of a bar in a terminal; the first is for no mismatch at all.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Stands where nothing was compared.
const GAP: char = '·';

/// Comparisons over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrendReport {
    /// The trend in a sentence.
    pub answer: String,
    /// How much time a point holds: `minute`, `hour` or `day`.
    pub period: Width,
    /// From when.
    pub since: Instant,
    /// Until when.
    pub until: Instant,
    /// One point per period, in order; those without comparisons too.
    pub points: Vec<Point>,
}

/// The comparisons of one period.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When the period begins.
    pub start: Instant,
    /// Those that say something: all but the inconclusive ones.
    pub comparisons: u64,
    /// Confirmed differences.
    pub mismatches: u64,
    /// Excused differences.
    pub excused: u64,
    /// Nothing known.
    pub inconclusive: u64,
    /// Mismatches by comparisons, from 0 to 1 with six digits; null when nothing was compared.
    pub mismatch_ratio: Option<f64>,
}

/// Something counted in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// When the period begins.
    pub start: Instant,
    /// How many.
    pub count: u64,
}

/// The periods in which there was anything.
pub(super) fn counted(counts: &Counts) -> Vec<Counted> {
    counts.iter().map(|(period, count)| Counted { start: period.0, count: *count }).collect()
}

impl TrendReport {
    /// The trend of comparisons counted by verdict.
    pub(super) fn of<'a>(span: &Span, counts: impl Iterator<Item = (Verdict, &'a Counts)>) -> Self {
        let mut sums: BTreeMap<Verdict, Counts> = BTreeMap::new();
        for (verdict, counts) in counts {
            let sum = sums.entry(verdict).or_default();
            for (period, count) in counts {
                *sum.entry(*period).or_default() += count;
            }
        }
        let point = |period: Period| {
            let of = |verdict| sums.get(&verdict).and_then(|counts| counts.get(&period)).copied().unwrap_or(0);
            let (mismatches, excused) = (of(Verdict::Mismatch), of(Verdict::Excused));
            let comparisons = of(Verdict::Match) + mismatches + excused;
            let ratio = || (mismatches as f64 / comparisons as f64 * 1e6).round() / 1e6;
            Point {
                start: period.0,
                comparisons,
                mismatches,
                excused,
                inconclusive: of(Verdict::Inconclusive),
                mismatch_ratio: (comparisons > 0).then(ratio),
            }
        };
        let points: Vec<_> = span.periods().into_iter().map(point).collect();
        let (period, since, until) = (span.width, span.since, span.until);
        Self { answer: answer(period, &points), period, since, until, points }
    }

    /// One character per period.
    pub(super) fn bars(&self) -> String {
        let most = self.most();
        let bar = |point: &Point| match point {
            Point { comparisons: 0, .. } => GAP,
            Point { mismatches: 0, .. } => BARS[0],
            some => {
                let height = (some.rate() / most * (BARS.len() - 1) as f64).ceil() as usize;
                BARS[height.clamp(1, BARS.len() - 1)]
            }
        };
        self.points.iter().map(bar).collect()
    }

    fn most(&self) -> f64 {
        self.points.iter().map(Point::rate).fold(0.0, f64::max)
    }

    /// The trend as an inline picture; the sentence is its text.
    pub(super) fn svg(&self, page: &mut String) -> fmt::Result {
        const HEIGHT: f64 = 40.0;
        let (width, most) = (self.points.len() * 6, self.most());
        // The sentence holds numbers, words and times only: nothing in it needs to be escaped.
        write!(
            page,
            "<figure class=\"trend\"><svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} 42\" \
             preserveAspectRatio=\"none\">",
            self.answer
        )?;
        for (place, point) in self.points.iter().enumerate() {
            let (class, height) = match point {
                Point { comparisons: 0, .. } => continue,
                Point { mismatches: 0, .. } => ("none", 1.0),
                some => ("mismatch", (some.rate() / most * HEIGHT).max(3.0)),
            };
            write!(
                page,
                "<rect class=\"{class}\" x=\"{}\" y=\"{:.1}\" width=\"5\" height=\"{height:.1}\"/>",
                place * 6,
                HEIGHT + 1.0 - height,
            )?;
        }
        writeln!(page, "</svg><figcaption>{}</figcaption></figure>", self.answer)
    }
}

impl Point {
    fn rate(&self) -> f64 {
        if self.comparisons == 0 { 0.0 } else { self.mismatches as f64 / self.comparisons as f64 }
    }
}

fn answer(width: Width, points: &[Point]) -> String {
    let known: Vec<_> = points.iter().filter(|point| point.comparisons > 0).collect();
    let unit = width.as_str();
    let gaps = match points.len() - known.len() {
        0 => String::new(),
        1 => format!(" In 1 of {} {unit}s nothing was compared.", points.len()),
        gaps => format!(" In {} of {} {unit}s nothing was compared.", number(gaps as u64), points.len()),
    };
    let (Some(last), Some(worst)) = (known.last(), known.iter().max_by(|a, b| a.rate().total_cmp(&b.rate()))) else {
        return format!("Nothing was compared in these {} {unit}s, so there is no trend.", points.len());
    };
    if worst.mismatches == 0 {
        return format!("No mismatch in any {unit}.{gaps}");
    }
    format!(
        "Mismatches by {unit}: at most {} of answers ({}), last {} ({}).{gaps}",
        percent(worst.rate()),
        worst.start,
        percent(last.rate()),
        last.start,
    )
}
