//! A replica begins only where its own tables are what it needs.
//!
//! Who does not answer is no reason not to begin: half an outage must not become a whole one. It is asked again until it
//! has answered, and a replica that then finds that it cannot work there says so, and is not ready.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use model::control::ControlStore;
use model::{PerSide, Side, Store};
use tokio_util::sync::CancellationToken;

use super::{Backends, StartError};
use admin::Health;

/// How long one look may take, at the start and later.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// How long who did not answer is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What the control database is called.
const CONTROL: &str = "control";

/// The databases that have not answered yet.
pub(super) struct Unasked {
    sides: PerSide<Arc<dyn Store>>,
    control: Arc<dyn ControlStore>,
    left: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Side(Side),
    Control,
}

/// Looks at the three databases.
///
/// # Errors
/// [`StartError::Bookkeeping`] when one of them is not what this release needs.
pub(super) async fn look(backends: &Backends) -> Result<Unasked, StartError> {
    let all = vec![Place::Side(Side::Legacy), Place::Side(Side::Modern), Place::Control];
    let (sides, control) = (backends.lane(Lane::Admin), Arc::clone(&backends.control));
    let mut unasked = Unasked { sides, control, left: all };
    let problems = unasked.ask().await;
    if problems.is_empty() { Ok(unasked) } else { Err(StartError::Bookkeeping(problems.join("\n"))) }
}

impl Unasked {
    /// Goes on asking until each has answered.
    pub(super) async fn follow(mut self, health: Arc<Health>, stop: CancellationToken) {
        let asking = async {
            while !self.left.is_empty() {
                tokio::time::sleep(AGAIN_AFTER).await;
                for problem in self.ask().await {
                    tracing::error!("{problem}");
                    health.misfit(problem);
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = asking => {}
        }
    }

    /// Asks those that have not answered; what is wrong with those that do.
    async fn ask(&mut self) -> Vec<String> {
        let looks = self.left.iter().map(|place| self.one(*place));
        let answers = futures::future::join_all(looks).await;
        let mut problems = Vec::new();
        let mut left = Vec::new();
        for (place, answer) in self.left.iter().zip(answers) {
            match answer {
                None => left.push(*place),
                Some(problem) => problems.extend(problem),
            }
        }
        self.left = left;
        problems
    }

    /// `None`: no answer; else what is wrong, if anything is.
    async fn one(&self, place: Place) -> Option<Option<String>> {
        let (name, found) = match place {
            Place::Side(side) => (side.as_str(), self.sides.get(side).bookkeeping(LOOK_WITHIN).await.ok()),
            Place::Control => {
                // Tables that this release has added are made, where the login may; else what is missing is said.
                if let Err(error) = self.control.prepare().await {
                    tracing::debug!(%error, "the control database's tables were not made: {error}");
                }
                (CONTROL, self.control.bookkeeping().await.ok())
            }
        };
        found.map(|found| found.problem(name).map(|problem| format!("{name}: {problem}")))
    }
}
