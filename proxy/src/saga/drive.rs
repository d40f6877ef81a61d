//! Goes on with one saga until it rests, or until a side does not answer.

use std::sync::Arc;
use std::time::Duration;

use model::contract::{RootKind, SagaPlan, WriteWork};
use model::{Contract, RouteName, SagaRow, SagaStatus, Side};

use super::act::act;
use super::decide::{self, Next, Outcome, Terms};
use super::road::SagaRoad;
use super::state::{Halt, Progress, StepState};
use crate::telemetry;

/// The saga behind `route`, if it is one.
pub(super) fn plan_of<'a>(contract: &'a Contract, route: &RouteName) -> Option<&'a Arc<SagaPlan>> {
    match &contract.root(route)?.kind {
        RootKind::Write(action) => match &action.work {
            WriteWork::Saga(plan) => Some(plan),
            WriteWork::Statements { .. } | WriteWork::Set { .. } | WriteWork::Delete => None,
        },
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => None,
    }
}

impl SagaRoad {
    /// Goes on with `row`, which is leased to us in the log of `side`. The log has every outcome before the next
    /// step begins. Gives the row back as it was saved last; another replica may have it by then.
    pub(super) async fn drive(&self, side: Side, mut row: SagaRow) -> SagaRow {
        loop {
            let (progress, pause) = match self.advance(&row).await {
                Some(advanced) => advanced,
                None => return row,
            };
            let before = row.status;
            row.status = progress.status();
            row.document = progress.write();
            let pause_or_none =
                if row.status.is_under_way() { pause.unwrap_or(self.settings.lease) } else { Duration::ZERO };
            match self.log(side).save_saga(&row, pause_or_none, self.settings.step_within).await {
                Ok(true) => row.revision += 1,
                // Our lease was over and somebody else has it: what we did stands under the step's key, and is found.
                Ok(false) => return row,
                Err(error) => {
                    telemetry::side_error(side, &error);
                    tracing::warn!(saga.id = %row.id, %side, %error, "saga {} could not be noted, another look will find how it stands", row.id);
                    return row;
                }
            }
            tell(&row, before, &progress);
            if pause.is_some() || !row.status.is_under_way() {
                return row;
            }
        }
    }

    /// One attempt: the progress after it, and how long to wait if it came to nothing. `None`: nothing to do.
    async fn advance(&self, row: &SagaRow) -> Option<(Progress, Option<Duration>)> {
        let progress = Progress::read(&row.document);
        let plan = plan_of(&self.contract, &row.route);
        let Some((progress, plan)) = progress.clone().zip(plan).filter(|(progress, plan)| progress.is_of(plan)) else {
            // Nothing that can be gone on with: the contract was changed under it.
            let mut progress = progress?;
            progress.halted = Some(Halt::Stuck);
            progress.problem = Some("CONTRACT_CHANGED".to_owned());
            return Some((progress, None));
        };
        let next = decide::next(&progress);
        if let Next::Rest(status) = next {
            return (row.status != status).then_some((progress, None));
        }
        let outcome = act(&self.writes, (&row.id, plan, &progress), next, self.settings.step_within).await;
        let in_vain = matches!(
            (&next, &outcome),
            (_, Outcome::Unknown(_)) | (Next::Undo(_), Outcome::Refused(_) | Outcome::Closed | Outcome::NotClosed)
        );
        let now = (self.writes.clock)();
        let age = now.to_utc().signed_duration_since(row.began_at.to_utc()).to_std().unwrap_or_default();
        let overdue = age >= self.settings.limit;
        let progress =
            decide::after(progress, next, outcome, &Terms { undo_attempts: self.settings.undo_attempts, overdue, now });
        tell_given_up(row, next, &progress);
        let pause = in_vain.then(|| self.settings.pause_after(progress.attempts));
        Some((progress, pause))
    }
}

/// Logs a step that was given up.
fn tell_given_up(row: &SagaRow, tried: Next, progress: &Progress) {
    if let Next::Do(place) = tried
        && let StepState::Refusing(refused) = &progress.steps[place].state
        && refused.code == decide::TIMED_OUT
    {
        let (id, route, problem) = (&row.id, &row.route, progress.problem.as_deref().unwrap_or_default());
        tracing::warn!(saga.id = %id, %route, problem, "saga {id} of {route} is undone: a step got no answer until its time was over ({problem})");
    }
}

/// Logs and counts what became of a saga.
fn tell(row: &SagaRow, before: SagaStatus, progress: &Progress) {
    if row.status == before || row.status.is_under_way() {
        return;
    }
    telemetry::saga_ended(row.status);
    let (id, route) = (&row.id, &row.route);
    let problem = progress.problem.as_deref().unwrap_or_default();
    if row.status == SagaStatus::Stuck {
        tracing::error!(saga.id = %id, %route, problem, "saga {id} of {route} is stuck ({problem}): see `strangler sagas show {id}`");
    } else {
        tracing::debug!(saga.id = %id, %route, status = %row.status, "saga {id} of {route} is {}", row.status);
    }
}
