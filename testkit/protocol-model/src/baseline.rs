//! The baseline: rows at rest, with a version that is older than any write's. `catchup/baseline`.

use crate::secondary::apply;
use crate::state::{KEYS, Row, Rows, Scenario, Side, State, Version};

/// Reads a row of a snapshot; a later run begins when the earlier one is over.
pub(crate) fn read(state: &mut State, run: usize, key: usize) -> bool {
    if state.pages[run][key].is_some() || (run > 0 && state.filled[run - 1].contains(&false)) {
        return false;
    }
    state.pages[run][key] = Some(state.store(Side::Legacy).rows[key]);
    true
}

pub(crate) fn write(scenario: &Scenario, state: &mut State, run: usize, key: usize) -> bool {
    let Some(row @ Row { there, .. }) = state.pages[run][key] else { return false };
    state.filled[run][key] = true;
    if there {
        let version = Version(0, 0, u8::try_from(run + 1).unwrap_or(u8::MAX));
        let mut rows: Rows = [None; KEYS];
        rows[key] = Some(row);
        state.refused[run][key] |= !apply(scenario, state, Side::Modern, version, (rows, false));
    }
    true
}
