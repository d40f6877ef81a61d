//! A write on its way to the primary, and what came of it.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::{Change, Epoch, WriteId};
use crate::contract::{EntityType, Refusal, Statement};
use crate::fit::UNREADABLE;
use crate::name::{EntityName, GroupName};
use crate::record::{EntityKey, Record};
use crate::side::Side;
use crate::sql::{Params, Piece};

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
    /// Those of `touches` that must exist before the work, or it is refused with code `NOT_FOUND`. A repeat is told the
    /// first result all the same.
    pub must_exist: Vec<EntityKey>,
    /// The client's key, and a fingerprint of what was asked with it.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

impl Command {
    /// Whether it must be known which touched entities exist before the work. Where the work may delete that is a guess,
    /// which saves a second run.
    pub fn looks_first(&self) -> bool {
        let says_delete = |piece: &Piece| match piece {
            Piece::Text(text) => text.to_ascii_lowercase().contains("delete"),
            Piece::Param(_) | Piece::Columns => false,
        };
        !self.must_exist.is_empty()
            || match &self.work {
                Work::Run { statements, .. } => statements.iter().any(|one| one.sql.pieces().iter().any(says_delete)),
                Work::Set(_) | Work::Delete | Work::Touch => false,
            }
    }

    /// Why it is refused, where an entity that must exist does not. `exists` tells of the rows before the work.
    ///
    /// # Errors
    /// That refusal, with code `NOT_FOUND`.
    pub fn refuse_absent(&self, exists: impl Fn(&EntityKey) -> bool) -> Result<(), Refusal> {
        match self.must_exist.iter().find(|key| !exists(key)) {
            Some(key) => {
                Err(Refusal { code: "NOT_FOUND".into(), message: format!("there is no such {}", key.entity()) })
            }
            None => Ok(()),
        }
    }

    /// Why it is refused, where a row that was found under a named key says that its key is another: a collation takes
    /// the two for one.
    ///
    /// # Errors
    /// That refusal, with code [`KEY_NOT_KEPT`].
    pub fn refuse_unnamed<'k>(&self, found: impl IntoIterator<Item = &'k EntityKey>) -> Result<(), Refusal> {
        let named: HashSet<&EntityKey> = self.touches.iter().collect();
        match found.into_iter().find(|key| !named.contains(key)) {
            Some(key) => Err(not_kept(key)),
            None => Ok(()),
        }
    }

    /// Why it is refused, where the work `changed` rows and there is none under any named key, neither before nor after:
    /// something in the store has made another key of it, or has kept nothing. `stands`: whether there is a row after it.
    ///
    /// # Errors
    /// That refusal, with code [`KEY_NOT_KEPT`].
    pub fn refuse_unkept(&self, changed: bool, existed: bool, stands: bool) -> Result<(), Refusal> {
        let lost = match &self.work {
            Work::Set(_) => !stands,
            Work::Run { .. } => changed && !existed && !stands,
            Work::Delete | Work::Touch => false,
        };
        match self.touches.first().filter(|_| lost) {
            Some(key) => Err(not_kept(key)),
            None => Ok(()),
        }
    }

    /// Why it is refused to state anew a row that cannot be read whole: the other side would get no more of it than it
    /// had, and one more write would wait. A write that changes such a row stands, and waits until the row is mended.
    ///
    /// # Errors
    /// That refusal, with code [`UNREADABLE`].
    pub fn refuse_unread(&self, entity: &EntityType, record: &Record) -> Result<(), Refusal> {
        let unread = record.unreadable().iter().next().filter(|_| matches!(self.work, Work::Touch));
        match unread {
            Some(index) => Err(Refusal {
                code: UNREADABLE.to_owned(),
                message: format!(
                    "{} of a row of {} holds something that is no value of its type: correct it there",
                    entity.field(index).name,
                    entity.name
                ),
            }),
            None => Ok(()),
        }
    }
}

/// What an operator is told where a side's own record of a key is newer than the place that its log has come to: a write
/// that is committed all the same would be stale on the other side, and never reach it.
pub fn went_back<'k>(types: impl IntoIterator<Item = &'k EntityName>) -> String {
    let types: BTreeSet<&str> = types.into_iter().map(EntityName::as_str).collect();
    format!(
        "a key of {} has a newer version on record than the log has come to by now: the database went back to an earlier \
         state, or the type came from a group with a later epoch; nothing is written until that is mended",
        types.into_iter().collect::<Vec<_>>().join(", ")
    )
}

/// The code of a write whose row the store keeps under another key than the one named, or not at all.
pub const KEY_NOT_KEPT: &str = "KEY_NOT_KEPT";

/// The refusal of such a write.
pub fn not_kept(key: &EntityKey) -> Refusal {
    let message = format!(
        "the store keeps no {} under the key that was sent: a trigger, rule or collation of its table makes another of \
         it; send the key as it is kept there",
        key.entity()
    );
    Refusal { code: KEY_NOT_KEPT.into(), message }
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
