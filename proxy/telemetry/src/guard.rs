//! What the guard says of itself.

use metrics::{counter, gauge};
use model::GroupName;

use super::{GUARD_BREACHES_TOTAL, GUARD_CANARY_CAUGHT, GUARD_HEALTHY, GUARD_STATE};

/// The guard found a breach of `group`; `reason` is the measure that was exceeded.
pub fn guard_breach(group: &GroupName, reason: &'static str) {
    counter!(GUARD_BREACHES_TOTAL, "group" => group.to_string(), "reason" => reason).increment(1);
}

/// What the guard makes of `group`: each of its possible states, and whether it is that one.
pub fn guard_state(group: &GroupName, states: impl IntoIterator<Item = (&'static str, bool)>) {
    for (state, is_it) in states {
        gauge!(GUARD_STATE, "group" => group.to_string(), "state" => state).set(if is_it { 1.0 } else { 0.0 });
    }
}

/// Whether the guard is alive and sees.
pub fn guard_healthy(healthy: bool) {
    gauge!(GUARD_HEALTHY).set(if healthy { 1.0 } else { 0.0 });
}

/// The guard caught a canary.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
pub fn canary_caught(at: model::Instant) {
    gauge!(GUARD_CANARY_CAUGHT).set(at.to_utc().timestamp() as f64);
}
