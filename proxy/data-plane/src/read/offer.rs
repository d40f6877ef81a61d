//! Where shadow reads are offered and taken: clients take turns (`turns`), and nobody waits to offer.
//!
//! When the queue is full, in shadows or in the bytes of their answers, a shadow is dropped and counted; one client cannot
//! drop everybody else's.

use std::sync::Arc;

use model::GroupName;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::shadow::{ShadowJob, ShadowSettings};
use super::turns::Turns;
use crate::figures::Recorder;
use net::budget::{Budget, Hold};

/// A read that waits for its turn, and what it holds.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: ShadowJob,
    pub(super) held: Hold,
}

/// Where shadows are offered. Never waits.
#[derive(Clone)]
pub struct Shadow {
    turns: Arc<Mutex<Turns<Waiting>>>,
    held: Arc<Budget>,
    /// One ticket for each job that waits; when every [`Shadow`] is gone, there are no more.
    tickets: mpsc::Sender<()>,
    figures: Recorder,
}

/// The other end.
pub struct Jobs {
    turns: Arc<Mutex<Turns<Waiting>>>,
    tickets: mpsc::Receiver<()>,
}

impl Shadow {
    /// Makes the bounded queue; the other end goes to `ShadowWorker::run`.
    pub fn queue(settings: &ShadowSettings, figures: Recorder) -> (Self, Jobs) {
        let most = settings.queue.max(1);
        let turns = Arc::new(Mutex::new(Turns::new(most)));
        let (sender, tickets) = mpsc::channel(most);
        // Whoever is known may have half of it.
        let held = Budget::new(settings.queue_bytes, settings.queue_bytes / 2, |_| {});
        (Self { turns: Arc::clone(&turns), held, tickets: sender, figures }, Jobs { turns, tickets })
    }

    /// Offers a read. When the queue is full one is dropped and counted, of whoever has the most waiting.
    pub fn offer(&self, job: ShadowJob) {
        let Ok(held) = self.held.hold(job.asker.client, job.read.weight()) else {
            return self.drop("bytes_full", &job.root.group);
        };
        let dropped = self.turns.lock().push(job.asker.clone(), Waiting { job, held });
        match dropped {
            Some(Waiting { job, .. }) => self.drop("queue_full", &job.root.group),
            // There is room for as many tickets as jobs, and a job's is taken before the job. Without a worker nobody
            // is left to take it.
            None => drop(self.tickets.try_send(())),
        }
    }

    fn drop(&self, reason: &'static str, group: &GroupName) {
        telemetry::shadow_dropped(reason);
        self.figures.shadow_dropped(group);
    }

    /// Bytes that shadows hold which wait or are under way.
    pub fn held(&self) -> u64 {
        self.held.held()
    }
}

impl Jobs {
    /// The next one, whose client's turn it is; `None` when every [`Shadow`] is gone.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        loop {
            self.tickets.recv().await?;
            let job = self.turns.lock().pop();
            if job.is_some() {
                return job;
            }
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.turns.lock().waiting()
    }
}
