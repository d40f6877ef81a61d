//! What a saga began with, against what the contract says now.
//!
//! A step is known by its key and by what was asked under it. A contract that asks for something else under the same
//! name cannot tell what stands, so a saga remembers a hash of its plan, and only replicas whose contract has that plan
//! go on with it.

use std::time::Duration;

use model::contract::{RootKind, SagaCall, SagaPlan, SagaSource, WriteWork};
use model::{Contract, RouteName, SagaLog, SagaRow, SagaStatus, Side, StoreError};
use serde_json::{Value as Json, json};

use super::state::Progress;

/// The problem of a saga that nobody can go on with: no contract in use has its plan.
pub const CONTRACT_CHANGED: &str = "CONTRACT_CHANGED";

/// Most open sagas that are looked at for [`strangers`].
const MOST: usize = 1_000;

/// The saga behind `route`, if it is one.
pub(super) fn plan_of<'a>(contract: &'a Contract, route: &RouteName) -> Option<&'a SagaPlan> {
    match &contract.root(route)?.kind {
        RootKind::Write(action) => match &action.work {
            WriteWork::Saga(plan) => Some(plan),
            WriteWork::Statements { .. } | WriteWork::Set { .. } | WriteWork::Delete => None,
        },
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => None,
    }
}

/// A hash of what is asked for: of each step and undo its route, where its arguments come from, and which keys it
/// touches. Not of statements and columns: a step that was asked for in the same words is the same step.
pub(super) fn hash(plan: &SagaPlan) -> String {
    let steps: Vec<Json> = plan
        .steps
        .iter()
        .map(|step| json!([step.name, call(plan, &step.run), step.undo.as_ref().map(|undo| call(plan, undo))]))
        .collect();
    blake3::hash(Json::from(steps).to_string().as_bytes()).to_hex()[..32].to_owned()
}

fn call(plan: &SagaPlan, call: &SagaCall) -> Json {
    let source = |source: &SagaSource| match source {
        SagaSource::Argument(path) => json!({ "argument": path }),
        SagaSource::Answer { step, field } => {
            let root = plan.steps.get(*step).map(|step| &step.run.root);
            json!({ "step": step, "field": root.map(|root| root.entity.field(*field).name.clone()) })
        }
    };
    let with: Vec<Json> = call.with.iter().map(|(argument, from)| json!([argument, source(from)])).collect();
    let touches: Vec<String> = match &call.root.kind {
        RootKind::Write(action) => {
            action.touches.iter().map(|touch| format!("{} {:?}", touch.entity.name, touch.key)).collect()
        }
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => Vec::new(),
    };
    json!([call.root.route, with, touches])
}

/// What is said of sagas in the log of `side` that have not ended and that `contract` does not have, one sentence a
/// mutation.
///
/// # Errors
/// When the log does not answer.
pub async fn strangers(
    log: &dyn SagaLog,
    side: Side,
    contract: &Contract,
    within: Duration,
) -> Result<Vec<String>, StoreError> {
    let mut open = Vec::new();
    for status in [SagaStatus::Running, SagaStatus::Compensating, SagaStatus::Stuck] {
        open.extend(log.sagas(Some(status), MOST, within).await?);
    }
    let mut routes: Vec<(RouteName, &str, usize)> = Vec::new();
    for row in &open {
        let Some(why) = strange(contract, row) else { continue };
        match routes.iter_mut().find(|(route, known, _)| *route == row.route && *known == why) {
            Some((_, _, count)) => *count += 1,
            None => routes.push((row.route.clone(), why, 1)),
        }
    }
    let sentence = |(route, why, count): &(RouteName, &str, usize)| {
        format!("{count} of {route} that began on {side} have not ended, and {why}: see `strangler sagas list`")
    };
    Ok(routes.iter().map(sentence).collect())
}

/// Why no replica with `contract` can go on with `row`, if none can.
fn strange(contract: &Contract, row: &SagaRow) -> Option<&'static str> {
    let Some(progress) = Progress::read(&row.document) else {
        return Some("this release cannot read them; keep one that can until they have ended");
    };
    match plan_of(contract, &row.route) {
        None => Some("the contract has no such saga; keep it until they have ended"),
        Some(plan) if !progress.is_of(plan) => {
            Some("the contract has other steps or arguments for it; keep those until they have ended")
        }
        Some(_) => None,
    }
}
