//! The guard: rolls a group back by itself when the figures turn bad.
//!
//! `settings` (what is too much) → `cut` (which figures) → `judge` (is it too much? pure) → `breach` (why,
//! in one sentence) → `watch` (looks each second, acts) → `view` (what it thinks, for people). `canary` and
//! `pulse` show that it is alive: the guard makes a breach of its own and must see it.
//!
//! Promises: no data is not success; one rollback per rollout, whatever the number of replicas; it works
//! while the control store is down; a guard that died, hangs or is blind is seen by others.
//! Not here: counting (`figures`), the rollback itself (`rollout`), promotion.

mod breach;
mod canary;
mod cut;
mod judge;
mod pulse;
mod settings;
mod since;
mod statistics;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use telemetry::tasks::Tasks;

pub use breach::{Breach, Counted, Measure, Thin};
pub use judge::{Baseline, Judgement, Window, judge};
pub use settings::{GuardSettings, Limits};
pub use statistics::Part;
pub use view::{Action, GuardState, GuardView};
pub use watch::Parts;

use pulse::Pulse;
use view::Board;
use watch::Guard;

/// How often the guard is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// What others may ask the guard. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct GuardHandle {
    board: Arc<Board>,
    pulse: Arc<Pulse>,
}

impl GuardHandle {
    /// What the guard thinks of each group, in the order of their names; empty before its first look.
    pub fn views(&self) -> Vec<GuardView> {
        self.board.views()
    }

    /// Whether the guard is alive and sees, as one sentence.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<String, String> {
        self.pulse.check(Instant::now())
    }
}

/// Starts the guard, and a task that looks after it: starts it again when it ends unexpectedly, and says in
/// the metrics whether it is alive. Both end with `tasks`.
pub fn start(parts: Parts, tasks: &Tasks) -> GuardHandle {
    let handle = GuardHandle {
        board: Arc::new(Board::default()),
        pulse: Arc::new(Pulse::new(parts.settings.enabled, parts.settings.canary)),
    };
    tasks.once("guard", look_after(parts, handle.clone(), tasks.stop().clone()));
    handle
}

async fn look_after(parts: Parts, handle: GuardHandle, stop: CancellationToken) {
    let begin = || {
        let guard = Guard::new(parts.clone(), Arc::clone(&handle.board), Arc::clone(&handle.pulse));
        handle.pulse.begins();
        tokio::spawn(guard.run())
    };
    let mut guard: Option<JoinHandle<()>> = parts.settings.enabled.then(begin);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK_AFTER) => {}
        }
        if guard.as_ref().is_some_and(JoinHandle::is_finished) {
            handle.pulse.died();
            tracing::error!("the guard has ended unexpectedly and is started again");
            guard = Some(begin());
        }
        telemetry::guard_healthy(handle.check().is_ok());
    }
    if let Some(guard) = guard {
        guard.abort();
    }
}
