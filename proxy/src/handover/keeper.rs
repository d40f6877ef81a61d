//! Keeps an eye on the fences, on every replica: learns of handovers, undoes one that was left in the middle, and
//! publishes one that nobody could publish.
//!
//! Several replicas may do it at once; the fences let one through. None of it but the publishing needs the control store.

use std::sync::Arc;
use std::time::Duration;

use model::control::Author;
use model::fence::{Authority, Move};
use model::{Epoch, GroupName, Rollout, Side};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::coordinate::HandoverSettings;
use super::fences::Fences;
use crate::rollout::Witness;
use crate::rollout::publish::{HandedOver, publish_handover};

/// Pause between two looks, as that of `catchup::watch`: what it allows for propagation and half again.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a handover may be without a rollout before a replica publishes it: whoever did it is about to.
const UNPUBLISHED: Duration = Duration::from_secs(2);

/// Publishes that a side has had the authority since it was handed over; false when that could not be done now.
pub type Publish = Arc<dyn Fn(GroupName, Side, Epoch) -> futures::future::BoxFuture<'static, bool> + Send + Sync>;

/// Publishes for `replica`, in the name of the program.
pub fn publish_unpublished(witness: Witness, replica: String) -> Publish {
    Arc::new(move |group, side, epoch| {
        let (witness, origin) = (witness.clone(), replica.clone());
        Box::pin(async move {
            let reason = Some("the fences say so, and no rollout did".to_owned());
            let author = Author { who: "strangler".to_owned(), origin, reason };
            let evidence = serde_json::Value::Null;
            let told = HandedOver { group: &group, side, epoch, evidence, approved_by: None };
            publish_handover(&witness, &told, &author).await.is_ok()
        })
    })
}

/// Keeps an eye on the fences.
pub struct Keeper {
    /// The fences of both sides.
    pub fences: Arc<Fences>,
    /// The newest rollout that was published, as far as this replica knows.
    pub published: Arc<dyn Fn() -> Rollout + Send + Sync>,
    /// Publishes what was not.
    pub publish: Publish,
    /// Limits.
    pub settings: HandoverSettings,
}

impl Keeper {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut unpublished: Option<Instant> = None;
        loop {
            let rollout = (self.published)();
            let mut all_published = true;
            for (group, policy) in &rollout.policies {
                if !policy.stage().dual_writes() {
                    continue;
                }
                // A side that does not answer is told of elsewhere.
                let Ok(authority) = self.fences.look(group).await else { continue };
                match authority {
                    Authority::Held { by, epoch } if epoch > policy.epoch() => {
                        all_published = false;
                        let since = *unpublished.get_or_insert_with(Instant::now);
                        if since.elapsed() >= UNPUBLISHED && (self.publish)(group.clone(), by, epoch).await {
                            tracing::info!(%group, "published that {by} has the authority over group {group}");
                        }
                    }
                    Authority::Held { .. } => {}
                    Authority::Frozen { .. } | Authority::GivenUp { .. } => self.end(group).await,
                    Authority::Broken => {
                        tracing::error!(%group, "the fences of group {group} contradict each other: see docs/runbooks/broken-fences.md");
                    }
                }
            }
            if all_published {
                unpublished = None;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Undoes a handover whose time is over, or goes on with one that is being undone.
    async fn end(&self, group: &GroupName) {
        let Ok(standings) = self.fences.standings(group).await else { return };
        let age = standings.legacy.age.min(standings.modern.age);
        if age < self.settings.limit {
            return;
        }
        let fences = standings.map(|_, standing| standing.fence);
        let Some(step) = Move::give_up(&fences).or_else(|| Move::open(&fences)) else { return };
        tracing::warn!(%group, "no side has taken writes of group {group} for {age:?}: the handover is undone");
        let store = self.fences.stores().get(step.side);
        if let Err(error) = store.move_fence(group, &step, self.settings.within).await {
            tracing::warn!(%group, %error, "the handover of group {group} could not be undone yet: {error}");
            return;
        }
        let Ok(standings) = self.fences.standings(group).await else { return };
        let fences = standings.map(|_, standing| standing.fence);
        if let Authority::GivenUp { back, .. } = Authority::of(&fences)
            && let Some(step) = Move::open(&fences)
            && let Err(error) = self.fences.stores().get(back).move_fence(group, &step, self.settings.within).await
        {
            tracing::warn!(%group, %error, "{back} could not be opened for group {group} yet: {error}");
        }
    }
}
