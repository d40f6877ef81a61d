//! A write on its way to the primary, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::{Change, Epoch, WriteId};
use crate::contract::{Refusal, Statement};
use crate::name::GroupName;
use crate::record::{EntityKey, Record};
use crate::side::Side;
use crate::sql::Params;

/// One write, ready for the primary: everything its transaction needs.
#[derive(Debug, Clone)]
pub struct Command {
    /// Names this attempt. A retry after a refused or impossible attempt gets a new one.
    pub write: WriteId,
    /// The group whose fence is proved.
    pub group: GroupName,
    /// The epoch under which we believe to write.
    pub epoch: Epoch,
    /// What to run.
    pub work: Work,
    /// Every entity that may change; post-images are read of these, in this order. Never empty.
    pub touches: Vec<EntityKey>,
    /// The sides whose columns every post-image must fit, or the write is refused: what one side
    /// cannot hold must not stand on the other alone.
    pub must_fit: &'static [Side],
    /// The client's key, and a fingerprint of what was asked with it.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

/// What a write runs on the primary.
#[derive(Debug, Clone)]
pub enum Work {
    /// The contract's statements with their parameters, in order.
    Run {
        /// Statements in the primary's own SQL.
        statements: Vec<Statement>,
        /// A value for every named parameter.
        params: Params,
    },
    /// Sets the known fields of the one touched entity; makes it when missing.
    Set(Record),
    /// Deletes the one touched entity; refused with code `NOT_FOUND` when missing.
    Delete,
    /// Changes nothing: states anew, under the row locks, how the touched entities stand. A missing one
    /// is a deletion, whether it ever existed or not. Harmless to repeat. For repair.
    Touch,
}

/// What came of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It stands, with these changes: one per touched entity that exists or was deleted.
    Now(Vec<Change>),
    /// The same idempotency key wrote before; this is the first result, nothing was written now.
    Before(Vec<Change>),
}

/// How the touched entities stand at one moment: each once, in the order of the touches; `None`: there is no such
/// record.
pub type States = Vec<(EntityKey, Option<Record>)>;

/// What a [`Command`] would have come to. Nothing of it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// How the touched entities stood before, under the rehearsal's own locks.
    pub before: States,
    /// What the work came to.
    pub outcome: Rehearsed,
}

/// How a rehearsal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsed {
    /// It would stand, and leave these states.
    Done(States),
    /// The side would refuse it.
    Refused(Refusal),
}

/// The client's `Idempotency-Key`, scoped to one root field of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

/// The key is empty, too long or not printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an Idempotency-Key has 1 to {} printable ASCII characters", IdempotencyKey::MAX_LENGTH)]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Largest length of what the client sends, in characters.
    pub const MAX_LENGTH: usize = 200;

    /// Checks what the client sent and binds it to the response path of one root field.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] when empty, longer than [`Self::MAX_LENGTH`] or not printable ASCII.
    pub fn new(sent: &str, response_name: &str) -> Result<Self, InvalidIdempotencyKey> {
        let printable = sent.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if sent.is_empty() || sent.len() > Self::MAX_LENGTH || !printable {
            return Err(InvalidIdempotencyKey);
        }
        Ok(Self(format!("{sent}#{response_name}")))
    }

    /// Takes back what a ledger kept.
    pub fn from_ledger(text: String) -> Self {
        Self(text)
    }

    /// The scoped key, as kept in ledgers.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A hash of route and arguments: the same idempotency key must ask for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the claim of a write with unknown outcome found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The first attempt stands; these are its changes.
    Stands(Vec<Change>),
    /// The write id is now abandoned: the first attempt did not commit and never can.
    Abandoned,
}
