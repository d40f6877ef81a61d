//! What the guard is told by the configuration.

use std::time::Duration;

/// How the guard works.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardSettings {
    /// Whether it works at all. When not, the health check `guard` says so.
    pub enabled: bool,
    /// What it looks at: the figures of so long. Short finds a breach soon, long needs less traffic.
    pub window: Duration,
    /// How far back the group's own baseline goes.
    pub baseline: Duration,
    /// How often the canary is let loose.
    pub canary: Duration,
    /// What is too much.
    pub limits: Limits,
}

/// What is too much. Rates are shares from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Records compared, or reads, that a window must have; with fewer the guard pauses. Of a group in which hardly
    /// more records were compared in the whole baseline, half of those will do.
    pub samples: u64,
    /// Wrong records, or other bad events, that a window must have: one or two are nobody's trend.
    pub events: u64,
    /// Records with a confirmed mismatch, of those compared. A record counts once, however often it was asked.
    pub mismatches: f64,
    /// More wrong records than this are too many, whatever their share.
    pub wrong_records: u64,
    /// Reads that modern was asked and did not answer.
    pub errors: f64,
    /// The 95th percentile of modern, as a multiple of legacy's for the same questions …
    pub latency_ratio: f64,
    /// … and at least this: modern may be slow compared to a legacy that is very fast.
    pub latency_floor: Duration,
    /// Age of the oldest write that modern does not have.
    pub unsettled_age: Duration,
    /// How late a source of changes may be.
    pub lag: Duration,
    /// Standard deviations from the group's own baseline.
    pub sigmas: f64,
    /// Windows that a baseline must have before deviations from it count.
    pub baseline_windows: usize,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(30),
            baseline: Duration::from_secs(24 * 3_600),
            canary: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples: 100,
            events: 3,
            mismatches: 0.001,
            wrong_records: 20,
            errors: 0.01,
            latency_ratio: 2.0,
            latency_floor: Duration::from_millis(100),
            unsettled_age: Duration::from_secs(60),
            lag: Duration::from_secs(60),
            sigmas: 3.0,
            baseline_windows: 20,
        }
    }
}
