//! What must hold in every state: invariants 1, 2 and 3 of the design, and that the model is not empty.

use stateright::Property;

use crate::acts::Protocol;
use crate::fence::{Authority, Stand};
use crate::state::{Kind, Mark, Phase, Row, Scenario, State, Step, Store, TRIES, name_of};

/// Invariant 1.
pub const STANDS: &str = "1 an acknowledged write stands on the primary";
/// Invariant 1: an unknown outcome that was tried again.
pub const ONCE: &str = "1 no write is done twice";
/// Invariant 2.
pub const FORWARD: &str = "2 no row goes back to an older state";
/// Invariant 2: after catch-up.
pub const EQUAL: &str = "2 settled sides are equal";
/// Invariant 3.
pub const ONE_PRIMARY: &str = "3 one side at most takes writes";
/// Invariant 3, as each write sees it.
pub const FENCED: &str = "3 no write passes a fence that is not its own";
/// Invariants 1 and 2, "in the end"; and a handover never stops where nobody takes writes.
pub const AT_REST: &str = "what stands still is settled and open";
/// That the model is not empty.
pub const ALL_ACKNOWLEDGED: &str = "every write is acknowledged and all is at rest";

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(STANDS, |model, state| acknowledged_writes_stand(&model.0, state)),
        Property::always(ONCE, |model, state| nothing_is_done_twice(&model.0, state)),
        Property::always(FORWARD, |_, state: &State| !state.went_back),
        Property::always(EQUAL, |_, state: &State| !is_settled(state) || are_equal(state)),
        Property::always(ONE_PRIMARY, |_, state: &State| {
            !state.stores.iter().all(|store| store.fence.stand == Stand::Open)
        }),
        Property::always(FENCED, |_, state: &State| !state.trespassed),
        Property::always(AT_REST, |model, state| is_at_rest(state) || !model.is_still(state)),
        Property::sometimes(ALL_ACKNOWLEDGED, |model: &Protocol, state: &State| {
            let acknowledged = |op: usize| state.under[op].phase == Phase::Acknowledged;
            (0..model.0.ops.len()).all(acknowledged) && is_at_rest(state) && filled(&model.0, state)
        }),
    ]
}

fn acknowledged_writes_stand(scenario: &Scenario, state: &State) -> bool {
    let holds = |store: &Store| {
        scenario.ops.iter().enumerate().all(|(op, what)| {
            let under = state.under[op];
            let counts = under.phase == Phase::Acknowledged && what.kind != Kind::Touch;
            !counts || store.rows[what.key].holds & (1 << name_of(op, under.tried)) != 0
        })
    };
    let open: Vec<_> = state.stores.iter().filter(|store| store.fence.stand == Stand::Open).collect();
    // While none takes writes, the one that did has them.
    if open.is_empty() { state.stores.iter().any(holds) } else { open.into_iter().all(holds) }
}

fn nothing_is_done_twice(scenario: &Scenario, state: &State) -> bool {
    let tries = (1 << TRIES) - 1;
    let twice = |row: &Row| (0..scenario.ops.len()).any(|op| (row.holds >> (op * TRIES)) & tries == tries);
    !state.stores.iter().flat_map(|store| &store.rows).any(twice)
}

/// Nothing waits to be brought to the other side, and nobody is about to write.
fn is_settled(state: &State) -> bool {
    let settled = |store: &Store| {
        store.txs.iter().all(Option::is_none)
            && store.ledger.iter().flatten().all(|entry| entry.mark != Mark::Unsettled)
    };
    let pages = state.pages.iter().flatten().zip(state.filled.iter().flatten());
    state.stores.iter().all(settled) && pages.into_iter().all(|(read, filled)| read.is_none() || *filled)
}

fn are_equal(state: &State) -> bool {
    let [legacy, modern] = &state.stores;
    let rows = legacy.rows.iter().zip(&modern.rows).enumerate();
    rows.into_iter().all(|(key, (legacy, modern))| {
        // No difference: nobody has written it, and no baseline has brought it.
        let awaited = state.filled.iter().all(|run| !run[key]);
        legacy == modern || (awaited && legacy.there && !modern.there && legacy.holds == 0 && modern.holds == 0)
    })
}

fn filled(scenario: &Scenario, state: &State) -> bool {
    state.filled.iter().take(scenario.baselines).flatten().all(|filled| *filled)
}

fn is_at_rest(state: &State) -> bool {
    let ended = state.under.iter().all(|under| matches!(under.phase, Phase::Acknowledged | Phase::Ended));
    let done = state.coordinators.iter().all(|coordinator| coordinator.step == Step::Done);
    let followed = match Authority::of(state.fences()) {
        Authority::Held(by, epoch) => state.published.epoch == epoch && state.published.side() == by,
        Authority::Frozen(..) | Authority::GivenUp(..) | Authority::Broken => false,
    };
    ended && done && followed && is_settled(state) && are_equal(state)
}
