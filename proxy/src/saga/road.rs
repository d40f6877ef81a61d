//! What a client's request takes: begins the saga, or finds the one that its key began, and waits for its end.
//!
//! The work runs in a task of its own, as every write does: a client that hangs up leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use model::contract::{RootKind, SagaPlan};
use model::saga::Begun;
use model::{
    Contract, Epoch, IdempotencyKey, Instant as WallClock, Record, Root, SagaId, SagaLog, SagaRow, SagaStatus, Side,
    StoreError, WriteId,
};
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::SagaSettings;
use super::state::{Progress, StepState};
use crate::arguments::Arguments;
use crate::error::{ClientError, Fault, InternalError};
use crate::roads::RequestContext;
use crate::telemetry;
use crate::write::command;
use crate::write::road::WriteRoad;

/// Pause between two looks at a saga that somebody else works on.
const LOOK: Duration = Duration::from_millis(50);

/// The road of sagas.
pub struct SagaRoad {
    /// The road that every step takes.
    pub writes: Arc<WriteRoad>,
    /// Where the sagas are declared.
    pub contract: Arc<Contract>,
    /// Limits and pace.
    pub settings: SagaSettings,
}

impl SagaRoad {
    /// The log of `side`.
    pub(super) fn log(&self, side: Side) -> &dyn SagaLog {
        &*self.writes.sides.get(side).store
    }

    /// Runs the saga `root`; see [`crate::roads::Roads::write`]. The answer is that of the step which answers.
    ///
    /// # Errors
    /// The code of the step that was refused: nothing is left of the saga. `SAGA_UNDER_WAY`: it goes on. `SAGA_STUCK`,
    /// `SAGA_ABANDONED`: some of it may stand. Else as a write: nothing was written, unless it is `OUTCOME_UNKNOWN`.
    pub async fn write(
        self: &Arc<Self>,
        context: &RequestContext,
        (root, plan): (&Root, &Arc<SagaPlan>),
        arguments: &Arguments,
        response_name: &str,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let first = plan.steps.first().ok_or_else(|| InternalError::Misfit("a saga without steps".to_owned()))?;
        let policy = context.rollout.policy(&first.run.root.group);
        let id = name(root, context.idempotency.as_deref(), response_name)?;
        // Only a saga with a key can have begun before, and only a handover leaves one in the other side's log.
        let moved = context.idempotency.is_some() && policy.epoch() > Epoch(1);
        let side = if moved { self.where_it_began(&id, policy.primary()).await? } else { policy.primary() };
        let fingerprint = command::fingerprint(root, arguments).0;
        let progress = Progress::begin(plan, arguments.as_json().clone(), fingerprint.clone());
        let row = SagaRow {
            id: id.clone(),
            route: root.route.clone(),
            status: SagaStatus::Running,
            revision: 0,
            document: progress.write(),
            began_at: WallClock::new(chrono::DateTime::UNIX_EPOCH),
        };
        let breaker = &self.writes.sides.get(side).breaker;
        if !breaker.admits_by(context.deadline).await {
            return Err(InternalError::Unavailable(format!("{side} is down")).into());
        }
        let (answer, receiver) = oneshot::channel();
        self.writes.tasks.spawn(Arc::clone(self).run(side, row, answer));
        // A little before the gateway gives up: it would not tell the saga's name.
        let left = context.deadline.saturating_duration_since(Instant::now());
        let deadline = context.deadline - (left / 8).min(Duration::from_millis(250));
        let row = match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(began)) => began?,
            Ok(Err(_)) => return Err(InternalError::OutcomeUnknown("the saga's task ended".to_owned()).into()),
            Err(_) => return Err(under_way(&id)),
        };
        let row = self.ended(side, row, deadline).await;
        let progress = Progress::read(&row.document).ok_or_else(|| unreadable(&id))?;
        if progress.fingerprint != fingerprint {
            return Err(StoreError::KeyReused.into());
        }
        outcome(context, &row, plan, &progress)
    }

    /// The side whose log has the saga: that of the primary, unless it began while the other one was.
    async fn where_it_began(&self, id: &SagaId, primary: Side) -> Result<Side, Fault> {
        let other = primary.other();
        match self.log(other).saga(id, self.settings.step_within).await? {
            Some(_) => Ok(other),
            None => Ok(primary),
        }
    }

    /// Begins the saga and goes on with it.
    async fn run(self: Arc<Self>, side: Side, mut row: SagaRow, answer: oneshot::Sender<Result<SagaRow, Fault>>) {
        let begun = self.log(side).begin_saga(&row, self.settings.lease, self.settings.step_within).await;
        self.writes.sides.get(side).breaker.note(side, begun.as_ref().err());
        let row = match begun {
            Ok(Begun::Now) => {
                row.revision = 1;
                row.began_at = (self.writes.clock)();
                Ok(self.drive(side, row).await)
            }
            Ok(Begun::Before(row)) => Ok(row),
            Err(error) => {
                telemetry::side_error(side, &error);
                let text = error.to_string();
                // It may stand: then another replica goes on with it, and a repeat with its key finds it.
                Err(if error.may_have_applied() { InternalError::OutcomeUnknown(text).into() } else { error.into() })
            }
        };
        // The client may have hung up; there is nobody else to tell.
        let _ = answer.send(row);
    }

    /// The saga when nobody works on it any more, or as it stands at the deadline.
    async fn ended(&self, side: Side, mut row: SagaRow, deadline: Instant) -> SagaRow {
        while row.status.is_under_way() && Instant::now() + LOOK < deadline {
            tokio::time::sleep(LOOK).await;
            let within = deadline.saturating_duration_since(Instant::now());
            if let Ok(Some(found)) = self.log(side).saga(&row.id, within).await {
                row = found;
            }
        }
        row
    }
}

/// The name that the client's key gives to the saga, or a new one.
fn name(root: &Root, sent: Option<&str>, response_name: &str) -> Result<SagaId, Fault> {
    let text = match sent {
        None => Uuid::now_v7().to_string(),
        Some(sent) => {
            let key = IdempotencyKey::new(sent, response_name)
                .map_err(|error| ClientError::new("BAD_IDEMPOTENCY_KEY", error.to_string()))?;
            let hash = blake3::hash(format!("{}\n{}", root.route, key.as_str()).as_bytes());
            hash.to_hex()[..32].to_owned()
        }
    };
    SagaId::new(&text).ok_or_else(|| InternalError::Misfit("a saga's name".to_owned()).into())
}

/// What the client is told.
fn outcome(
    context: &RequestContext,
    row: &SagaRow,
    plan: &SagaPlan,
    progress: &Progress,
) -> Result<Vec<Option<Record>>, Fault> {
    let id = &row.id;
    match row.status {
        SagaStatus::Done => {}
        SagaStatus::Running | SagaStatus::Compensating => return Err(under_way(id)),
        SagaStatus::Stuck => {
            let text = format!("saga {id} was to be undone and is stuck half way; operators have been told");
            return Err(ClientError::new("SAGA_STUCK", text).into());
        }
        SagaStatus::Abandoned => {
            let text = format!("saga {id} was stuck half way, and an operator has taken it over by hand");
            return Err(ClientError::new("SAGA_ABANDONED", text).into());
        }
        SagaStatus::Undone => {
            let refused = progress.refused().cloned().ok_or_else(|| unreadable(id))?;
            return Err(ClientError::from(model::contract::Refusal::from(refused)).into());
        }
    }
    for step in &progress.steps {
        if let StepState::Done(result) = &step.state
            && let Some(write) = result.write
        {
            context.note_written(WriteId(write));
        }
    }
    answer(plan, progress).ok_or_else(|| unreadable(id))
}

/// The states that the step which answers has left.
fn answer(plan: &SagaPlan, progress: &Progress) -> Option<Vec<Option<Record>>> {
    let RootKind::Write(action) = &plan.steps.get(plan.answer)?.run.root.kind else {
        return None;
    };
    let StepState::Done(result) = &progress.steps.get(plan.answer)?.state else {
        return None;
    };
    let record = |(touch, json): (&model::contract::Touch, &Option<Json>)| match json {
        None => Some(None),
        Some(json) => Record::from_json(&touch.entity, json).map(Some),
    };
    action.touches.iter().zip(&result.states).map(record).collect()
}

fn under_way(id: &SagaId) -> Fault {
    let text = format!("saga {id} goes on by itself; repeat with the same Idempotency-Key to learn how it ends");
    ClientError::new("SAGA_UNDER_WAY", text).into()
}

fn unreadable(id: &SagaId) -> Fault {
    InternalError::Misfit(format!("the log of saga {id} cannot be read")).into()
}
