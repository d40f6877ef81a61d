//! Handing the authority over: freeze, drain, open, publish, and the way back. `handover/coordinate`.
//!
//! A coordinator acts on fences that it has read one after the other, a while ago. Each move is a compare-and-set that
//! waits for writers in flight.

use crate::fence::{Authority, Fence, Stand};
use crate::state::{Coordinator, Flaw, Goal, Mark, Scenario, Side, State, Step, Tx, View};

pub(crate) fn look_at_legacy(state: &mut State, who: usize) -> bool {
    let looks = state.coordinators[who].step == Step::Idle;
    if looks {
        state.coordinators[who].step = Step::Half(state.store(Side::Legacy).fence);
    }
    looks
}

pub(crate) fn look_at_modern(state: &mut State, who: usize) -> bool {
    let Step::Half(legacy) = state.coordinators[who].step else { return false };
    state.coordinators[who].step = Step::Looked([legacy, state.store(Side::Modern).fence]);
    true
}

/// Notes that the coordinator has met a frozen side whose counterpart it is to open.
fn note_frozen(scenario: &Scenario, state: &mut State, who: usize, fences: [Fence; 2]) {
    let concerns = |last| match scenario.handovers[who] {
        Goal::To(to) => last != to,
        Goal::Alone => last == Side::Modern,
    };
    state.coordinators[who].froze |= matches!(Authority::of(fences), Authority::Frozen(last, _) if concerns(last));
}

fn is_settled(state: &State, side: Side) -> bool {
    !state.store(side).ledger.iter().flatten().any(|entry| entry.mark == Mark::Unsettled)
}

pub(crate) fn find_drained(scenario: &Scenario, state: &mut State, who: usize) -> bool {
    let Step::Looked(fences) = state.coordinators[who].step else { return false };
    let early = scenario.has(Flaw::DrainBeforeFreeze);
    let from = match Authority::of(fences) {
        Authority::Frozen(last, _) if !early => last,
        Authority::Held(by, _) if early && Goal::To(by) != scenario.handovers[who] => by,
        Authority::Frozen(..)
        | Authority::Held(..)
        | Authority::GivenUp(..)
        | Authority::Alone(_)
        | Authority::Broken => return false,
    };
    let drained = is_settled(state, from) || scenario.has(Flaw::Force);
    if drained {
        state.coordinators[who].step = Step::Drained(fences);
    }
    drained
}

/// What a coordinator does by what it knows.
enum Due {
    Move(Side, Fence),
    Publish(View),
    LookAgain,
    Wait,
    /// Nothing of it is possible.
    End,
}

/// What is due of the end of dual write.
fn due_alone(scenario: &Scenario, coordinator: Coordinator, fences: [Fence; 2], drained: bool) -> Due {
    match Authority::of(fences) {
        Authority::Alone(epoch) => Due::Publish(View { epoch, modern: true }),
        Authority::Held(by, epoch) if coordinator.undoing || coordinator.froze => {
            Due::Publish(View { epoch, modern: by == Side::Modern })
        }
        Authority::Held(Side::Modern, epoch) => Due::Move(Side::Modern, Fence::new(epoch + 1, Stand::Frozen)),
        Authority::Held(Side::Legacy, _) | Authority::Frozen(Side::Legacy, _) => Due::End,
        Authority::Frozen(Side::Modern, epoch) if coordinator.undoing => {
            Due::Move(Side::Legacy, Fence::new(epoch + 1, Stand::Closed))
        }
        Authority::Frozen(Side::Modern, epoch) if drained || scenario.has(Flaw::NoDrain) => {
            if scenario.has(Flaw::AloneWithoutBar) {
                Due::Move(Side::Modern, Fence::new(epoch + 1, Stand::Alone))
            } else {
                Due::Move(Side::Legacy, Fence::new(epoch + 1, Stand::Closed))
            }
        }
        Authority::Frozen(Side::Modern, _) => Due::Wait,
        // Another one may have been given up with what was not brought over.
        Authority::GivenUp(Side::Modern, epoch) if coordinator.drained == Some(fences[1]) && !coordinator.undoing => {
            Due::Move(Side::Modern, Fence::new(epoch, Stand::Alone))
        }
        Authority::GivenUp(back, epoch) => Due::Move(back, Fence::new(epoch, Stand::Open)),
        Authority::Broken => Due::LookAgain,
    }
}

fn due(scenario: &Scenario, state: &State, who: usize) -> Due {
    let coordinator = state.coordinators[who];
    let (fences, drained) = match coordinator.step {
        Step::Looked(fences) => (fences, false),
        Step::Drained(fences) => (fences, true),
        Step::Idle | Step::Half(_) | Step::Done => return Due::Wait,
    };
    let to = match scenario.handovers[who] {
        Goal::To(to) => to,
        Goal::Alone => return due_alone(scenario, coordinator, fences, drained),
    };
    let early = scenario.has(Flaw::DrainBeforeFreeze);
    match Authority::of(fences) {
        // It is refused; a replica publishes what the fences say.
        Authority::Alone(epoch) => Due::Publish(View { epoch, modern: true }),
        Authority::Held(by, epoch) if by == to || coordinator.undoing || coordinator.froze => {
            Due::Publish(View { epoch, modern: by == Side::Modern })
        }
        Authority::Held(by, epoch) if drained || !early => Due::Move(by, Fence::new(epoch + 1, Stand::Frozen)),
        Authority::Held(..) => Due::Wait,
        Authority::Frozen(last, epoch) if coordinator.undoing || last == to => {
            if scenario.has(Flaw::UndoWithoutRaising) {
                Due::Move(last, Fence::new(epoch + 1, Stand::Open))
            } else {
                Due::Move(last.other(), Fence::new(epoch + 1, Stand::Closed))
            }
        }
        Authority::Frozen(last, epoch) if drained || early || scenario.has(Flaw::NoDrain) => {
            Due::Move(last.other(), Fence::new(epoch, Stand::Open))
        }
        Authority::Frozen(..) => Due::Wait,
        Authority::GivenUp(back, epoch) => Due::Move(back, Fence::new(epoch, Stand::Open)),
        Authority::Broken => Due::LookAgain,
    }
}

pub(crate) fn act(scenario: &Scenario, state: &mut State, who: usize) -> bool {
    let (Step::Looked(seen) | Step::Drained(seen)) = state.coordinators[who].step else { return false };
    let due = due(scenario, state, who);
    note_frozen(scenario, state, who, seen);
    match due {
        Due::Wait => return false,
        Due::LookAgain => {}
        Due::End => {
            state.coordinators[who].step = Step::Done;
            return true;
        }
        Due::Publish(view) => {
            // Old news are refused by the control store.
            state.published = state.published.max(view);
            state.coordinators[who].step = Step::Done;
            return true;
        }
        Due::Move(side, to) => {
            let store = state.store_mut(side);
            // Who waits for the lock has not got it.
            let holds = |tx: &Option<Tx>| matches!(tx, Some(Tx::Begun { .. } | Tx::Inserted { .. }));
            let writers = store.txs.iter().any(holds);
            if writers && !scenario.has(Flaw::FreezeWithoutWaiting) {
                return false;
            }
            if store.fence == seen[side.index()] {
                store.fence = to;
                state.coordinators[who].froze |= to.stand == Stand::Frozen;
                if to.stand.takes_writes() {
                    state.believed[usize::from(to.epoch)] = Some(side);
                }
                let bars = to.stand == Stand::Closed && !state.coordinators[who].undoing;
                if bars && scenario.handovers[who] == Goal::Alone {
                    state.coordinators[who].drained = Some(seen[1]);
                }
            }
        }
    }
    state.coordinators[who].step = Step::Idle;
    true
}

/// Only where something can be undone. A coordinator that was told to undo does not take it back.
pub(crate) fn give_up(state: &mut State, who: usize) -> bool {
    let coordinator = &mut state.coordinators[who];
    let (Step::Looked(fences) | Step::Drained(fences)) = coordinator.step else { return false };
    let undoes = !coordinator.undoing && matches!(Authority::of(fences), Authority::Frozen(..));
    coordinator.undoing |= undoes;
    undoes
}

/// What it knew is gone, whether it had given up too.
pub(crate) fn restart(state: &mut State, who: usize) -> bool {
    let coordinator = &mut state.coordinators[who];
    let dies = state.crashes > 0 && !matches!(coordinator.step, Step::Idle | Step::Done);
    if dies {
        state.crashes -= 1;
        coordinator.step = Step::Idle;
        coordinator.undoing = false;
        coordinator.froze = false;
        coordinator.drained = None;
    }
    dies
}
