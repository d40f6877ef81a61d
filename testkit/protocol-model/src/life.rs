//! The life of a side's log, and what a restore does to it: `strangler_life`.
//!
//! Legacy alone is restored, from a copy that is older than the last mark: marks move each second, and no copy is as
//! young as that. Modern remembers the newest mark. A side that lacks a mark which anybody remembers has gone back: it is
//! suspended, and written again when its life was raised and every key that modern has from before was looked at.

use crate::secondary::apply;
use crate::state::{Flaw, KEYS, Mark, Phase, Rows, Scenario, Side, State, Store, Version, name_of};
use crate::write::is_locked;

/// Whether who writes to `store` finds that it lives the life that somebody remembers.
pub(crate) fn is_known(scenario: &Scenario, store: &Store, known: u8) -> bool {
    !store.suspended && (store.mark >= known || scenario.has(Flaw::OwnMemory))
}

impl State {
    /// The newest mark of `side` that the other one remembers.
    pub(crate) fn known_of(&self, side: Side) -> u8 {
        if side == Side::Legacy { self.known } else { 0 }
    }
}

/// Somebody takes a copy of legacy.
pub(crate) fn copy(scenario: &Scenario, state: &mut State) -> bool {
    let copies = scenario.restores > 0 && state.copy.is_none() && state.known == 0;
    if copies {
        // Transactions are not in it.
        let mut store = *state.store(Side::Legacy);
        store.txs = Default::default();
        state.copy = Some(store);
    }
    copies
}

/// Legacy's mark moves, and modern remembers it.
pub(crate) fn mark(state: &mut State) -> bool {
    let moves = state.copy.is_some() && state.known == 0;
    if moves {
        state.store_mut(Side::Legacy).mark = 1;
        state.known = 1;
    }
    moves
}

/// Legacy is restored from the copy. No connection survives that; and what it took since is given up.
pub(crate) fn restore(scenario: &Scenario, state: &mut State) -> bool {
    let (Some(copy), Some(left), 1) = (state.copy, state.restores.checked_sub(1), state.known) else { return false };
    state.restores = left;
    *state.store_mut(Side::Legacy) = copy;
    for op in 0..scenario.ops.len() {
        let under = &mut state.under[op];
        let stands = copy.ledger[name_of(op, under.tried)].is_some_and(|entry| entry.mark != Mark::Abandoned);
        match under.phase {
            Phase::Sent(Side::Legacy) => under.phase = Phase::Claiming(Side::Legacy),
            Phase::Acknowledged if !stands => under.phase = Phase::Ended,
            Phase::Idle | Phase::Sent(Side::Modern) | Phase::Claiming(_) | Phase::Acknowledged | Phase::Ended => {}
        }
    }
    true
}

/// Somebody who remembers the mark does not find it.
pub(crate) fn suspend(state: &mut State) -> bool {
    let known = state.known;
    let legacy = state.store_mut(Side::Legacy);
    let gone_back = legacy.mark < known && !legacy.suspended;
    legacy.suspended |= gone_back;
    gone_back
}

/// The life is raised.
pub(crate) fn raise(scenario: &Scenario, state: &mut State) -> bool {
    let known = state.known;
    let legacy = state.store_mut(Side::Legacy);
    // Under all locks: who is about to commit is waited for.
    if !legacy.suspended || legacy.txs.iter().any(Option::is_some) {
        return false;
    }
    (legacy.suspended, legacy.mark) = (false, known);
    legacy.life += 1;
    state.owed = [!scenario.has(Flaw::RaiseWithoutLooking); KEYS];
    true
}

/// A key that modern has from the life before is looked at on legacy.
pub(crate) fn look(scenario: &Scenario, state: &mut State, key: usize) -> bool {
    let legacy = state.store_mut(Side::Legacy);
    if legacy.suspended || is_locked(scenario, &legacy.txs, key) {
        return false;
    }
    if !state.owed[key] {
        return false;
    }
    let legacy = state.store_mut(Side::Legacy);
    legacy.position += 1;
    let version = Version(legacy.fence.epoch, legacy.life, legacy.position);
    (legacy.recorded[key], legacy.shown[key]) = (version, version);
    let mut rows: Rows = [None; KEYS];
    rows[key] = Some(legacy.rows[key]);
    state.owed[key] = !apply(scenario, state, Side::Modern, version, (rows, false));
    true
}
