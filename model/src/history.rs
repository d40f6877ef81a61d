//! What a side remembers of one key: its ledger rows, and the version that was last applied to it.

use crate::change::{Version, WriteId};
use crate::record::Record;
use crate::value::Instant;

/// The past of one key on one side. Made by [`crate::Store::history`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyHistory {
    /// Its states in the ledger, newest first.
    pub states: Vec<PastState>,
    /// The version recorded for it (`strangler_version`): what stands here as secondary. `None` when nothing was
    /// ever applied to it here, as on a side that has always been primary.
    pub recorded: Option<Version>,
}

/// One state in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastState {
    /// Where in the primary's log it stands.
    pub version: Version,
    /// The write that made it.
    pub write: WriteId,
    /// When this side wrote it down, by this side's clock.
    pub at: Instant,
    /// The record; `None` is a deletion.
    pub state: Option<Record>,
}
