use serde_json::json;

use super::super::decide::{Terms, after, next};
use super::*;

/// Three steps; whatever the document said of them is not asked.
fn doubted_saga(given_up: bool, refused: bool) -> Progress {
    let state = if refused { json!({ "refusing": { "code": "TOO_MANY", "message": "x" } }) } else { json!("open") };
    let done = json!({ "done": { "write": null, "states": [] } });
    let document = json!({
        "arguments": {}, "fingerprint": "f", "attempts": 3, "problem": null, "halted": null,
        "steps": [{ "name": "a", "state": done }, { "name": "b", "state": state }, { "name": "c", "state": "open" }],
    });
    let (document, status) = doubted(&document.to_string(), given_up).unwrap();
    assert_eq!(status, SagaStatus::Running);
    assert_eq!(doubted(&document, true).unwrap(), (document.clone(), status), "once");
    let progress = Progress::read(&document).unwrap();
    assert_eq!(next(&progress), Next::Look);
    progress
}

/// Goes on until it rests, where each step stands as `seen` says and anything new is possible. What was done, in words.
fn goes_on(mut progress: Progress, seen: [Seen; 3]) -> (String, SagaStatus) {
    let mut stands = seen.map(|seen| seen == Seen::Stands);
    let mut said = String::new();
    let terms = Terms { undo_attempts: 3, overdue: false, now: Instant::new(chrono::DateTime::UNIX_EPOCH) };
    let result = || Outcome::Stands(StepResult { write: None, states: Vec::new() });
    for _ in 0..20 {
        let todo = next(&progress);
        let outcome = match todo {
            Next::Rest(status) => return (said, status),
            Next::Look => Outcome::Seen(seen.to_vec()),
            Next::Do(place) if seen[place] == Seen::Closed => Outcome::Closed,
            Next::Do(place) => {
                said += &format!("{}{} ", if stands[place] { "ask" } else { "do" }, place);
                stands[place] = true;
                result()
            }
            Next::Close(place) => {
                said += &format!("close{place} ");
                if stands[place] { Outcome::NotClosed } else { Outcome::Closed }
            }
            Next::Undo(place) => {
                said += &format!("undo{place} ");
                result()
            }
        };
        progress = after(progress, todo, outcome, &terms);
    }
    panic!("it never rests: {said}");
}

#[test]
fn what_stands_is_asked_for_and_what_is_lost_is_done_again() {
    use Seen::{Nothing, Stands};
    for (seen, said) in [
        ([Stands, Stands, Stands], "ask0 ask1 ask2 "),
        ([Stands, Nothing, Nothing], "ask0 do1 do2 "),
        ([Nothing, Stands, Nothing], "do0 ask1 do2 "),
        ([Nothing, Nothing, Nothing], "do0 do1 do2 "),
    ] {
        assert_eq!(goes_on(doubted_saga(false, false), seen), (said.to_owned(), SagaStatus::Done), "{seen:?}");
    }
}

#[test]
fn one_of_which_anything_was_closed_or_undone_goes_backward_over_all_that_stands() {
    use Seen::{Closed, Nothing, Stands, Undone};
    for (seen, said) in [
        ([Stands, Closed, Nothing], "close2 ask0 undo0 "),
        ([Undone, Closed, Nothing], "close2 "),
        // The step that was refused has lost its closing, and the one before its undoing or itself.
        ([Stands, Undone, Nothing], "close2 ask0 undo0 "),
        ([Nothing, Undone, Nothing], "close0 close2 "),
        // Undone, though nothing of the refusal is left
        ([Undone, Stands, Stands], "ask1 ask2 undo2 undo1 "),
    ] {
        assert_eq!(goes_on(doubted_saga(false, false), seen), (said.to_owned(), SagaStatus::Undone), "{seen:?}");
    }
}

#[test]
fn one_that_was_refused_or_given_up_does_nothing_new() {
    use Seen::{Nothing, Stands};
    for (given_up, refused, code) in
        [(true, false, "SAGA_GIVEN_UP"), (false, true, "TOO_MANY"), (true, true, "TOO_MANY")]
    {
        let seen = [Nothing, Stands, Nothing];
        let said = "close0 close2 ask1 undo1 ".to_owned();
        assert_eq!(goes_on(doubted_saga(given_up, refused), seen), (said, SagaStatus::Undone));
        let looked = looked(doubted_saga(given_up, refused), Next::Look, Outcome::Seen(seen.to_vec()));
        assert_eq!(looked.refused().map(|refused| refused.code.as_str()), Some(code));
        let whole = goes_on(doubted_saga(given_up, refused), [Stands, Stands, Stands]);
        assert_eq!(whole, ("ask0 ask1 ask2 ".to_owned(), SagaStatus::Done), "all of it stands");
    }
}

#[test]
fn a_look_without_an_answer_changes_nothing_and_is_made_again() {
    let before = doubted_saga(true, false);
    let after = looked(before.clone(), Next::Look, Outcome::Unknown("UNAVAILABLE"));
    assert_eq!(next(&after), Next::Look);
    assert_eq!((after.steps, after.problem.as_deref()), (before.steps, Some("UNAVAILABLE")));
}

#[test]
fn what_waits_for_a_person_or_was_taken_over_is_left_to_him() {
    let mut progress = doubted_saga(false, false);
    for halted in [Halt::Abandoned, Halt::Lost] {
        progress.halted = Some(halted);
        let document = progress.write();
        assert_eq!(doubted(&document, true).unwrap(), (document, progress.status()));
    }
    progress.halted = Some(Halt::Stuck);
    let (document, status) = doubted(&progress.write(), false).unwrap();
    assert_eq!((Progress::read(&document).unwrap().halted, status), (Some(Halt::Doubt), SagaStatus::Running));
    assert_eq!(doubted("no document", false), None);
}
