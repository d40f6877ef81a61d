//! Changing a group's policy: at once, or when a second person has approved it.

use std::time::Duration;

use chrono::TimeDelta;
use model::control::{
    Action, Approval, Author, ControlError, ControlStore, Decision, Deed, LIVE_WITHIN, Proposal, ProposalId, Replica,
    RolloutRecord, Step,
};
use model::{GroupName, Instant as WallTime, Policy, Rollout, RolloutVersion, Side, Stage};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::handover::{Goal, HandoverDone};
use super::preview::{Knowing, Past};
use super::{Desk, DeskError};
use crate::rollout::publish::{Change, Consent, publish_change_after};
use crate::rollout::since::rolled_back_since;
use crate::rollout::{SetPolicy, describe, propose};

/// How often the replicas' heartbeats are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often a change is tried while others publish.
const ATTEMPTS: usize = 8;
/// Somebody was faster.
const OVERTAKEN: &str = "OVERTAKEN";
/// Proposals that are looked through.
pub(super) const PROPOSALS: usize = 500;

/// What came of a wish.
#[derive(Debug, Clone, PartialEq)]
pub enum SetOutcome {
    /// It is published.
    Published {
        /// The record.
        record: Box<RolloutRecord>,
        /// The policy before.
        before: Policy,
    },
    /// Everything was so already.
    AlreadySo {
        /// The policy that stands.
        policy: Policy,
        /// Under this version.
        version: RolloutVersion,
    },
    /// The authority has changed hands, or the dual write has ended.
    HandedOver {
        /// What was done.
        done: Box<HandoverDone>,
        /// The policy before.
        before: Policy,
    },
    /// It waits for a second person.
    Proposed(Box<Proposal>),
}

/// Which replicas work under a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledged {
    /// Those that do.
    pub by: Vec<Replica>,
    /// Live ones that do not.
    pub laggards: Vec<Replica>,
}

/// Waits until every live replica works under `version`, at most until `deadline`.
///
/// # Errors
/// When the control store does not tell.
pub(crate) async fn acknowledged(
    control: &dyn ControlStore,
    version: RolloutVersion,
    deadline: Instant,
) -> Result<Acknowledged, ControlError> {
    loop {
        let live = control.replicas(LIVE_WITHIN).await?;
        let (by, laggards): (Vec<_>, Vec<_>) = live.into_iter().partition(|replica| replica.rollout >= version);
        if laggards.is_empty() || Instant::now() >= deadline {
            return Ok(Acknowledged { by, laggards });
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Desk {
    /// Sets stage or percentages of `group`, or proposes it where that takes a second person. `by`: what was seen of it.
    ///
    /// # Errors
    /// `PAST_GATES` when something stands against it that nobody goes past, and any other [`DeskError`]; nothing was
    /// changed, except after `NoAnswer` of the control store.
    pub async fn set(
        &self,
        group: &GroupName,
        wish: &SetPolicy,
        by: &Knowing,
        author: &Author,
    ) -> Result<SetOutcome, DeskError> {
        let mut first: Option<(Policy, RolloutVersion)> = None;
        for _ in 0..ATTEMPTS {
            let seen = self.newest().await?.rollout;
            // Read after the newest rollout: what is published after that makes the compare-and-swap fail.
            self.still_as_seen(group, by, seen.version).await?;
            let from = seen.policy(group);
            let (policy, version) = *first.get_or_insert((from, seen.version));
            // A rollback that changed no percentage is one all the same.
            if policy != from || rolled_back_since(self.control.as_ref(), group, version).await?.is_some() {
                break;
            }
            // Whether it takes a second person was decided by what is seen here: nothing else may be changed. Another
            // group's rollout in between only means to look again.
            match self.change(group, from, wish, by, author, seen.version).await {
                Err(error) if error.code() == OVERTAKEN => {}
                outcome => return outcome,
            }
        }
        Err(DeskError::no(
            OVERTAKEN,
            format!("somebody else changed group `{group}` meanwhile: look at it and try again"),
        ))
    }

    /// As [`Desk::set`], but only if `seen` is still the newest rollout: a program must not undo what it has not seen,
    /// such as a rollback.
    ///
    /// # Errors
    /// As [`Desk::set`]; `OVERTAKEN` when another rollout was published.
    pub async fn set_after(
        &self,
        seen: &Rollout,
        group: &GroupName,
        wish: &SetPolicy,
        past: Past,
        author: &Author,
    ) -> Result<SetOutcome, DeskError> {
        let by = Knowing { past, rollout: None };
        self.change(group, seen.policy(group), wish, &by, author, seen.version).await
    }

    async fn change(
        &self,
        group: &GroupName,
        from: Policy,
        wish: &SetPolicy,
        by: &Knowing,
        author: &Author,
        seen: RolloutVersion,
    ) -> Result<SetOutcome, DeskError> {
        if wish.stage == Some(Stage::Modern) {
            if from.stage() != Stage::Modern {
                return self.ask_to_end(group, from, wish, author, seen).await;
            }
            // The rollout says so; whether both sides do is another matter.
            self.sound_fences(group).await?;
        }
        let to = propose(&from, wish).map_err(|refused| DeskError::wrong("NOT_POSSIBLE", refused.to_string()))?;
        self.object(group, &from, &to, by).await?;
        if self.approvals.ask(&from, &to) {
            return self.keep_proposal(group, from, to, Vec::new(), author, seen).await;
        }
        match publish_change_after(&self.witness, group, wish, author, Consent::NotNeeded, Some(seen)).await? {
            Change::Published { record, before } => Ok(SetOutcome::Published { record, before }),
            Change::AlreadySo { policy, version } => Ok(SetOutcome::AlreadySo { policy, version }),
        }
    }

    /// Waits until every live replica works under `version`, at most `within`.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn acknowledged(&self, version: RolloutVersion, within: Duration) -> Result<Acknowledged, DeskError> {
        Ok(acknowledged(self.control.as_ref(), version, Instant::now() + within).await?)
    }

    pub(super) async fn keep_proposal(
        &self,
        group: &GroupName,
        from: Policy,
        to: Policy,
        steps: Vec<Step>,
        author: &Author,
        seen: RolloutVersion,
    ) -> Result<SetOutcome, DeskError> {
        let at = (self.clock)();
        let open_for = TimeDelta::from_std(self.approvals.open_for).unwrap_or(TimeDelta::days(1));
        let proposal = Proposal {
            id: ProposalId(Uuid::now_v7()),
            group: group.clone(),
            from,
            to,
            steps,
            author: author.clone(),
            seen: Some(seen),
            at,
            expires: WallTime::new(at.to_utc() + open_for),
            decision: None,
        };
        self.control.keep_proposal(&proposal).await?;
        self.note(Action::Proposed, &proposal, author, None).await?;
        Ok(SetOutcome::Proposed(Box::new(proposal)))
    }

    /// Proposals that can still be approved, newest first.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn open_proposals(&self) -> Result<Vec<Proposal>, DeskError> {
        let now = (self.clock)();
        let open = |proposal: &Proposal| proposal.decision.is_none() && proposal.expires > now;
        Ok(self.control.proposals(PROPOSALS).await?.into_iter().filter(open).collect())
    }

    /// The open proposal whose id begins with `id`.
    pub(super) async fn open_proposal(&self, id: &str) -> Result<Proposal, DeskError> {
        let mut open = self.open_proposals().await?;
        open.retain(|proposal| !id.is_empty() && proposal.id.to_string().starts_with(id));
        match open.len() {
            1 => Ok(open.remove(0)),
            0 => Err(DeskError::wrong(
                "UNKNOWN_PROPOSAL",
                format!(
                    "no proposal `{id}` waits: it was decided, has expired, or never was; `strangler groups proposals` names those that wait"
                ),
            )),
            several => Err(DeskError::wrong(
                "UNKNOWN_PROPOSAL",
                format!("{several} proposals begin with `{id}`: give more of its id"),
            )),
        }
    }

    /// Approves a proposal as the second person: it takes effect.
    ///
    /// # Errors
    /// `SAME_PERSON`, `OVERTAKEN` when the group's policy is no longer the one it starts from, and as [`Desk::set`]: what
    /// stands against it now, whoever approves it goes past, and not whoever proposed it.
    pub async fn approve(&self, id: &str, by: &Knowing, author: &Author) -> Result<(GroupName, SetOutcome), DeskError> {
        let proposal = self.open_proposal(id).await?;
        self.approve_seen(proposal, by, author).await
    }

    /// Approves a proposal that was open when somebody looked.
    async fn approve_seen(
        &self,
        proposal: Proposal,
        by: &Knowing,
        author: &Author,
    ) -> Result<(GroupName, SetOutcome), DeskError> {
        let group = proposal.group.clone();
        if proposal.author.who == author.who {
            return Err(DeskError::no(
                "SAME_PERSON",
                format!("{} proposed it: somebody else must approve", author.who),
            ));
        }
        let seen = self.newest().await?.rollout;
        let now = seen.policy(&proposal.group);
        if now != proposal.from && now != proposal.to {
            let message = format!(
                "group `{}` has changed since ({}): propose again",
                proposal.group,
                describe(&proposal.from, &now)
            );
            return Err(DeskError::no(OVERTAKEN, message));
        }
        if let Some(proposed) = proposal.seen
            && let Some(rollback) = rolled_back_since(self.control.as_ref(), &group, proposed).await?
        {
            let (who, version) = (rollback.author.who, rollback.rollout.version);
            let message = format!("{who} has rolled group `{group}` back since (rollout {version}): propose again");
            return Err(DeskError::no(OVERTAKEN, message));
        }
        self.still_as_seen(&group, by, seen.version).await?;
        // A promotion moves nothing before its gates hold.
        if proposal.steps.is_empty() {
            self.object(&group, &now, &proposal.to, by).await?;
        }
        // What is approved and what comes into force is one transaction: whoever withdraws it at the same time was either
        // first, and nothing happens, or is told that it was approved.
        let approval = Approval { proposal: proposal.id, by: author.clone() };
        let outcome = Box::pin(self.in_force(&proposal, &approval, seen.version)).await?;
        let version = match &outcome {
            SetOutcome::Published { record, .. } => record.rollout.version,
            SetOutcome::AlreadySo { version, .. } => *version,
            SetOutcome::HandedOver { done, .. } => done.version.unwrap_or(seen.version),
            SetOutcome::Proposed(_) => seen.version,
        };
        self.note(Action::Approved, &proposal, author, Some(version)).await?;
        Ok((group, outcome))
    }

    /// Brings into force what is approved, if it still waits and nothing else was published since rollout `seen`.
    async fn in_force(
        &self,
        proposal: &Proposal,
        approval: &Approval,
        seen: RolloutVersion,
    ) -> Result<SetOutcome, DeskError> {
        let group = &proposal.group;
        let (consent, proposer) = (Consent::Giving(approval), &proposal.author);
        if !proposal.steps.is_empty() {
            let view = self.begin_promotion(group, proposer, Some(approval)).await?;
            let version = self.newest().await?.rollout.version;
            return Ok(SetOutcome::AlreadySo { policy: view.policy, version });
        }
        let before = proposal.from;
        if proposal.to.stage() == Stage::Modern && before.stage() != Stage::Modern {
            let done = Box::new(Box::pin(self.end_dual_write_now(group, proposer, consent, seen)).await?);
            return Ok(SetOutcome::HandedOver { done, before });
        }
        if proposal.to.primary() != before.primary() {
            let to = proposal.to.primary();
            let consent = match to {
                Side::Modern => consent,
                // Legacy is opened before it is published: decided first. Whoever dies after that leaves an approval
                // without effect, which changes nothing and can be proposed again.
                Side::Legacy => {
                    self.decide(approval, seen).await?;
                    Consent::Given(&approval.by.who)
                }
            };
            let goal = Goal::Side { to, force: false };
            let done = Box::new(Box::pin(self.hand_over_now(group, goal, proposer, consent, seen)).await?);
            return Ok(SetOutcome::HandedOver { done, before });
        }
        let wish = SetPolicy {
            stage: Some(proposal.to.stage()),
            reads: Some(proposal.to.reads()),
            shadow: Some(proposal.to.shadow()),
        };
        // Only after what was just looked at: nobody has approved what comes of another change.
        match publish_change_after(&self.witness, group, &wish, proposer, consent, Some(seen)).await? {
            Change::Published { record, before } => Ok(SetOutcome::Published { record, before }),
            Change::AlreadySo { policy, version } => {
                self.decide(approval, seen).await?;
                Ok(SetOutcome::AlreadySo { policy, version })
            }
        }
    }

    /// Marks a proposal as approved, seen under `rollout`, where nothing is published with it.
    async fn decide(&self, approval: &Approval, rollout: RolloutVersion) -> Result<(), DeskError> {
        if self.control.decide_proposal(approval.proposal, &approval.under(rollout)).await? {
            return Ok(());
        }
        Err(ControlError::Decided.into())
    }

    /// Takes a proposal back, or turns it down.
    ///
    /// # Errors
    /// When none waits under this id, or the control store does not do it.
    pub async fn withdraw(&self, id: &str, author: &Author) -> Result<Proposal, DeskError> {
        let proposal = self.open_proposal(id).await?;
        self.withdraw_seen(proposal, author).await
    }

    /// Withdraws a proposal that was open when somebody looked.
    pub(super) async fn withdraw_seen(&self, proposal: Proposal, author: &Author) -> Result<Proposal, DeskError> {
        let decision = Decision::Withdrawn { by: author.clone() };
        if !self.control.decide_proposal(proposal.id, &decision).await? {
            return Err(DeskError::no(OVERTAKEN, self.decided_by(proposal.id).await));
        }
        self.note(Action::Withdrawn, &proposal, author, None).await?;
        Ok(Proposal { decision: Some(decision), ..proposal })
    }

    /// What became of a proposal that somebody else has decided, in words.
    async fn decided_by(&self, id: ProposalId) -> String {
        let all = self.control.proposals(PROPOSALS).await.unwrap_or_default();
        match all.into_iter().find(|proposal| proposal.id == id).and_then(|proposal| proposal.decision) {
            Some(Decision::Approved { by, rollout }) => {
                format!("{} has approved it meanwhile: it is in force since rollout {rollout}", by.who)
            }
            Some(Decision::Withdrawn { by }) => format!("{} has withdrawn it meanwhile", by.who),
            None => "somebody has decided it meanwhile: look at `strangler groups history`".to_owned(),
        }
    }

    async fn note(
        &self,
        action: Action,
        proposal: &Proposal,
        author: &Author,
        rollout: Option<RolloutVersion>,
    ) -> Result<(), DeskError> {
        let detail = json!({
            "proposal": proposal.id,
            "proposedBy": proposal.author.who,
            "summary": describe(&proposal.from, &proposal.to),
        });
        let group = Some(proposal.group.clone());
        self.control.note(&Deed { action, group, author: author.clone(), rollout, detail }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
