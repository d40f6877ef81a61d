//! The declared plan of promotions, its gates, and which stages need a second person.

use std::time::Duration;

use model::control::Step;
use model::{Percentage, Stage};

use super::Origins;
use super::check::{Checked, millis};
use super::raw::{RawApprovals, RawPromotion};
use control_plane::desk::ApprovalRules;
use control_plane::promotion::{GateLimits, PromotionRules};

/// A year.
const LONGEST_HOURS: u64 = 24 * 366;

pub(super) fn approvals(raw: &RawApprovals, origins: &Origins<'_>) -> Checked<ApprovalRules> {
    let stage =
        |name: &String| name.parse::<Stage>().map_err(|error| origins.rule("approvals.stages", error.to_string()));
    Ok(ApprovalRules {
        stages: raw.stages.iter().map(stage).collect::<Result<_, _>>()?,
        open_for: hours(raw.open_hours, "approvals.open_hours", origins)?,
    })
}

pub(super) fn promotion(raw: &RawPromotion, origins: &Origins<'_>) -> Checked<PromotionRules> {
    Ok(PromotionRules {
        steps: steps(raw, origins)?,
        limits: GateLimits {
            objective: objective(raw.objective, origins)?,
            evidence: hours(raw.evidence_hours, "promotion.evidence_hours", origins)?,
            comparisons_per_route: raw.comparisons_per_route,
            keys_ratio: share(raw.keys, "promotion.keys", origins)?,
            reconciled_within: match raw.reconciled_within_hours {
                0 => None,
                given => Some(hours(given, "promotion.reconciled_within_hours", origins)?),
            },
            unsettled_age: millis(raw.unsettled_age_ms, "promotion.unsettled_age_ms", origins)?,
            cdc_lag: millis(raw.cdc_lag_ms, "promotion.cdc_lag_ms", origins)?,
            error_rate: share(raw.errors, "promotion.errors", origins)?,
        },
    })
}

fn steps(raw: &RawPromotion, origins: &Origins<'_>) -> Checked<Vec<Step>> {
    let key = "promotion.steps";
    if raw.steps.is_empty() {
        return Err(origins.rule(key, "needs at least one percentage"));
    }
    if raw.hold_minutes.len() != raw.steps.len() {
        let rule = format!("needs one hold for each of the {} steps", raw.steps.len());
        return Err(origins.rule("promotion.hold_minutes", rule));
    }
    let mut steps: Vec<Step> = Vec::with_capacity(raw.steps.len());
    for (percent, minutes) in raw.steps.iter().zip(&raw.hold_minutes) {
        let reads = Percentage::try_from(*percent).map_err(|error| origins.rule(key, error.to_string()))?;
        if reads == Percentage::ZERO || steps.last().is_some_and(|last| last.reads >= reads) {
            return Err(origins.rule(key, "must rise from step to step, from above 0 to at most 100"));
        }
        if *minutes > LONGEST_HOURS * 60 {
            return Err(origins.rule("promotion.hold_minutes", "must be at most 527040 (a year)"));
        }
        steps.push(Step { reads, hold: Duration::from_secs(minutes * 60) });
    }
    Ok(steps)
}

fn objective(percent: f64, origins: &Origins<'_>) -> Checked<f64> {
    if !(90.0..=99.9999).contains(&percent) {
        let rule = "must be from 90 to 99.9999: nothing shows that no answer at all is wrong";
        return Err(origins.rule("promotion.objective", rule));
    }
    Ok(percent / 100.0)
}

/// A percentage that need not be one of the rollout's.
fn share(percent: f64, key: &'static str, origins: &Origins<'_>) -> Checked<f64> {
    if (0.0..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err(origins.rule(key, "must be from 0 to 100")) }
}

fn hours(number: u64, key: &'static str, origins: &Origins<'_>) -> Checked<Duration> {
    if !(1..=LONGEST_HOURS).contains(&number) {
        return Err(origins.rule(key, "must be from 1 to 8784 hours (a year)"));
    }
    Ok(Duration::from_secs(number * 3_600))
}
