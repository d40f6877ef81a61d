//! Where shadow reads are offered and taken: clients take turns (`turns`), and nobody waits to offer.
//!
//! When the queue is full a shadow is dropped and counted; one client cannot drop everybody else's.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::shadow::{ShadowJob, ShadowSettings};
use super::turns::Turns;
use crate::figures::Recorder;
use crate::telemetry;

/// Where shadows are offered. Never waits.
#[derive(Clone)]
pub struct Shadow {
    turns: Arc<Mutex<Turns<ShadowJob>>>,
    /// One ticket for each job that waits; when every [`Shadow`] is gone, there are no more.
    tickets: mpsc::Sender<()>,
    figures: Recorder,
}

/// The other end.
pub struct Jobs {
    turns: Arc<Mutex<Turns<ShadowJob>>>,
    tickets: mpsc::Receiver<()>,
}

impl Shadow {
    /// Makes the bounded queue; the other end goes to `ShadowWorker::run`.
    pub fn queue(settings: &ShadowSettings, figures: Recorder) -> (Self, Jobs) {
        let most = settings.queue.max(1);
        let turns = Arc::new(Mutex::new(Turns::new(most)));
        let (sender, tickets) = mpsc::channel(most);
        (Self { turns: Arc::clone(&turns), tickets: sender, figures }, Jobs { turns, tickets })
    }

    /// Offers a read. When the queue is full one is dropped and counted, of whoever has the most waiting.
    pub fn offer(&self, job: ShadowJob) {
        let dropped = self.turns.lock().push(job.client.clone(), job);
        match dropped {
            Some(job) => {
                telemetry::shadow_dropped("queue_full");
                self.figures.shadow_dropped(&job.root.group);
            }
            // There is room for as many tickets as jobs, and a job's is taken before the job. Without a worker nobody
            // is left to take it.
            None => drop(self.tickets.try_send(())),
        }
    }
}

impl Jobs {
    /// The next one, whose client's turn it is; `None` when every [`Shadow`] is gone.
    pub(super) async fn next(&mut self) -> Option<ShadowJob> {
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
