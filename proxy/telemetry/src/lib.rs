//! Every metric's name, what it answers, and its labels. Labels are closed sets, never keys.
//!
//! Prometheus conventions: `strangler_` prefix, base units, `_total` on counters only.

mod budgets;
mod compared;
mod guard;
mod health;
mod lives;
pub mod ours;
mod rollout;
pub mod tasks;
pub mod traces;
mod waiting;

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use model::control::histogram::BOUNDS;
use model::saga::SagaCounts;
use model::{GroupName, RouteName, SagaStatus, Side, WebhookName};
use tokio::time::Instant;

pub use budgets::PLAN_CACHE_TOTAL;
pub use budgets::{body_bytes, connection_bytes, no_room, plan_cache_bytes, request_bytes, version_token};
pub use compared::{compared, foreign_found, foreign_write, route_groups};
pub use guard::{canary_caught, guard_breach, guard_healthy, guard_state};
pub use health::route_breaker;
pub use health::{breaker, side_error};
pub use lives::{incarnation, mark_age, suspended};
pub use rollout::{control_store, rollout_saved, rollout_swapped};
pub use waiting::rollout_diverged;
pub use waiting::{backlog, handover_step, left_behind, strays, unsettled_look};

/// Time from the gateway asking to the answer. Answers: how fast is which side? Labels: `route`, `side`.
pub const REQUEST_DURATION_SECONDS: &str = "strangler_request_duration_seconds";
/// Reads that the primary answered because the other side failed. Labels: `route`, `reason`.
pub const FALLBACKS_TOTAL: &str = "strangler_fallbacks_total";
/// Errors of a side. Answers: which side is unwell, and how? Labels: `side`, `kind`.
pub const SIDE_ERRORS_TOTAL: &str = "strangler_side_errors_total";
/// Whether a side's breaker keeps calls away (1) or not (0). Label: `side`.
pub const BREAKER_OPEN: &str = "strangler_breaker_open";
/// Whether a side that answers others is left alone by one route (1), or by the writes brought to one type, or not (0).
/// Labels: `side`, `route`.
pub const ROUTE_BREAKER_OPEN: &str = "strangler_route_breaker_open";
/// Calls that wait for a session of an Oracle side. Answers: is a lane too narrow? Labels: `side`, `lane`
/// (`read`, `write`, `shadow`, `scan`, `admin`).
pub const LANE_WAITING: &str = "strangler_lane_waiting";
/// Threads that were given up to a hanging Oracle and are not back. Labels: `side`, `lane`.
pub const LANE_ABANDONED: &str = "strangler_lane_abandoned_threads";
/// Calls that were turned away since too many waited in their lane. Labels: `side`, `lane`.
pub const LANE_SHED_TOTAL: &str = "strangler_lane_shed_total";
/// Connections that a PostgreSQL refused, having no more. Label: `database` (`legacy`, `modern`, `control`).
pub const CONNECTIONS_REFUSED_TOTAL: &str = "strangler_connections_refused_total";
/// The life of a side's log; it rises with a failover or restore. Label: `side`.
pub const LOG_INCARNATION: &str = "strangler_log_incarnation";
/// Whether a side takes no writes of ours since it has gone back, was moved or was suspended. Label: `side`.
pub const SIDE_SUSPENDED: &str = "strangler_side_suspended";
/// Age of the newest mark of a side's life. Answers: would a restore be noticed by its marks? Label: `side`.
pub const SIDE_MARK_AGE_SECONDS: &str = "strangler_side_mark_age_seconds";
/// Writes by how they ended. Labels: `route`, `outcome` (settled, unsettled, primary_only, repeated,
/// refused, failed, unknown).
pub const WRITES_TOTAL: &str = "strangler_writes_total";
/// Writes that the secondary does not have yet. Answers: is catch-up keeping up? Label: `group`.
pub const UNSETTLED_WRITES: &str = "strangler_unsettled_writes";
/// Age of the oldest unsettled write. Label: `group`.
pub const UNSETTLED_AGE_SECONDS: &str = "strangler_unsettled_age_seconds";
/// Rollouts of the control store that do not come from the one that a replica worked under. Answers: was the control
/// database restored to an earlier copy?
pub const ROLLOUT_DIVERGED_TOTAL: &str = "strangler_rollout_diverged_total";
/// Writes that a handover left behind, on either side. Answers: is something acknowledged missing on the primary?
/// Label: `group`.
pub const LEFT_BEHIND_WRITES: &str = "strangler_left_behind_writes";
/// Unsettled changes of types that the contract does not have: nobody brings them over. Label: `side`.
pub const STRAY_CHANGES: &str = "strangler_stray_changes";
/// Age of the last good look at the primary's unsettled keys. Answers: does this replica know of the others' writes?
/// Label: `group`.
pub const UNSETTLED_LOOK_AGE_SECONDS: &str = "strangler_unsettled_look_age_seconds";
/// How long each step of a handover took. Answers: what did clients wait for? Label: `step` (freeze, drain, open,
/// publish, give-up, reopen, bar, alone).
pub const HANDOVER_STEP_SECONDS: &str = "strangler_handover_step_seconds";
/// Rehearsals of the secondary's own operation. Answers: would modern have done the same? Labels: `route`, `outcome`
/// (`match`, `excused`, `mismatch`, `unsettled`, `unequal_before`, `dropped`, `late`, `failed`).
pub const REHEARSALS_TOTAL: &str = "strangler_rehearsals_total";
/// Unsettled writes that the relay finished.
pub const RELAYED_TOTAL: &str = "strangler_relayed_writes_total";
/// Unsettled writes that the secondary refuses: they need an engineer.
pub const RELAY_REFUSED_TOTAL: &str = "strangler_relay_refused_total";
/// Rows of the secondary that were met changed past us. Answers: does somebody's script write there? Labels: `group`,
/// `outcome` (left, overwritten).
pub const FOREIGN_WRITES_TOTAL: &str = "strangler_foreign_writes_total";
/// Changes that the secondary answered for and did not take. Answers: does what was written arrive? Labels: `side`,
/// `reason` (other_history, altered, not_there, key_taken, barred, unreadable; and unproven, which was taken).
pub const NOT_TAKEN_TOTAL: &str = "strangler_not_taken_total";
/// Changes that this replica leaves to a newer contract's. Answers: is one only half rolled out? Label: `group`.
pub const LEFT_TO_NEWER_CHANGES: &str = "strangler_left_to_newer_changes";
/// Sagas that have not ended, on both sides together. Answers: does anything wait for somebody? Label: `state`
/// (`running`, `compensating`, `stuck`).
pub const SAGAS: &str = "strangler_sagas";
/// Sagas that this replica brought to where they rest. Label: `outcome` (`done`, `undone`, `stuck`, `abandoned`).
pub const SAGAS_ENDED_TOTAL: &str = "strangler_sagas_ended_total";
/// Sagas given back, since this replica cannot go on with them. Answers: does a deployment leave sagas behind? Labels:
/// `reason` (`contract`: another plan, `unreadable`).
pub const SAGAS_LEFT_TOTAL: &str = "strangler_sagas_left_total";
/// Rows that differ at rest, by the last complete reconciliation. Label: `group`.
pub const DRIFT_ROWS: &str = "strangler_drift_rows";
/// When the last complete reconciliation ended, of the type that waits longest for the next. Answers: how old is what
/// we know about data at rest? Label: `group`.
pub const RECONCILE_COMPLETED_TIMESTAMP_SECONDS: &str = "strangler_reconcile_completed_timestamp_seconds";
/// Comparisons made. Answers: is the modern side right? Labels: `route`, `verdict`.
pub const COMPARISONS_TOTAL: &str = "strangler_comparisons_total";
/// 1 for each route with its group. Answers: whose comparisons are these? Labels: `route`, `group`.
pub const ROUTE_GROUP: &str = "strangler_route_group";
/// Shadow reads not made. Answers: how much do we not know? Label: `reason`.
pub const SHADOW_DROPPED_TOTAL: &str = "strangler_shadow_dropped_total";
/// Batches of figures that were never recorded. Answers: can trends be trusted? Label: `reason`.
pub const FIGURES_DROPPED_TOTAL: &str = "strangler_figures_dropped_total";
/// Tasks of ours that panicked or ended, and were begun anew. Label: `task`.
pub const TASKS_FAILED_TOTAL: &str = "strangler_tasks_failed_total";
/// Shadow reads waiting in the queue.
pub const SHADOW_QUEUE_LENGTH: &str = "strangler_shadow_queue_length";

/// Share of keys that modern answers, from 0 to 1. Answers: how far is the shift? Labels: `group`.
pub const READS_MODERN_RATIO: &str = "strangler_reads_modern_ratio";
/// The rollout that this replica works under. Answers: do all replicas agree? Labels: none.
pub const ROLLOUT_VERSION: &str = "strangler_rollout_version";
/// 1 while the control store answers, else 0. Answers: can changes and evidence be recorded? Labels: none.
pub const CONTROL_STORE_UP: &str = "strangler_control_store_up";
/// 1 while the newest rollout is on this replica's disk, else 0. Answers: what would a restart begin with? Labels: none.
pub const ROLLOUT_SAVED: &str = "strangler_rollout_saved";
/// Comparisons whose evidence was lost. Answers: how much do reports not know? Labels: `reason`
/// (`refused`: by the control store).
pub const EVIDENCE_DROPPED_TOTAL: &str = "strangler_evidence_dropped_total";

/// Requests that the admin port did not let in. Answers: does somebody guess, or lack a role? Labels: `reason`
/// (`no_credential`, `bad_credential`, `expired`, `role`, `csrf`, `cross_site`, `host`, `limited`, `too_large`,
/// `too_slow`, `unavailable`).
pub const ADMIN_REFUSED_TOTAL: &str = "strangler_admin_refused_total";
/// Breaches that the guard found, once each for a group and rollout. Labels: `group`, `reason`
/// (`mismatches`, `errors`, `latency`, `unsettled_age`, `lag`).
pub const GUARD_BREACHES_TOTAL: &str = "strangler_guard_breaches_total";
/// 1 for what the guard makes of a group now, 0 for the rest. Labels: `group`, `state` (`idle`, `well`,
/// `paused`, `breach`).
pub const GUARD_STATE: &str = "strangler_guard_state";
/// 1 while the guard looks and catches its canaries, else 0. Answers: would a breach be seen?
pub const GUARD_HEALTHY: &str = "strangler_guard_healthy";
/// When the guard last caught a canary, in seconds since 1970.
pub const GUARD_CANARY_CAUGHT: &str = "strangler_guard_canary_caught_timestamp_seconds";
/// Messages sent to webhooks. Answers: are receivers told? Labels: `webhook`, `outcome` (`delivered`, `refused`,
/// `timed_out`, `unreachable`, `given_up`).
pub const WEBHOOK_DELIVERIES_TOTAL: &str = "strangler_webhook_deliveries_total";
/// Age of the oldest entry that a webhook was not told of yet. Label: `webhook`.
pub const WEBHOOK_LAG_SECONDS: &str = "strangler_webhook_lag_seconds";

/// Looks at flags of an external provider. Labels: `outcome` (`ok`, `absent`, `unusable`).
pub const FLAG_EVALUATIONS_TOTAL: &str = "strangler_flag_evaluations_total";

/// Spans of traces that no collector took. Labels: `reason` (`queue_full`, `not_taken`).
pub const SPANS_DROPPED_TOTAL: &str = "strangler_spans_dropped_total";

/// HTTP requests answered. Answers: how much comes in and how much of it goes wrong?
/// Labels: `outcome` (`ok`, `partial`, `refused`, `failed`).
pub const HTTP_REQUESTS_TOTAL: &str = "strangler_http_requests_total";

/// Time from the last byte of a request to its answer. Answers: how long do clients wait?
/// Labels: `outcome` as for [`HTTP_REQUESTS_TOTAL`].
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "strangler_http_request_duration_seconds";

/// Open client connections. Answers: is the connection limit near? Labels: none.
pub const HTTP_CONNECTIONS: &str = "strangler_http_connections";

/// How often the recorder tidies up.
pub const UPKEEP: Duration = Duration::from_secs(5);

/// The process-wide recorder; installed at the first call.
///
/// # Errors
/// When another recorder is installed, or the histogram's bounds are refused.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: parking_lot::Mutex<Option<PrometheusHandle>> = parking_lot::Mutex::new(None);
    let mut installed = INSTALLED.lock();
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let bounds = BOUNDS.map(|bound| bound.as_secs_f64());
    let handle = PrometheusBuilder::new().set_buckets(&bounds)?.install_recorder()?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Describes every metric to the recorder that is installed.
pub fn describe() {
    describe_histogram!(REQUEST_DURATION_SECONDS, Unit::Seconds, "Time from the gateway asking to the answer");
    describe_counter!(FALLBACKS_TOTAL, "Reads that the primary answered because the other side failed");
    describe_counter!(SIDE_ERRORS_TOTAL, "Errors of a side");
    describe_gauge!(BREAKER_OPEN, "1 while calls are kept away from a side, else 0");
    describe_gauge!(
        ROUTE_BREAKER_OPEN,
        "1 while a route's calls are kept away from a side that answers others, else 0"
    );
    describe_gauge!(SIDE_SUSPENDED, "1 while a side takes no writes of ours: it has gone back or was moved");
    describe_gauge!(SIDE_MARK_AGE_SECONDS, Unit::Seconds, "Age of the newest mark of a side's life: a second at most");
    describe_gauge!(LOG_INCARNATION, "The life of a side's log; it rises with a failover or restore");
    describe_counter!(CONNECTIONS_REFUSED_TOTAL, "Connections that a PostgreSQL refused, having no more for us");
    describe_counter!(WRITES_TOTAL, "Writes by how they ended");
    describe_gauge!(UNSETTLED_WRITES, "Writes that the secondary does not have yet");
    describe_gauge!(UNSETTLED_AGE_SECONDS, Unit::Seconds, "Age of the oldest unsettled write");
    describe_counter!(ROLLOUT_DIVERGED_TOTAL, "Rollouts of the control store that do not come from ours");
    describe_gauge!(LEFT_BEHIND_WRITES, "Writes that a handover left behind, on either side");
    describe_gauge!(STRAY_CHANGES, "Unsettled changes of types that the contract does not have");
    describe_gauge!(
        UNSETTLED_LOOK_AGE_SECONDS,
        Unit::Seconds,
        "Age of the last good look at the primary's unsettled keys"
    );
    describe_histogram!(HANDOVER_STEP_SECONDS, Unit::Seconds, "How long each step of a handover took");
    describe_counter!(REHEARSALS_TOTAL, "Rehearsals of the secondary's own operation, by how they ended");
    describe_counter!(RELAYED_TOTAL, "Unsettled writes that the relay finished");
    describe_counter!(RELAY_REFUSED_TOTAL, "Unsettled writes that the secondary refuses");
    describe_gauge!(LEFT_TO_NEWER_CHANGES, "Changes that wait for a replica of a newer contract than this one's");
    describe_counter!(FOREIGN_WRITES_TOTAL, "Rows of the secondary that were met changed past strangler");
    describe_counter!(NOT_TAKEN_TOTAL, "Changes that the secondary answered for and did not take, by reason");
    describe_gauge!(DRIFT_ROWS, "Rows that differ at rest, by the last complete reconciliation");
    describe_gauge!(
        RECONCILE_COMPLETED_TIMESTAMP_SECONDS,
        Unit::Seconds,
        "When the last complete reconciliation of the group ended"
    );
    describe_counter!(COMPARISONS_TOTAL, "Comparisons made, by verdict");
    describe_gauge!(ROUTE_GROUP, "1 for each route, with the group that it moves with");
    describe_counter!(SHADOW_DROPPED_TOTAL, "Shadow reads not made");
    describe_counter!(FIGURES_DROPPED_TOTAL, "Batches of figures that were never recorded");
    describe_gauge!(SHADOW_QUEUE_LENGTH, "Shadow reads waiting in the queue");
    describe_gauge!(READS_MODERN_RATIO, "Share of keys that modern answers, from 0 to 1");
    describe_gauge!(ROLLOUT_VERSION, "The rollout that this replica works under");
    describe_gauge!(SAGAS, "Sagas that have not ended");
    describe_counter!(SAGAS_LEFT_TOTAL, "Sagas that this replica could not go on with and gave back");
    describe_counter!(SAGAS_ENDED_TOTAL, "Sagas that this replica brought to where they rest");
    describe_gauge!(CONTROL_STORE_UP, "1 while the control store answers, else 0");
    describe_gauge!(ROLLOUT_SAVED, "1 while the newest rollout is on this replica's disk, else 0");
    describe_counter!(EVIDENCE_DROPPED_TOTAL, "Comparisons whose evidence was lost");
    describe_counter!(ADMIN_REFUSED_TOTAL, "Requests that the admin port did not let in");
    describe_counter!(GUARD_BREACHES_TOTAL, "Breaches that the guard found");
    describe_gauge!(GUARD_STATE, "1 for what the guard makes of a group now, 0 for the rest");
    describe_gauge!(GUARD_HEALTHY, "1 while the guard looks and catches its canaries, else 0");
    describe_gauge!(GUARD_CANARY_CAUGHT, Unit::Seconds, "When the guard last caught a canary, since 1970");
    describe_counter!(WEBHOOK_DELIVERIES_TOTAL, "Messages sent to webhooks");
    describe_gauge!(WEBHOOK_LAG_SECONDS, Unit::Seconds, "Age of the oldest entry that a webhook was not told of");
    describe_counter!(FLAG_EVALUATIONS_TOTAL, "Looks at flags of an external provider");
    describe_counter!(TASKS_FAILED_TOTAL, "Tasks that panicked or ended, and were begun anew");
    describe_counter!(SPANS_DROPPED_TOTAL, "Spans of traces that no collector took");
    describe_counter!(HTTP_REQUESTS_TOTAL, "HTTP requests answered");
    describe_histogram!(
        HTTP_REQUEST_DURATION_SECONDS,
        Unit::Seconds,
        "Time from the last byte of a request to its answer"
    );
    describe_gauge!(HTTP_CONNECTIONS, "Open client connections");
    budgets::describe();
}

/// A side answered a read.
pub fn read_answered(route: &RouteName, side: Side, began: Instant) {
    histogram!(REQUEST_DURATION_SECONDS, "route" => route.as_str().to_owned(), "side" => side.as_str())
        .record(began.elapsed().as_secs_f64());
}

/// The primary answered for a side that failed.
pub fn fell_back(route: &RouteName, reason: &'static str) {
    counter!(FALLBACKS_TOTAL, "route" => route.as_str().to_owned(), "reason" => reason).increment(1);
}

/// A write ended; `side` is the primary when it stands.
pub fn write_ended(route: &RouteName, outcome: &'static str, side: Option<Side>, began: Instant) {
    counter!(WRITES_TOTAL, "route" => route.as_str().to_owned(), "outcome" => outcome).increment(1);
    if let Some(side) = side {
        read_answered(route, side, began);
    }
}

/// A mutation was rehearsed on the secondary, or could not be.
pub fn rehearsed(route: &RouteName, outcome: &'static str) {
    counter!(REHEARSALS_TOTAL, "route" => route.as_str().to_owned(), "outcome" => outcome).increment(1);
}

/// The relay finished a write.
pub fn relayed() {
    counter!(RELAYED_TOTAL).increment(1);
}

/// The secondary refuses a write that stands on the primary.
pub fn relay_refused() {
    counter!(RELAY_REFUSED_TOTAL).increment(1);
}

/// What this replica leaves to others.
pub fn left_to_newer(group: &GroupName, changes: u32) {
    gauge!(LEFT_TO_NEWER_CHANGES, "group" => group.to_string()).set(changes);
}

/// The secondary has answered, and does not have the change.
pub fn not_taken(side: Side, reason: &'static str) {
    counter!(NOT_TAKEN_TOTAL, "side" => side.as_str(), "reason" => reason).increment(1);
}

/// How many sagas have not ended.
#[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 sagas")]
pub fn sagas(counts: &SagaCounts) {
    gauge!(SAGAS, "state" => SagaStatus::Running.as_str()).set(counts.running as f64);
    gauge!(SAGAS, "state" => SagaStatus::Compensating.as_str()).set(counts.compensating as f64);
    gauge!(SAGAS, "state" => SagaStatus::Stuck.as_str()).set(counts.stuck as f64);
}

/// A saga has come to where it rests.
pub fn saga_ended(status: SagaStatus) {
    counter!(SAGAS_ENDED_TOTAL, "outcome" => status.as_str()).increment(1);
}

/// A saga that this replica cannot go on with was given back.
pub fn saga_left(reason: &'static str) {
    counter!(SAGAS_LEFT_TOTAL, "reason" => reason).increment(1);
}

/// What the newest reconciliations have found. `None`: whether rows differ is not known, which is no zero.
pub fn reconciled(group: &GroupName, drift: Option<u64>, completed: Option<model::Instant>) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 rows")]
    let rows = drift.map_or(f64::NAN, |drift| drift as f64);
    gauge!(DRIFT_ROWS, "group" => group.to_string()).set(rows);
    if let Some(completed) = completed {
        #[expect(clippy::cast_precision_loss, reason = "a gauge; exact to the millisecond for ages")]
        let seconds = completed.to_utc().timestamp_millis() as f64 / 1_000.0;
        gauge!(RECONCILE_COMPLETED_TIMESTAMP_SECONDS, "group" => group.to_string()).set(seconds);
    }
}

/// A shadow read was not made.
pub fn shadow_dropped(reason: &'static str) {
    counter!(SHADOW_DROPPED_TOTAL, "reason" => reason).increment(1);
}

/// A batch of figures is lost: the control store refused it, or was away for too long.
pub fn figures_dropped(reason: &'static str) {
    counter!(FIGURES_DROPPED_TOTAL, "reason" => reason).increment(1);
}

/// How many shadows wait.
pub fn shadow_queue(length: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge; the queue is small")]
    gauge!(SHADOW_QUEUE_LENGTH).set(length as f64);
}

/// The evidence of `count` comparisons was lost.
pub fn evidence_dropped(reason: &'static str, count: u64) {
    counter!(EVIDENCE_DROPPED_TOTAL, "reason" => reason).increment(count);
}

/// The admin port did not let a request in.
pub fn admin_refused(reason: &'static str) {
    counter!(ADMIN_REFUSED_TOTAL, "reason" => reason).increment(1);
}

/// A message was sent to a webhook, or given up.
pub fn webhook_delivery(webhook: &WebhookName, outcome: &'static str) {
    counter!(WEBHOOK_DELIVERIES_TOTAL, "webhook" => webhook.to_string(), "outcome" => outcome).increment(1);
}

/// How late a webhook is.
pub fn webhook_lag(webhook: &WebhookName, oldest: Duration) {
    gauge!(WEBHOOK_LAG_SECONDS, "webhook" => webhook.to_string()).set(oldest.as_secs_f64());
}

/// Spans did not reach the collector.
pub fn spans_dropped(reason: &'static str, count: usize) {
    counter!(SPANS_DROPPED_TOTAL, "reason" => reason).increment(count as u64);
}

/// A flag of an external provider was looked at.
pub fn flag_evaluated(outcome: &'static str) {
    counter!(FLAG_EVALUATIONS_TOTAL, "outcome" => outcome).increment(1);
}
