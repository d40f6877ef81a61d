//! The measured evidence, against what people say about money.

use std::time::Duration;

use chrono::TimeDelta;
use model::Instant;
use model::control::{EvidenceFilter, GroupFigures};
use model::evidence::Verdict;

use super::{Desk, DeskError};
use crate::breakeven::{BreakEven, Given, Measured, Unknown, weigh};

/// How far back settle times are looked at.
const SETTLE_HOURS: i64 = 24;

impl Desk {
    /// Weighs what errors cost against what waiting costs. `settle_p99` stands in for what was measured.
    ///
    /// # Errors
    /// [`DeskError`] when a figure is missing that somebody must give, or nothing was compared.
    pub async fn weigh(
        &self,
        given: &Given,
        filter: &EvidenceFilter,
        settle_p99: Option<Duration>,
    ) -> Result<BreakEven, DeskError> {
        let sums = self.control.evidence(filter).await?;
        let count = |verdict| sums.count(None, verdict);
        let mismatches = count(Verdict::Mismatch);
        let comparisons = mismatches + count(Verdict::Match) + count(Verdict::Excused);
        let settle_p99 = match settle_p99 {
            Some(given) => Some(given),
            None => self.settle_p99().await,
        };
        weigh(given, Measured { comparisons, mismatches, settle_p99 }).map_err(|unknown| match &unknown {
            Unknown::NotGiven(_) => DeskError::wrong("NOT_GIVEN", format!("{unknown}; keys of [breakeven], or flags")),
            Unknown::NothingCompared => DeskError::no("NOTHING_COMPARED", unknown.to_string()),
        })
    }

    /// How long 99 of 100 writes took until both sides had them, over all groups; `None` when nobody measured it.
    async fn settle_p99(&self) -> Option<Duration> {
        let since = Instant::new((self.clock)().to_utc() - TimeDelta::hours(SETTLE_HOURS));
        let figures = self.control.figures(None, since).await.ok()?;
        GroupFigures::sum(figures.slots.values()).settle.quantile(0.99).map(|estimate| estimate.value)
    }
}
