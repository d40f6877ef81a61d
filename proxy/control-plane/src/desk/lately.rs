//! How a group does *now*: what differed in the last minutes, beside the last day, and whether what was found is mended.
//!
//! Counts are kept by the minute and the hour, so a stretch is never longer than what is said, and may be a little shorter.
//! Promise: that nothing was compared lately is said, and is not the same as that nothing differed.
//! Not here: whether a group may be promoted (`promotion`).

use std::time::Duration;

use chrono::TimeDelta;
use model::control::reconciliation::RepairRecord;
use model::control::{EvidenceFilter, Span, Trend, Width};
use model::evidence::Verdict;
use model::{GroupName, Instant};
use shadow_compare::words::{ago, answers, differ, moment, share};

use super::{Desk, DeskError};

/// What counts as now, in minutes.
pub const RECENT_MINUTES: i64 = 15;
/// Repairs that are looked at, newest first: one that has ended is soon among them.
const REPAIRS: usize = 20;

/// Answers that were compared and say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// All of them.
    pub answers: u64,
    /// Those that differ, confirmed.
    pub mismatches: u64,
}

impl Compared {
    fn of(trend: &Trend) -> Self {
        let sum = |wanted: fn(Verdict) -> bool| {
            let of = trend.comparisons.iter().filter(|((_, verdict), _)| wanted(*verdict));
            of.flat_map(|(_, counts)| counts.values()).sum()
        };
        Self {
            answers: sum(|verdict| verdict != Verdict::Inconclusive),
            mismatches: sum(|verdict| verdict == Verdict::Mismatch),
        }
    }
}

/// How a group does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lately {
    /// In the last [`RECENT_MINUTES`].
    pub recent: Compared,
    /// In the last day.
    pub day: Compared,
    /// As far back as counts are kept.
    pub kept: Compared,
    /// How long ago the last answer was compared that says something.
    pub last_compared: Option<Duration>,
    /// How long ago the last mismatch was confirmed.
    pub last_mismatch: Option<Duration>,
    /// How long ago the last repair of the group ended with every key level, and when.
    pub repaired: Option<(Duration, Instant)>,
}

/// How much of it somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Nothing was compared lately: nothing is known.
    Unknown,
    /// Answers differ now.
    Now,
    /// Some have differed within a day, and none does now, or they were repaired since.
    Fading,
    /// None has differed within a day.
    None,
}

impl Concern {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Now => "now",
            Self::Fading => "fading",
            Self::None => "none",
        }
    }
}

impl Lately {
    /// Whether the last mismatch is older than the last repair.
    pub fn is_repaired_since(&self) -> bool {
        self.last_mismatch.zip(self.repaired).is_some_and(|(mismatch, (repaired, _))| mismatch > repaired)
    }

    /// How much of it somebody should look at.
    pub fn concern(&self) -> Concern {
        match (self.recent.answers, self.recent.mismatches, self.day.mismatches) {
            (0, _, _) => Concern::Unknown,
            (_, 0, 0) => Concern::None,
            (_, 0, _) => Concern::Fading,
            (_, _, _) if self.is_repaired_since() => Concern::Fading,
            (_, _, _) => Concern::Now,
        }
    }

    /// `0 of 1 240 answers differ in the last 15 min; last mismatch 12 min ago (24 h: 1.15 % of 25 551 answers)`.
    pub fn in_words(&self) -> String {
        if self.kept.answers == 0 {
            return "nothing compared, as far back as counts are kept".to_owned();
        }
        let minutes = RECENT_MINUTES;
        let mut told = match self.recent.answers {
            0 => {
                let last = self.last_compared.map(|age| format!(", the last answer {}", ago(age))).unwrap_or_default();
                format!("nothing compared in the last {minutes} min{last}")
            }
            all => format!("{} in the last {minutes} min", differ(self.recent.mismatches, all)),
        };
        told.push_str(&match self.last_mismatch {
            None => "; no mismatch as far back as counts are kept".to_owned(),
            Some(age) => format!("; last mismatch {}", ago(age)),
        });
        if let (true, Some((_, at))) = (self.is_repaired_since(), self.repaired) {
            told.push_str(&format!(", before the repair of {}", moment(at)));
        }
        if self.day.mismatches > 0 {
            let (share, of) = (share(self.day.mismatches, self.day.answers), answers(self.day.answers));
            told.push_str(&format!(" (24 h: {share} of {of})"));
        }
        told
    }
}

impl Desk {
    /// How `group` does now.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn lately(&self, group: &GroupName) -> Result<Lately, DeskError> {
        let now = (self.clock)();
        let age = |at: Instant| (now.to_utc() - at.to_utc()).to_std().unwrap_or_default();
        let routes = Some(self.witness.routes(group));
        let filter = EvidenceFilter { routes, ..EvidenceFilter::default() };
        // The first period of a span counts as a whole: one less, so that no more is counted than is said.
        let span = |back: TimeDelta, width| Span { since: Instant::new(now.to_utc() - back), until: now, width };
        let recent = span(TimeDelta::minutes(RECENT_MINUTES - 1), Width::Minute);
        let recent = Compared::of(&self.control.trend(&filter, recent).await?);
        let day = Compared::of(&self.control.trend(&filter, span(TimeDelta::hours(23), Width::Hour)).await?);
        let sums = self.control.evidence(&filter).await?;
        let repairs = self.control.repairs(Some(group), REPAIRS).await?;
        let of = |wanted: fn(Verdict) -> bool| {
            let seen = sums.comparisons.iter().filter(move |(finding, _)| wanted(finding.verdict));
            seen.map(|(_, seen)| seen)
        };
        let (says, differs) = (|verdict| verdict != Verdict::Inconclusive, |verdict| verdict == Verdict::Mismatch);
        Ok(Lately {
            recent,
            day,
            kept: Compared {
                answers: of(says).map(|seen| seen.count).sum(),
                mismatches: of(differs).map(|seen| seen.count).sum(),
            },
            last_compared: of(says).map(|seen| seen.last).max().map(age),
            last_mismatch: of(differs).map(|seen| seen.last).max().map(age),
            repaired: repairs.iter().filter_map(RepairRecord::mended_at).max().map(|at| (age(at), at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn compared(mismatches: u64, answers: u64) -> Compared {
        Compared { answers, mismatches }
    }

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    /// None in the last minutes, some before.
    fn quiet() -> Lately {
        Lately {
            recent: compared(0, 1_240),
            day: compared(294, 25_551),
            kept: compared(294, 25_551),
            last_compared: Some(Duration::from_secs(1)),
            last_mismatch: Some(minutes(12)),
            repaired: None,
        }
    }

    #[test]
    fn a_group_is_told_by_what_it_does_now_and_what_was_found_before_fades() {
        let lately = quiet();
        assert_eq!(
            lately.in_words(),
            "0 of 1\u{a0}240 answers differ in the last 15 min; last mismatch 12 min ago \
             (24 h: 1.15 % of 25\u{a0}551 answers)"
        );
        assert_eq!(lately.concern(), Concern::Fading);
        let now = Lately { recent: compared(26, 1_240), ..quiet() };
        assert_eq!(now.concern(), Concern::Now);
        let old = Lately { day: compared(0, 25_000), last_mismatch: Some(minutes(60 * 80)), ..quiet() };
        assert_eq!(old.concern(), Concern::None);
        assert!(old.in_words().ends_with("; last mismatch 3 days ago"), "{}", old.in_words());
    }

    #[test]
    fn what_was_repaired_since_is_told_apart_from_what_differs_still() {
        let repaired = Some((minutes(5), at("2026-01-31T07:55:00Z")));
        let lately = Lately { recent: compared(26, 1_240), repaired, ..quiet() };
        assert_eq!(lately.concern(), Concern::Fading);
        assert!(lately.in_words().contains("12 min ago, before the repair of 2026-01-31 07:55:00Z"));
        let again = Lately { last_mismatch: Some(minutes(1)), ..lately };
        assert_eq!(again.concern(), Concern::Now);
        assert!(!again.in_words().contains("before the repair"), "{}", again.in_words());
    }

    #[test]
    fn no_comparison_is_not_no_difference() {
        assert_eq!(Lately::default().concern(), Concern::Unknown);
        assert_eq!(Lately::default().in_words(), "nothing compared, as far back as counts are kept");
        let idle = Lately { recent: compared(0, 0), last_compared: Some(minutes(180)), ..quiet() };
        assert_eq!(idle.concern(), Concern::Unknown);
        assert!(idle.in_words().starts_with("nothing compared in the last 15 min, the last answer 3 h ago;"));
    }
}
