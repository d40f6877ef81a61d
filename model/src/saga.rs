//! Sagas: what a store remembers of writes that go in steps, and the port to it.
//!
//! The log is a table beside the ledger, on the side that was primary for the first step when the saga began.
//! It says how far a saga has come; whether a *step* stands is said by the ledger of the step's own group, under
//! a key made of saga and step. So a log that lags behind the steps, after a crash, costs a repeat and nothing else.
//!
//! Whether a step stands can be known only while its row is in the ledger: rows under a saga's keys are kept until their
//! saga has ended, on both sides ([`OpenSagas`]).
//!
//! The log is in one database, and may go back with it. So the other side keeps a *copy* of each saga, made before its
//! first step as far as that side answers, and surely before a step that commits there ([`SagaLog::copy_saga`]).
//!
//! Not here: what a saga does next (`proxy::saga::decide`), and what its document says (`proxy::saga::state`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::name::RouteName;
use crate::store::StoreError;
use crate::value::Instant;
use crate::write::IdempotencyKey;

/// Names one saga for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SagaId(String);

impl SagaId {
    /// Largest length, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// A name of letters, digits and `-`; `None` for any other text.
    pub fn new(text: &str) -> Option<Self> {
        let fine = !text.is_empty() && text.len() <= Self::MAX_LENGTH;
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (fine && plain).then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SagaStatus {
    /// Its steps are being done.
    Running,
    /// A step was refused: those before it are being undone.
    Compensating,
    /// A compensation is refused again and again: somebody must act.
    Stuck,
    /// Every step stands.
    Done,
    /// A step was refused, and every step before it is undone.
    Undone,
    /// Somebody has taken a stuck saga over, by hand.
    Abandoned,
}

impl SagaStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Compensating, Self::Stuck, Self::Done, Self::Undone, Self::Abandoned];

    /// As kept in the log and shown: `running`, `stuck`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Abandoned => "abandoned",
        }
    }

    /// Reads [`Self::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a replica is to go on with it.
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Running | Self::Compensating => true,
            Self::Stuck | Self::Done | Self::Undone | Self::Abandoned => false,
        }
    }

    /// Whether nothing will ever happen to it again.
    pub fn has_ended(self) -> bool {
        match self {
            Self::Done | Self::Undone | Self::Abandoned => true,
            Self::Running | Self::Compensating | Self::Stuck => false,
        }
    }
}

impl fmt::Display for SagaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One saga as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaRow {
    /// Its name.
    pub id: SagaId,
    /// The mutation that began it.
    pub route: RouteName,
    /// Where it stands.
    pub status: SagaStatus,
    /// Rises with every change of the row: whoever saves proves that nobody has come between.
    pub revision: u64,
    /// Arguments, steps and results, as JSON. Business data, as a ledger's images are: never logged.
    pub document: String,
    /// When it began, by the store's own clock.
    pub began_at: Instant,
}

/// What [`SagaLog::begin_saga`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is new, and leased to the caller.
    Now,
    /// It began before; this is how it stands. Not leased.
    Before(SagaRow),
}

/// What [`SagaLog::lease_sagas`] has taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leased {
    /// Leased to the caller.
    pub sagas: Vec<SagaRow>,
    /// Rows that are due and that no release of ours can have written. They keep nobody from the others.
    pub unreadable: usize,
}

/// The sagas that have not ended, as far as both logs tell. What their steps left in the ledgers is not forgotten: it
/// is the only proof that a step stands, or never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenSagas {
    /// These, and no others.
    These(Vec<SagaId>),
    /// A log did not answer, or has too many: any saga may be open.
    Unknown,
}

impl OpenSagas {
    /// Most that a log names.
    pub const MOST: usize = 1_000;

    /// Those of both logs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::These(mut sagas), Self::These(others)) => {
                sagas.extend(others);
                Self::These(sagas)
            }
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }

    /// Whether the ledger's row under `key` may be needed by a saga.
    pub fn need(&self, key: &IdempotencyKey) -> bool {
        let Some(saga) = saga_of(key) else { return false };
        match self {
            Self::These(sagas) => sagas.iter().any(|open| open.as_str() == saga),
            Self::Unknown => true,
        }
    }
}

/// How the ledger's keys of sagas look, for SQL's LIKE.
pub const KEYS_OF_SAGAS: &str = "saga %#saga:%";

/// The key under which a saga does something, before it is scoped. `what` has no blank.
pub fn key_of_saga(id: &SagaId, what: &str) -> String {
    format!("saga {id} {what}")
}

/// The saga whose step stands under `key`, if it is such a key. A client may send one that looks so: then its row is
/// kept for as long as that saga is open.
pub fn saga_of(key: &IdempotencyKey) -> Option<&str> {
    let (saga, rest) = key.as_str().strip_prefix("saga ")?.split_once(' ')?;
    rest.contains("#saga:").then_some(saga)
}

/// What the names of copies begin with. No saga has such a name: those are hashes and UUIDs.
pub const COPY: &str = "copy-";

/// The name of the row that holds the copy of `saga`, in the table of the other side's own sagas. Its status is an end, so that
/// releases which know of no copies leave it alone, and forget it in time.
pub fn copy_of(saga: &SagaId) -> SagaId {
    SagaId(format!("{COPY}{saga}"))
}

/// The saga whose copy has this name.
pub fn of_copy(copy: &SagaId) -> Option<SagaId> {
    copy.as_str().strip_prefix(COPY).and_then(SagaId::new)
}

/// How many sagas have a status that is not an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SagaCounts {
    /// Steps are being done.
    pub running: u64,
    /// Steps are being undone.
    pub compensating: u64,
    /// Somebody must act.
    pub stuck: u64,
}

impl std::ops::Add for SagaCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            running: self.running + other.running,
            compensating: self.compensating + other.compensating,
            stuck: self.stuck + other.stuck,
        }
    }
}

/// The saga log of one store. Each call keeps its limit as those of [`crate::Store`] do.
#[async_trait]
pub trait SagaLog: Send + Sync {
    /// Writes `saga` (its revision and beginning are the store's to say: revision 1) and leases it to the caller:
    /// nobody else is given it until `lease` is over. A saga of that name that is there already is left as it is. Proves
    /// that the side lives: one that has gone back may have lost the saga's first beginning.
    ///
    /// # Errors
    /// `Unreachable`, `Unwritable`, `Conflict`, `Misfit`: nothing was written. After `NoAnswer` it may be there: begin it
    /// again.
    async fn begin_saga(&self, saga: &SagaRow, lease: Duration, within: Duration) -> Result<Begun, StoreError>;

    /// Puts status and document in place of those of revision `saga.revision`, which becomes one more; nobody
    /// else is given the saga until `pause` is over. `false`: it has another revision (or is gone), nothing was
    /// written.
    ///
    /// # Errors
    /// As `begin_saga`; after `NoAnswer` it may be saved.
    async fn save_saga(&self, saga: &SagaRow, pause: Duration, within: Duration) -> Result<bool, StoreError>;

    /// Takes up to `limit` sagas that are under way and due, those that are due longest first, and leases them: each
    /// has a new revision, so that whoever held it before cannot save any more. Never waits for rows that another
    /// caller holds (`SKIP LOCKED`).
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn lease_sagas(&self, lease: Duration, limit: usize, within: Duration) -> Result<Leased, StoreError>;

    /// The saga called `id`; `None`: it never began here, or is forgotten.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn saga(&self, id: &SagaId, within: Duration) -> Result<Option<SagaRow>, StoreError>;

    /// Puts a copy of `saga`, whose log is on the other side, in place of the one that is here, if any. It is in none of
    /// the lists of sagas. Proves that the side lives, as `begin_saga` does.
    ///
    /// # Errors
    /// As `begin_saga`.
    async fn copy_saga(&self, saga: &SagaRow, within: Duration) -> Result<(), StoreError>;

    /// Copies that were made or changed at `since` or later, under the names of their sagas and in their order, beginning
    /// after `after`; at most `limit`. Their status says nothing.
    ///
    /// # Errors
    /// As `saga`.
    async fn saga_copies(
        &self,
        since: Instant,
        after: Option<&SagaId>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError>;

    /// Writes `saga`, which this log has lost, whether the side takes writes or not: as one that is due at once, and began
    /// now. False, and nothing was done, where a saga of that name is there.
    ///
    /// # Errors
    /// As `save_saga`.
    async fn restore_saga(&self, saga: &SagaRow, within: Duration) -> Result<bool, StoreError>;

    /// Up to `limit` sagas, of one status or (without) of all, newest first.
    ///
    /// # Errors
    /// As `saga`.
    async fn sagas(
        &self,
        status: Option<SagaStatus>,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<SagaRow>, StoreError>;

    /// Those that have not ended; [`OpenSagas::Unknown`] when there are more than [`OpenSagas::MOST`].
    ///
    /// # Errors
    /// As `saga`.
    async fn open_sagas(&self, within: Duration) -> Result<OpenSagas, StoreError>;

    /// How many have not ended.
    ///
    /// # Errors
    /// As `saga`.
    async fn count_sagas(&self, within: Duration) -> Result<SagaCounts, StoreError>;

    /// Deletes sagas that have ended and were last changed more than `retention` ago, at most `limit`; how many.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Conflict`.
    async fn forget_sagas(&self, retention: Duration, limit: usize, within: Duration) -> Result<u64, StoreError>;
}
