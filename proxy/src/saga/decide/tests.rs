//! The promise of sagas over every outcome, crash and rival, in a world of ledgers and a log that are plain sets.

use std::collections::BTreeSet;

use model::SagaStatus;
use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::saga::state::Step;

const UNDO_ATTEMPTS: u32 = 3;

/// What befalls one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// It goes well and is noted.
    Fine,
    /// The step's side refuses it.
    Refuse,
    /// It is not done, and nobody can say.
    Lost,
    /// It is done, and nobody can say.
    Silent,
    /// It is done, and its replica dies before it is noted.
    Crash,
    /// It is done by a replica whose lease was over: the log does not take its word.
    Late,
    /// Another replica, which read the log some time ago, does what came next then.
    Sleeper,
}

fn luck() -> impl Strategy<Value = Luck> {
    use Luck::{Crash, Fine, Late, Lost, Refuse, Silent, Sleeper};
    prop_oneof![4 => Just(Fine), 2 => Just(Refuse), 1 => Just(Lost), 1 => Just(Silent), 1 => Just(Crash), 1 => Just(Late), 2 => Just(Sleeper)]
}

/// The ledgers, with one key for each step, its closing and its undoing.
#[derive(Debug, Default)]
struct Ledgers {
    done: BTreeSet<usize>,
    closed: BTreeSet<usize>,
    undone: BTreeSet<usize>,
}

impl Ledgers {
    /// What the write road makes of an attempt.
    fn act(&mut self, next: Next, refuse: bool) -> Outcome {
        let result = StepResult { write: None, states: Vec::new() };
        let refused = Refused { code: "NO".into(), message: "no".into() };
        match next {
            Next::Do(step) if self.closed.contains(&step) => Outcome::Closed,
            Next::Do(step) if self.done.contains(&step) => Outcome::Stands(result),
            Next::Undo(step) if self.undone.contains(&step) => Outcome::Stands(result),
            Next::Do(_) | Next::Undo(_) if refuse => Outcome::Refused(refused),
            Next::Do(step) => {
                self.done.insert(step);
                Outcome::Stands(result)
            }
            Next::Close(step) if self.done.contains(&step) => Outcome::NotClosed,
            Next::Close(step) => {
                self.closed.insert(step);
                Outcome::Closed
            }
            Next::Undo(step) => {
                assert!(self.done.contains(&step), "undone what never stood");
                self.undone.insert(step);
                Outcome::Stands(result)
            }
            Next::Rest(_) => Outcome::Unknown("nothing to do"),
        }
    }

    fn standing(&self) -> Vec<usize> {
        self.done.difference(&self.undone).copied().collect()
    }
}

fn fresh(steps: usize) -> Progress {
    let step = |number: usize| Step { name: number.to_string(), state: StepState::Open };
    Progress {
        arguments: Map::new(),
        fingerprint: String::new(),
        steps: (0..steps).map(step).collect(),
        attempts: 0,
        refusals: 0,
        problem: None,
        halted: None,
    }
}

/// One attempt under `luck`. `sleeper` is what another replica has read.
fn live(log: &mut Progress, sleeper: &mut Progress, ledgers: &mut Ledgers, luck: Luck) {
    let next = next(log);
    if matches!(next, Next::Rest(_)) {
        return;
    }
    let outcome = match luck {
        Luck::Fine => ledgers.act(next, false),
        Luck::Refuse => ledgers.act(next, true),
        Luck::Lost => Outcome::Unknown("UNAVAILABLE"),
        Luck::Silent => {
            ledgers.act(next, false);
            Outcome::Unknown("OUTCOME_UNKNOWN")
        }
        Luck::Crash | Luck::Late => {
            ledgers.act(next, false);
            return;
        }
        Luck::Sleeper => {
            ledgers.act(super::next(sleeper), false);
            *sleeper = log.clone();
            return;
        }
    };
    *log = after(log.clone(), next, outcome, UNDO_ATTEMPTS);
}

fn check_end(log: &Progress, ledgers: &Ledgers, steps: usize) -> Result<(), TestCaseError> {
    let standing = ledgers.standing();
    match log.status() {
        SagaStatus::Done => prop_assert_eq!(standing, (0..steps).collect::<Vec<_>>()),
        SagaStatus::Undone => prop_assert!(standing.is_empty(), "{:?} stand of an undone saga", standing),
        SagaStatus::Stuck => {
            let named = log.steps.iter().enumerate().filter(|(_, step)| matches!(step.state, StepState::Done(_)));
            let named: Vec<_> = named.map(|(place, _)| place).collect();
            prop_assert!(
                standing.iter().all(|place| named.contains(place)),
                "{:?} stand, {:?} are named",
                standing,
                named
            );
        }
        SagaStatus::Running | SagaStatus::Compensating | SagaStatus::Abandoned => {
            prop_assert!(false, "it does not end: {:?}", log);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_saga_ends_whole_undone_or_stuck_whatever_befalls_it(
        steps in 1_usize..5,
        lucks in prop::collection::vec(luck(), 0..60),
    ) {
        let (mut log, mut sleeper, mut ledgers) = (fresh(steps), fresh(steps), Ledgers::default());
        for luck in lucks {
            live(&mut log, &mut sleeper, &mut ledgers, luck);
        }
        // From here on all goes well.
        for _ in 0..4 * steps + 4 {
            live(&mut log, &mut sleeper, &mut ledgers, Luck::Fine);
        }
        check_end(&log, &ledgers, steps)?;
        // A replica that slept through it all does what it had in mind.
        ledgers.act(next(&sleeper), false);
        check_end(&log, &ledgers, steps)?;
    }
}

#[test]
fn a_refused_step_is_closed_before_anything_is_undone() {
    let mut log = fresh(2);
    let mut ledgers = Ledgers::default();
    let mut order = Vec::new();
    for refuse in [false, true, false, false] {
        let next = next(&log);
        order.push(next);
        log = after(log, next, ledgers.act(next, refuse), UNDO_ATTEMPTS);
    }
    assert_eq!(order, [Next::Do(0), Next::Do(1), Next::Close(1), Next::Undo(0)]);
    assert_eq!(next(&log), Next::Rest(SagaStatus::Undone));
}

#[test]
fn a_compensation_that_is_refused_again_and_again_makes_it_stuck_and_an_outage_does_not() {
    let mut log = fresh(2);
    log.steps[0].state = StepState::Done(StepResult { write: None, states: Vec::new() });
    log.steps[1].state = StepState::Refused(Refused { code: "NO".into(), message: "no".into() });
    for _ in 0..50 {
        log = after(log, Next::Undo(0), Outcome::Unknown("UNAVAILABLE"), UNDO_ATTEMPTS);
    }
    assert_eq!(log.status(), SagaStatus::Compensating);
    for _ in 0..UNDO_ATTEMPTS {
        assert_eq!(log.status(), SagaStatus::Compensating);
        let refused = Refused { code: "CLOSED".into(), message: "no".into() };
        log = after(log, Next::Undo(0), Outcome::Refused(refused), UNDO_ATTEMPTS);
    }
    assert_eq!((log.status(), log.problem.as_deref()), (SagaStatus::Stuck, Some("CLOSED")));
}
