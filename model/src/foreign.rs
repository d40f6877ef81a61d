//! Foreign writes: a change of the secondary that did not come through us.
//!
//! After each write of ours, as primary and as secondary, a store keeps a number of the row as it then stood (the
//! number of `checksum`, over the compared fields) beside the recorded version. At the next apply of the key the row
//! must still have that number, or somebody else has written it.
//!
//! - As secondary the store takes the number itself, after the change: what its own triggers and defaults make of our
//!   values is never foreign.
//! - As primary it is the number of the record that was read back: that costs no look. Should an engine number that
//!   row in another way, the row's record, read anew, must have the number; so a row that its own side wrote as primary
//!   is never foreign after a handover. And a change past us is met after a handover too: one that was made while the
//!   side was primary, and that nobody has carried over, as well, since it would be lost.
//!
//! - Where nothing was left, the number that the *primary's* row had before the oldest write that is not settled here
//!   counts ([`crate::Base`], carried by the change): a row with that number is what this side has of it. Without either
//!   nobody can say: such a row is taken by a write and counted as *unproven*, and left alone by a copy.
//!
//! Promise: [`whose`] is the only rule; each store says the same in its own terms, and one suite compares them.
//! Not here: what becomes of such a write (`proxy::write::foreign`).

use crate::checksum::{compared, record_text};
use crate::contract::EntityType;
use crate::record::Record;

/// In place of a number: no row stands.
pub const NOTHING: i64 = -1;

/// In place of a number: the row was left by us, and numbered by other rules than these (another contract's).
pub const OTHERWISE: i64 = -2;

/// What stands on the secondary where it is not what we left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The row is gone.
    Nothing,
    /// Another state, or a row where we had deleted it.
    Record(Record),
    /// A row with something in it that the contract cannot read.
    Unreadable,
}

impl Found {
    /// Whether it is what a change to `state` would leave: then there is nothing to argue about.
    pub fn is(&self, entity: &EntityType, state: Option<&Record>) -> bool {
        let text = |record| record_text(entity, compared(entity), record);
        match (self, state) {
            (Self::Nothing, None) => true,
            (Self::Record(found), Some(state)) => {
                found.unreadable().both(compared(entity)).is_empty() && text(found) == text(state)
            }
            (Self::Nothing | Self::Unreadable, Some(_)) | (Self::Record(_) | Self::Unreadable, None) => false,
        }
    }
}

/// Whose a row of the secondary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// It is as we left it, or as the primary's was from which the change was made: to overwrite it loses nothing.
    Ours,
    /// Somebody else's.
    Foreign,
    /// There is no number of it that could be compared: nobody can say.
    Unproven,
}

/// Whose a row with number `found` is, which we left with number `left`, and which the primary had with number `base`
/// before the change.
///
/// The base is what says so of rows that no write of ours had touched here: after a first copy only the side that was
/// copied to has numbers, and the other one would be overwritten without a word once it is secondary. It accuses nobody
/// where a write of ours has touched the row here, by [`OTHERWISE`]: it may be of the state before that write.
pub fn whose(left: Option<i64>, base: Option<i64>, found: i64) -> Whose {
    match (left, base) {
        (None, None) => Whose::Unproven,
        (left, base) if left == Some(found) || base == Some(found) => Whose::Ours,
        (Some(OTHERWISE), _) => Whose::Unproven,
        (Some(_), _) | (_, Some(_)) => Whose::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_ours_when_either_number_is_its_own_and_unproven_without_any() {
        for (left, base, whose_it_is) in [
            (Some(4), None, Whose::Ours),
            (None, Some(4), Whose::Ours),
            (Some(5), Some(4), Whose::Ours),
            (Some(4), Some(5), Whose::Ours),
            (Some(5), None, Whose::Foreign),
            (None, Some(5), Whose::Foreign),
            (Some(5), Some(NOTHING), Whose::Foreign),
            (Some(OTHERWISE), Some(4), Whose::Ours),
            (Some(OTHERWISE), Some(5), Whose::Unproven),
            (Some(OTHERWISE), None, Whose::Unproven),
            (None, None, Whose::Unproven),
        ] {
            assert_eq!(whose(left, base, 4), whose_it_is, "{left:?} {base:?}");
        }
    }
}
