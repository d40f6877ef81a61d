//! What a client's request takes: begins the saga, or finds the one that its key began, and waits for its end.
//!
//! The work runs in a task of its own, as every write does: a client that hangs up leaves nothing half done.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::contract::{RootKind, SagaPlan};
use model::saga::Begun;
use model::{
    Contract, Epoch, IdempotencyKey, Instant as WallClock, Record, Root, SagaId, SagaLog, SagaRow, SagaStatus, Side,
    StoreError, WriteId,
};
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::SagaSettings;
use super::act::{self, first_key};
use super::copies::Copied;
use super::decide::KEY_REUSED;
use super::state::{Progress, StepState};
use crate::write::command;
use crate::write::road::WriteRoad;
use request::arguments::Arguments;
use request::error::{ClientError, Fault, InternalError};
use request::roads::RequestContext;

/// Pause between two looks at a saga that somebody else works on.
const LOOK: Duration = Duration::from_millis(50);
/// Largest document of a saga that begins: it is stored before any step is done, for whoever asks.
const MOST_BYTES: usize = 256_000;

/// The road of sagas.
pub struct SagaRoad {
    /// The road that every step takes.
    pub writes: Arc<WriteRoad>,
    /// Where the sagas are declared.
    pub contract: Arc<Contract>,
    /// Limits and pace.
    pub settings: SagaSettings,
    /// Sagas that this replica has left to others: each is logged once.
    pub left: Mutex<HashSet<SagaId>>,
    /// Sagas whose copies this replica has made on the other side.
    pub copied: Copied,
}

impl SagaRoad {
    /// The log of `side`.
    pub(super) fn log(&self, side: Side) -> &dyn SagaLog {
        &*self.writes.sides.get(side).store
    }

    /// Runs the saga `root`; see [`request::roads::Roads::write`]. The answer is that of the step which answers.
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
        let fingerprint = command::fingerprint(root, arguments).0;
        let progress = Progress::begin(plan, arguments.as_json().clone(), fingerprint.clone(), Uuid::now_v7());
        let row = SagaRow {
            id: id.clone(),
            route: root.route.clone(),
            status: SagaStatus::Running,
            revision: 0,
            document: progress.write(),
            began_at: WallClock::new(chrono::DateTime::UNIX_EPOCH),
        };
        let refused = check(&row, &self.writes, plan, &progress).err();
        self.admitted(policy.primary(), context.deadline).await?;
        // Only a saga with a key can have begun before, and only a handover leaves one in the other side's log.
        let keyed = context.idempotency.is_some();
        let moved = keyed && policy.epoch() > Epoch(1);
        let looked = moved || (keyed && refused.is_some());
        let began = if looked { self.began(&id, &first.name, policy.primary(), moved).await? } else { None };
        // One that began when its arguments did fit is told as it stands.
        if let Some(refused) = refused.filter(|_| began.is_none()) {
            return Err(refused);
        }
        let side = began.unwrap_or(policy.primary());
        self.admitted(side, context.deadline).await?;
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
        let (row, progress) = self.told(side, row, deadline, moved).await?;
        // Of one whose log was lost it is not known what was asked.
        if progress.fingerprint != fingerprint && !progress.fingerprint.is_empty() {
            return Err(StoreError::KeyReused.into());
        }
        outcome(context, &row, plan, &progress)
    }

    async fn admitted(&self, side: Side, deadline: Instant) -> Result<(), Fault> {
        if self.writes.sides.get(side).breaker.admits_by(deadline).await {
            // Its row is a write of ours too.
            return Ok(self.writes.compared.require(side, deadline).await?);
        }
        Err(InternalError::Unavailable(format!("{side} is down")).into())
    }

    /// The side whose log has the saga, as far as that matters. `moved`: it may have begun while the other side was
    /// primary. Then its first step is in this side's ledger too, since a handover brings over what stands. If that is
    /// not there, no step of it ever stood, and none will once it has begun here: both do their first step under one
    /// key. So the other side, which may be away, is asked only about sagas that did begin there.
    async fn began(&self, id: &SagaId, first: &str, primary: Side, moved: bool) -> Result<Option<Side>, Fault> {
        let within = self.settings.step_within;
        if self.log(primary).saga(id, within).await?.is_some() {
            return Ok(Some(primary));
        }
        let Some(key) = first_key(id, first).filter(|_| moved) else { return Ok(None) };
        if self.writes.sides.get(primary).store.keyed(&key, within).await?.is_none() {
            return Ok(None);
        }
        let other = primary.other();
        if self.log(other).saga(id, within).await?.is_some() {
            return Ok(Some(other));
        }
        // A log that has gone back may have lost it: until that is decided, nobody can say what became of it.
        let life = self.writes.sides.get(other).store.life(&[], within).await?.life;
        if life.is_some_and(|life| life.suspended.is_some()) {
            return Err(InternalError::Unavailable(format!("{other} is suspended, and has the saga's log")).into());
        }
        Ok(None)
    }

    /// The saga as it ends, or stands at the deadline. Where its key turned out to be another's, that one, which began
    /// in the other log while this replica did not know of it.
    async fn told(
        &self,
        side: Side,
        row: SagaRow,
        deadline: Instant,
        moved: bool,
    ) -> Result<(SagaRow, Progress), Fault> {
        let row = self.ended(side, row, deadline).await;
        let progress = Progress::read(&row.document).ok_or_else(|| unreadable(&row.id))?;
        let reused = progress.refused().is_some_and(|refused| refused.code == KEY_REUSED);
        if !(moved && reused && row.status == SagaStatus::Undone) {
            return Ok((row, progress));
        }
        match self.log(side.other()).saga(&row.id, self.settings.step_within).await? {
            None => Ok((row, progress)),
            Some(first) => {
                let first = self.ended(side.other(), first, deadline).await;
                let progress = Progress::read(&first.document).ok_or_else(|| unreadable(&first.id))?;
                Ok((first, progress))
            }
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
                self.copy_if_answered(side, &row).await;
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

/// Checks what can be checked before anything is stored.
fn check(row: &SagaRow, writes: &WriteRoad, plan: &SagaPlan, progress: &Progress) -> Result<(), Fault> {
    if row.document.len() > MOST_BYTES {
        let text = format!("the arguments of a mutation in steps may have {} kB", MOST_BYTES / 1_000);
        return Err(ClientError::bad_input(text).into());
    }
    act::check(writes, plan, progress)
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

/// The states that the step which answers has left. By its name: the saga may have begun with other steps than now.
fn answer(plan: &SagaPlan, progress: &Progress) -> Option<Vec<Option<Record>>> {
    let answering = plan.steps.get(plan.answer)?;
    let RootKind::Write(action) = &answering.run.root.kind else {
        return None;
    };
    let StepState::Done(result) = &progress.steps.iter().find(|step| step.name == answering.name)?.state else {
        return None;
    };
    if result.states.len() != action.touches.len() {
        return None;
    }
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
