//! Evidence over time in memory. Each flush counts in the period of its last observations.

use async_trait::async_trait;
use model::control::{ControlError, EvidenceFilter, Span, Trend, TrendStore, Width};

use super::MemoryControl;

#[async_trait]
impl TrendStore for MemoryControl {
    async fn trend(&self, filter: &EvidenceFilter, span: Span) -> Result<Trend, ControlError> {
        self.up()?;
        let since = Some(span.width.floor(span.since).0);
        let filter = EvidenceFilter { since, ..filter.clone() };
        let mut trend = Trend::default();
        for (_, added) in &self.state.lock().evidence {
            let mut sums = added.clone().retained(&filter);
            // As they are kept: by the minute.
            let counts = |last| Width::Minute.floor(last).0 <= span.until;
            sums.comparisons.retain(|_, seen| counts(seen.last));
            sums.differences.retain(|_, seen| counts(seen.last));
            trend.add(&sums, span.width);
        }
        Ok(trend)
    }
}
