//! Sagas whose log, or a side of whose steps, has gone back: what their documents say is not known to be so.
//!
//! Such a saga is put *in doubt*: all that its document says of its steps is forgotten, and whoever takes it up first looks
//! into the ledgers, by the keys of its steps, what stands, what was closed, and what is undone. One of which anything was
//! closed or undone goes on backward, whatever is lost of that; any other goes on forward, and what stands tells its first
//! result. Where a person has given up what was lost, nothing new is done: what stands whole is done, else it is undone.
//!
//! Promise: nothing is called done here that the ledgers do not have, and no step is done under another key than before.
//! Not here: which sagas these are (`lives::sagas`).

use model::contract::SagaPlan;
use model::saga::key_of_saga;
use model::{Contract, IdempotencyKey, Instant, SagaId, SagaRow, SagaStatus, WriteId};

use super::act::{DO, name_of};
use super::decide::{Next, Outcome, closed_before, failed, was_given_up};
use super::plan::plan_of;
use super::state::{Halt, Progress, Step, StepResult, StepState};

/// The code of a saga of which something was lost that nobody can bring again.
pub const STEP_LOST: &str = "STEP_LOST";
/// The code of a saga of which nothing is left but what its steps have left in ledgers.
pub const LOG_LOST: &str = "LOG_LOST";

/// How the ledgers say that a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing has used its key.
    Nothing,
    /// Its key was used up without it.
    Closed,
    /// It stands.
    Stands,
    /// Its compensation stands.
    Undone,
}

/// The document of a saga that is to be looked at before anything else is done, and its status; of one that is in doubt
/// already, or waits for or was taken over by a person, the same document. `None`: nobody can read it. `given_up`: a person
/// has given up what was lost of it.
pub fn doubted(document: &str, given_up: bool) -> Option<(String, SagaStatus)> {
    let mut progress = Progress::read(document)?;
    match progress.halted {
        Some(Halt::Abandoned | Halt::Lost | Halt::Doubt | Halt::GivenUp) => {}
        Some(Halt::Stuck) | None => {
            progress.halted = Some(if given_up { Halt::GivenUp } else { Halt::Doubt });
            (progress.attempts, progress.refusals, progress.problem) = (0, 0, None);
        }
    }
    let document = if progress.halted.is_some_and(Halt::is_doubt) || progress.halted.is_none() {
        progress.write()
    } else {
        document.to_owned()
    };
    Some((document, progress.status()))
}

/// The row of the saga `id`, of which nothing is left but writes of its steps under these keys: it waits for a person.
/// `None`: `contract` has no saga of these steps.
pub fn orphan(contract: &Contract, id: &SagaId, keys: &[(IdempotencyKey, WriteId)]) -> Option<SagaRow> {
    let under = |step: &str| {
        let begins = key_of_saga(id, &name_of(step));
        // The first step's key ends there, those of the others go on with the saga's beginning.
        let of_it = |key: &IdempotencyKey| {
            let rest = key.as_str().strip_prefix(&begins);
            rest.is_some_and(|rest| rest.starts_with('#') || rest.starts_with(' '))
        };
        keys.iter().find(|(key, _)| of_it(key) && key.as_str().ends_with(DO)).map(|(_, write)| *write)
    };
    let standing = |plan: &SagaPlan| plan.steps.iter().map(|step| under(&step.name)).collect::<Vec<_>>();
    let plans = contract.roots.keys().filter_map(|route| Some((route, plan_of(contract, route)?)));
    let (route, plan, standing) = plans
        .map(|(route, plan)| (route, plan, standing(plan)))
        .find(|(_, _, standing)| standing.iter().any(Option::is_some))?;
    let mut progress = Progress::begin(plan, serde_json::Map::new(), String::new(), uuid::Uuid::nil());
    for (step, write) in progress.steps.iter_mut().zip(standing) {
        if write.is_some() {
            step.state = StepState::Done(StepResult { write: write.map(|write| write.0), states: Vec::new() });
        }
    }
    (progress.halted, progress.problem) = (Some(Halt::Lost), Some(LOG_LOST.to_owned()));
    Some(SagaRow {
        id: id.clone(),
        route: route.clone(),
        status: progress.status(),
        revision: 0,
        document: progress.write(),
        began_at: Instant::new(chrono::DateTime::UNIX_EPOCH),
    })
}

/// The writes of its steps that a saga's document says to stand, with when each was noted.
pub fn claimed(document: &str) -> Vec<(WriteId, Option<Instant>)> {
    let progress = Progress::read(document);
    let steps = progress.iter().flat_map(|progress| &progress.steps);
    let claim = |step: &Step| match &step.state {
        StepState::Done(result) => Some((WriteId(result.write?), step.tried_at)),
        StepState::Open | StepState::Refusing(_) | StepState::Refused(_) | StepState::Undone => None,
    };
    steps.filter_map(claim).collect()
}

/// The document of a saga that has ended, of whose steps `lost` are gone: it waits for a person. `None`: nobody can read it.
pub fn bereft(document: &str, lost: &[WriteId]) -> Option<String> {
    let mut progress = Progress::read(document)?;
    for step in &mut progress.steps {
        let gone = matches!(&step.state, StepState::Done(result) if result.write.is_some_and(|write| lost.contains(&WriteId(write))));
        if gone {
            step.state = StepState::Open;
        }
    }
    (progress.halted, progress.problem) = (Some(Halt::Lost), Some(STEP_LOST.to_owned()));
    Some(progress.write())
}

/// The progress after a look.
pub(super) fn looked(mut progress: Progress, done: Next, outcome: Outcome) -> Progress {
    let seen = match (done, outcome) {
        (Next::Look, Outcome::Seen(seen)) if seen.len() == progress.steps.len() => seen,
        (Next::Look, Outcome::Unknown(code)) => return failed(progress, code.to_owned()),
        (Next::Look, _) => return failed(progress, "INTERNAL".to_owned()),
        _ => return progress,
    };
    let given_up = progress.halted == Some(Halt::GivenUp);
    let known = progress.refused().cloned();
    let backward = given_up || known.is_some() || seen.iter().any(|seen| matches!(seen, Seen::Closed | Seen::Undone));
    let refused = known.unwrap_or_else(|| if given_up { was_given_up() } else { closed_before() });
    for (step, seen) in progress.steps.iter_mut().zip(seen) {
        step.stands = seen == Seen::Stands;
        step.state = match seen {
            Seen::Stands => StepState::Open,
            // Whoever slept may still come with it.
            Seen::Nothing if backward => StepState::Refusing(refused.clone()),
            Seen::Nothing => StepState::Open,
            Seen::Closed => StepState::Refused(refused.clone()),
            Seen::Undone => StepState::Undone,
        };
    }
    (progress.halted, progress.attempts, progress.refusals, progress.problem) = (None, 0, 0, None);
    progress
}

#[cfg(test)]
mod tests;
