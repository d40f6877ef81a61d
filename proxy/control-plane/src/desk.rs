//! What operators and engineers can ask and order, whoever carries it: command line, admin API, dashboard.
//!
//! Nothing here knows how a wish came in or how an answer is shown. Every change says who, from where and why, and
//! ends in the audit.
//!
//! Not here: who may do what (`admin::schema`), what a change means (`rollout`).

mod at_rest;
mod bar;
mod breakeven;
mod change;
mod contracts;
mod counted;
mod decision;
mod ending;
mod evidence;
mod excuses;
mod handover;
mod honour;
mod key_history;
mod lately;
mod notices;
mod objections;
pub mod orders;
pub mod preview;
mod promote;
mod promoter;
mod record;
mod rollback;
mod sagas;
#[cfg(test)]
pub(crate) mod scene;
pub mod schedule;
mod sides;
mod verify;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lanes;
use model::control::{ControlError, ControlStore, RolloutRecord};
use model::{Contract, GroupName, Instant, PerSide, ReplicaId, Stage};
use thiserror::Error;

use crate::breakeven::Given;
use crate::desk::schedule::Schedule;
use crate::guard::GuardHandle;
use crate::handover::coordinate::HandoverSettings;
use crate::promotion::PromotionRules;
use crate::rollout::fleet::Fleet;
use crate::rollout::publish::ChangeError;
use crate::rollout::{RolloutHandle, Witness};
use contract::suggest;
use data_plane::state_dir::StateDir;

pub use at_rest::{GroupAtRest, TypeAtRest};
pub(crate) use change::acknowledged;
pub use change::{Acknowledged, SetOutcome};
pub use contracts::Apart;
pub use ending::DualWriteEnd;
pub use evidence::DiffFilter;
pub use excuses::ExcuseWish;
pub use handover::shown_key;
pub use handover::{HandoverDone, HandoverOutcome};
pub use lately::{Compared, Concern, Lately, RECENT_MINUTES};
pub use notices::Notices;
pub use objections::PAST_GATES;
pub use preview::{Knowing, Past, Preview};
pub use promote::{PromoteOutcome, PromotionView};
pub use promoter::Promoter;
pub use record::RecordFilter;
pub use rollback::{RollbackOptions, RollbackOutcome};
pub use sides::SideSeen;
pub use verify::Verified;
pub use view::{GroupView, RouteView, evidence_in_words, unsettled_in_words};

/// Which changes need a second person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRules {
    /// Entering or staying in one of these stages needs approval, unless reads are only lowered.
    pub stages: BTreeSet<Stage>,
    /// How long a proposal can be approved.
    pub open_for: Duration,
}

/// Why something was not done or not told.
#[derive(Debug, Error)]
pub enum DeskError {
    /// What was asked for cannot be; the same on repeat. Nothing was changed.
    #[error("{message}")]
    Wrong {
        /// A stable code.
        code: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// It could be asked for, and the answer is no.
    #[error("{message}")]
    No {
        /// A stable code.
        code: &'static str,
        /// Why not, and what to do.
        message: String,
    },
}

impl DeskError {
    /// What was asked for cannot be.
    pub fn wrong(code: &'static str, message: impl Into<String>) -> Self {
        Self::Wrong { code, message: message.into() }
    }

    /// The answer is no.
    pub fn no(code: &'static str, message: impl Into<String>) -> Self {
        Self::No { code, message: message.into() }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Wrong { code, .. } | Self::No { code, .. } => code,
        }
    }
}

impl From<ControlError> for DeskError {
    fn from(error: ControlError) -> Self {
        let code = if matches!(error, ControlError::Decided) { "OVERTAKEN" } else { "CONTROL_STORE" };
        Self::no(code, request::error::with_root(&error))
    }
}

impl From<ChangeError> for DeskError {
    fn from(error: ChangeError) -> Self {
        match &error {
            ChangeError::Refused(refused) => Self::wrong("NOT_POSSIBLE", refused.to_string()),
            ChangeError::Control(ControlError::NoAnswer { .. }) => Self::no(
                "CONTROL_STORE",
                format!("{error}: the change may stand or not, look with `strangler groups history`"),
            ),
            ChangeError::Control(ControlError::Decided) => Self::no("OVERTAKEN", error.to_string()),
            ChangeError::Control(_) => Self::no("CONTROL_STORE", error.to_string()),
            ChangeError::NoRollout => Self::no("NO_ROLLOUT", error.to_string()),
            ChangeError::Overtaken { .. } => Self::no("OVERTAKEN", error.to_string()),
            ChangeError::ModernIsPrimary { .. } => Self::no("MODERN_IS_PRIMARY", error.to_string()),
        }
    }
}

/// The replica that asks.
#[derive(Debug, Clone)]
pub struct Here {
    /// Its name.
    pub id: ReplicaId,
    /// The admin address under which others reach it.
    pub address: String,
    /// Its rollout.
    pub rollout: RolloutHandle,
}

/// Everything that operators' questions and orders need. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// The contract.
    pub contract: Arc<Contract>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// Both sides.
    pub sides: PerSide<Lanes>,
    /// Sees what is known at the moment of a change.
    pub witness: Witness,
    /// Which changes need a second person.
    pub approvals: ApprovalRules,
    /// The declared plan of promotions, and its gates.
    pub promotions: PromotionRules,
    /// When rows at rest are compared without an order of a person; `None`: never.
    pub reconcile: Option<Schedule>,
    /// Limits of handovers.
    pub handover: HandoverSettings,
    /// What errors and waiting cost.
    pub breakeven: Given,
    /// Key of the hashes that stand for sensitive values; `None`: the one of the state folder.
    pub secret: Option<Vec<u8>>,
    /// The replicas that rollbacks are told to directly, and how they are spoken to.
    pub fleet: Arc<Fleet>,
    /// Where the list of replicas is kept; `None` when the folder cannot be used.
    pub state: Option<StateDir>,
    /// The replica that asks; `None` where there is none, as on the command line.
    pub here: Option<Here>,
    /// The guard of the replica that asks; `None` where there is none.
    pub guard: Option<GuardHandle>,
    /// What people should know of groups now, as the replica that asks sees it.
    pub notices: Notices,
    /// The wall clock.
    pub clock: fn() -> Instant,
}

impl Desk {
    /// The group called `name`.
    ///
    /// # Errors
    /// One that names the known groups.
    pub fn group(&self, name: &str) -> Result<GroupName, DeskError> {
        let groups = self.contract.groups();
        groups.iter().find(|group| group.as_str() == name).cloned().ok_or_else(|| {
            let known = suggest::or_all(name, "", groups.iter().map(GroupName::as_str));
            DeskError::wrong("UNKNOWN_GROUP", format!("there is no group `{name}`: {known}"))
        })
    }

    /// Whether the replica that asks is the one that the list has as `listed`. Where it follows no list, as in tests, its
    /// name is `given`; where another one goes by its name, as after a copied state folder, it is not.
    pub(crate) fn is_here(&self, listed: &ReplicaId, given: &ReplicaId) -> bool {
        self.here.as_ref().map_or(listed == given, |here| here.rollout.goes_by(listed))
    }

    /// The newest rollout.
    ///
    /// # Errors
    /// When there is none, or the control store does not tell.
    pub async fn newest(&self) -> Result<RolloutRecord, DeskError> {
        let newest = self.control.newest().await?;
        newest.ok_or_else(|| DeskError::no("NO_ROLLOUT", "there is no rollout yet: run `strangler init`"))
    }
}

/// A reason that says something.
///
/// # Errors
/// When it is blank.
pub fn reason(text: &str) -> Result<String, DeskError> {
    match text.trim() {
        "" => Err(DeskError::wrong("NO_REASON", "the reason is empty: say why, for the record")),
        text => Ok(text.to_owned()),
    }
}
