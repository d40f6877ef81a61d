//! The promise of sagas over every outcome, crash and rival, in a world of ledgers and a log that are plain sets.

use std::collections::BTreeSet;

use model::SagaStatus;
use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::saga::state::Step;

const UNDO_ATTEMPTS: u32 = 3;

fn terms(overdue: bool) -> Terms {
    Terms { undo_attempts: UNDO_ATTEMPTS, overdue, now: Instant::new(chrono::DateTime::UNIX_EPOCH) }
}

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
            Next::Rest(_) | Next::Look => Outcome::Unknown("nothing to do"),
        }
    }

    fn standing(&self) -> Vec<usize> {
        self.done.difference(&self.undone).copied().collect()
    }
}

fn fresh(steps: usize) -> Progress {
    let step = |number: usize| Step {
        name: number.to_string(),
        state: StepState::Open,
        attempts: 0,
        tried_at: None,
        stands: false,
    };
    Progress {
        arguments: Map::new(),
        fingerprint: String::new(),
        steps: (0..steps).map(step).collect(),
        attempts: 0,
        refusals: 0,
        problem: None,
        halted: None,
        nonce: None,
        plan: None,
        unknown_since: None,
    }
}

/// One attempt under `luck`, in time or later. `sleeper` is what another replica has read.
fn live(log: &mut Progress, sleeper: &mut Progress, ledgers: &mut Ledgers, luck: Luck, overdue: bool) {
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
    *log = after(log.clone(), next, outcome, &terms(overdue));
}

fn check_end(log: &Progress, ledgers: &Ledgers, steps: usize) -> Result<(), TestCaseError> {
    let standing = ledgers.standing();
    match log.status() {
        SagaStatus::Done => prop_assert_eq!(standing, (0..steps).collect::<Vec<_>>()),
        SagaStatus::Undone => prop_assert!(standing.is_empty(), "{:?} stand of an undone saga", standing),
        SagaStatus::Stuck => {
            let may_stand =
                |step: &Step| matches!(step.state, StepState::Done(_) | StepState::Open | StepState::Refusing(_));
            let named: Vec<_> = (0..steps).filter(|place| may_stand(&log.steps[*place])).collect();
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

/// Whatever befell a saga, it ends within so many attempts when it is too late or all goes well.
fn enough(steps: usize) -> usize {
    // A step is done, given up, closed and found standing by turns; then each is undone.
    (steps + 1) * 4 * (UNDO_ATTEMPTS as usize + 1)
}

proptest! {
    #[test]
    fn every_saga_ends_whole_undone_or_stuck_whatever_befalls_it(
        steps in 1_usize..5,
        lucks in prop::collection::vec(luck(), 0..60),
        in_time in 0_usize..60,
    ) {
        let (mut log, mut sleeper, mut ledgers) = (fresh(steps), fresh(steps), Ledgers::default());
        for (attempt, luck) in lucks.into_iter().enumerate() {
            live(&mut log, &mut sleeper, &mut ledgers, luck, attempt >= in_time);
        }
        // From here on all goes well.
        for _ in 0..4 * steps + 4 {
            live(&mut log, &mut sleeper, &mut ledgers, Luck::Fine, true);
        }
        check_end(&log, &ledgers, steps)?;
        // A replica that slept through it all does what it had in mind.
        ledgers.act(next(&sleeper), false);
        check_end(&log, &ledgers, steps)?;
        // Somebody tries a stuck one again, and all goes well.
        log.try_again();
        for _ in 0..4 * steps + 4 {
            live(&mut log, &mut sleeper, &mut ledgers, Luck::Fine, true);
        }
        prop_assert!(log.status().has_ended(), "{:?}", log);
        check_end(&log, &ledgers, steps)?;
    }

    #[test]
    fn no_saga_goes_on_for_ever_when_its_time_is_over_and_nothing_answers(
        steps in 1_usize..5,
        before in prop::collection::vec(luck(), 0..30),
        after_it in prop::collection::vec(prop_oneof![Just(Luck::Lost), Just(Luck::Silent)], 100),
    ) {
        let (mut log, mut sleeper, mut ledgers) = (fresh(steps), fresh(steps), Ledgers::default());
        for luck in before {
            live(&mut log, &mut sleeper, &mut ledgers, luck, false);
        }
        for luck in after_it.into_iter().take(enough(steps)) {
            live(&mut log, &mut sleeper, &mut ledgers, luck, true);
        }
        prop_assert!(matches!(next(&log), Next::Rest(_)), "it goes on: {:?}", log);
        check_end(&log, &ledgers, steps)?;
    }

    #[test]
    fn a_side_that_answers_only_some_questions_does_not_keep_a_saga_for_ever(
        steps in 1_usize..5,
        answers in prop::collection::vec(prop::bool::ANY, 100),
    ) {
        let (mut log, mut sleeper, mut ledgers) = (fresh(steps), fresh(steps), Ledgers::default());
        for answered in answers.into_iter().take(enough(steps)) {
            // What is asked stands each time; whether that is told is another matter.
            live(&mut log, &mut sleeper, &mut ledgers, if answered { Luck::Fine } else { Luck::Silent }, true);
        }
        prop_assert!(matches!(next(&log), Next::Rest(_)), "it goes on: {:?}", log);
        check_end(&log, &ledgers, steps)?;
    }
}

#[test]
fn a_step_without_an_answer_is_asked_for_again_in_time_and_closed_when_it_is_too_late() {
    let mut log = fresh(2);
    log.steps[0].state = StepState::Done(StepResult { write: None, states: Vec::new() });
    for _ in 0..50 {
        log = after(log, Next::Do(1), Outcome::Unknown("UNAVAILABLE"), &terms(false));
        assert_eq!((next(&log), log.status()), (Next::Do(1), SagaStatus::Running));
    }
    log = after(log, Next::Do(1), Outcome::Unknown("UNAVAILABLE"), &terms(true));
    assert_eq!(next(&log), Next::Close(1), "before it is closed nothing is undone");
    assert_eq!((log.refused().unwrap().code.as_str(), log.steps[1].attempts), (TIMED_OUT, 51));
    let undoing = after(log.clone(), Next::Close(1), Outcome::Closed, &terms(true));
    assert_eq!((next(&undoing), undoing.status()), (Next::Undo(0), SagaStatus::Compensating));
    assert_eq!(undoing.refused().unwrap().code, TIMED_OUT, "its client is told so");
    // It stands after all: then the saga goes on, late as it is.
    let standing = after(log, Next::Close(1), Outcome::NotClosed, &terms(true));
    assert_eq!(next(&standing), Next::Do(1));
    let result = StepResult { write: None, states: Vec::new() };
    let done = after(standing, Next::Do(1), Outcome::Stands(result), &terms(true));
    assert_eq!(next(&done), Next::Rest(SagaStatus::Done));
}

#[test]
fn a_step_that_can_be_neither_done_nor_closed_makes_it_stuck_and_may_be_tried_again() {
    let mut log = after(fresh(2), Next::Do(0), Outcome::Unknown("UNAVAILABLE"), &terms(true));
    for _ in 0..UNDO_ATTEMPTS {
        assert_eq!(next(&log), Next::Close(0));
        log = after(log, Next::Close(0), Outcome::Unknown("DEADLINE_EXCEEDED"), &terms(true));
    }
    assert_eq!((log.status(), log.problem.as_deref()), (SagaStatus::Stuck, Some("DEADLINE_EXCEEDED")));
    assert!(matches!(log.steps[0].state, StepState::Refusing(_)), "nobody knows whether it stands");
    log.try_again();
    log = after(log, Next::Close(0), Outcome::Closed, &terms(true));
    assert_eq!(log.status(), SagaStatus::Undone);
}

#[test]
fn a_compensation_without_an_answer_is_waited_for_in_time_and_makes_it_stuck_when_it_is_too_late() {
    let mut log = fresh(2);
    log.steps[0].state = StepState::Done(StepResult { write: None, states: Vec::new() });
    log.steps[1].state = StepState::Refused(timed_out());
    for _ in 0..50 {
        log = after(log, Next::Undo(0), Outcome::Unknown("UNAVAILABLE"), &terms(false));
    }
    for _ in 0..UNDO_ATTEMPTS {
        assert_eq!(log.status(), SagaStatus::Compensating);
        log = after(log, Next::Undo(0), Outcome::Unknown("UNAVAILABLE"), &terms(true));
    }
    assert_eq!((log.status(), log.problem.as_deref()), (SagaStatus::Stuck, Some("UNAVAILABLE")));
}

#[test]
fn a_refused_step_is_closed_before_anything_is_undone() {
    let mut log = fresh(2);
    let mut ledgers = Ledgers::default();
    let mut order = Vec::new();
    for refuse in [false, true, false, false] {
        let next = next(&log);
        order.push(next);
        log = after(log, next, ledgers.act(next, refuse), &terms(false));
    }
    assert_eq!(order, [Next::Do(0), Next::Do(1), Next::Close(1), Next::Undo(0)]);
    assert_eq!(next(&log), Next::Rest(SagaStatus::Undone));
}

#[test]
fn a_compensation_that_is_refused_again_and_again_makes_it_stuck_and_an_outage_in_time_does_not() {
    let mut log = fresh(2);
    log.steps[0].state = StepState::Done(StepResult { write: None, states: Vec::new() });
    log.steps[1].state = StepState::Refused(Refused { code: "NO".into(), message: "no".into() });
    for _ in 0..50 {
        log = after(log, Next::Undo(0), Outcome::Unknown("UNAVAILABLE"), &terms(false));
    }
    assert_eq!(log.status(), SagaStatus::Compensating);
    for _ in 0..UNDO_ATTEMPTS {
        assert_eq!(log.status(), SagaStatus::Compensating);
        let refused = Refused { code: "CLOSED".into(), message: "no".into() };
        log = after(log, Next::Undo(0), Outcome::Refused(refused), &terms(false));
    }
    assert_eq!((log.status(), log.problem.as_deref()), (SagaStatus::Stuck, Some("CLOSED")));
}

#[test]
fn what_stands_under_a_key_in_other_words_makes_it_stuck_and_is_never_called_closed() {
    let done = StepState::Done(StepResult { write: None, states: Vec::new() });
    let mut log = fresh(2);
    log.steps[0].state = done.clone();
    for (next, outcome) in [
        (Next::Do(1), Outcome::Changed),
        (Next::Do(1), Outcome::Taken),
        (Next::Close(1), Outcome::Changed),
        (Next::Undo(0), Outcome::Changed),
        (Next::Undo(0), Outcome::Taken),
    ] {
        let stuck = after(log.clone(), next, outcome.clone(), &terms(false));
        assert_eq!((stuck.status(), stuck.problem.as_deref()), (SagaStatus::Stuck, Some(CONTRACT_CHANGED)), "{next:?}");
        assert_eq!(stuck.steps[0].state, done, "{next:?} {outcome:?}: it is still named as standing");
    }
}

#[test]
fn a_saga_whose_first_key_is_anothers_ends_without_a_trace_and_says_so() {
    let log = after(fresh(2), Next::Do(0), Outcome::Taken, &terms(false));
    assert_eq!((log.status(), log.refused().unwrap().code.as_str()), (SagaStatus::Undone, KEY_REUSED));
}

#[test]
fn a_step_that_is_refused_and_stands_all_the_same_is_not_asked_for_for_ever() {
    let mut log = fresh(1);
    let refused = Refused { code: "TOO_LONG".into(), message: "no".into() };
    for _ in 0..UNDO_ATTEMPTS {
        log = after(log, Next::Do(0), Outcome::Refused(refused.clone()), &terms(false));
        assert_eq!(next(&log), Next::Close(0));
        log = after(log, Next::Close(0), Outcome::NotClosed, &terms(false));
    }
    assert_eq!((log.status(), log.problem.as_deref()), (SagaStatus::Stuck, Some("TOO_LONG")));
    assert!(matches!(log.steps[0].state, StepState::Refusing(_)), "it may stand");
}
