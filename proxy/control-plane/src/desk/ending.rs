//! The end of a group's dual write: two persons, and no way back.

use model::control::Author;
use model::{EntityKey, GroupName, Percentage, Policy, RolloutVersion, Stage};

use super::handover::{Goal, HandoverDone};
use super::{Desk, DeskError, SetOutcome};
use crate::rollout::publish::Consent;
use crate::rollout::{Refused, SetPolicy};

/// Keys that are named of what waits.
const SHOWN_KEYS: usize = 20;

/// What the end of dual write of a group meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DualWriteEnd {
    /// The stage that it is at: the end begins at `reverse`.
    pub stage: Stage,
    /// Writes that legacy does not have yet: they are brought to it first.
    pub unsettled: u64,
    /// The first of their keys.
    pub unsettled_keys: Vec<EntityKey>,
    /// Writes that an earlier handover left behind, on either side: they are in its way.
    pub left_behind: u64,
}

impl Desk {
    /// Asks a second person to end the dual write of `group`, which is always needed: there is no way back from it.
    pub(super) async fn ask_to_end(
        &self,
        group: &GroupName,
        from: Policy,
        wish: &SetPolicy,
        author: &Author,
        seen: RolloutVersion,
    ) -> Result<SetOutcome, DeskError> {
        let wrong = |why: String| DeskError::wrong("NOT_POSSIBLE", why);
        if from.stage() != Stage::Reverse {
            return Err(wrong(Refused::Alone { from: from.stage() }.to_string()));
        }
        let (reads, shadow) = (wish.reads.unwrap_or(Percentage::FULL), wish.shadow.unwrap_or(Percentage::ZERO));
        let to = Policy::new(Stage::Modern, reads, shadow, from.epoch()).map_err(|error| wrong(error.to_string()))?;
        self.nothing_left_behind(group).await?;
        self.keep_proposal(group, from, to, Vec::new(), author, seen).await
    }

    /// Ends the dual write of `group` without asking anybody else.
    pub(super) async fn end_dual_write_now(
        &self,
        group: &GroupName,
        author: &Author,
        consent: Consent<'_>,
        seen: RolloutVersion,
    ) -> Result<HandoverDone, DeskError> {
        self.nothing_left_behind(group).await?;
        self.hand_over_now(group, Goal::Alone, author, consent, seen).await
    }

    /// That no write of `group` is on one side alone by an earlier handover: afterwards nobody can end that any more.
    async fn nothing_left_behind(&self, group: &GroupName) -> Result<(), DeskError> {
        let waits = self.dual_write_end(group).await?;
        if waits.left_behind == 0 {
            return Ok(());
        }
        let message = format!(
            "{} writes of group `{group}` were left behind by an earlier handover and are on one side alone: end them first (`strangler repair {group} --left-behind`)",
            waits.left_behind
        );
        Err(DeskError::no("LEFT_BEHIND", message))
    }

    /// What the end of dual write would wait for, or be stopped by, now. Changes nothing.
    ///
    /// # Errors
    /// When a side does not answer.
    pub async fn dual_write_end(&self, group: &GroupName) -> Result<DualWriteEnd, DeskError> {
        let down = |error: model::StoreError| DeskError::no("SIDE_DOWN", request::error::with_root(&error));
        let (stores, within) = (self.handover_stores(), self.handover.within);
        let modern = stores.modern.backlog(group, within).await.map_err(down)?;
        let legacy = stores.legacy.backlog(group, within).await.map_err(down)?;
        let keys = stores.modern.unsettled_keys(group, SHOWN_KEYS, within).await.map_err(down)?;
        Ok(DualWriteEnd {
            stage: self.newest().await?.rollout.policy(group).stage(),
            unsettled: modern.writes,
            unsettled_keys: keys.into_iter().map(|(key, _)| key).collect(),
            left_behind: modern.left_behind + legacy.all(),
        })
    }
}
