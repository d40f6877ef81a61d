//! What a saga does next, and what an outcome makes of it. Pure.
//!
//! Forward until a step is refused, then backward over what stands. A step that was refused is *closed* before
//! anything is undone: its idempotency key is used up, so that a replica that slept cannot make it stand later, when
//! the steps before it are undone already.
//!
//! Nothing is tried for ever. When the saga's time is over, a step without an answer is given up like a refused one,
//! and what cannot be closed or undone then is tried a few times more before the saga is stuck.

use model::{Instant, SagaStatus};

use super::doubt::{self, Seen};
use super::plan::CONTRACT_CHANGED;
use super::state::{Halt, Progress, Refused, StepResult, StepState};

/// The code of a step that was given up.
pub const TIMED_OUT: &str = "SAGA_TIMED_OUT";
/// The code of a saga whose key had begun another one.
pub const KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";

/// What is to be done. Steps are named by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look what of it stands.
    Look,
    /// Do this step.
    Do(usize),
    /// Make sure that this step, which was refused or given up, never stands.
    Close(usize),
    /// Undo this step.
    Undo(usize),
    /// Nothing.
    Rest(SagaStatus),
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The step or its compensation stands.
    Stands(StepResult),
    /// It was refused; this attempt left nothing.
    Refused(Refused),
    /// It can never stand: what stands under its key is a closing of this saga, made now or before.
    Closed,
    /// It could not be closed, since it stands.
    NotClosed,
    /// What stands under the key of the first step was done for another saga of this name, which is forgotten or in the
    /// other side's log: nothing of this one ever stood.
    Taken,
    /// Something of this saga stands under the key that the contract does not say any more.
    Changed,
    /// How each step stands, in order.
    Seen(Vec<Seen>),
    /// Nobody can say, or a side did not answer. The stable code says more.
    Unknown(&'static str),
}

/// What an attempt is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// So many attempts in vain to undo a step, or to close it when the time is over, make the saga stuck.
    pub undo_attempts: u32,
    /// Whether the saga's time was over when the attempt ended.
    pub overdue: bool,
    /// When that was.
    pub now: Instant,
}

/// What comes next.
pub fn next(progress: &Progress) -> Next {
    match progress.halted {
        Some(Halt::Stuck | Halt::Lost) => return Next::Rest(SagaStatus::Stuck),
        Some(Halt::Abandoned) => return Next::Rest(SagaStatus::Abandoned),
        Some(Halt::Doubt | Halt::GivenUp) => return Next::Look,
        None => {}
    }
    let find = |wanted: fn(&StepState) -> bool| progress.steps.iter().position(|step| wanted(&step.state));
    if let Some(step) = find(|state| matches!(state, StepState::Refusing(_))) {
        return Next::Close(step);
    }
    // One that is undone is so only where the saga is: its refusal may have been lost.
    if find(|state| matches!(state, StepState::Refused(_) | StepState::Undone)).is_some() {
        // It is undone with what it has left, which it tells when it is asked for again.
        if let Some(step) = progress.steps.iter().position(|step| step.stands && step.state == StepState::Open) {
            return Next::Do(step);
        }
        let standing = progress.steps.iter().rposition(|step| matches!(step.state, StepState::Done(_)));
        return standing.map_or(Next::Rest(SagaStatus::Undone), Next::Undo);
    }
    match find(|state| matches!(state, StepState::Open)) {
        Some(step) => Next::Do(step),
        None => Next::Rest(SagaStatus::Done),
    }
}

/// The progress after `outcome` of `done`.
#[must_use]
pub fn after(mut progress: Progress, done: Next, outcome: Outcome, terms: &Terms) -> Progress {
    let (Next::Do(place) | Next::Close(place) | Next::Undo(place)) = done else {
        return doubt::looked(progress, done, outcome);
    };
    let step = &mut progress.steps[place];
    step.attempts = step.attempts.saturating_add(1);
    step.tried_at = Some(terms.now);
    let state = match (done, outcome) {
        (Next::Rest(_) | Next::Look, _) => return progress,
        (Next::Do(_), Outcome::Unknown(code)) if terms.overdue => return given_up(progress, place, code, terms),
        (Next::Do(_), Outcome::Unknown(code)) => return failed(progress, code.to_owned()),
        (Next::Close(_) | Next::Undo(_), Outcome::Unknown(code)) if terms.overdue => {
            return in_vain(progress, code.to_owned(), terms);
        }
        // A side that does not answer may answer again: that is worth waiting for, until the time is over.
        (Next::Close(_) | Next::Undo(_), Outcome::Unknown(code)) => return failed(progress, code.to_owned()),
        (Next::Do(_), Outcome::Stands(result)) => StepState::Done(result),
        (Next::Do(_), Outcome::Refused(refused)) => StepState::Refusing(refused),
        (Next::Do(_), Outcome::Closed) => StepState::Refused(closed_before()),
        (Next::Do(0), Outcome::Taken) => StepState::Refused(key_reused()),
        (_, Outcome::Changed) | (Next::Do(_) | Next::Undo(_), Outcome::Taken) => return changed(progress),
        // It is another saga's step that stands: this one's never did.
        (Next::Close(_), Outcome::Closed | Outcome::Taken) => {
            StepState::Refused(progress.refused().cloned().unwrap_or_else(closed_before))
        }
        // Another attempt was not refused: asked again, the step tells its first result. It counts, or a side that
        // answers the one and never the other would lead to and fro for ever.
        (Next::Close(_), Outcome::NotClosed) => {
            let refused = progress.refused().map_or("OUTCOME_UNKNOWN", |refused| refused.code.as_str()).to_owned();
            let mut progress = in_vain(progress, refused, terms);
            if progress.halted.is_none() {
                (progress.steps[place].state, progress.steps[place].stands) = (StepState::Open, true);
                (progress.attempts, progress.problem) = (0, None);
            }
            return progress;
        }
        (Next::Undo(_), Outcome::Stands(_)) => StepState::Undone,
        (Next::Undo(_), Outcome::Refused(refused)) => return in_vain(progress, refused.code, terms),
        // Never said of these; whatever it meant, trying again is harmless.
        (_, Outcome::Seen(_))
        | (Next::Do(_), Outcome::NotClosed)
        | (Next::Close(_), Outcome::Stands(_) | Outcome::Refused(_))
        | (Next::Undo(_), Outcome::Closed | Outcome::NotClosed) => {
            return in_vain(progress, "INTERNAL".to_owned(), terms);
        }
    };
    let settled = match state {
        StepState::Done(_) | StepState::Refused(_) | StepState::Undone => true,
        StepState::Open | StepState::Refusing(_) => false,
    };
    progress.steps[place].state = state;
    progress.steps[place].stands = false;
    progress.attempts = 0;
    progress.problem = None;
    if settled {
        progress.refusals = 0;
    }
    progress
}

/// A step that has met nothing but outages until the saga's time was over: it is closed, like a refused one.
fn given_up(progress: Progress, place: usize, code: &str, terms: &Terms) -> Progress {
    let mut progress = failed(progress, code.to_owned());
    if progress.refusals >= terms.undo_attempts {
        progress.halted = Some(Halt::Stuck);
    } else {
        progress.steps[place].state = StepState::Refusing(timed_out());
    }
    progress
}

/// An attempt of which only so many are made.
fn in_vain(progress: Progress, code: String, terms: &Terms) -> Progress {
    let mut progress = failed(progress, code);
    progress.refusals = progress.refusals.saturating_add(1);
    if progress.refusals >= terms.undo_attempts {
        progress.halted = Some(Halt::Stuck);
    }
    progress
}

/// Nothing that any replica with this contract can go on with.
#[must_use]
pub fn changed(mut progress: Progress) -> Progress {
    progress.halted = Some(Halt::Stuck);
    progress.problem = Some(CONTRACT_CHANGED.to_owned());
    progress
}

pub(super) fn failed(mut progress: Progress, code: String) -> Progress {
    progress.attempts = progress.attempts.saturating_add(1);
    progress.problem = Some(code);
    progress
}

/// Said when a step was given up.
fn timed_out() -> Refused {
    Refused {
        code: TIMED_OUT.to_owned(),
        message: "a step got no answer until the saga's time was over, and the steps before it were undone".to_owned(),
    }
}

/// Said when another saga of that name has begun, of which only its first step is remembered here.
fn key_reused() -> Refused {
    Refused { code: KEY_REUSED.to_owned(), message: model::StoreError::KeyReused.to_string() }
}

/// Said of a saga of which a person has given up what a restored side had lost.
pub(super) fn was_given_up() -> Refused {
    Refused {
        code: "SAGA_GIVEN_UP".to_owned(),
        message: "a database was restored, and what was lost of this was given up by a person: none of it stands"
            .to_owned(),
    }
}

/// Said when the log that knew the reason is gone: the saga was asked for again after the side that kept it lost it.
pub(super) fn closed_before() -> Refused {
    Refused {
        code: "SAGA_UNDONE".to_owned(),
        message: "a step was refused when this was asked for first, and the steps before it were undone".to_owned(),
    }
}

#[cfg(test)]
mod tests;
