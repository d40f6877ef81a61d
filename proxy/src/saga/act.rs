//! One attempt: of a step, of closing it, of undoing it. Each runs on the write road like any mutation, under an
//! idempotency key made of saga and step, so that it stands at most once however often it is tried.

use std::sync::Arc;
use std::time::Duration;

use model::contract::{RootKind, SagaCall, SagaPlan, SagaSource};
use model::{Fingerprint, Record, SagaId, StoreError, Work, WriteId};
use serde_json::{Map, Value as Json};
use tokio::time::Instant;
use uuid::Uuid;

use super::decide::{Next, Outcome};
use super::state::{Progress, Refused, StepResult, StepState};
use crate::arguments::Arguments;
use crate::error::{Fault, InternalError};
use crate::roads::RequestContext;
use crate::telemetry;
use crate::write::command::{self, Attempt};
use crate::write::road::WriteRoad;

/// Scopes of the keys. No response name of GraphQL has a colon: a client's key can never be one of ours.
const DO: &str = "saga:do";
const UNDO: &str = "saga:undo";

/// Does what is next, within the limit.
pub(super) async fn act(
    road: &Arc<WriteRoad>,
    (id, plan, progress): (&SagaId, &SagaPlan, &Progress),
    next: Next,
    within: Duration,
) -> Outcome {
    let step = |place: usize| plan.steps.get(place);
    match next {
        Next::Rest(_) => Outcome::Unknown("INTERNAL"),
        Next::Do(place) => match step(place) {
            Some(step) => attempt(road, &step.run, plan, progress, (&key(id, &step.name), DO), within).await,
            None => Outcome::Unknown("INTERNAL"),
        },
        Next::Close(place) => match step(place) {
            Some(step) => close(road, &step.run, plan, progress, &key(id, &step.name), within).await,
            None => Outcome::Unknown("INTERNAL"),
        },
        Next::Undo(place) => match step(place).and_then(|step| Some((step, step.undo.as_ref()?))) {
            Some((step, undo)) => attempt(road, undo, plan, progress, (&key(id, &step.name), UNDO), within).await,
            None => Outcome::Refused(Refused {
                code: "NO_UNDO".to_owned(),
                message: "the contract does not say how this step is undone".to_owned(),
            }),
        },
    }
}

/// The idempotency key of a step: a hash, since a step's name may be of any length.
fn key(id: &SagaId, step: &str) -> String {
    let name = blake3::hash(step.as_bytes()).to_hex();
    format!("saga {id} {}", &name[..16])
}

async fn attempt(
    road: &Arc<WriteRoad>,
    call: &SagaCall,
    plan: &SagaPlan,
    progress: &Progress,
    (key, scope): (&str, &str),
    within: Duration,
) -> Outcome {
    let arguments = arguments(call, plan, progress);
    let mut context = RequestContext::new((road.rollout)(), Instant::now() + within);
    context.idempotency = Some(key.to_owned());
    match road.write(&context, &call.root, &arguments, scope).await {
        Ok(states) => Outcome::Stands(result(call, context.written().last().copied(), &states)),
        Err(Fault::Client(error)) if error.code == "IDEMPOTENCY_KEY_REUSED" => Outcome::Closed,
        Err(Fault::Client(error)) => {
            Outcome::Refused(Refused { code: error.code.into_owned(), message: error.message })
        }
        Err(Fault::Internal(error)) => Outcome::Unknown(error.code()),
    }
}

/// Uses up the key of a step without changing anything: states anew how what it touches stands. Whoever comes later
/// with the key and the step's own fingerprint is told that it was used for something else.
async fn close(
    road: &Arc<WriteRoad>,
    call: &SagaCall,
    plan: &SagaPlan,
    progress: &Progress,
    key: &str,
    within: Duration,
) -> Outcome {
    let RootKind::Write(action) = &call.root.kind else {
        return Outcome::Unknown("INTERNAL");
    };
    let policy = (road.rollout)().policy(&call.root.group);
    let idempotency = Some((key, DO));
    let attempt = Attempt { write: WriteId(Uuid::now_v7()), policy, numbers: &[], now: (road.clock)(), idempotency };
    let Ok(mut closing) = command::build(&call.root, action, &arguments(call, plan, progress), &attempt) else {
        // Nobody can send what cannot be put together.
        return Outcome::Closed;
    };
    let deadline = Instant::now() + within;
    for key in &mut closing.touches {
        let Some(touch) = action.touches.iter().find(|touch| touch.entity.name == *key.entity()) else { continue };
        match road.canonical(&touch.entity, &policy, vec![key.clone()], deadline).await {
            Ok(mut canonical) => *key = canonical.remove(0),
            Err(error) => return Outcome::Unknown(Fault::from(error).internal_code()),
        }
    }
    closing.work = Work::Touch;
    closing.must_fit = &[];
    if let Some((_, fingerprint)) = &mut closing.idempotency {
        *fingerprint = Fingerprint("closed".to_owned());
    }
    let primary = road.sides.get(policy.primary());
    if !primary.breaker.admits(Instant::now()) {
        return Outcome::Unknown(InternalError::Unavailable(String::new()).code());
    }
    let executed = primary.store.execute(&closing, within).await;
    primary.breaker.note(policy.primary(), executed.as_ref().err());
    match executed {
        Ok(_) => Outcome::Closed,
        Err(StoreError::KeyReused) => Outcome::NotClosed,
        Err(error) => {
            telemetry::side_error(policy.primary(), &error);
            Outcome::Unknown(Fault::from(error).internal_code())
        }
    }
}

fn result(call: &SagaCall, write: Option<WriteId>, states: &[Option<Record>]) -> StepResult {
    let RootKind::Write(action) = &call.root.kind else {
        return StepResult { write: None, states: Vec::new() };
    };
    let state = |(touch, state): (&model::contract::Touch, &Option<Record>)| {
        state.as_ref().map(|record| record.to_json(&touch.entity))
    };
    StepResult { write: write.map(|write| write.0), states: action.touches.iter().zip(states).map(state).collect() }
}

/// The arguments of one call, from those of the saga and from what steps have answered.
fn arguments(call: &SagaCall, plan: &SagaPlan, progress: &Progress) -> Arguments {
    let given = |path: &[String]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(progress.arguments.get(first)?, |json, name| json.get(name)).cloned()
    };
    let mut arguments = Map::new();
    for (name, source) in &call.with {
        let value = match source {
            SagaSource::Argument(path) => given(path),
            SagaSource::Answer { step, field } => {
                let root = plan.steps.get(*step).map(|step| &step.run.root);
                Some(root.map_or(Json::Null, |root| {
                    answered(root, progress, *step, root.entity.field(*field).name.as_str())
                }))
            }
        };
        if let Some(value) = value {
            arguments.insert(name.clone(), value);
        }
    }
    Arguments::new(arguments)
}

/// The field of the first entity that a step has answered with; null when there is none.
fn answered(root: &model::Root, progress: &Progress, step: usize, field: &str) -> Json {
    use model::contract::WriteAnswer;
    let place = match &root.kind {
        RootKind::Write(action) => match &action.answer {
            WriteAnswer::One(touch) => Some(*touch),
            WriteAnswer::Many(touches) => touches.first().copied(),
            WriteAnswer::Done => None,
        },
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => None,
    };
    let state = match progress.steps.get(step).map(|step| &step.state) {
        Some(StepState::Done(result)) => place.and_then(|place| result.states.get(place)?.as_ref()),
        Some(StepState::Open | StepState::Refusing(_) | StepState::Refused(_) | StepState::Undone) | None => None,
    };
    state.and_then(|state| state.get(field)).cloned().unwrap_or(Json::Null)
}
