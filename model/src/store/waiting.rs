//! What of a ledger waits for the other side.

use std::time::Duration;

use crate::change::{Change, Version, WriteId};
use crate::name::{EntityName, GroupName};
use crate::write::{Fingerprint, IdempotencyKey};

/// A write that stands on the primary and is not known to stand on the secondary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Which.
    pub write: WriteId,
    /// Its changes, by ordinal; empty where it changed nothing.
    pub changes: Vec<Change>,
    /// What is known of it where it changed nothing; `None`: its changes say it.
    pub bare: Option<Bare>,
    /// How often the relay has tried.
    pub attempts: u32,
}

/// A write that changed nothing. It stands all the same: a repeat of its idempotency key is told so, and must not run on
/// the other side once that is primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// Which.
    pub write: WriteId,
    /// The group whose fence it proved. It has no type that would tell.
    pub group: GroupName,
    /// Where in the primary's log it stands.
    pub version: Version,
    /// The client's key, and what was asked with it.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

/// How much waits to be settled for a group, in the ledger of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Unsettled writes that were made since this side has had the authority: the relay brings them over.
    pub writes: u64,
    /// Age of the oldest of them by the store's own clock; `None` when there is none, or when it is not known, since the
    /// clock was put back.
    pub oldest: Option<Duration>,
    /// Unsettled writes from before the other side had the authority: left behind by a handover, and brought to nobody
    /// by themselves.
    pub left_behind: u64,
}

impl Backlog {
    /// All that is unsettled. On a side without the authority all of it is left behind.
    pub fn all(&self) -> u64 {
        self.writes + self.left_behind
    }
}

/// Unsettled writes that no group of the contract brings over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strays {
    /// The group as it was called when they were written.
    pub group: GroupName,
    /// Their type; empty for writes that changed nothing.
    pub entity: EntityName,
    /// How many changes, or such writes.
    pub changes: u64,
}
