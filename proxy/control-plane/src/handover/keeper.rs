//! Keeps an eye on the fences, on every replica: learns of handovers, undoes one that was left in the middle, and
//! publishes one that nobody could publish. A group that was put into stage `modern` while releases left its fence open
//! is made to stand alone: by the rollout nobody dual-writes any more, and only the fence does not know.
//!
//! Several replicas may do it at once; the fences let one through. None of it but the publishing needs the control store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::control::Author;
use model::fence::{Authority, Holder, Move};
use model::{GroupName, Rollout, Side, Stage};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::coordinate::HandoverSettings;
use crate::rollout::Witness;
use crate::rollout::handed::{HandedOver, publish_handover};
use crate::rollout::publish::Consent;
use data_plane::fences::Fences;

/// Pause between two looks, as that of `catchup::watch`: what it allows for propagation and half again.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a handover may be without a rollout before a replica publishes it: whoever did it is about to.
const UNPUBLISHED: Duration = Duration::from_secs(2);

/// Publishes who has had the authority since it was handed over; false when that could not be done now.
pub type Publish = Arc<dyn Fn(GroupName, Holder) -> futures::future::BoxFuture<'static, bool> + Send + Sync>;

/// Publishes for `replica`, in the name of the program.
pub fn publish_unpublished(witness: Witness, replica: String) -> Publish {
    Arc::new(move |group, holder| {
        let (witness, origin) = (witness.clone(), replica.clone());
        Box::pin(async move {
            let reason = Some("the fences say so, and no rollout did".to_owned());
            let author = Author { who: "strangler".to_owned(), origin, reason };
            let evidence = witness.testify(&group).await;
            let told = HandedOver { group: &group, holder, evidence, consent: Consent::NotNeeded };
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
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut unpublished: HashMap<GroupName, Instant> = HashMap::new();
        loop {
            self.fences.tick();
            let rollout = (self.published)();
            for (group, policy) in &rollout.policies {
                if policy.stage() == Stage::Legacy {
                    continue;
                }
                // A side that does not answer is told of elsewhere, and says nothing of what was published.
                let Ok(authority) = self.fences.look(group).await else { continue };
                if let Some(holder) = authority.holder() {
                    if holder.epoch > policy.epoch() {
                        let since = *unpublished.entry(group.clone()).or_insert_with(Instant::now);
                        if since.elapsed() >= UNPUBLISHED && (self.publish)(group.clone(), holder).await {
                            tracing::info!(%group, "published that {} has the authority over group {group}", holder.side);
                        }
                    } else {
                        unpublished.remove(group);
                    }
                }
                match authority {
                    Authority::Held { by: Side::Modern, .. } if policy.stage() == Stage::Modern => {
                        self.leave_alone(group).await;
                    }
                    Authority::Held { .. } | Authority::Alone { .. } => {}
                    Authority::Frozen { .. } | Authority::GivenUp { .. } => self.end(group).await,
                    Authority::Unopened => {
                        tracing::error!(%group, "a fence of group {group} was made anew: run `strangler init`, which looks at both sides");
                    }
                    Authority::Broken => {
                        tracing::error!(%group, "the fences of group {group} contradict each other: see docs/runbooks/broken-fences.md");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Has modern take writes alone, where the newest rollout says so and its fence does not. What its ledger holds
    /// unsettled is left behind, as it was already: nobody has brought it over.
    async fn leave_alone(&self, group: &GroupName) {
        let Ok(standings) = self.fences.standings(group).await else { return };
        let Some(step) = Move::alone(&standings.map(|_, standing| standing.fence)) else { return };
        match self.fences.stores().get(step.side).move_fence(group, &step, self.settings.within).await {
            Ok(fence) if fence == step.to => {
                tracing::info!(%group, "{} takes writes of group {group} alone, under epoch {}", step.side, fence.epoch.0);
            }
            // Somebody else was faster.
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%group, %error, "the fence of group {group} does not say yet that nobody dual-writes: {error}");
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
