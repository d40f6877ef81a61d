//! Changes and the versions that order them: newer wins.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::foreign::Found;
use crate::record::{EntityKey, Record};
use crate::write::{Fingerprint, IdempotencyKey};

/// Counts handovers of a group. Fences writers of an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Which life of a log: PostgreSQL's timeline, Oracle's RESETLOGS count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

/// A place in a side's own log: WAL insert LSN, SCN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Where in the primary's log a state stands. Ordered by epoch, then incarnation, then position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// The life of the log that was written to.
    pub incarnation: Incarnation,
    /// The place in that log, taken while the row lock was held.
    pub position: Position,
}

impl Version {
    /// The version of the `run`th baseline copy: older than any real write, newer than earlier runs.
    pub fn baseline(run: u32) -> Self {
        Self { epoch: Epoch(0), incarnation: Incarnation(0), position: Position(u64::from(run)) }
    }

    /// Whether this is a copy of what stood at rest, not a write: it has no ledger row.
    pub fn is_baseline(&self) -> bool {
        self.epoch == Epoch(0)
    }
}

impl fmt::Display for Version {
    /// `epoch.incarnation.position`, such as `1.1.23456`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch.0, self.incarnation.0, self.position.0)
    }
}

/// Names one write, on both sides and for ever. Made by the proxy, time-ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteId(pub Uuid);

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The full state of one entity after a write, or its deletion, with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The write that made it.
    pub write: WriteId,
    /// Its place among the changes of that write, from 0.
    pub ordinal: u16,
    /// Which entity.
    pub key: EntityKey,
    /// Where in the primary's log this state stands.
    pub version: Version,
    /// Every stored field; `None` when the entity was deleted.
    pub state: Option<Record>,
    /// The client's key, carried along so that repeats are known on the other side too. On the
    /// change with ordinal 0 only.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

/// What became of a change on the secondary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was newer and now stands.
    Newer,
    /// The same or a newer version stood already; nothing was changed.
    Stale,
    /// It is newer, and somebody else has changed the row since our last write of it: nothing of its write was applied.
    Foreign(Found),
    /// Left alone, since another change of the same write is [`Self::Foreign`].
    Held,
    /// It was newer and now stands, over what somebody else had made of the row.
    Over(Found),
}

impl Applied {
    /// Whether the secondary has this change now, or a newer one.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Newer | Self::Stale | Self::Over(_) => true,
            Self::Foreign(_) | Self::Held => false,
        }
    }

    /// What somebody else had made of the row, whether it stands still or not.
    pub fn found(&self) -> Option<&Found> {
        match self {
            Self::Foreign(found) | Self::Over(found) => Some(found),
            Self::Newer | Self::Stale | Self::Held => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_epoch_then_incarnation_then_position() {
        let version = |e, i, p| Version { epoch: Epoch(e), incarnation: Incarnation(i), position: Position(p) };
        assert!(version(2, 1, 5) > version(1, 9, 900));
        assert!(version(1, 2, 5) > version(1, 1, 900));
        assert!(version(1, 1, 6) > version(1, 1, 5));
        assert!(Version::baseline(7) < version(1, 1, 1));
    }
}
