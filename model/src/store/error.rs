//! Why a store did not do what it was asked, and what that means to whoever asked.

use std::time::Duration;

use thiserror::Error;

use crate::contract::Refusal;
use crate::side::Side;

/// What a driver said, attached to an error as its source and never pasted into texts.
pub type DriverError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No connection could be made; nothing was sent.
    #[error("{side} could not be reached, nothing was sent")]
    Unreachable {
        /// Who.
        side: Side,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// It answers, and takes no write now, whatever it is (its disk is full, it is read-only); nothing was written.
    #[error("{side} takes no writes now, nothing was written")]
    Unwritable {
        /// Who.
        side: Side,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// Sent, and no answer came within the limit, or the connection broke before the answer.
    #[error("{side} gave no answer within {limit:?}")]
    NoAnswer {
        /// Who.
        side: Side,
        /// How long we waited at most.
        limit: Duration,
    },
    /// The transaction lost against another one (deadlock, serialization, lock time-out); nothing
    /// was kept, the same call may succeed.
    #[error("{side} gave way to another transaction, nothing was written")]
    Conflict {
        /// Who.
        side: Side,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// A rule of the contract or of the store forbids it; nothing was written; the same on retry.
    #[error("{side} refused: {}", .refusal.message)]
    Refused {
        /// Who.
        side: Side,
        /// Code and sentence for the client. Never contains field values.
        refusal: Refusal,
        /// What the driver said, if a driver spoke.
        #[source]
        source: Option<DriverError>,
    },
    /// The idempotency key was used before for something else; nothing was written.
    #[error("the idempotency key was used before with other arguments")]
    KeyReused,
    /// The fence does not allow a primary write under the command's epoch; nothing was written.
    #[error("{side} does not take writes for this group under this epoch, nothing was written")]
    Fenced {
        /// Who.
        side: Side,
    },
    /// A snapshot is over: too old for the server to read on, or its session has ended. Take a new one.
    #[error("{side} cannot read as of that moment any more")]
    SnapshotLost {
        /// Who.
        side: Side,
        /// What the driver said, if a driver spoke.
        #[source]
        source: Option<DriverError>,
    },
    /// A table, column or right is missing, or an answer could not be understood. An operator must act.
    #[error("{side} is not set up as the contract says: {problem}")]
    Misfit {
        /// Who.
        side: Side,
        /// What does not fit; names tables and columns, never values.
        problem: String,
        /// What the driver said, if a driver spoke.
        #[source]
        source: Option<DriverError>,
    },
}

/// Which side a database says that it is.
#[derive(Debug, Error)]
#[error("it is {0}")]
struct NotMine(String);

/// What gives numbers has none left.
#[derive(Debug, Error)]
#[error("{0}")]
struct Exhausted(String);

impl StoreError {
    /// A sequence of `side` is at its end, as `what` says: nothing was written, and nobody but its owner can help. No
    /// mistake of whoever asked, who may try again later.
    pub fn exhausted(side: Side, what: &str) -> Self {
        let problem = format!(
            "a sequence is at its end ({what}): nothing that needs a number of it can be written until it is given more, by \
             ALTER SEQUENCE and, where its column is too narrow, a wider column"
        );
        Self::Misfit { side, problem, source: Some(Box::new(Exhausted(what.to_owned()))) }
    }

    /// Whether it is [`Self::exhausted`].
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Self::Misfit { source: Some(source), .. } if source.is::<Exhausted>())
    }

    /// The side is suspended ([`crate::life`]), or its log is not the one that its life speaks of: no write commits.
    pub fn suspended(side: Side) -> Self {
        Self::Unwritable { side, source: "it is suspended: `strangler sides show` says why".into() }
    }

    /// The database at the address of `side` says that it is `whose`: nothing of it is read, and nothing done there. What
    /// is remembered of the one says nothing of the other.
    pub fn not_mine(side: Side, whose: &str) -> Self {
        let problem = format!(
            "the database at the address of {side} says that it is {whose}. Mend the addresses; or, if it is a copy of \
             {whose}'s database that shall become {side}, drop its tables strangler_* and run `strangler init`"
        );
        Self::Misfit { side, problem, source: Some(Box::new(NotMine(whose.to_owned()))) }
    }

    /// Whether it is [`Self::not_mine`].
    pub fn is_not_mine(&self) -> bool {
        matches!(self, Self::Misfit { source: Some(source), .. } if source.is::<NotMine>())
    }

    /// Who it is said of; `None`: the client's own key.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Unreachable { side, .. }
            | Self::Unwritable { side, .. }
            | Self::NoAnswer { side, .. }
            | Self::Conflict { side, .. }
            | Self::Refused { side, .. }
            | Self::Fenced { side }
            | Self::SnapshotLost { side, .. }
            | Self::Misfit { side, .. } => Some(*side),
            Self::KeyReused => None,
        }
    }

    /// Whether a write may have happened all the same. The only place that decides.
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Unreachable { .. }
            | Self::Unwritable { .. }
            | Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::KeyReused
            | Self::Fenced { .. }
            | Self::SnapshotLost { .. }
            | Self::Misfit { .. } => false,
        }
    }

    /// Whether the side itself is unwell: any other call of the kind would fail too, until it is well.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unwritable { .. } | Self::NoAnswer { .. } => true,
            Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::KeyReused
            | Self::Fenced { .. }
            | Self::SnapshotLost { .. }
            | Self::Misfit { .. } => false,
        }
    }

    /// Whether the side cannot be asked at all: counts for its breaker. One that takes no writes answers reads.
    pub fn is_out_of_reach(&self) -> bool {
        self.is_outage() && !matches!(self, Self::Unwritable { .. })
    }

    /// As a read tells it: one that gave way to others has no answer, since it had no transaction to lose; one that the
    /// side had no room for (it sorts on its disk) did not reach it.
    #[must_use]
    pub fn of_read(self, limit: Duration) -> Self {
        match self {
            Self::Conflict { side, .. } => Self::NoAnswer { side, limit },
            Self::Unwritable { side, source } => Self::Unreachable { side, source },
            other @ (Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::KeyReused
            | Self::Fenced { .. }
            | Self::SnapshotLost { .. }
            | Self::Misfit { .. }) => other,
        }
    }

    /// The closed label for metrics: `unreachable`, `unwritable`, `no_answer`, `conflict`, `refused`, `key_reused`,
    /// `fenced`, `snapshot_lost` or `misfit`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Unwritable { .. } => "unwritable",
            Self::NoAnswer { .. } => "no_answer",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::KeyReused => "key_reused",
            Self::Fenced { .. } => "fenced",
            Self::SnapshotLost { .. } => "snapshot_lost",
            Self::Misfit { .. } => "misfit",
        }
    }
}
