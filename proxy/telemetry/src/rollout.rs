//! What is measured of the rollout that a replica works under.

use metrics::gauge;
use model::Rollout;

use super::{CONTROL_STORE_UP, READS_MODERN_RATIO, ROLLOUT_SAVED, ROLLOUT_VERSION};

/// A replica works under `rollout` from now on.
#[expect(clippy::cast_precision_loss, reason = "no fleet publishes 2^52 rollouts")]
pub fn rollout_swapped(rollout: &Rollout) {
    gauge!(ROLLOUT_VERSION).set(rollout.version.0 as f64);
    for (group, policy) in &rollout.policies {
        gauge!(READS_MODERN_RATIO, "group" => group.to_string()).set(policy.reads().ratio());
    }
}

/// The control store answered, or did not.
pub fn control_store(up: bool) {
    gauge!(CONTROL_STORE_UP).set(if up { 1.0 } else { 0.0 });
}

/// The newest rollout was written to disk, or could not be.
pub fn rollout_saved(saved: bool) {
    gauge!(ROLLOUT_SAVED).set(if saved { 1.0 } else { 0.0 });
}
