//! How much clients make a replica hold, and whom it sent away for that.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use net::budget::NoRoom;

/// Bytes of bodies that have not come to their end. Answers: does somebody send slowly, and much?
pub(super) const BODY_BYTES: &str = "strangler_body_bytes";
/// Bytes of heads and messages that have not come to their end, and of open WebSockets. Answers: do connections hold much
/// without asking anything?
pub(super) const CONNECTION_BYTES: &str = "strangler_connection_bytes";
/// Bytes that requests under way hold, or may come to hold. Answers: how full is the replica?
pub(super) const REQUEST_BYTES: &str = "strangler_request_bytes";
/// Look-ups in the plan cache. Answers: do clients repeat their documents, or is each one parsed?
/// Labels: `outcome` (`hit`, `miss`).
pub const PLAN_CACHE_TOTAL: &str = "strangler_plan_cache_total";
/// Bytes that the compiled documents hold. Answers: does the plan cache have room?
pub(super) const PLAN_CACHE_BYTES: &str = "strangler_plan_cache_bytes";
/// Requests and connections that were sent away since there was no room. Answers: is somebody taking too much? Labels:
/// `budget` (`bodies`, `memory`, `connections`, `sockets`, `heads`), `reason` (`address`: one address had its share; `process`).
pub(super) const OVERLOADED_TOTAL: &str = "strangler_overloaded_total";
/// Reads with a version token. Answers: do clients read before the secondary has their writes, or does somebody make
/// tokens up? Label: `outcome` (`standing`; `unsettled`: answered by the primary; `awaited`: a look showed no such write;
/// `late`: there was no look in time, answered by the primary).
pub(super) const VERSION_TOKENS_TOTAL: &str = "strangler_version_tokens_total";

/// Describes these metrics to the recorder.
pub(super) fn describe() {
    describe_counter!(PLAN_CACHE_TOTAL, "Look-ups in the plan cache");
    describe_gauge!(BODY_BYTES, Unit::Bytes, "Bytes of request bodies that have not come to their end");
    describe_gauge!(CONNECTION_BYTES, Unit::Bytes, "Bytes of unfinished heads and messages, and of open WebSockets");
    describe_gauge!(REQUEST_BYTES, Unit::Bytes, "Bytes that requests under way hold or may come to hold");
    describe_gauge!(PLAN_CACHE_BYTES, Unit::Bytes, "Bytes that the compiled documents hold");
    describe_counter!(OVERLOADED_TOTAL, "Requests and connections that were sent away since there was no room");
    describe_counter!(VERSION_TOKENS_TOTAL, "Reads with a version token, by what it came to");
}

/// What bodies hold.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 bytes")]
pub fn body_bytes(held: u64) {
    gauge!(BODY_BYTES).set(held as f64);
}

/// What connections hold.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 bytes")]
pub fn connection_bytes(held: u64) {
    gauge!(CONNECTION_BYTES).set(held as f64);
}

/// What requests hold.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 bytes")]
pub fn request_bytes(held: u64) {
    gauge!(REQUEST_BYTES).set(held as f64);
}

/// What the compiled documents hold.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 bytes")]
pub fn plan_cache_bytes(held: usize) {
    gauge!(PLAN_CACHE_BYTES).set(held as f64);
}

/// Somebody was sent away.
pub fn no_room(budget: &'static str, no_room: NoRoom) {
    counter!(OVERLOADED_TOTAL, "budget" => budget, "reason" => no_room.as_str()).increment(1);
}

/// A read came with a version token.
pub fn version_token(outcome: &'static str) {
    counter!(VERSION_TOKENS_TOTAL, "outcome" => outcome).increment(1);
}
