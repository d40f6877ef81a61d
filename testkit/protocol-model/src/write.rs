//! A client's write, and a repair, which is one that changes nothing: `write/road`, `execute` and `claim`.

use crate::state::{
    Entry, Flaw, Kind, Mark, NAMES, Op, Phase, Row, Scenario, Side, State, TRIES, Tx, Version, name_of,
};

pub(crate) fn send(scenario: &Scenario, state: &mut State, op: usize, epoch: usize) -> bool {
    let (Some(side), Phase::Idle) = (state.believed[epoch], state.under[op].phase) else { return false };
    let epoch = u8::try_from(epoch).unwrap_or(u8::MAX);
    let name = name_of(op, state.under[op].tried);
    let store = state.store_mut(side);
    let position = scenario.has(Flaw::PositionBeforeLock).then(|| {
        store.position += 1;
        store.position
    });
    store.txs[name] = Some(Tx::Begun { epoch, position });
    state.under[op].phase = Phase::Sent(side);
    true
}

pub(crate) fn insert(scenario: &Scenario, state: &mut State, name: usize, at: Side) -> bool {
    let op = name / TRIES;
    let Op { key, kind } = Op::of(scenario, op);
    let store = state.store_mut(at);
    let Some(Tx::Begun { epoch, position }) = store.txs[name] else { return false };
    let locked = |other: usize| {
        matches!(store.txs[other], Some(Tx::Inserted { .. })) && Op::of(scenario, other / TRIES).key == key
    };
    if (0..NAMES).any(locked) {
        return false;
    }
    // Claimed meanwhile, or behind another fence: the transaction fails as a whole.
    if store.ledger[name].is_some() || !(scenario.has(Flaw::NoFence) || store.fence.admits(epoch)) {
        store.txs[name] = None;
        let under = &mut state.under[op];
        if under.phase == Phase::Sent(at) && name_of(op, under.tried) == name {
            under.phase = Phase::Idle;
        }
        return true;
    }
    let position = position.unwrap_or_else(|| {
        store.position += 1;
        store.position
    });
    let before = store.rows[key];
    let bit = 1 << name;
    let row = match kind {
        Kind::Set => Row { there: true, holds: before.holds | bit },
        Kind::Delete => Row { there: false, holds: before.holds | bit },
        Kind::Touch => before,
    };
    store.txs[name] = Some(Tx::Inserted { version: Version(epoch, position), row });
    true
}

pub(crate) fn commit(scenario: &Scenario, state: &mut State, name: usize, at: Side) -> bool {
    let key = Op::of(scenario, name / TRIES).key;
    let store = state.store_mut(at);
    let Some(Tx::Inserted { version, row }) = store.txs[name] else { return false };
    let allowed = store.fence.admits(version.0);
    store.txs[name] = None;
    store.ledger[name] = Some(Entry { mark: Mark::Unsettled, version, row });
    if !scenario.has(Flaw::PrimaryRecordsNothing) {
        store.recorded[key] = version;
    }
    let back = store.put(key, row, version);
    state.went_back |= back;
    state.trespassed |= !allowed;
    true
}

/// Only of a transaction that nobody waits for any more: a broken connection is a lost answer first.
pub(crate) fn roll_back(scenario: &Scenario, state: &mut State, name: usize, at: Side) -> bool {
    let op = name / TRIES;
    if op >= scenario.ops.len() {
        return false;
    }
    let under = state.under[op];
    let waited_for = under.phase == Phase::Sent(at) && name_of(op, under.tried) == name;
    !waited_for && state.store_mut(at).txs[name].take().is_some()
}

pub(crate) fn answer(state: &mut State, op: usize) -> bool {
    let under = state.under[op];
    let Phase::Sent(side) = under.phase else { return false };
    let stands = state.store(side).ledger[name_of(op, under.tried)].is_some();
    if stands {
        state.under[op].phase = Phase::Acknowledged;
    }
    stands
}

pub(crate) fn lose_answer(state: &mut State, op: usize) -> bool {
    let Phase::Sent(side) = state.under[op].phase else { return false };
    let Some(left) = state.losses.checked_sub(1) else { return false };
    state.losses = left;
    state.under[op].phase = Phase::Claiming(side);
    true
}

/// Waits for a first attempt that has inserted its ledger row.
pub(crate) fn claim(scenario: &Scenario, state: &mut State, op: usize) -> bool {
    let under = state.under[op];
    let Phase::Claiming(side) = under.phase else { return false };
    let name = name_of(op, under.tried);
    let looks = scenario.has(Flaw::LookInsteadOfClaim);
    let store = state.store_mut(side);
    if matches!(store.txs[name], Some(Tx::Inserted { .. })) && !looks {
        return false;
    }
    let stands = store.ledger[name].is_some();
    if !stands && !looks {
        let (version, row) = (Version(0, 0), Row { there: false, holds: 0 });
        store.ledger[name] = Some(Entry { mark: Mark::Abandoned, version, row });
    }
    let under = &mut state.under[op];
    if stands {
        under.phase = Phase::Acknowledged;
    } else if usize::from(under.tried) + 1 < TRIES {
        under.tried += 1;
        under.phase = Phase::Idle;
    } else {
        under.phase = Phase::Ended;
    }
    true
}

/// Everything that the replica had in memory of this write is gone; what it sent goes on.
pub(crate) fn die(state: &mut State, op: usize) -> bool {
    let dies = state.crashes > 0 && matches!(state.under[op].phase, Phase::Sent(_) | Phase::Claiming(_));
    if dies {
        state.crashes -= 1;
        state.under[op].phase = Phase::Ended;
    }
    dies
}

impl Op {
    /// The write `op`; one that no scenario has does no harm, since it is never sent.
    fn of(scenario: &Scenario, op: usize) -> Self {
        scenario.ops.get(op).copied().unwrap_or(Self { key: 0, kind: Kind::Touch })
    }
}
