//! Every metric's name, one constant each, with the question that it answers.
//!
//! Labels are closed sets; field values and keys never become labels.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use model::Rollout;
use model::evidence::Observation;

/// Share of keys that modern answers, from 0 to 1. Answers: how far is the shift? Labels: `group`.
pub const READS_MODERN_RATIO: &str = "strangler_reads_modern_ratio";
/// The rollout that this replica works under. Answers: do all replicas agree? Labels: none.
pub const ROLLOUT_VERSION: &str = "strangler_rollout_version";
/// 1 while the control store answers, else 0. Answers: can changes and evidence be recorded? Labels: none.
pub const CONTROL_STORE_UP: &str = "strangler_control_store_up";
/// Comparisons made. Answers: is the modern side right? Labels: `route`, `verdict`.
pub const COMPARISONS_TOTAL: &str = "strangler_comparisons_total";
/// Comparisons whose evidence was lost. Answers: how much do reports not know? Labels: `reason`
/// (`queue_full`, `buffer_full`, `refused`).
pub const EVIDENCE_DROPPED_TOTAL: &str = "strangler_evidence_dropped_total";

/// Describes the metrics of rollout and evidence to the recorder that is installed.
pub fn describe_rollout() {
    describe_gauge!(READS_MODERN_RATIO, "Share of keys that modern answers, from 0 to 1");
    describe_gauge!(ROLLOUT_VERSION, "The rollout that this replica works under");
    describe_gauge!(CONTROL_STORE_UP, "1 while the control store answers, else 0");
    describe_counter!(COMPARISONS_TOTAL, "Comparisons made, by verdict");
    describe_counter!(EVIDENCE_DROPPED_TOTAL, "Comparisons whose evidence was lost");
}

/// A replica works under `rollout` from now on.
#[expect(clippy::cast_precision_loss, reason = "no fleet publishes 2^52 rollouts")]
pub(crate) fn rollout_swapped(rollout: &Rollout) {
    gauge!(ROLLOUT_VERSION).set(rollout.version.0 as f64);
    for (group, policy) in &rollout.policies {
        gauge!(READS_MODERN_RATIO, "group" => group.to_string()).set(policy.reads().ratio());
    }
}

/// The control store answered, or did not.
pub(crate) fn control_store(up: bool) {
    gauge!(CONTROL_STORE_UP).set(if up { 1.0 } else { 0.0 });
}

/// A comparison was made.
pub(crate) fn compared(observation: &Observation) {
    let (route, verdict) = (observation.route.to_string(), observation.verdict.as_str());
    counter!(COMPARISONS_TOTAL, "route" => route, "verdict" => verdict).increment(1);
}

/// The evidence of `count` comparisons was lost.
pub(crate) fn evidence_dropped(reason: &'static str, count: u64) {
    counter!(EVIDENCE_DROPPED_TOTAL, "reason" => reason).increment(count);
}
