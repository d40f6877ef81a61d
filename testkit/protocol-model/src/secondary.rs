//! The secondary: newer wins. `write/apply` with `apply` of the adapters, whoever brings the change.
//!
//! A change that was ever committed may arrive at any time, any number of times, before or after any other: that covers
//! every delay, repeat and change of order that dual write, relay and drain can have, and every crash of those who bring.
//! What arrives at a side that has the authority by then changes nothing, and settles nothing.

use crate::fence::Stand;
use crate::state::{Flaw, KEYS, Kind, Mark, Op, Row, Rows, Scenario, Side, State, TRIES, Version};
use crate::write::is_locked;

pub(crate) fn bring(scenario: &Scenario, state: &mut State, name: usize, from: Side, marks: bool) -> bool {
    let Some(entry) = state.store(from).ledger[name] else { return false };
    // Who writes where nobody keeps the other side equal brings it to nobody.
    let alone = state.store(from).fence;
    if entry.mark == Mark::Abandoned || (alone.stand == Stand::Alone && entry.version.0 >= alone.epoch) {
        return false;
    }
    let op = Op::of(scenario, name / TRIES);
    let applied = if op.kind == Kind::Narrow && !scenario.has(Flaw::NarrowApplied) {
        look_again(scenario, state, from, op.key)
    } else {
        let narrow = op.kind == Kind::Narrow;
        apply(scenario, state, from.other(), entry.version, (entry.rows, narrow))
    };
    if applied
        && marks
        && let Some(entry) = &mut state.store_mut(from).ledger[name]
    {
        entry.mark = Mark::Settled;
    }
    applied
}

/// A state that is not whole only names its key: what stands there is read under the key's lock, at a position of its own,
/// and that is applied.
fn look_again(scenario: &Scenario, state: &mut State, from: Side, key: usize) -> bool {
    let store = state.store(from);
    // Who has not the authority any more has nothing to tell that the drain did not take along.
    if store.fence.stand == Stand::Closed || is_locked(scenario, &store.txs, key) {
        return false;
    }
    let mut rows: Rows = [None; KEYS];
    rows[key] = Some(store.rows[key]);
    // The version of what stands there: no two looks at one state differ.
    let version = store.shown[key];
    apply(scenario, state, from.other(), version, (rows, false))
}

/// Applies states to `side`, each if it is newer than what is recorded for its key. `false`: the side has the authority.
pub(crate) fn apply(
    scenario: &Scenario,
    state: &mut State,
    side: Side,
    version: Version,
    (rows, narrow): (Rows, bool),
) -> bool {
    if state.store(side).fence.stand.takes_writes() && !scenario.has(Flaw::ApplyPastFence) {
        return false;
    }
    for (key, row) in rows.into_iter().enumerate() {
        let Some(row) = row else { continue };
        let store = state.store_mut(side);
        let recorded = store.recorded[key];
        let newer = if scenario.has(Flaw::PositionWithoutEpoch) { recorded.2 < version.2 } else { recorded < version };
        if !newer {
            continue;
        }
        store.recorded[key] = version;
        if !row.there && scenario.has(Flaw::NoTombstone) {
            store.recorded[key] = Version(0, 0, 0);
        }
        // A field that a state does not name is left as it is.
        let row = if narrow { Row { wide: store.rows[key].wide, ..row } } else { row };
        let (open, back) = (store.fence.stand.takes_writes(), store.put(key, row, version));
        state.went_back |= back;
        state.trespassed |= open;
    }
    true
}
