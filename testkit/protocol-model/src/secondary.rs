//! The secondary: newer wins. `write/apply` with `apply` of the adapters, whoever brings the change.
//!
//! A change that was ever committed may arrive at any time, any number of times, before or after any other: that covers
//! every delay, repeat and change of order that dual write, relay and drain can have, and every crash of those who bring.

use crate::state::{Flaw, Mark, Row, Scenario, Side, State, TRIES, Version};

pub(crate) fn bring(scenario: &Scenario, state: &mut State, name: usize, from: Side, marks: bool) -> bool {
    let Some(entry) = state.store(from).ledger[name] else { return false };
    if entry.mark == Mark::Abandoned {
        return false;
    }
    let Some(op) = scenario.ops.get(name / TRIES) else { return false };
    apply(scenario, state, from.other(), op.key, entry.version, entry.row);
    if marks && let Some(entry) = &mut state.store_mut(from).ledger[name] {
        entry.mark = Mark::Settled;
    }
    true
}

/// Applies a state to `side`, if it is newer than what is recorded for the key.
pub(crate) fn apply(scenario: &Scenario, state: &mut State, side: Side, key: usize, version: Version, row: Row) {
    let store = state.store_mut(side);
    let recorded = store.recorded[key];
    let newer = if scenario.has(Flaw::PositionWithoutEpoch) { recorded.1 < version.1 } else { recorded < version };
    if !newer {
        return;
    }
    store.recorded[key] = version;
    if !row.there && scenario.has(Flaw::NoTombstone) {
        store.recorded[key] = Version(0, 0);
    }
    let back = store.put(key, row, version);
    state.went_back |= back;
}
