//! Everything that can happen next, and the checker's view of the model.

use stateright::{Model, Property};

use crate::state::{EPOCHS, KEYS, NAMES, Scenario, Side, State, TRIES};
use crate::{baseline, handover, life, properties, secondary, write};

/// One thing that happens. Fields: which write (`op`), which try of it (`name`), at which side, which coordinator (`who`).
#[expect(missing_docs, reason = "the fields are the same few in every variant, and are told above")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A replica sends a write to the side that it believes to be primary, under that epoch; the transaction has the fence's lock, shared.
    Send { op: usize, epoch: usize },
    /// The transaction has the key's lock: row, fence, position and ledger row in one.
    Insert { name: usize, at: Side },
    /// It commits.
    Commit { name: usize, at: Side },
    /// Its connection breaks before that.
    RollBack { name: usize, at: Side },
    /// The replica hears that the write stands, and tells the client.
    Answer { op: usize },
    /// No answer comes in time.
    LoseAnswer { op: usize },
    /// The write is claimed as abandoned.
    Claim { op: usize },
    /// The replica that runs the write dies.
    Die { op: usize },
    /// Somebody brings a change from the side that took it to the other: dual write, relay, drain, or one of them late.
    /// Its mark is made, or is lost.
    Bring { name: usize, from: Side, marks: bool },
    /// Somebody outside strangler writes a row of the side that takes writes.
    Outside { key: usize, at: Side },
    /// Somebody takes a copy of legacy.
    Copy,
    /// The mark in legacy's life row moves.
    MarkLife,
    /// Legacy is restored from the copy.
    Restore,
    /// Somebody finds that legacy has gone back, and suspends it.
    Suspend,
    /// Legacy's life is raised.
    Raise,
    /// A key that modern has from the life before is looked at.
    Look { key: usize },
    /// A page of a baseline is read on legacy.
    ReadPage { run: usize, key: usize },
    /// A page is written to modern, perhaps not for the first time.
    WritePage { run: usize, key: usize },
    /// A coordinator reads legacy's fence, then modern's.
    LookAtLegacy { who: usize },
    /// See above.
    LookAtModern { who: usize },
    /// A coordinator finds the ledger of the frozen side settled.
    FindDrained { who: usize },
    /// A coordinator makes the move that is due by what it has seen; or publishes, when nothing is.
    Move { who: usize },
    /// A coordinator's time is over: it undoes.
    GiveUp { who: usize },
    /// A coordinator dies and is run again.
    Restart { who: usize },
}

/// A scenario as something that can be checked.
#[derive(Debug, Clone)]
pub struct Protocol(pub Scenario);

impl Protocol {
    fn candidates(&self, acts: &mut Vec<Act>) {
        let scenario = &self.0;
        for op in 0..scenario.ops.len() {
            acts.extend((1..EPOCHS).map(|epoch| Act::Send { op, epoch }));
            acts.extend([Act::Answer { op }, Act::LoseAnswer { op }, Act::Claim { op }, Act::Die { op }]);
        }
        for name in 0..NAMES.min(scenario.ops.len() * TRIES) {
            for at in Side::BOTH {
                acts.extend([Act::Insert { name, at }, Act::Commit { name, at }, Act::RollBack { name, at }]);
                acts.extend([true, false].map(|marks| Act::Bring { name, from: at, marks }));
            }
        }
        if scenario.restores > 0 {
            acts.extend([Act::Copy, Act::MarkLife, Act::Restore, Act::Suspend, Act::Raise]);
            acts.extend((0..KEYS).map(|key| Act::Look { key }));
        }
        for key in &scenario.outsiders {
            acts.extend(Side::BOTH.map(|at| Act::Outside { key: *key, at }));
        }
        for run in 0..scenario.baselines {
            for key in 0..KEYS {
                acts.extend([Act::ReadPage { run, key }, Act::WritePage { run, key }]);
            }
        }
        for who in 0..scenario.handovers.len() {
            acts.extend([Act::LookAtLegacy { who }, Act::LookAtModern { who }, Act::FindDrained { who }]);
            acts.extend([Act::Move { who }, Act::GiveUp { who }, Act::Restart { who }]);
        }
    }

    /// The state after `act`; `None` when it cannot happen or changes nothing.
    pub(crate) fn after(&self, state: &State, act: Act) -> Option<State> {
        let mut next = *state;
        let scenario = &self.0;
        let happens = match act {
            Act::Send { op, epoch } => write::send(scenario, &mut next, op, epoch),
            Act::Insert { name, at } => write::insert(scenario, &mut next, name, at),
            Act::Commit { name, at } => write::commit(scenario, &mut next, name, at),
            Act::RollBack { name, at } => write::roll_back(scenario, &mut next, name, at),
            Act::Answer { op } => write::answer(&mut next, op),
            Act::LoseAnswer { op } => write::lose_answer(&mut next, op),
            Act::Claim { op } => write::claim(scenario, &mut next, op),
            Act::Die { op } => write::die(&mut next, op),
            Act::Bring { name, from, marks } => secondary::bring(scenario, &mut next, name, from, marks),
            Act::Outside { key, at } => write::outside(scenario, &mut next, key, at),
            Act::Copy => life::copy(scenario, &mut next),
            Act::MarkLife => life::mark(&mut next),
            Act::Restore => life::restore(scenario, &mut next),
            Act::Suspend => life::suspend(&mut next),
            Act::Raise => life::raise(scenario, &mut next),
            Act::Look { key } => life::look(scenario, &mut next, key),
            Act::ReadPage { run, key } => baseline::read(&mut next, run, key),
            Act::WritePage { run, key } => baseline::write(scenario, &mut next, run, key),
            Act::LookAtLegacy { who } => handover::look_at_legacy(&mut next, who),
            Act::LookAtModern { who } => handover::look_at_modern(&mut next, who),
            Act::FindDrained { who } => handover::find_drained(scenario, &mut next, who),
            Act::Move { who } => handover::act(scenario, &mut next, who),
            Act::GiveUp { who } => handover::give_up(&mut next, who),
            Act::Restart { who } => handover::restart(&mut next, who),
        };
        happens.then_some(()).filter(|()| next != *state).map(|()| next)
    }

    /// Whether nothing can happen any more.
    pub(crate) fn is_still(&self, state: &State) -> bool {
        let mut acts = Vec::new();
        self.candidates(&mut acts);
        acts.into_iter().all(|act| self.after(state, act).is_none())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![self.0.begin()]
    }

    fn actions(&self, _state: &State, acts: &mut Vec<Act>) {
        self.candidates(acts);
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        self.after(last, act)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
