//! Promotions: a group on its way through declared steps, from a first percentage to all of its reads.
//!
//! The plan and the place on it stand in the control store, so that any replica can take the next step and a
//! terminal that is closed stops nothing. Each save names the revision that it starts from: of two replicas that
//! take the same step, one wins.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Approval, Author, ControlError};
use crate::name::GroupName;
use crate::policy::RolloutVersion;
use crate::share::Percentage;
use crate::value::Instant;

/// What the reason of a step's rollout begins with.
pub const PROMOTION_STEP: &str = "promotion: step ";

/// One step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Share of keys that modern answers.
    pub reads: Percentage,
    /// How long the step is held, at least, before the next.
    pub hold: Duration,
}

/// Where a promotion is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Progress {
    /// On the way. A step is held, or waits for its gates.
    Running,
    /// The last step was held to its end.
    Finished,
    /// It ended before its last step.
    Stopped {
        /// One sentence.
        why: String,
    },
}

/// A group on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// The group.
    pub group: GroupName,
    /// The plan, in order; never empty, percentages rise.
    pub steps: Vec<Step>,
    /// The step that is being held, counted from 0; `None` before the first one is taken.
    pub at_step: Option<usize>,
    /// Since when it is held, or the promotion began.
    pub since: Instant,
    /// The newest rollout when it began, or the one of its last step: a rollback of the group after it ends it. `None`:
    /// begun by a release that did not say.
    #[serde(default)]
    pub since_rollout: Option<RolloutVersion>,
    /// Who began it, from where and why.
    pub author: Author,
    /// The second person, where one was needed.
    pub approved_by: Option<String>,
    /// Where it is.
    pub progress: Progress,
    /// What it does or waits for, in one sentence.
    pub said: String,
    /// Counts its saves, from 1.
    pub revision: u64,
}

impl Promotion {
    /// The step that is held now.
    pub fn step(&self) -> Option<Step> {
        self.at_step.and_then(|place| self.steps.get(place).copied())
    }

    /// The step that follows, with its place.
    pub fn next(&self) -> Option<(usize, Step)> {
        let place = self.at_step.map_or(0, |place| place + 1);
        self.steps.get(place).map(|step| (place, *step))
    }
}

/// Keeps promotions, one per group. Part of every control store.
#[async_trait]
pub trait PromotionStore: Send + Sync {
    /// Every group's last promotion, in the order of the groups' names.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn promotions(&self) -> Result<Vec<Promotion>, ControlError>;

    /// Saves a promotion in the place of the group's last one, if that has revision `promotion.revision - 1`
    /// (0: there is none). False when it has another one: nothing was saved.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer` (it may stand), `Misfit`.
    async fn save_promotion(&self, promotion: &Promotion) -> Result<bool, ControlError>;

    /// As [`Self::save_promotion`], and marks the proposal that it comes of as approved under `seen`, in one transaction.
    ///
    /// # Errors
    /// As `save_promotion`; `Decided`: nothing was saved.
    async fn begin_approved(
        &self,
        promotion: &Promotion,
        approval: &Approval,
        seen: RolloutVersion,
    ) -> Result<bool, ControlError>;
}
