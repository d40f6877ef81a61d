//! A client's write, and a repair, which is one that changes nothing: `write/road`, `execute` and `claim`.

use crate::fence::Stand;
use crate::life;
use crate::state::{
    Entry, Flaw, KEYS, Kind, Mark, NAMES, OUTSIDE, Op, Phase, Row, Rows, Scenario, Side, State, TRIES, Tx, Version,
    name_of,
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
    store.txs[name] = Some(if scenario.has(Flaw::OldSnapshot) {
        Tx::Waiting { epoch, saw: store.fence }
    } else {
        Tx::Begun { epoch, position }
    });
    state.under[op].phase = Phase::Sent(side);
    true
}

pub(crate) fn insert(scenario: &Scenario, state: &mut State, name: usize, at: Side) -> bool {
    let op = name / TRIES;
    let what = Op::of(scenario, op);
    let known = state.known_of(at);
    let store = state.store_mut(at);
    let (epoch, position, fence) = match store.txs[name] {
        Some(Tx::Begun { epoch, position }) => (epoch, position, store.fence),
        Some(Tx::Waiting { epoch, saw }) => (epoch, None, saw),
        Some(Tx::Inserted { .. }) | None => return false,
    };
    if (0..KEYS).any(|key| what.touches(key) && is_locked(scenario, &store.txs, key)) {
        return false;
    }
    // Claimed meanwhile, behind another fence or in another life: the transaction fails as a whole.
    let lives = life::is_known(scenario, store, known);
    if store.ledger[name].is_some() || !lives || !(scenario.has(Flaw::NoFence) || fence.admits(epoch)) {
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
    let bit = 1 << name;
    let changed = |before: Row| match what.kind {
        Kind::Set | Kind::Transfer => Row { there: true, holds: before.holds | bit, wide: before.wide | bit },
        Kind::Narrow => Row { there: true, holds: before.holds | bit, wide: before.wide },
        Kind::Delete => Row { there: false, holds: before.holds | bit, wide: before.wide | bit },
        Kind::Touch => before,
    };
    let rows: Rows = std::array::from_fn(|key| what.touches(key).then(|| changed(store.rows[key])));
    store.txs[name] = Some(Tx::Inserted { version: Version(epoch, store.life, position), rows });
    true
}

/// Whether a transaction holds the lock of `key`.
pub(crate) fn is_locked(scenario: &Scenario, txs: &[Option<Tx>; NAMES], key: usize) -> bool {
    let holds =
        |name: usize| matches!(txs[name], Some(Tx::Inserted { .. })) && Op::of(scenario, name / TRIES).touches(key);
    (0..NAMES).any(holds)
}

/// Somebody outside strangler changes a row of the side that takes writes, as that side's own users do.
pub(crate) fn outside(scenario: &Scenario, state: &mut State, key: usize, at: Side) -> bool {
    let fence = state.store(at).fence;
    let free = !is_locked(scenario, &state.store(at).txs, key);
    if !scenario.outsiders.contains(&key)
        || state.outside[key].is_some()
        || fence.epoch < 2
        || !fence.admits(fence.epoch)
        || !free
    {
        return false;
    }
    let store = state.store_mut(at);
    store.position += 1;
    let before = store.rows[key];
    // No version is recorded: nobody told us.
    store.rows[key] = Row { there: true, holds: before.holds | OUTSIDE, ..before };
    state.outside[key] = Some((at, fence.epoch));
    true
}

pub(crate) fn commit(scenario: &Scenario, state: &mut State, name: usize, at: Side) -> bool {
    let store = state.store_mut(at);
    let Some(Tx::Inserted { version, rows }) = store.txs[name] else { return false };
    let allowed = store.fence.admits(version.0);
    store.txs[name] = None;
    // Born settled where nobody keeps the other side equal.
    let mark = if store.fence.stand == Stand::Alone { Mark::Settled } else { Mark::Unsettled };
    store.ledger[name] = Some(Entry { mark, version, rows });
    let mut back = false;
    for (key, row) in rows.into_iter().enumerate() {
        let Some(row) = row else { continue };
        if !scenario.has(Flaw::PrimaryRecordsNothing) {
            store.recorded[key] = version;
        }
        back |= store.put(key, row, version);
    }
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
    let known = state.known_of(side);
    let store = state.store_mut(side);
    if !life::is_known(scenario, store, known) {
        return false;
    }
    if matches!(store.txs[name], Some(Tx::Inserted { .. })) && !looks {
        return false;
    }
    let stands = store.ledger[name].is_some();
    if !stands && !looks {
        store.ledger[name] = Some(Entry { mark: Mark::Abandoned, version: Version(0, 0, 0), rows: [None; KEYS] });
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
    /// Whether it is about `key`.
    pub(crate) fn touches(self, key: usize) -> bool {
        self.kind == Kind::Transfer || self.key == key
    }

    /// The write `op`; one that no scenario has does no harm, since it is never sent.
    pub(crate) fn of(scenario: &Scenario, op: usize) -> Self {
        scenario.ops.get(op).copied().unwrap_or(Self { key: 0, kind: Kind::Touch })
    }
}
