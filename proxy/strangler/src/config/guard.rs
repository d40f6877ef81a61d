//! The guard's section, checked.

use std::time::Duration;

use super::Origins;
use super::check::{Checked, count, millis};
use super::raw::RawGuard;
use control_plane::guard::{GuardSettings, Limits};

pub(super) fn guard(raw: &RawGuard, origins: &Origins<'_>) -> Checked<GuardSettings> {
    let seconds = |number: u64, least: u64, most: u64, key, rule: &str| {
        let fits = (least..=most).contains(&number);
        fits.then(|| Duration::from_secs(number)).ok_or_else(|| origins.rule(key, rule))
    };
    let share = |percent: f64, key| {
        let fits = percent > 0.0 && percent <= 100.0;
        fits.then_some(percent / 100.0).ok_or_else(|| origins.rule(key, "must be above 0 and at most 100"))
    };
    let number = |number: f64, most: f64, key, rule: &str| {
        // NaN is in no range.
        (1.0..=most).contains(&number).then_some(number).ok_or_else(|| origins.rule(key, rule))
    };
    if !raw.window_s.is_multiple_of(10) {
        return Err(origins.rule("guard.window_s", "must be a multiple of 10: figures are kept in tens of seconds"));
    }
    if !(10..=1_000_000).contains(&raw.samples) {
        return Err(origins.rule("guard.samples", "must be from 10 to 1000000: fewer say nothing"));
    }
    // Wrong records are told apart up to 256.
    if !(1..=raw.samples.min(250)).contains(&raw.events) {
        return Err(origins.rule("guard.events", "must be from 1 to guard.samples, and at most 250"));
    }
    if !(raw.events..=250).contains(&raw.wrong_records) {
        return Err(origins.rule("guard.wrong_records", "must be from guard.events to 250"));
    }
    let most = "must be from 1 to 86400 seconds (a day)";
    Ok(GuardSettings {
        enabled: raw.enabled,
        window: seconds(raw.window_s, 10, 600, "guard.window_s", "must be from 10 to 600 seconds")?,
        baseline: seconds(
            raw.baseline_hours.saturating_mul(3_600),
            3_600,
            7 * 86_400,
            "guard.baseline_hours",
            "must be from 1 to 168 (a week)",
        )?,
        // Two at large at once could be taken for each other.
        canary: seconds(raw.canary_s, 20, 600, "guard.canary_s", "must be from 20 to 600 seconds")?,
        limits: Limits {
            samples: raw.samples,
            events: raw.events,
            mismatches: share(raw.mismatch_percent, "guard.mismatch_percent")?,
            wrong_records: raw.wrong_records,
            errors: share(raw.error_percent, "guard.error_percent")?,
            latency_ratio: number(raw.latency_ratio, 100.0, "guard.latency_ratio", "must be from 1 to 100")?,
            latency_floor: millis(raw.latency_floor_ms, "guard.latency_floor_ms", origins)?
                .min(Duration::from_secs(10)),
            unsettled_age: seconds(raw.unsettled_age_s, 1, 86_400, "guard.unsettled_age_s", most)?,
            lag: seconds(raw.cdc_lag_s, 1, 86_400, "guard.cdc_lag_s", most)?,
            sigmas: number(raw.sigmas, 100.0, "guard.sigmas", "must be from 1 to 100")?,
            baseline_windows: count(raw.baseline_windows, "guard.baseline_windows", origins)?.get(),
        },
    })
}
