//! A rollback that a replica confirmed is never overrun: where modern became primary over it, the authority goes back.
//!
//! It happens only where the control store was away when the rollback was ordered, and let a handover through before it
//! heard of it. Runs on every replica; of several, the fences let one through.

use std::time::Duration;

use model::Side;
use model::control::Author;
use tokio_util::sync::CancellationToken;

use super::handover::Goal;
use super::{Desk, DeskError};
use crate::rollout::Override;
use crate::rollout::fleet::REMEMBERED;
use crate::rollout::publish::{Consent, publish_rollback};

/// Pause between two looks; none of them asks anybody while no rollback waits.
const INTERVAL: Duration = Duration::from_millis(500);
/// Pause after a way back that failed: writes wait for each try.
const AGAIN: Duration = Duration::from_secs(10);

impl Desk {
    /// Honours rollbacks until `stop`. Run it as a task.
    pub async fn keep_rollbacks(self, stop: CancellationToken) {
        let mut pause = INTERVAL;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = match self.honour_rollbacks().await {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::error!(%error, "a rollback that this replica holds was overrun by a handover, and the authority could not be given back yet: {error}");
                    AGAIN
                }
            };
        }
    }

    /// Gives the authority back over every group of which this replica holds a rollback that a handover overran. The
    /// rollback is published after it, by the follower.
    ///
    /// # Errors
    /// The first of them; the others are tried all the same.
    pub async fn honour_rollbacks(&self) -> Result<(), DeskError> {
        let Some(here) = &self.here else { return Ok(()) };
        let mut first = None;
        for told in here.rollout.pending() {
            if let Err(error) = self.honour(&told).await {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn honour(&self, told: &Override) -> Result<(), DeskError> {
        // In this order: who has taken it in before that has decided what came after it.
        let Ok(newest) = self.newest().await else { return Ok(()) };
        let policy = newest.rollout.policy(&told.group);
        let idle = told.idle_under == Some(policy.epoch());
        if policy.primary() == Side::Legacy || idle || !self.control.published(&[told.id]).await?.is_empty() {
            return Ok(());
        }
        let group = &told.group;
        let who = &told.author.who;
        let age = (self.clock)().to_utc() - told.at.to_utc();
        if age.to_std().is_ok_and(|age| age > REMEMBERED) {
            // As long as a replica is counted among those that may run. Nobody waits for what it was told before.
            tracing::warn!(%group, "a rollback of group {group} that this replica alone has held for {} minutes moves no authority any more", age.num_minutes());
            let idle = Override { idle_under: Some(policy.epoch()), ..told.clone() };
            publish_rollback(&self.witness, &idle, None).await?;
            return Ok(());
        }
        tracing::error!(%group, "modern became primary of group {group} although {who} had rolled it back: the authority goes back to legacy");
        let reason = Some(format!("{who} had rolled the group back before modern became primary"));
        let author = Author { reason, ..told.author.clone() };
        let goal = Goal::Side { to: Side::Legacy, force: false };
        Box::pin(self.hand_over_now(group, goal, &author, Consent::NotNeeded, newest.rollout.version)).await?;
        Ok(())
    }
}
