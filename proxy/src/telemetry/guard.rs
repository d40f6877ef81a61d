//! What the guard says of itself.

use metrics::{counter, gauge};
use model::GroupName;

use super::{GUARD_BREACHES_TOTAL, GUARD_CANARY_CAUGHT, GUARD_HEALTHY, GUARD_STATE};
use crate::guard::{GuardState, Measure};

/// The guard found a breach of `group`.
pub(crate) fn guard_breach(group: &GroupName, reason: Measure) {
    counter!(GUARD_BREACHES_TOTAL, "group" => group.to_string(), "reason" => reason.as_str()).increment(1);
}

/// What the guard makes of `group`.
pub(crate) fn guard_state(group: &GroupName, state: GuardState) {
    for one in GuardState::ALL {
        let is_it = if one == state { 1.0 } else { 0.0 };
        gauge!(GUARD_STATE, "group" => group.to_string(), "state" => one.as_str()).set(is_it);
    }
}

/// Whether the guard is alive and sees.
pub(crate) fn guard_healthy(healthy: bool) {
    gauge!(GUARD_HEALTHY).set(if healthy { 1.0 } else { 0.0 });
}

/// The guard caught a canary.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
pub(crate) fn canary_caught(at: model::Instant) {
    gauge!(GUARD_CANARY_CAUGHT).set(at.to_utc().timestamp() as f64);
}
