//! Proposals: changes that take effect when a second person has approved them.
//!
//! A proposal names the policy that it starts from. When that is no longer the group's policy, it cannot be
//! approved: whoever approves must see what will change.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Author, ControlError, Step};
use crate::name::GroupName;
use crate::policy::{Policy, RolloutVersion};
use crate::value::Instant;

/// Names a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProposalId(pub Uuid);

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Decision {
    /// It is in force.
    Approved {
        /// The second person.
        by: Author,
        /// The rollout that holds it.
        rollout: RolloutVersion,
    },
    /// Somebody took it back or turned it down.
    Withdrawn {
        /// Who.
        by: Author,
    },
}

/// A second person's word for a proposal. It counts only together with what it approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The proposal.
    pub proposal: ProposalId,
    /// The second person.
    pub by: Author,
}

impl Approval {
    /// The decision that it is, once `rollout` holds what was proposed.
    pub fn under(&self, rollout: RolloutVersion) -> Decision {
        Decision::Approved { by: self.by.clone(), rollout }
    }
}

/// A change that waits for a second person, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Names it.
    pub id: ProposalId,
    /// The group.
    pub group: GroupName,
    /// The policy it starts from.
    pub from: Policy,
    /// The policy it asks for.
    pub to: Policy,
    /// The steps of a promotion to `to`; empty for a change that is made at once.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Who proposed it, from where and why.
    pub author: Author,
    /// The newest rollout when it was proposed: a rollback of the group since then ends it. `None`: made by a release
    /// that did not say.
    #[serde(default)]
    pub seen: Option<RolloutVersion>,
    /// When.
    pub at: Instant,
    /// From then on it can no longer be approved.
    pub expires: Instant,
    /// What became of it; `None` while it waits.
    pub decision: Option<Decision>,
}

/// Keeps proposals. Part of every control store.
#[async_trait]
pub trait ProposalStore: Send + Sync {
    /// Keeps a proposal.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer` (it may stand; the same id again changes nothing), `Misfit`.
    async fn keep_proposal(&self, proposal: &Proposal) -> Result<(), ControlError>;

    /// Notes what became of a proposal; false when that was noted before, which stays.
    ///
    /// # Errors
    /// As `keep_proposal`.
    async fn decide_proposal(&self, id: ProposalId, decision: &Decision) -> Result<bool, ControlError>;

    /// Proposals, newest first, at most `limit`.
    ///
    /// # Errors
    /// As `keep_proposal`.
    async fn proposals(&self, limit: usize) -> Result<Vec<Proposal>, ControlError>;
}
