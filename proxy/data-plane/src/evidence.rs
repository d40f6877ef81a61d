//! Evidence on its way: what shadow reads find is summed up here and sent to the control store each second.
//!
//! Memory is bounded by the contract, not by traffic: counts per route, field and cause, a few samples of
//! each, one bitmap of keys per route. So nothing is dropped while the control store is down; it is
//! summed up further and sent later. A flush that may or may not have arrived is sent again under its
//! own id, which counts once.
//!
//! Invariants: never makes a caller wait for IO; field values never reach logs or metrics.
//! Not here: what differs and why (`shadow-compare`), where it is kept (`adapters`).

mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::control::{BatchId, ControlError, ControlStore, Sums};
use model::evidence::{Observation, Sample};
use model::{Instant, RouteName};
use parking_lot::Mutex;
use shadow_compare::KeysSeen;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use stored::stored;

/// Samples that may lie unsorted before those beyond the bound are thrown away.
const LOOSE_SAMPLES: usize = 200;
/// How often old evidence is deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How long evidence is kept.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Takes observations, and hands them on in batches. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Aggregator(Arc<Inner>);

struct Inner {
    gathered: Mutex<Gathered>,
    clock: fn() -> Instant,
}

#[derive(Default)]
struct Gathered {
    sums: Sums,
    /// Samples kept when they were last sorted.
    tidy: usize,
    /// Every key since the start, and what of it was sent.
    seen: BTreeMap<RouteName, KeysSeen>,
    sent: BTreeMap<RouteName, KeysSeen>,
}

/// A batch that is not acknowledged yet.
struct Batch {
    id: BatchId,
    sums: Sums,
}

impl Aggregator {
    /// An empty one; `clock` tells the time of an observation.
    pub fn new(clock: fn() -> Instant) -> Self {
        Self(Arc::new(Inner { gathered: Mutex::default(), clock }))
    }

    /// Takes what a comparison found. Quick, and never waits for IO.
    pub fn observe(&self, observation: &Observation) {
        telemetry::compared(observation);
        let at = (self.0.clock)();
        let mut gathered = self.0.gathered.lock();
        gathered.sums.absorb(observation, at);
        for difference in &observation.differences {
            let id = Uuid::new_v4().simple().to_string()[..12].to_owned();
            let route = observation.route.clone();
            gathered.sums.samples.push(Sample { id, route, seen_at: at, difference: difference.clone() });
        }
        if gathered.sums.samples.len() > 2 * gathered.tidy + LOOSE_SAMPLES {
            gathered.sums.bound_samples();
            gathered.tidy = gathered.sums.samples.len();
        }
        if !observation.keys.is_empty() {
            let seen = gathered.seen.entry(observation.route.clone()).or_default();
            observation.keys.iter().for_each(|key| seen.add(key));
        }
    }

    /// Sends what was gathered every `pause`, until `stop`; then once more. Run it as a task.
    pub async fn run(self, control: Arc<dyn ControlStore>, pause: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgot = tokio::time::Instant::now();
        let mut batch = None;
        let mut failing = false;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = ticks.tick() => {}
            }
            let failed = self.flush(control.as_ref(), &mut batch).await;
            match &failed {
                Some(error) if !failing => tracing::warn!(%error, "evidence waits: {error}"),
                None if failing => tracing::info!("evidence is recorded again"),
                Some(_) | None => {}
            }
            failing = failed.is_some();
            if forgot.elapsed() >= FORGET_EVERY && !failing {
                forgot = tokio::time::Instant::now();
                if let Err(error) = control.forget(RETENTION).await {
                    tracing::warn!(%error, "old evidence could not be deleted, will be tried again: {error}");
                }
            }
        }
        // The last round may have repeated an older batch; what was gathered since goes now. Nobody is left to retry.
        let _ = self.flush(control.as_ref(), &mut batch).await;
    }

    /// Sends `batch` (again), or what was gathered since; the error when that failed.
    async fn flush(&self, control: &dyn ControlStore, batch: &mut Option<Batch>) -> Option<ControlError> {
        let next = match batch.take().or_else(|| self.take()) {
            Some(next) => next,
            None => return None,
        };
        let error = control.add_evidence(next.id, &next.sums).await.err()?;
        if error.is_outage() {
            *batch = Some(next);
        } else {
            // It would be refused for ever, and nothing behind it would arrive.
            let lost = next.sums.comparisons.values().map(|seen| seen.count).sum();
            telemetry::evidence_dropped("refused", lost);
            let mut gathered = self.0.gathered.lock();
            next.sums.keys.keys().for_each(|route| drop(gathered.sent.remove(route)));
        }
        Some(error)
    }

    /// What was gathered, as a batch; `None` when there is nothing new.
    fn take(&self) -> Option<Batch> {
        let mut gathered = self.0.gathered.lock();
        let Gathered { sums, tidy, seen, sent } = &mut *gathered;
        let mut sums = std::mem::take(sums);
        *tidy = 0;
        for (route, keys) in seen {
            if sent.get(route) != Some(keys) {
                sent.insert(route.clone(), keys.clone());
                sums.keys.insert(route.clone(), keys.as_bytes().to_vec());
            }
        }
        drop(gathered);
        sums.bound_samples();
        (!sums.is_empty()).then(|| Batch { id: BatchId(Uuid::new_v4()), sums })
    }
}

#[cfg(test)]
mod tests;
