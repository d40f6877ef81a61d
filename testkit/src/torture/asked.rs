//! Whether a run asked both sides anything.

use model::{PerSide, Side};

use super::report::Check;

/// Not everything was asked of one side.
pub const SPREAD: &str = "both sides have answered reads";

/// A run in which one side answers nothing shows nothing of it.
pub fn spread(answered: PerSide<u64>) -> Check {
    let nothing = Side::BOTH.into_iter().filter(|side| *answered.get(*side) == 0);
    Check {
        promise: SPREAD,
        of: format!("{} by legacy, {} by modern, at least", answered.legacy, answered.modern),
        broken_by: nothing.map(|side| format!("{side} has answered no read")).collect(),
    }
}
