//! What must hold in every state: invariants 1, 2 and 3 of the design, and that the model is not empty.

use stateright::Property;

use crate::acts::Protocol;
use crate::fence::{Authority, Stand};
use crate::life::is_known;
use crate::state::{
    Entry, KEYS, Kind, Mark, OUTSIDE, Op, Phase, Row, Scenario, Side, State, Step, Store, TRIES, name_of,
};

/// Invariant 1.
pub const STANDS: &str = "1 an acknowledged write stands on the primary";
/// Invariant 1: an unknown outcome that was tried again.
pub const ONCE: &str = "1 no write is done twice";
/// Invariant 1, of a write with two keys.
pub const WHOLE: &str = "1 a write of two keys stands whole where writes are taken";
/// Invariant 2, of what somebody outside strangler has written on the primary.
pub const OUTSIDERS: &str = "2 what others write on the primary is not overwritten by what is older";
/// Invariant 2.
pub const FORWARD: &str = "2 no row goes back to an older state";
/// Invariant 2: after catch-up.
pub const EQUAL: &str = "2 settled sides are equal";
/// Invariants 1 and 2, where dual write has ended.
pub const ENDED: &str = "2 where dual write has ended legacy has all from before and nothing from after";
/// Invariant 3.
pub const ONE_PRIMARY: &str = "3 one side at most takes writes";
/// Invariant 3, as each write sees it, and each change that is applied.
pub const FENCED: &str = "3 no write passes a fence that is not its own, and nothing is applied where writes are taken";
/// Invariants 1 and 2, "in the end"; and a handover never stops where nobody takes writes.
pub const AT_REST: &str = "what stands still is settled and open";
/// That the model is not empty.
pub const ALL_ACKNOWLEDGED: &str = "every write is acknowledged and all is at rest";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(STANDS, |model, state| acknowledged_writes_stand(&model.0, state)),
        Property::always(ONCE, |model, state| nothing_is_done_twice(&model.0, state)),
        Property::always(WHOLE, |model, state| writes_are_whole(&model.0, state)),
        Property::always(OUTSIDERS, |_, state: &State| outsiders_stand(state)),
        Property::always(FORWARD, |_, state: &State| !state.went_back),
        Property::always(EQUAL, |model, state| !is_settled(&model.0, state) || are_equal(state)),
        Property::always(ENDED, |model, state| has_ended_whole(&model.0, state)),
        Property::always(ONE_PRIMARY, |_, state: &State| {
            !state.stores.iter().all(|store| store.fence.stand.takes_writes())
        }),
        Property::always(FENCED, |_, state: &State| !state.trespassed),
        Property::always(AT_REST, |model, state| is_at_rest(&model.0, state) || !model.is_still(state)),
        Property::sometimes(ALL_ACKNOWLEDGED, |model: &Protocol, state: &State| {
            let acknowledged = |op: usize| state.under[op].phase == Phase::Acknowledged;
            (0..model.0.ops.len()).all(acknowledged) && is_at_rest(&model.0, state) && filled(&model.0, state)
        }),
    ]
}

fn acknowledged_writes_stand(scenario: &Scenario, state: &State) -> bool {
    let holds = |store: &Store| {
        scenario.ops.iter().enumerate().all(|(op, what)| {
            let under = state.under[op];
            let counts = under.phase == Phase::Acknowledged && what.kind != Kind::Touch;
            let holds = |key: usize| store.rows[key].holds & (1 << name_of(op, under.tried)) != 0;
            !counts || (0..KEYS).all(|key| !what.touches(key) || holds(key))
        })
    };
    let open: Vec<_> = state.stores.iter().filter(|store| store.fence.stand.takes_writes()).collect();
    // While none takes writes, the one that did has them.
    if open.is_empty() { state.stores.iter().any(holds) } else { open.into_iter().all(holds) }
}

fn writes_are_whole(scenario: &Scenario, state: &State) -> bool {
    let whole = |store: &Store| {
        let transfers = scenario.ops.iter().enumerate().filter(|(_, op)| op.kind == Kind::Transfer);
        let mut names = transfers.flat_map(|(op, _)| (op * TRIES)..(op * TRIES + TRIES));
        names.all(|name| store.rows[0].holds & (1 << name) == store.rows[1].holds & (1 << name))
    };
    state.stores.iter().filter(|store| store.fence.stand.takes_writes()).all(whole)
}

/// For as long as the side has the authority under which they wrote: bringing it to the other is a feed's work.
fn outsiders_stand(state: &State) -> bool {
    state.outside.iter().enumerate().all(|(key, outside)| {
        let Some((side, epoch)) = outside else { return true };
        let store = state.store(*side);
        !store.fence.admits(*epoch) || store.rows[key].holds & OUTSIDE != 0
    })
}

fn nothing_is_done_twice(scenario: &Scenario, state: &State) -> bool {
    let tries = (1 << TRIES) - 1;
    let twice = |row: &Row| (0..scenario.ops.len()).any(|op| (row.holds >> (op * TRIES)) & tries == tries);
    !state.stores.iter().flat_map(|store| &store.rows).any(twice)
}

/// Nothing waits to be brought to the other side, nobody is about to write, and no side has gone back as far as those who
/// say so can see.
fn is_settled(scenario: &Scenario, state: &State) -> bool {
    if !is_known(scenario, &state.stores[0], state.known) || state.owed.contains(&true) {
        return false;
    }
    let settled = |store: &Store| {
        store.txs.iter().all(Option::is_none)
            && store.ledger.iter().flatten().all(|entry| entry.mark != Mark::Unsettled)
    };
    let pages = state.pages.iter().flatten().zip(state.filled.iter().flatten());
    state.stores.iter().all(settled) && pages.into_iter().all(|(read, filled)| read.is_none() || *filled)
}

fn are_equal(state: &State) -> bool {
    // Nobody keeps legacy equal any more.
    if matches!(Authority::of(state.fences()), Authority::Alone(_)) {
        return true;
    }
    let [legacy, modern] = &state.stores;
    let rows = legacy.rows.iter().zip(&modern.rows).enumerate();
    rows.into_iter().all(|(key, (legacy, modern))| {
        // No difference: nobody has written it, and no baseline has brought it.
        let awaited = state.filled.iter().zip(&state.refused).all(|(run, refused)| !run[key] || refused[key]);
        // Only a feed would bring it over.
        let outside = state.outside[key].is_some();
        legacy == modern
            || outside
            || (awaited && legacy.there && !modern.there && legacy.holds == 0 && modern.holds == 0)
    })
}

fn has_ended_whole(scenario: &Scenario, state: &State) -> bool {
    let [legacy, modern] = &state.stores;
    if modern.fence.stand != Stand::Alone {
        return true;
    }
    let whole = |(name, entry): (usize, &Entry)| {
        let (op, before) = (Op::of(scenario, name / TRIES), entry.version.0 < modern.fence.epoch);
        let holds = |key: usize| (legacy.rows[key].holds & (1 << name) != 0) == before;
        let counts = entry.mark != Mark::Abandoned && op.kind != Kind::Touch;
        !counts || (0..KEYS).all(|key| !op.touches(key) || holds(key))
    };
    modern.ledger.iter().enumerate().filter_map(|(name, entry)| Some((name, entry.as_ref()?))).all(whole)
}

fn filled(scenario: &Scenario, state: &State) -> bool {
    state.filled.iter().take(scenario.baselines).flatten().all(|filled| *filled)
}

fn is_at_rest(scenario: &Scenario, state: &State) -> bool {
    let ended = state.under.iter().all(|under| matches!(under.phase, Phase::Acknowledged | Phase::Ended));
    let done = state.coordinators.iter().all(|coordinator| coordinator.step == Step::Done);
    let followed = match Authority::of(state.fences()) {
        Authority::Held(by, epoch) => state.published.epoch == epoch && state.published.side() == by,
        Authority::Alone(epoch) => state.published.epoch == epoch && state.published.side() == Side::Modern,
        Authority::Frozen(..) | Authority::GivenUp(..) | Authority::Broken => false,
    };
    ended && done && followed && is_settled(scenario, state) && are_equal(state)
}
