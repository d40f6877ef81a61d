//! What operators see of sagas and do about stuck ones. Looks at the logs of both sides.

use std::sync::Arc;
use std::time::Duration;

use model::saga::{SagaCounts, of_copy};
use model::{Instant, PerSide, SagaId, SagaRow, SagaStatus, Side, Store, StoreError};
use thiserror::Error;

use super::state::{Halt, Progress, Step, StepState};

/// Limit of one look at a log.
const WITHIN: Duration = Duration::from_secs(5);

/// Why an operator's wish was not done.
#[derive(Debug, Error)]
pub enum OperateError {
    /// No log knows it.
    #[error("there is no saga `{0}`: see `strangler sagas list`")]
    Unknown(String),
    /// It needs nobody's hand.
    #[error("saga {id} is {status}; only a stuck one can be tried again or abandoned")]
    NotStuck {
        /// Which.
        id: SagaId,
        /// How it stands.
        status: SagaStatus,
    },
    /// Somebody else changed it at the same time.
    #[error("saga {0} was changed meanwhile: look again")]
    Overtaken(SagaId),
    /// What it was asked with is lost.
    #[error(
        "saga {id} cannot be tried again: what it was asked with was lost with a database ({problem}); mend by hand what of it stands, and abandon it"
    )]
    Bereft {
        /// Which.
        id: SagaId,
        /// What is the matter.
        problem: String,
    },
    /// Its document cannot be read.
    #[error("the log of saga {0} cannot be read by this release")]
    Unreadable(SagaId),
    /// A side does not answer. Nothing was changed, unless it gave no answer to the change itself.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A saga as operators see it: how far it has come, without any field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaView {
    /// Where its log is.
    pub side: Side,
    /// The row; its document is not for showing.
    pub row: SagaRow,
    /// Its steps, in order.
    pub steps: Vec<StepView>,
    /// Failed attempts since the last one that came to something.
    pub attempts: u32,
    /// The stable code of the last failure.
    pub problem: Option<String>,
    /// The stable code of the refusal that makes it be undone.
    pub refused: Option<String>,
}

/// One of its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// Its name in the contract.
    pub name: String,
    /// How it stands: `open`, `refusing`, `refused`, `done`, `undone`.
    pub state: &'static str,
    /// The stable code of its refusal.
    pub refused: Option<String>,
    /// How often it was tried: to do it, to close it, to undo it.
    pub attempts: u32,
    /// When last, by the clock of the replica that did.
    pub tried_at: Option<Instant>,
}

/// Both sides' stores.
pub type Stores = PerSide<Arc<dyn Store>>;

/// Up to `limit` sagas of both logs, newest first.
///
/// # Errors
/// When a side does not answer: half a list would look like a whole one.
pub async fn list(stores: &Stores, status: Option<SagaStatus>, limit: usize) -> Result<Vec<SagaView>, OperateError> {
    let mut found = Vec::new();
    for side in Side::BOTH {
        let rows = stores.get(side).sagas(status, limit, WITHIN).await?;
        found.extend(rows.into_iter().map(|row| view(side, row)));
    }
    found.sort_by_key(|saga| std::cmp::Reverse(saga.row.began_at));
    found.truncate(limit);
    Ok(found)
}

/// The saga called `id`.
///
/// # Errors
/// When there is none, or a side does not answer.
pub async fn show(stores: &Stores, id: &str) -> Result<SagaView, OperateError> {
    let unknown = || OperateError::Unknown(id.to_owned());
    let name = SagaId::new(id).ok_or_else(unknown)?;
    if of_copy(&name).is_some() {
        return Err(unknown());
    }
    let mut failed = None;
    for side in Side::BOTH {
        match stores.get(side).saga(&name, WITHIN).await {
            Ok(Some(row)) => return Ok(view(side, row)),
            Ok(None) => {}
            // It may be in the other log all the same.
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.map_or_else(unknown, OperateError::from))
}

/// How many sagas have not ended, in both logs together.
///
/// # Errors
/// When a side does not answer: half a count would look like a whole one.
pub async fn counts(stores: &Stores) -> Result<SagaCounts, OperateError> {
    let (legacy, modern) = tokio::try_join!(stores.legacy.count_sagas(WITHIN), stores.modern.count_sagas(WITHIN))?;
    Ok(legacy + modern)
}

/// The saga called `id`, which is stuck: one that [`retry`] and [`abandon`] take.
///
/// # Errors
/// When there is none, it is not stuck or cannot be read, or a side does not answer.
pub async fn stuck(stores: &Stores, id: &str) -> Result<SagaView, OperateError> {
    let saga = show(stores, id).await?;
    if saga.row.status != SagaStatus::Stuck {
        return Err(OperateError::NotStuck { id: saga.row.id, status: saga.row.status });
    }
    match Progress::read(&saga.row.document) {
        Some(_) => Ok(saga),
        None => Err(OperateError::Unreadable(saga.row.id)),
    }
}

/// Lets replicas go on with `saga`, at once, as it was seen to be stuck.
///
/// # Errors
/// When it was changed since, or a side does not answer.
pub async fn retry(stores: &Stores, saga: SagaView) -> Result<SagaView, OperateError> {
    let progress = Progress::read(&saga.row.document);
    if progress.is_some_and(|progress| progress.halted == Some(Halt::Lost)) {
        let problem = saga.problem.unwrap_or_default();
        return Err(OperateError::Bereft { id: saga.row.id, problem });
    }
    change(stores, saga, Progress::try_again).await
}

/// Takes `saga` over, as it was seen to be stuck: no replica touches it again. Whatever of it stands is the caller's to
/// mend.
///
/// # Errors
/// As [`retry`].
pub async fn abandon(stores: &Stores, saga: SagaView) -> Result<SagaView, OperateError> {
    change(stores, saga, |progress| progress.halted = Some(Halt::Abandoned)).await
}

async fn change(stores: &Stores, saga: SagaView, act: fn(&mut Progress)) -> Result<SagaView, OperateError> {
    let SagaView { side, mut row, .. } = saga;
    let mut progress = Progress::read(&row.document).ok_or_else(|| OperateError::Unreadable(row.id.clone()))?;
    act(&mut progress);
    row.status = progress.status();
    row.document = progress.write();
    if !stores.get(side).save_saga(&row, Duration::ZERO, WITHIN).await? {
        return Err(OperateError::Overtaken(row.id));
    }
    row.revision += 1;
    if row.status.has_ended() {
        telemetry::saga_ended(row.status);
        // Should this log go back, nobody is to go on with it: as far as the other side answers now.
        if let Err(error) = stores.get(side.other()).copy_saga(&row, WITHIN).await {
            telemetry::side_error(side.other(), &error);
        }
    }
    Ok(view(side, row))
}

fn view(side: Side, row: SagaRow) -> SagaView {
    let progress = Progress::read(&row.document);
    let word = |state: &StepState| match state {
        StepState::Open => "open",
        StepState::Refusing(_) => "refusing",
        StepState::Refused(_) => "refused",
        StepState::Done(_) => "done",
        StepState::Undone => "undone",
    };
    let step = |step: &Step| StepView {
        name: step.name.clone(),
        state: word(&step.state),
        refused: match &step.state {
            StepState::Refusing(refused) | StepState::Refused(refused) => Some(refused.code.clone()),
            StepState::Open | StepState::Done(_) | StepState::Undone => None,
        },
        attempts: step.attempts,
        tried_at: step.tried_at,
    };
    SagaView {
        side,
        steps: progress.iter().flat_map(|progress| &progress.steps).map(step).collect(),
        attempts: progress.as_ref().map_or(0, |progress| progress.attempts),
        refused: progress.as_ref().and_then(|progress| Some(progress.refused()?.code.clone())),
        problem: progress.and_then(|progress| progress.problem),
        row,
    }
}
