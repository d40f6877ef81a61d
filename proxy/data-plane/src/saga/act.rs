//! One attempt: of a step, of closing it, of undoing it. Each runs on the write road like any mutation, under an
//! idempotency key made of saga and step, so that it stands at most once however often it is tried.
//!
//! Promise: *closed* is said only of what a closing of this saga stands under, *stands* only of what stands in this
//! saga's own words. What else is found under a key is looked at, and never taken for either.

use std::sync::Arc;
use std::time::Duration;

use model::contract::{RootKind, SagaCall, SagaPlan, SagaSource};
use model::own_key::number_named;
use model::saga::key_of_saga;
use model::{Fingerprint, IdempotencyKey, Policy, Record, SagaId, StoreError, WriteId};
use serde_json::{Map, Value as Json};
use tokio::time::Instant;
use uuid::Uuid;

use super::decide::{Next, Outcome};
use super::doubt::Seen;
use super::state::{Progress, Refused, StepResult, StepState};
use crate::write::command;
use crate::write::road::WriteRoad;
use request::arguments::Arguments;
use request::error::{Fault, InternalError};
use request::roads::RequestContext;

/// Scopes of the keys. No response name of GraphQL has a colon: a client's key can never be one of ours.
pub(super) const DO: &str = "saga:do";
const UNDO: &str = "saga:undo";
/// The fingerprint of a closing.
const CLOSED: &str = "closed";

/// An attempt at what is next of a saga.
pub(super) struct Attempt<'a> {
    pub(super) road: &'a Arc<WriteRoad>,
    pub(super) id: &'a SagaId,
    pub(super) plan: &'a SagaPlan,
    pub(super) progress: &'a Progress,
    pub(super) within: Duration,
}

/// What is attempted under one key.
struct Task<'a> {
    call: &'a SagaCall,
    key: String,
    scope: &'static str,
    /// The beginning of the saga, where the key itself does not hold it.
    bound_to: Option<&'a str>,
}

impl Task<'_> {
    /// What a closing of this saga leaves under the key.
    fn closing(&self) -> Fingerprint {
        Fingerprint(self.bound_to.map_or(CLOSED.to_owned(), |nonce| format!("{nonce} {CLOSED}")))
    }
}

/// The key under which the first step of a saga is done. It is the same for every saga of that name: so whoever begins
/// one anew, in the log of the other side or when the first is forgotten, meets what the first has left.
pub(super) fn first_key(id: &SagaId, step: &str) -> Option<IdempotencyKey> {
    IdempotencyKey::new(&key(id, step, None), DO).ok()
}

/// What names a step in its keys.
pub(super) fn name_of(step: &str) -> String {
    blake3::hash(step.as_bytes()).to_hex()[..16].to_owned()
}

/// The idempotency key of a step: a hash, since a step's name may be of any length.
fn key(id: &SagaId, step: &str, nonce: Option<&str>) -> String {
    let name = name_of(step);
    key_of_saga(id, &nonce.map_or(name.clone(), |nonce| format!("{name} {nonce}")))
}

impl<'a> Attempt<'a> {
    /// Does what is next, within the limit.
    pub(super) async fn make(&self, next: Next) -> Outcome {
        let step = |place: usize| self.plan.steps.get(place);
        match next {
            Next::Rest(_) => Outcome::Unknown("INTERNAL"),
            Next::Look => self.look().await,
            Next::Do(place) => match step(place) {
                Some(step) => self.run(&self.task(&step.run, place, &step.name)).await,
                None => Outcome::Changed,
            },
            Next::Close(place) => match step(place) {
                Some(step) => self.close(&self.task(&step.run, place, &step.name)).await,
                None => Outcome::Changed,
            },
            Next::Undo(place) => match step(place).and_then(|step| Some((step, step.undo.as_ref()?))) {
                Some((step, undo)) => {
                    let key = key(self.id, &step.name, self.progress.nonce.as_deref());
                    self.run(&Task { call: undo, key, scope: UNDO, bound_to: None }).await
                }
                None => Outcome::Refused(Refused {
                    code: "NO_UNDO".to_owned(),
                    message: "the contract does not say how this step is undone".to_owned(),
                }),
            },
        }
    }

    /// A step, done under its key: that of the first is bound to the beginning by what is asked under it.
    fn task(&self, call: &'a SagaCall, place: usize, name: &str) -> Task<'a> {
        let nonce = self.progress.nonce.as_deref();
        match place {
            0 => Task { call, key: key(self.id, name, None), scope: DO, bound_to: nonce },
            _ => Task { call, key: key(self.id, name, nonce), scope: DO, bound_to: None },
        }
    }

    /// Looks into the ledgers how each step stands.
    async fn look(&self) -> Outcome {
        let mut all = Vec::with_capacity(self.plan.steps.len());
        for (place, step) in self.plan.steps.iter().enumerate() {
            let task = self.task(&step.run, place, &step.name);
            let undo = match &step.undo {
                None => None,
                Some(undo) => {
                    let key = key(self.id, &step.name, self.progress.nonce.as_deref());
                    match self.keyed(undo, &key, UNDO).await {
                        Ok(found) => found,
                        Err(code) => return Outcome::Unknown(code),
                    }
                }
            };
            let found = match self.keyed(task.call, &task.key, task.scope).await {
                Ok(found) => found,
                Err(code) => return Outcome::Unknown(code),
            };
            all.push(match found {
                _ if undo.is_some() => Seen::Undone,
                None => Seen::Nothing,
                Some(print) if print == task.closing() => Seen::Closed,
                // Done for another saga of this name, which is forgotten: nothing of this one ever stood.
                Some(print) if task.bound_to.is_some_and(|nonce| !print.0.starts_with(nonce)) => Seen::Nothing,
                Some(_) => Seen::Stands,
            });
        }
        Outcome::Seen(all)
    }

    /// What was asked under a key of `call`, where its authority is; else the stable code of why that is not known.
    async fn keyed(&self, call: &SagaCall, key: &str, scope: &str) -> Result<Option<Fingerprint>, &'static str> {
        let key = IdempotencyKey::new(key, scope).map_err(|_| "INTERNAL")?;
        let side = (self.road.rollout)().policy(&call.root.group).primary();
        let found = self.road.sides.get(side).store.keyed(&key, self.within).await;
        found.map(|found| found.map(|keyed| keyed.fingerprint)).map_err(|error| {
            telemetry::side_error(side, &error);
            Fault::from(error).internal_code()
        })
    }

    async fn run(&self, task: &Task<'a>) -> Outcome {
        let arguments = arguments(task.call, self.plan, self.progress);
        let mut context = RequestContext::new((self.road.rollout)(), Instant::now() + self.within);
        context.idempotency = Some(task.key.clone());
        context.bound_to = task.bound_to.map(str::to_owned);
        match self.road.write(&context, &task.call.root, &arguments, task.scope).await {
            Ok(states) => Outcome::Stands(result(task.call, context.written().last().copied(), &states)),
            Err(Fault::Client(error)) if error.code == "IDEMPOTENCY_KEY_REUSED" => {
                let policy = (self.road.rollout)().policy(&task.call.root.group);
                self.found(task, &policy).await
            }
            Err(Fault::Client(error)) => {
                Outcome::Refused(Refused { code: error.code.into_owned(), message: error.message })
            }
            Err(Fault::Internal(error)) => Outcome::Unknown(error.code()),
        }
    }

    /// What stands under a key that was used for something else than what was asked now.
    async fn found(&self, task: &Task<'a>, policy: &Policy) -> Outcome {
        let Ok(key) = IdempotencyKey::new(&task.key, task.scope) else { return Outcome::Unknown("INTERNAL") };
        let side = policy.primary();
        match self.road.sides.get(side).store.keyed(&key, self.within).await {
            Ok(Some(keyed)) if task.scope == DO && keyed.fingerprint == task.closing() => Outcome::Closed,
            Ok(Some(keyed)) => match task.bound_to {
                Some(nonce) if !keyed.fingerprint.0.starts_with(nonce) => Outcome::Taken,
                Some(_) | None => Outcome::Changed,
            },
            // The authority moved between the two questions.
            Ok(None) => Outcome::Unknown("OUTCOME_UNKNOWN"),
            Err(error) => {
                telemetry::side_error(side, &error);
                Outcome::Unknown(Fault::from(error).internal_code())
            }
        }
    }

    /// Uses up the key of a step without changing anything: states anew how what it touches stands. Whoever comes later
    /// with the key and the step's own fingerprint is told that it was used for something else.
    async fn close(&self, task: &Task<'a>) -> Outcome {
        let (road, root) = (self.road, &task.call.root);
        let RootKind::Write(action) = &root.kind else { return Outcome::Changed };
        let policy = (road.rollout)().policy(&root.group);
        let attempt = command::Attempt {
            write: WriteId(Uuid::now_v7()),
            policy,
            numbers: &[],
            now: (road.clock)(),
            idempotency: Some((&task.key, task.scope)),
            bound_to: None,
        };
        let arguments = arguments(task.call, self.plan, self.progress);
        let Ok(mut closing) = command::closing(root, action, &arguments, &attempt, task.closing()) else {
            // What it touches has no name. Its arguments were the same whenever it was asked for, by this saga's plan:
            // nobody has ever sent it, and nobody can.
            return Outcome::Closed;
        };
        let deadline = Instant::now() + self.within;
        for key in &mut closing.touches {
            let Some(touch) = action.touches.iter().find(|touch| touch.entity.name == *key.entity()) else { continue };
            match road.canonical(&touch.entity, &policy, vec![key.clone()], deadline).await {
                Ok(mut canonical) => *key = canonical.remove(0),
                Err(error) => return Outcome::Unknown(Fault::from(error).internal_code()),
            }
        }
        let primary = road.sides.get(policy.primary());
        if !primary.breaker.admits(Instant::now()) {
            return Outcome::Unknown(InternalError::Unavailable(String::new()).code());
        }
        if let Err(error) = road.compared.require(policy.primary(), deadline).await {
            return Outcome::Unknown(error.code());
        }
        let executed = primary.store.execute(&closing, self.within).await;
        primary.breaker.note(policy.primary(), executed.as_ref().err());
        match executed {
            Ok(_) => Outcome::Closed,
            Err(StoreError::KeyReused) => match self.found(task, &policy).await {
                // Asked for again, the step tells whether it stands in this saga's words.
                Outcome::Changed => Outcome::NotClosed,
                found => found,
            },
            Err(error) => {
                telemetry::side_error(policy.primary(), &error);
                Outcome::Unknown(Fault::from(error).internal_code())
            }
        }
    }
}

/// Checks the arguments of all steps that need no other step's answer, before anything of the saga is stored.
///
/// # Errors
/// As the step's own mutation would be refused.
pub(super) fn check(road: &WriteRoad, plan: &SagaPlan, progress: &Progress) -> Result<(), Fault> {
    let given = |call: &&SagaCall| call.with.iter().all(|(_, source)| matches!(source, SagaSource::Argument(_)));
    for call in plan.steps.iter().map(|step| &step.run).filter(given) {
        let Some(action) = command::action(&call.root) else { continue };
        let arguments = arguments(call, plan, progress);
        let touched = arguments.touched(action, WriteId(Uuid::now_v7()))?;
        if touched.iter().any(|key| number_named(key).is_some()) {
            // What such a number stands for is looked up when the step is done.
            continue;
        }
        let policy = (road.rollout)().policy(&call.root.group);
        road.check_unnumbered(&call.root, &arguments, policy, None)?;
    }
    Ok(())
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
