//! What waits for the other side, what was left behind, and what a replica does not know.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use model::store::Backlog;
use model::{GroupName, Side};

use super::{
    HANDOVER_STEP_SECONDS, LEFT_BEHIND_WRITES, ROLLOUT_DIVERGED_TOTAL, STRAY_CHANGES, UNSETTLED_AGE_SECONDS,
    UNSETTLED_LOOK_AGE_SECONDS, UNSETTLED_WRITES,
};

/// How much waits to be settled.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 writes")]
pub fn backlog(group: &GroupName, backlog: &Backlog) {
    gauge!(UNSETTLED_WRITES, "group" => group.as_str().to_owned()).set(backlog.writes as f64);
    // An age that is not known is no age: the gauge goes on to show the last one.
    if let Some(age) = if backlog.writes == 0 { Some(Duration::ZERO) } else { backlog.oldest } {
        gauge!(UNSETTLED_AGE_SECONDS, "group" => group.as_str().to_owned()).set(age.as_secs_f64());
    }
}

/// The control store's newest rollout does not come from the one that this replica works under.
pub fn rollout_diverged() {
    counter!(ROLLOUT_DIVERGED_TOTAL).increment(1);
}

/// How much a handover left behind, on either side.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 writes")]
pub fn left_behind(group: &GroupName, writes: u64) {
    gauge!(LEFT_BEHIND_WRITES, "group" => group.as_str().to_owned()).set(writes as f64);
}

/// How much is unsettled of types that the contract does not have.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 changes")]
pub fn strays(side: Side, changes: u64) {
    gauge!(STRAY_CHANGES, "side" => side.as_str()).set(changes as f64);
}

/// How old the last good look at a primary's unsettled keys is.
pub fn unsettled_look(group: &GroupName, age: Duration) {
    gauge!(UNSETTLED_LOOK_AGE_SECONDS, "group" => group.as_str().to_owned()).set(age.as_secs_f64());
}

/// A step of a handover was done.
pub fn handover_step(step: &'static str, took: Duration) {
    histogram!(HANDOVER_STEP_SECONDS, "step" => step).record(took.as_secs_f64());
}
