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

use model::control::{BatchId, ControlStore, Sums};
use model::evidence::{Observation, Sample};
use model::{Instant, RouteName};
use parking_lot::Mutex;
use shadow_compare::KeysSeen;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::telemetry;

pub use stored::stored;

/// Samples that may lie unsorted before those beyond the bound are thrown away.
const LOOSE_SAMPLES: usize = 200;
/// How often old evidence is deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How long evidence is kept.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Takes what comparisons found. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Collector(Arc<Inner>);

struct Inner {
    gathered: Mutex<Gathered>,
    clock: fn() -> Instant,
}

/// Sends what a [`Collector`] has gathered to the control store.
pub struct Flusher {
    collector: Collector,
    control: Arc<dyn ControlStore>,
    pause: Duration,
    /// What was sent and not acknowledged yet.
    batch: Option<Batch>,
    failing: bool,
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

impl Collector {
    fn new(clock: fn() -> Instant) -> Self {
        Self(Arc::new(Inner { gathered: Mutex::default(), clock }))
    }

    /// Takes what a comparison found. Quick, and never waits for IO.
    pub fn observe(&self, observation: Observation) {
        let observation = &observation;
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

    /// Counts what the control store refuses. The keys in it are sent again.
    fn lost(&self, batch: &Batch) {
        let lost = batch.sums.comparisons.values().map(|seen| seen.count).sum();
        telemetry::evidence_dropped("refused", lost);
        let mut gathered = self.0.gathered.lock();
        batch.sums.keys.keys().for_each(|route| drop(gathered.sent.remove(route)));
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

impl Flusher {
    /// A collector, and what sends its evidence to `control` every `pause`.
    pub fn new(control: Arc<dyn ControlStore>, pause: Duration) -> (Collector, Self) {
        let collector = Collector::new(|| Instant::new(chrono::Utc::now()));
        (collector.clone(), Self { collector, control, pause, batch: None, failing: false })
    }

    /// Sends until `stop`; then once more. Run it as a task.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgot = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = ticks.tick() => {}
            }
            self.flush().await;
            if forgot.elapsed() >= FORGET_EVERY && !self.failing {
                forgot = tokio::time::Instant::now();
                if let Err(error) = self.control.forget(RETENTION).await {
                    tracing::warn!(%error, "old evidence could not be deleted, will be tried again: {error}");
                }
            }
        }
        // The last tick may have repeated an older batch.
        self.flush().await;
    }

    /// Sends what is not acknowledged yet, or else what was gathered since.
    async fn flush(&mut self) {
        let Some(batch) = self.batch.take().or_else(|| self.collector.take()) else { return };
        let outcome = self.control.add_evidence(batch.id, &batch.sums).await;
        match &outcome {
            Ok(()) if self.failing => tracing::info!("evidence is recorded again"),
            Err(error) if !self.failing => tracing::warn!(%error, "evidence waits: {error}"),
            Ok(()) | Err(_) => {}
        }
        self.failing = outcome.is_err();
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_outage() => self.batch = Some(batch),
            // It would be refused for ever, and nothing behind it would arrive.
            Err(_) => self.collector.lost(&batch),
        }
    }
}

#[cfg(test)]
mod tests;
