//! The port to the control store: rollouts, replicas, evidence and figures.
//!
//! Its outage stops neither reads nor writes nor rollback: every caller must go on without it.
//! Rollouts are appended and never changed, each with who, when, why and the evidence at that moment.
//!
//! One contract suite (`testkit::control_contract`) holds for every control store.
//! Not here: what a replica does with a rollout (`proxy::rollout`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::bookkeeping::Bookkeeping;
use crate::name::{GroupName, ReplicaId};
use crate::policy::{Policy, Rollout, RolloutVersion};
use crate::store::DriverError;
use crate::value::Instant;

pub mod audit;
pub mod excuse;
pub mod figures;
pub mod histogram;
pub mod life;
pub mod order;
pub mod promotion;
pub mod proposal;
pub mod reconciliation;
pub mod records;
pub mod sums;
pub mod trend;
pub mod webhook;

pub use audit::{Action, AuditEntry, AuditHash, AuditStore, Deed, Tampered};
pub use excuse::{AcceptedExcuse, ExcuseId, ExcuseRecord, ExcuseScope, ExcuseState, ExcuseStore, Withdrawal};
pub use figures::{Figures, FiguresStore, GroupFigures, Slot};
pub use life::LifeStore;
pub use order::{
    OrderEnd, OrderId, OrderProgress, OrderRecord, OrderState, OrderStore, OrderedType, Placed, ReconcileOrder, Taken,
    TypeDone,
};
pub use promotion::{PROMOTION_STEP, Progress, Promotion, PromotionStore, Step};
pub use proposal::{Approval, Decision, Proposal, ProposalId, ProposalStore};
pub use reconciliation::{Findings, ReconciliationStore, RunId};
pub use records::{Found, Mark, Print, Records};
pub use sums::{DifferenceKind, EvidenceFilter, Finding, Seen, Sums};
pub use trend::{Counts, Period, Span, Trend, TrendStore, Width};
pub use webhook::{Event, WebhookStore};

/// A replica is live when its last heartbeat is at most this old, by the control store's clock.
pub const LIVE_WITHIN: Duration = Duration::from_secs(3);

/// Why the control store did not do what it was asked.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No connection could be made; nothing was sent.
    #[error("the control store could not be reached, nothing was sent")]
    Unreachable {
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// Sent, and no answer came within the limit, or the connection broke before the answer. What
    /// was to be published may stand or not.
    #[error("the control store gave no answer within {limit:?}")]
    NoAnswer {
        /// How long we waited at most.
        limit: Duration,
    },
    /// Another rollout was published meanwhile; nothing was published.
    #[error("another rollout was published meanwhile: expected {}, found {}", shown(.expected), shown(.found))]
    Conflict {
        /// The newest version that the caller knew.
        expected: Option<RolloutVersion>,
        /// The newest version there is.
        found: Option<RolloutVersion>,
    },
    /// Somebody else has decided the proposal that was to be approved with it; nothing was published.
    #[error("the proposal was decided by somebody else meanwhile, nothing was published")]
    Decided,
    /// A table or right is missing, or what stands there could not be understood. An operator must act.
    #[error("the control store is not set up: {problem}")]
    Misfit {
        /// What does not fit, and what to do.
        problem: String,
        /// What the driver said, if a driver spoke.
        #[source]
        source: Option<DriverError>,
    },
}

fn shown(version: &Option<RolloutVersion>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
}

impl ControlError {
    /// Whether the control store itself is unwell, so that the same call may succeed later.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Conflict { .. } | Self::Decided | Self::Misfit { .. } => false,
        }
    }
}

/// Names one rollback that was told to replicas directly, on its way into the control store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OverrideId(pub Uuid);

impl fmt::Display for OverrideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who changes a rollout, from where and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// A person's or program's name.
    pub who: String,
    /// The machine or replica it comes from.
    pub origin: String,
    /// Why; a rollback may leave it out.
    pub reason: Option<String>,
}

/// A rollout that somebody wants published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The newest version that the caller has seen; `None`: there is no rollout yet.
    pub expected: Option<RolloutVersion>,
    /// What is published. Its version is larger than `expected`: the next one, except when a
    /// control store that lost its memory is told a later one.
    pub rollout: Rollout,
    /// Who, from where, why.
    pub author: Author,
    /// One line for people: what changed.
    pub summary: String,
    /// The groups whose policy this is about.
    pub groups: Vec<GroupName>,
    /// The evidence at this moment, as JSON.
    pub evidence: serde_json::Value,
    /// The rollbacks that this rollout takes in.
    pub overrides: Vec<OverrideId>,
    /// The second person, where one was needed.
    pub approved_by: Option<String>,
    /// The proposal that is approved by publishing this: both happen, or neither.
    pub approves: Option<Approval>,
}

/// A published rollout, as it stands in the control store for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// Version and policies.
    pub rollout: Rollout,
    /// When it was published, by the control store's clock.
    pub at: Instant,
    /// Who, from where, why.
    pub author: Author,
    /// One line for people: what changed.
    pub summary: String,
    /// The groups whose policy this is about.
    pub groups: Vec<GroupName>,
    /// The evidence at that moment, as JSON.
    pub evidence: serde_json::Value,
    /// The rollbacks that this rollout took in.
    pub overrides: Vec<OverrideId>,
    /// The second person, where one was needed.
    #[serde(default)]
    pub approved_by: Option<String>,
}

/// What a replica tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Its name.
    pub id: ReplicaId,
    /// Where its admin port is reached from elsewhere: `host:port`.
    pub admin_address: String,
    /// The newest rollout it works under.
    pub rollout: RolloutVersion,
    /// Names this very run of it: of two that go by one name, each has its own.
    pub instance: Uuid,
    /// Whether that rollout is on its disk, so that it survives a restart without control store.
    pub saved: bool,
}

/// What came of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is noted.
    Noted,
    /// Another live replica goes by this name, from this admin address: nothing was noted.
    Taken(String),
}

/// The evidence of one flush; added once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub Uuid);

/// Where rollouts, replicas and evidence are kept for the whole fleet.
///
/// Every call keeps a time limit that the store was made with, and returns
/// [`ControlError::NoAnswer`] or [`ControlError::Unreachable`] after it. Every call may be repeated;
/// for [`ControlStore::publish`] see there. All but `prepare` report missing tables as `Misfit`.
#[async_trait]
pub trait ControlStore:
    AuditStore
    + ExcuseStore
    + FiguresStore
    + LifeStore
    + OrderStore
    + PromotionStore
    + ProposalStore
    + ReconciliationStore
    + TrendStore
    + WebhookStore
{
    /// Makes the tables, or brings those of any earlier release up to this one. Changes no row that exists; harmless when
    /// several do it at once.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit` when a right is missing, or when the tables are of a newer release that this
    /// one cannot work beside.
    async fn prepare(&self) -> Result<(), ControlError>;

    /// What there is of the tables, compared with what this release needs. Needs no right but to look.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`.
    async fn bookkeeping(&self) -> Result<Bookkeeping, ControlError>;

    /// The statements that [`ControlStore::prepare`] would run on a database of which `found` is true, for a DBA to
    /// read. `None`: of which nothing is known, all of them.
    fn ddl(&self, found: Option<&Bookkeeping>) -> String;

    /// The newest rollout; `None` when none was ever published.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn newest(&self) -> Result<Option<RolloutRecord>, ControlError>;

    /// Appends a rollout if `expected` is still the newest, and marks the proposal that it approves, in one transaction.
    /// Wakes [`ControlStore::wait_for_change`] on every replica.
    ///
    /// # Errors
    /// `Conflict`, `Decided`: nothing was published. `Unreachable`, `Misfit`: likewise. `NoAnswer`: it may
    /// stand; look at [`ControlStore::newest`] or [`ControlStore::published`].
    async fn publish(&self, publication: &Publication) -> Result<RolloutRecord, ControlError>;

    /// Rollouts about `group` (or any), newest first, at most `limit`.
    ///
    /// # Errors
    /// As `newest`.
    async fn history(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RolloutRecord>, ControlError>;

    /// Which of `overrides` any rollout ever took in.
    ///
    /// # Errors
    /// As `newest`.
    async fn published(&self, overrides: &[OverrideId]) -> Result<Vec<OverrideId>, ControlError>;

    /// Waits until the newest version is not `known`; false when it still is after `within`. Learns
    /// of a change at once where the store can tell, and within 300 ms elsewhere.
    ///
    /// # Errors
    /// As `newest`.
    async fn wait_for_change(&self, known: Option<RolloutVersion>, within: Duration) -> Result<bool, ControlError>;

    /// Notes that `replica` lives, now, by the store's clock; unless another instance of that name was heard of within
    /// [`LIVE_WITHIN`].
    ///
    /// # Errors
    /// As `newest`.
    async fn heartbeat(&self, replica: &Replica) -> Result<Heard, ControlError>;

    /// Takes the former run of a replica off the list that did not come to its end, if it still stands there: who has its
    /// state folder now goes by its name. Whether it did.
    ///
    /// # Errors
    /// As `newest`.
    async fn succeed(&self, replica: &ReplicaId, former: Uuid) -> Result<bool, ControlError>;

    /// Takes a replica that stops off the list.
    ///
    /// # Errors
    /// As `newest`.
    async fn retire(&self, replica: &ReplicaId) -> Result<(), ControlError>;

    /// The replicas seen within the last `within`, by the store's clock, in the order of their names.
    ///
    /// # Errors
    /// As `newest`.
    async fn replicas(&self, within: Duration) -> Result<Vec<Replica>, ControlError>;

    /// Adds evidence: counts are summed, spans and bitmaps merged, samples kept within
    /// [`sums::SAMPLES_KEPT_FIRST`] and [`sums::SAMPLES_KEPT_NEWEST`]. A `batch` that was added
    /// before adds nothing.
    ///
    /// # Errors
    /// As `newest`; nothing or all of it was added.
    async fn add_evidence(&self, batch: BatchId, evidence: &Sums) -> Result<(), ControlError>;

    /// The evidence that `filter` wants.
    ///
    /// # Errors
    /// As `newest`.
    async fn evidence(&self, filter: &EvidenceFilter) -> Result<Sums, ControlError>;

    /// Deletes counts, samples, figures and replicas last seen longer than `retention` ago. Keys stay.
    ///
    /// # Errors
    /// As `newest`.
    async fn forget(&self, retention: Duration) -> Result<(), ControlError>;
}

/// The rollout that follows `newest` with some policies replaced; groups that nobody named stay.
pub fn next_rollout(newest: &Rollout, changed: &BTreeMap<GroupName, Policy>) -> Rollout {
    let mut policies = newest.policies.clone();
    policies.extend(changed.iter().map(|(group, policy)| (group.clone(), *policy)));
    Rollout { version: RolloutVersion(newest.version.0 + 1), policies }
}
