//! Takes the steps of promotions that are under way. Runs on every replica: of those that try the same step, one
//! wins, and the others find it taken.

use std::time::Duration;

use model::control::{Action, Author, PROMOTION_STEP, Progress, Promotion};
use model::{Percentage, RolloutVersion, Stage};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Desk, DeskError};
use crate::promotion::steps::{Next, decide};
use crate::rollout::SetPolicy;
use crate::rollout::publish::{ChangeError, Consent, publish_change_after};
use crate::rollout::since::rolled_back_since;

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Takes steps.
#[derive(Clone)]
pub struct Promoter {
    /// What is known, and where changes go.
    pub desk: Desk,
    /// This replica's name, for the record.
    pub origin: String,
}

impl Promoter {
    /// Looks after every promotion until `stop`. Run it as a task.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(error) = self.round().await {
                // Without the control store no group moves; the follower has said that it is down.
                tracing::debug!(%error, "promotions wait: {error}");
            }
        }
    }

    /// One look at every promotion that is under way.
    ///
    /// # Errors
    /// The first of them, after every promotion was looked at; nothing was changed that is not noted.
    pub async fn round(&self) -> Result<(), DeskError> {
        let mut first = None;
        for promotion in self.desk.control.promotions().await? {
            if promotion.progress != Progress::Running {
                continue;
            }
            let group = promotion.group.clone();
            if let Err(error) = self.advance(promotion).await {
                // The others go on.
                tracing::warn!(%group, %error, "the promotion of group {group} waits: {error}");
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn advance(&self, promotion: Promotion) -> Result<(), DeskError> {
        let group = promotion.group.clone();
        let seen = self.desk.newest().await?.rollout;
        let policy = seen.policy(&group);
        let gates = self.desk.gates(&group).await;
        let now = (self.desk.clock)();
        let revision = promotion.revision + 1;
        let stepped = |place: usize, said: String| Promotion {
            at_step: Some(place),
            since: now,
            since_rollout: Some(seen.version),
            said,
            revision,
            ..promotion.clone()
        };
        // A policy that looks as the plan left it may have been rolled back and raised since: that is not for the plan.
        let rolled_back = match promotion.since_rollout {
            Some(since) => rolled_back_since(self.desk.control.as_ref(), &group, since).await?,
            None => None,
        };
        let next = match (decide(&promotion, &policy, &gates, now), rolled_back) {
            (stop @ Next::Stop(_), _) => stop,
            (_, Some(by)) => Next::Stop(format!(
                "{} rolled the group back since the last step (rollout {})",
                by.author.who, by.rollout.version
            )),
            (next, None) => next,
        };
        let next = match next {
            Next::Wait(said) if said == promotion.said => return Ok(()),
            Next::Wait(said) => Promotion { said, revision, ..promotion.clone() },
            Next::Take(place, step) => {
                if !self.take(&promotion, place, step.reads, seen.version).await? {
                    return Ok(());
                }
                stepped(place, format!("took {}", step.reads))
            }
            Next::Note(place, step) => stepped(place, format!("took {}", step.reads)),
            Next::Finish => {
                Promotion { progress: Progress::Finished, said: "done".to_owned(), revision, ..promotion.clone() }
            }
            Next::Stop(why) => {
                Promotion { progress: Progress::Stopped { why: why.clone() }, said: why, revision, ..promotion.clone() }
            }
        };
        if !self.desk.control.save_promotion(&next).await? {
            return Ok(());
        }
        let author = self.author(&promotion, None);
        match &next.progress {
            Progress::Running => Ok(()),
            Progress::Finished => {
                tracing::info!(%group, "group {group} is promoted to its last step");
                self.desk.note_promotion(Action::PromotionFinished, &next, &author, json!({})).await
            }
            Progress::Stopped { why } => {
                tracing::warn!(%group, "the promotion of group {group} stopped: {why}");
                self.desk.note_promotion(Action::PromotionStopped, &next, &author, json!({ "why": why })).await
            }
        }
    }

    /// Publishes a step; false when anything was published since rollout `seen`, by which it was decided: a rollback
    /// that came meanwhile must not be undone.
    async fn take(
        &self,
        promotion: &Promotion,
        place: usize,
        reads: Percentage,
        seen: RolloutVersion,
    ) -> Result<bool, DeskError> {
        let wish = SetPolicy { stage: Some(Stage::Shift), reads: Some(reads), shadow: None };
        let reason = format!("{PROMOTION_STEP}{} of {}, every gate holds", place + 1, promotion.steps.len());
        let author = self.author(promotion, Some(reason));
        let consent = promotion.approved_by.as_deref().map_or(Consent::NotNeeded, Consent::Given);
        let (witness, group) = (&self.desk.witness, &promotion.group);
        match publish_change_after(witness, group, &wish, &author, consent, Some(seen)).await {
            Ok(_) => Ok(true),
            Err(ChangeError::Overtaken { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever began it stands for its steps; they come from this replica.
    fn author(&self, promotion: &Promotion, reason: Option<String>) -> Author {
        let reason = reason.or_else(|| promotion.author.reason.clone());
        let own = self.desk.here.as_ref().and_then(|here| here.rollout.own_name());
        let origin = own.map_or_else(|| self.origin.clone(), |name| name.to_string());
        Author { who: promotion.author.who.clone(), origin, reason }
    }
}

#[cfg(test)]
mod tests;
