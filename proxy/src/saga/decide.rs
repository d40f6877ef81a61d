//! What a saga does next, and what an outcome makes of it. Pure.
//!
//! Forward until a step is refused, then backward over what stands. A step that was refused is *closed* before
//! anything is undone: its idempotency key is used up, so that a replica that slept cannot make it stand later, when
//! the steps before it are undone already.

use model::SagaStatus;

use super::state::{Halt, Progress, Refused, StepResult, StepState};

/// What is to be done. Steps are named by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Do this step.
    Do(usize),
    /// Make sure that this step, which was refused, never stands.
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
    /// It can never stand: it was closed, now or before.
    Closed,
    /// It could not be closed, since it stands.
    NotClosed,
    /// Nobody can say, or a side did not answer. The stable code says more.
    Unknown(&'static str),
}

/// What comes next.
pub fn next(progress: &Progress) -> Next {
    match progress.halted {
        Some(Halt::Stuck) => return Next::Rest(SagaStatus::Stuck),
        Some(Halt::Abandoned) => return Next::Rest(SagaStatus::Abandoned),
        None => {}
    }
    let find = |wanted: fn(&StepState) -> bool| progress.steps.iter().position(|step| wanted(&step.state));
    if let Some(step) = find(|state| matches!(state, StepState::Refusing(_))) {
        return Next::Close(step);
    }
    if find(|state| matches!(state, StepState::Refused(_))).is_some() {
        let standing = progress.steps.iter().rposition(|step| matches!(step.state, StepState::Done(_)));
        return standing.map_or(Next::Rest(SagaStatus::Undone), Next::Undo);
    }
    match find(|state| matches!(state, StepState::Open)) {
        Some(step) => Next::Do(step),
        None => Next::Rest(SagaStatus::Done),
    }
}

/// The progress after `outcome` of `done`. A compensation that is refused `undo_attempts` times makes it stuck.
#[must_use]
pub fn after(mut progress: Progress, done: Next, outcome: Outcome, undo_attempts: u32) -> Progress {
    let (place, state) = match (done, outcome) {
        (Next::Rest(_), _) => return progress,
        (_, Outcome::Unknown(code)) => return failed(progress, code.to_owned()),
        (Next::Do(step), Outcome::Stands(result)) => (step, StepState::Done(result)),
        (Next::Do(step), Outcome::Refused(refused)) => (step, StepState::Refusing(refused)),
        (Next::Do(step), Outcome::Closed) => (step, StepState::Refused(closed_before())),
        (Next::Close(step), Outcome::Closed) => {
            let refused = progress.refused().cloned().unwrap_or_else(closed_before);
            (step, StepState::Refused(refused))
        }
        // Another replica's attempt was not refused: asked again, the step tells its first result.
        (Next::Close(step), Outcome::NotClosed) => (step, StepState::Open),
        (Next::Undo(step), Outcome::Stands(_)) => (step, StepState::Undone),
        (Next::Undo(_), Outcome::Refused(refused)) => {
            let mut progress = failed(progress, refused.code);
            progress.refusals = progress.refusals.saturating_add(1);
            if progress.refusals >= undo_attempts {
                progress.halted = Some(Halt::Stuck);
            }
            return progress;
        }
        // Never said of these; whatever it meant, trying again is harmless.
        (Next::Do(_), Outcome::NotClosed)
        | (Next::Close(_), Outcome::Stands(_) | Outcome::Refused(_))
        | (Next::Undo(_), Outcome::Closed | Outcome::NotClosed) => return failed(progress, "INTERNAL".to_owned()),
    };
    progress.steps[place].state = state;
    progress.attempts = 0;
    progress.refusals = 0;
    progress.problem = None;
    progress
}

fn failed(mut progress: Progress, code: String) -> Progress {
    progress.attempts = progress.attempts.saturating_add(1);
    progress.problem = Some(code);
    progress
}

/// Said when the log that knew the reason is gone: the saga was asked for again after the side that kept it lost it.
fn closed_before() -> Refused {
    Refused {
        code: "SAGA_UNDONE".to_owned(),
        message: "a step was refused when this was asked for first, and the steps before it were undone".to_owned(),
    }
}

#[cfg(test)]
mod tests;
