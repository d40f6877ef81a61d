//! What clients asked, and what they were told: the evidence that all checks after a run work on.
//!
//! Times count from the beginning of the run, on the clock of the clients, which never jumps.
//!
//! Not here: what should have come of it (`books`, `linear`, `injected`).

use std::fmt;
use std::time::Duration;

/// Where something is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf {
    /// Article number.
    pub sku: String,
    /// Location code.
    pub location: String,
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.sku, self.location)
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `adjustStock`.
    Adjust {
        /// Where.
        shelf: Shelf,
        /// What comes in, or goes out when negative.
        delta: i64,
    },
    /// `setStock`.
    Count {
        /// Where.
        shelf: Shelf,
        /// What was found there.
        on_hand: i64,
    },
    /// `transferStock`.
    Transfer {
        /// Where from.
        from: Shelf,
        /// Where to; another location of the same article.
        to: Shelf,
        /// How much, more than nothing.
        quantity: i64,
    },
    /// `stockLevel` of what nobody has.
    Miss {
        /// Where there is nothing.
        shelf: Shelf,
    },
    /// `stockLevel`.
    Look {
        /// Where.
        shelf: Shelf,
        /// What the client may expect.
        promise: Promise,
    },
}

impl Action {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adjust { .. } => "adjustStock",
            Self::Count { .. } => "setStock",
            Self::Transfer { .. } => "transferStock",
            Self::Miss { .. } => "read of nothing",
            Self::Look { promise: Promise::Token(_), .. } => "read with own token",
            Self::Look { promise: Promise::SameReplica(_), .. } => "read where written",
            Self::Look { promise: Promise::Existed, .. } => "read by a stranger",
        }
    }

    /// What it is about.
    pub fn shelves(&self) -> Vec<&Shelf> {
        match self {
            Self::Adjust { shelf, .. } | Self::Count { shelf, .. } | Self::Look { shelf, .. } => vec![shelf],
            Self::Transfer { from, to, .. } => vec![from, to],
            Self::Miss { .. } => Vec::new(),
        }
    }

    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        match self {
            Self::Adjust { .. } | Self::Count { .. } | Self::Transfer { .. } => true,
            Self::Miss { .. } | Self::Look { .. } => false,
        }
    }
}

/// What a read may not fall behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// It carries the version token of the client's own last write to the shelf.
    Token(Own),
    /// It asks the replica that acknowledged the client's own last write to the shelf, and that lives still.
    SameReplica(Own),
    /// What is answered was true at some time.
    Existed,
}

/// The client's own last write to a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its mark.
    pub mark: String,
    /// When it began.
    pub began: Duration,
}

impl Promise {
    /// The write that must be seen.
    pub fn own(&self) -> Option<&Own> {
        match self {
            Self::Token(own) | Self::SameReplica(own) => Some(own),
            Self::Existed => None,
        }
    }
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// No connection, it broke, or the client gave up waiting.
    NoAnswer,
    /// A GraphQL error with this code.
    Code(String),
}

impl Trouble {
    /// Whether a write may stand all the same (`docs/errors.md`).
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::NoAnswer => true,
            Self::Code(code) => code == "OUTCOME_UNKNOWN",
        }
    }

    /// Whether a client tries again.
    pub fn passes(&self) -> bool {
        match self {
            Self::NoAnswer => true,
            Self::Code(code) => ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"].contains(&code.as_str()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => formatter.write_str("no answer"),
            Self::Code(code) => formatter.write_str(code),
        }
    }
}

/// One request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who was asked.
    pub replica: usize,
    /// When it was sent.
    pub began: Duration,
    /// When it was over.
    pub ended: Duration,
    /// How.
    pub trouble: Trouble,
}

/// How an operation ended, after all its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A write stands; what it left, in the order of the answer.
    Acknowledged {
        /// Its id, which is its version token.
        write: String,
        /// What is on hand afterwards.
        left: Vec<i64>,
    },
    /// A read was answered: so much is on hand.
    Read(i64),
    /// A read was answered: there is nothing.
    Nothing,
    /// `INSUFFICIENT_STOCK`, and no attempt is in doubt.
    Refused,
    /// Every attempt is known not to stand.
    Failed,
    /// An attempt may stand.
    Unknown,
}

impl Outcome {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Acknowledged { .. } => "acknowledged",
            Self::Read(_) => "answered",
            Self::Nothing => "answered with nothing",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One operation of one client, with all its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Stands in every movement of the operation as `bookedBy`, and is its idempotency key, if it has one.
    pub mark: String,
    /// What was wanted.
    pub action: Action,
    /// Who was asked last.
    pub replica: usize,
    /// When its first attempt was sent.
    pub began: Duration,
    /// When its last attempt was over.
    pub ended: Duration,
    /// Attempts that did not succeed.
    pub failures: Vec<Failure>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// Whether it is about `shelf`.
    pub fn touches(&self, shelf: &Shelf) -> bool {
        self.action.shelves().contains(&shelf)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mark, action, replica, began, ended, failures, outcome } = self;
        write!(formatter, "{mark} {began:.3?} to {ended:.3?} replica {replica}: {action:?} {outcome:?}")?;
        for failure in failures {
            let Failure { replica, began, ended, trouble } = failure;
            write!(formatter, "; {trouble} from replica {replica}, {began:.3?} to {ended:.3?}")?;
        }
        Ok(())
    }
}

/// The mark of a client's operation: at most 12 characters, the width of the column.
pub fn mark(client: usize, number: usize) -> String {
    format!("T{client:02}-{number:07}")
}
