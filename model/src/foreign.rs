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
//! Promise: [`is_foreign`] is the only rule; each store says the same in its own terms, and one suite compares them.
//! Not here: what becomes of such a write (`proxy::write::foreign`).

use crate::checksum::{compared, record_text};
use crate::contract::EntityType;
use crate::record::Record;

/// In place of a number: no row stands.
pub const NOTHING: i64 = -1;

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
            (Self::Record(found), Some(state)) => text(found) == text(state),
            (Self::Nothing | Self::Unreadable, Some(_)) | (Self::Record(_) | Self::Unreadable, None) => false,
        }
    }
}

/// Whether a row with number `found` was changed by somebody else since we left it with number `left`. Without a
/// number on record (`None`) nobody can say, and it is taken as it is.
pub fn is_foreign(left: Option<i64>, found: i64) -> bool {
    left.is_some_and(|left| left != found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_number_makes_another_one_foreign() {
        assert!(is_foreign(Some(4), 5) && is_foreign(Some(4), NOTHING) && is_foreign(Some(NOTHING), 4));
        assert!(!is_foreign(Some(4), 4) && !is_foreign(None, 4) && !is_foreign(None, NOTHING));
    }
}
