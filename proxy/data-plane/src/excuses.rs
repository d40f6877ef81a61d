//! Excuses that engineers accept in the running fleet, as this replica knows them.
//!
//! The control store is read every two seconds; so an excuse counts everywhere within seconds, without a
//! deploy. While it is down the last known ones go on counting until their own last day. A replica that starts
//! meanwhile knows none: it reports too much, never too little.
//! Not here: what an excuse covers (`shadow_compare::excuses`), accepting one (`cli::excuses`).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::NaiveDate;
use model::RouteName;
use model::control::{AcceptedExcuse, ControlStore, ExcuseRecord};
use shadow_compare::Excuses;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the control store is asked.
const PAUSE: Duration = Duration::from_secs(2);

/// The excuses that were not taken back. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct AcceptedExcuses(Arc<ArcSwap<Vec<AcceptedExcuse>>>);

impl AcceptedExcuses {
    /// What is excused on `route` on the day `today`, with what the contract excuses.
    pub fn of(&self, route: &RouteName, today: NaiveDate) -> Excuses {
        Excuses::of_route(route, &self.0.load(), today)
    }

    /// Keeps up with the control store until `stop`. Run it as a task.
    pub async fn follow(self, control: Arc<dyn ControlStore>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = control.excuses() => read,
            };
            match &read {
                Ok(records) => self.replace(records),
                Err(error) if !failing => {
                    tracing::warn!(%error, "accepted excuses cannot be read, the known ones go on counting: {error}");
                }
                Err(_) => {}
            }
            failing = read.is_err();
        }
    }

    fn replace(&self, records: &[ExcuseRecord]) {
        let kept = records.iter().filter(|record| record.withdrawn.is_none()).map(|record| record.excuse.clone());
        let kept: Vec<_> = kept.collect();
        if **self.0.load() != kept {
            tracing::info!(excuses = kept.len(), "{} excuses are accepted now", kept.len());
            self.0.store(Arc::new(kept));
        }
    }
}
