//! The measured evidence, against what people say about money.

use std::time::Duration;

use chrono::{DurationRound, TimeDelta};
use model::Instant;
use model::control::reconciliation::RepairRecord;
use model::control::{EvidenceFilter, GroupFigures};
use model::evidence::Verdict;

use super::{Desk, DeskError};
use crate::breakeven::{BreakEven, Evidence, Given, Measured, Unknown, weigh};

/// How far back settle times are looked at.
const SETTLE_HOURS: i64 = 24;
/// Repairs that are looked at, newest first: one that has ended is soon among them.
const REPAIRS: usize = 20;

impl Desk {
    /// Weighs what errors cost against what waiting costs: since the last repair, where `filter` names no time and enough
    /// was compared since. `settle_p99` stands in for what was measured.
    ///
    /// # Errors
    /// [`DeskError`] when a figure is missing that somebody must give, or too little was compared.
    pub async fn weigh(
        &self,
        given: &Given,
        filter: &EvidenceFilter,
        settle_p99: Option<Duration>,
    ) -> Result<BreakEven, DeskError> {
        let settle_p99 = match settle_p99 {
            Some(given) => Some(given),
            None => self.settle_p99().await,
        };
        let all = self.measured(filter, settle_p99).await?;
        let current = match self.mended_at(filter).await? {
            Some(since) => {
                let filter = EvidenceFilter { since: Some(since), ..filter.clone() };
                Some(self.measured(&filter, settle_p99).await?)
            }
            None => None,
        };
        weigh(given, Evidence { all, current }).map_err(|unknown| match &unknown {
            Unknown::NotGiven(_) => DeskError::wrong("NOT_GIVEN", format!("{unknown}; keys of [breakeven], or flags")),
            Unknown::NothingCompared => DeskError::no("NOTHING_COMPARED", unknown.to_string()),
            Unknown::TooFew { .. } => DeskError::no("TOO_FEW", unknown.to_string()),
        })
    }

    async fn measured(&self, filter: &EvidenceFilter, settle_p99: Option<Duration>) -> Result<Measured, DeskError> {
        let sums = self.control.evidence(filter).await?;
        let count = |verdict| sums.count(None, verdict);
        let mismatches = count(Verdict::Mismatch);
        let comparisons = mismatches + count(Verdict::Match) + count(Verdict::Excused);
        Ok(Measured { comparisons, mismatches, since: filter.since, settle_p99 })
    }

    /// When the last repair ended that left every key level, as a minute from which on nothing of before is counted; `None` where a time was asked
    /// for, or nothing was ever repaired. That mismatches just stopped is no such moment: a window that begins where the
    /// last one was found is clean by choice.
    async fn mended_at(&self, filter: &EvidenceFilter) -> Result<Option<Instant>, DeskError> {
        if filter.since.is_some() {
            return Ok(None);
        }
        let groups = filter.routes.iter().flatten();
        let group = groups.filter_map(|route| self.contract.root(route)).map(|root| root.group.clone()).next();
        let repairs = self.control.repairs(group.as_ref(), REPAIRS).await?;
        let minute = TimeDelta::minutes(1);
        let ended = repairs.iter().filter_map(RepairRecord::mended_at).max();
        Ok(ended.and_then(|at| (at.to_utc() + minute).duration_trunc(minute).ok()).map(Instant::new))
    }

    /// How long 99 of 100 writes took until both sides had them, over all groups; `None` when nobody measured it.
    async fn settle_p99(&self) -> Option<Duration> {
        let since = Instant::new((self.clock)().to_utc() - TimeDelta::hours(SETTLE_HOURS));
        let figures = self.control.figures(None, since).await.ok()?;
        GroupFigures::sum(figures.slots.values()).settle.quantile(0.99).map(|estimate| estimate.value)
    }
}
