//! Evidence: verdicts and samples, the input of reports, gates and the guard.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::Excuse;
use crate::control::{EvidenceFilter, ExcuseRecord, Span, Trend};
use crate::name::{FieldName, RouteName};
use crate::rule::Rule;
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
    pub const ALL: [Self; 4] = [Self::Match, Self::Excused, Self::Mismatch, Self::Inconclusive];

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
    /// The shorter number is the longer one with digits dropped, or their last digits differ by one.
    Rounding,
    /// Apart by a whole number of quarter hours, at most 26 hours.
    TimeZone,
    /// Null on one side, empty text (or nothing but blanks) on the other.
    NullEmpty,
    /// Equal but for blanks at an end.
    Padding,
    /// Equal but for upper and lower case.
    Case,
    /// The same records in another order.
    Order,
    /// One is the beginning of the other.
    Truncation,
    /// The secondary's row was changed past us since our last write of it.
    ForeignWrite,
    /// None of the above.
    Different,
    /// From one state, the two sides' own operations of a mutation lead to different ones.
    Logic,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 13] = [
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
        Self::ForeignWrite,
        Self::Different,
        Self::Logic,
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
            Self::ForeignWrite => "foreign-write",
            Self::Different => "different",
            Self::Logic => "logic",
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
    /// The whole records as far as they were asked for, as JSON objects; `null` for a missing record
    /// and for the order of a list.
    #[serde(default)]
    pub records: PerSide<serde_json::Value>,
    /// Whether the contract or an accepted excuse excused it at the time.
    pub excused: bool,
    /// The rules under which both values would agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Rule>,
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

/// Everything stored, or the part of it that was asked for: the input of reports, gates and the guard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// One per route that was shadowed at least once, and per route that should have been.
    pub coverage: Vec<Coverage>,
    /// Differences counted by route, field, cause and verdict.
    pub tallies: Vec<Tally>,
    /// Single differences kept to be looked at.
    pub samples: Vec<Sample>,
    /// How many differences of a kind a rule explains.
    pub explained: Vec<Explained>,
    /// Excuses that were accepted in the running fleet, those that ended too.
    pub excuses: Vec<ExcuseRecord>,
    /// Excuses that the contract declares, those that ended too.
    pub declared: Vec<DeclaredExcuse>,
    /// The counts over time, where they were asked for.
    pub trend: Option<(Span, Trend)>,
    /// What of it was asked for: "never" is not said of a part.
    pub filter: EvidenceFilter,
    /// What there is in all, where only a part was asked for.
    pub in_all: Option<InAll>,
}

/// What was compared in all, whatever part of it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InAll {
    /// Answers that were compared and say something.
    pub answers: u64,
    /// When the last of them was; `None` without any.
    pub last: Option<Instant>,
}

/// An excuse of the contract, on one of the routes that answer with its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredExcuse {
    /// The route.
    pub route: RouteName,
    /// The field.
    pub field: FieldName,
    /// What the contract says.
    pub excuse: Excuse,
}

/// How many differences of one kind would be none under a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The route that was shadowed.
    pub route: RouteName,
    /// The field.
    pub field: FieldName,
    /// Why the values differ.
    pub cause: Cause,
    /// Whether they were excused when they were seen.
    pub verdict: Verdict,
    /// The rule.
    pub rule: Rule,
    /// How many.
    pub count: u64,
}

/// How often one kind of difference was found. One answer may add to several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The route that was shadowed.
    pub route: RouteName,
    /// The field; `None` when the whole record (or the order of a list) differs.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// [`Verdict::Mismatch`], or [`Verdict::Excused`] when it was excused at the time.
    pub verdict: Verdict,
    /// How many rows, counted in each answer that holds them.
    pub count: u64,
    /// How many answers hold them; `None` where a release that counted rows only has counted some.
    pub answers: Option<u64>,
    /// When the first was confirmed.
    pub first_seen: Instant,
    /// When the last was confirmed.
    pub last_seen: Instant,
}

/// One stored difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Names it on the command line.
    pub id: String,
    /// The route that was shadowed.
    pub route: RouteName,
    /// When it was confirmed.
    pub seen_at: Instant,
    /// What differed.
    pub difference: Difference,
}

/// What has been compared on one route, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The route.
    pub route: RouteName,
    /// Comparisons by verdict; a verdict that is missing counts 0.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Why comparisons were inconclusive, by the closed reason words.
    pub reasons: BTreeMap<String, u64>,
    /// Different keys that were ever compared, estimated.
    pub keys_compared: u64,
    /// Keys that exist; `None` when nobody has counted them.
    pub keys_total: Option<u64>,
    /// Fields that were compared at least once, in the time that was asked for.
    pub fields_compared: Vec<FieldName>,
    /// Fields of the contract that were not.
    pub fields_never: Vec<FieldName>,
}

impl Coverage {
    /// Comparisons of this route that ended in `verdict`.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Comparisons that say something: all but the inconclusive ones.
    pub fn conclusive(&self) -> u64 {
        self.count(Verdict::Match) + self.count(Verdict::Excused) + self.count(Verdict::Mismatch)
    }
}
