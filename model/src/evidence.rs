//! Evidence: verdicts and samples, the input of reports, gates and the guard.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{FieldName, RouteName};
use crate::side::PerSide;
use crate::value::Instant;

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The same answer.
    Match,
    /// Different in a way that the contract declares, until its end date.
    Excused,
    /// Different, and different still after confirmation.
    Mismatch,
    /// One side erred, the shadow was dropped, or the key changed meanwhile.
    Inconclusive,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [
        Self::Match,
        Self::Excused,
        Self::Mismatch,
        Self::Inconclusive,
    ];

    /// The label used in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Excused => "excused",
            Self::Mismatch => "mismatch",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why two answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Legacy has the record, modern does not.
    MissingRow,
    /// Modern has the record, legacy does not.
    ExtraRow,
    /// One side holds a state that the key had before.
    Stale,
    /// Equal when rounded to fewer digits.
    Rounding,
    /// Apart by a whole number of quarter hours, at most 26 hours.
    TimeZone,
    /// Null on one side, empty text on the other.
    NullEmpty,
    /// Equal but for blanks at an end.
    Padding,
    /// Equal but for upper and lower case.
    Case,
    /// The same records in another order.
    Order,
    /// One is the beginning of the other.
    Truncation,
    /// None of the above.
    Different,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 11] = [
        Self::MissingRow,
        Self::ExtraRow,
        Self::Stale,
        Self::Rounding,
        Self::TimeZone,
        Self::NullEmpty,
        Self::Padding,
        Self::Case,
        Self::Order,
        Self::Truncation,
        Self::Different,
    ];

    /// The name used in reports and on the command line: `missing-row`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingRow => "missing-row",
            Self::ExtraRow => "extra-row",
            Self::Stale => "stale",
            Self::Rounding => "rounding",
            Self::TimeZone => "time-zone",
            Self::NullEmpty => "null-empty",
            Self::Padding => "padding",
            Self::Case => "case",
            Self::Order => "order",
            Self::Truncation => "truncation",
            Self::Different => "different",
        }
    }

    /// The cause with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One difference between two answers, ready to be stored: sensitive values are hashed already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The field; `None` when the whole record (or the order of a list) differs.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// The key as JSON text; for a list's order, the list's parameters.
    pub key: String,
    /// What each side answered, canonical, as JSON; `null` for a missing record.
    pub values: PerSide<serde_json::Value>,
    /// Whether the contract excuses it today.
    pub excused: bool,
}

/// What one comparison adds to the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The route that was shadowed.
    pub route: RouteName,
    /// What was found.
    pub verdict: Verdict,
    /// Why it is inconclusive, in a closed set of words; `None` for the other verdicts.
    pub reason: Option<String>,
    /// The differences; empty for a match.
    pub differences: Vec<Difference>,
    /// The fields that were compared.
    pub fields: Vec<FieldName>,
    /// The keys that were compared, as JSON text.
    pub keys: Vec<String>,
}

/// When something was first and last seen, by the clocks of the replicas that saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The first time.
    pub first: Instant,
    /// The last time.
    pub last: Instant,
}

impl Seen {
    /// Seen once, at `at`.
    pub fn at(at: Instant) -> Self {
        Self {
            first: at,
            last: at,
        }
    }

    /// The span that covers both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

/// How many comparisons of a route had a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonTally {
    /// The route.
    pub route: RouteName,
    /// The verdict.
    pub verdict: Verdict,
    /// Why they are inconclusive; `None` for the other verdicts.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
    /// When.
    pub seen: Seen,
}

/// How many confirmed differences of a route had a field and a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceTally {
    /// The route.
    pub route: RouteName,
    /// The field; `None` when the whole record or the order differs.
    pub field: Option<FieldName>,
    /// The cause.
    pub cause: Cause,
    /// Whether the contract excused them.
    pub excused: bool,
    /// How many.
    pub count: u64,
    /// When.
    pub seen: Seen,
}

/// How many comparisons of a route looked at a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldTally {
    /// The route.
    pub route: RouteName,
    /// The field.
    pub field: FieldName,
    /// How many.
    pub count: u64,
    /// When.
    pub seen: Seen,
}

/// One kept difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The route.
    pub route: RouteName,
    /// When it was seen.
    pub at: Instant,
    /// What differed; sensitive values are hashed already.
    pub difference: Difference,
}

impl Sample {
    /// Of each route, field, cause and excuse, so many of the oldest samples are kept,
    pub const KEPT_FIRST: usize = 5;
    /// and so many of the newest.
    pub const KEPT_NEWEST: usize = 20;
}

/// Which keys of a route were ever compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The route.
    pub route: RouteName,
    /// One bit per hashed key; merged by OR. All bitmaps of a route are equally long.
    pub bitmap: Vec<u8>,
}

/// Evidence as it is added to the control store and read back from it: sums, and bounded samples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Verdicts per route.
    pub comparisons: Vec<ComparisonTally>,
    /// Differences per route, field and cause.
    pub differences: Vec<DifferenceTally>,
    /// Fields compared per route.
    pub fields: Vec<FieldTally>,
    /// Samples, oldest first.
    pub samples: Vec<Sample>,
    /// Keys compared per route.
    pub coverage: Vec<Coverage>,
}

impl Evidence {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.comparisons.is_empty()
            && self.differences.is_empty()
            && self.fields.is_empty()
            && self.samples.is_empty()
            && self.coverage.is_empty()
    }

    /// How many comparisons had `verdict`, over all routes.
    pub fn count(&self, verdict: Verdict) -> u64 {
        let tallies = self.comparisons.iter().filter(|t| t.verdict == verdict);
        tallies.map(|tally| tally.count).sum()
    }
}

/// Which evidence is wanted; an empty filter wants all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceFilter {
    /// Of these routes; empty: of every route.
    pub routes: Vec<RouteName>,
    /// Differences, samples and field tallies of this field.
    pub field: Option<FieldName>,
    /// Differences and samples with this cause.
    pub cause: Option<Cause>,
    /// Seen at this time or later, to the minute. Coverage is always of all time.
    pub since: Option<Instant>,
}
