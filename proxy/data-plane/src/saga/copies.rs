//! Copies of sagas on the other side: a log that has gone back is made whole from them.
//!
//! Promise: before a step of a saga commits on the side that does not have its log, the saga's copy is there. Before any other step
//! it is there as far as that side answers at once: its outage holds no saga up, and the copy is made later.
//! Not here: what becomes of copies after a restore (`lives::sagas`).

use std::collections::HashMap;
use std::time::Duration;

use model::contract::SagaPlan;
use model::saga::OpenSagas;
use model::{Incarnation, PerSide, SagaId, SagaRow, Side, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::SagaRoad;
use super::decide::Next;
use super::plan::plan_of;

/// How long a saga's beginning waits for its copy at most, if it can do without. A side that hangs is not asked again
/// while its breaker is open.
const WAIT: Duration = Duration::from_secs(1);

/// Sagas whose copies this replica has made, and when. Those that have ended are dropped from it.
#[derive(Debug, Default)]
pub struct Copied(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    made: HashMap<SagaId, Instant>,
    /// The lives of both sides when they were made: one that has gone back may have none of them.
    lives: Option<PerSide<Incarnation>>,
}

impl SagaRoad {
    /// Whether any step of `plan` can leave something on the side that does not have the log.
    fn is_copied(&self, side: Side, plan: &SagaPlan) -> bool {
        let rollout = (self.writes.rollout)();
        let policies = plan.steps.iter().map(|step| rollout.policy(&step.run.root.group));
        policies.into_iter().any(|policy| policy.stage().dual_writes() || policy.primary() != side)
    }

    /// Puts a copy of `row`, whose log is on `side`, on the other side. It is as old as `row`, which is enough.
    ///
    /// # Errors
    /// When that side does not take it.
    async fn copy(&self, side: Side, row: &SagaRow, within: Duration) -> Result<(), StoreError> {
        let other = side.other();
        let made = self.log(other).copy_saga(row, within).await;
        self.writes.sides.get(other).breaker.note(other, made.as_ref().err());
        match &made {
            Ok(()) => drop(self.copied.0.lock().made.insert(row.id.clone(), Instant::now())),
            Err(error) => telemetry::side_error(other, error),
        }
        made
    }

    /// Copies a saga that begins, or that turns back, if the other side answers.
    pub(super) async fn copy_if_answered(&self, side: Side, row: &SagaRow) {
        let Some(plan) = plan_of(&self.contract, &row.route).filter(|plan| self.is_copied(side, plan)) else { return };
        if plan.steps.is_empty() || !self.writes.sides.get(side.other()).breaker.admits(Instant::now()) {
            return;
        }
        // What is left undone here is done before the step that needs it, or by the next round.
        let _ = self.copy(side, row, WAIT.min(self.settings.step_within)).await;
    }

    /// Sees to it that the saga's copy is where `next` may commit. The stable code of what failed, if it is not.
    pub(super) async fn require_copy(
        &self,
        side: Side,
        row: &SagaRow,
        plan: &SagaPlan,
        next: Next,
    ) -> Result<(), &'static str> {
        let Next::Do(place) = next else { return Ok(()) };
        let Some(step) = plan.steps.get(place) else { return Ok(()) };
        let commits = (self.writes.rollout)().policy(&step.run.root.group).primary();
        if commits == side || self.copied.0.lock().made.contains_key(&row.id) {
            return Ok(());
        }
        let made = self.copy(side, row, self.settings.step_within).await;
        made.map_err(|error| request::error::Fault::from(error).internal_code())
    }

    /// Copies what has not ended in the log of `side` and has no copy by this replica, or an old one.
    pub(super) async fn copy_open(&self, side: Side) {
        let within = self.settings.step_within;
        if !self.writes.sides.get(side.other()).breaker.admits(Instant::now()) {
            return;
        }
        let Ok(OpenSagas::These(open)) = self.log(side).open_sagas(within).await else { return };
        for id in &open {
            let made = self.copied.0.lock().made.get(id).copied();
            if made.is_some_and(|made| made.elapsed() < self.settings.retention / 2) {
                continue;
            }
            let Ok(Some(row)) = self.log(side).saga(id, within).await else { continue };
            let copied = plan_of(&self.contract, &row.route).is_some_and(|plan| self.is_copied(side, plan));
            if copied && !row.status.has_ended() && self.copy(side, &row, within).await.is_err() {
                return;
            }
        }
    }

    /// Forgets which copies were made of sagas that are not open any more on either side.
    pub(super) fn forget_copied(&self, open: &OpenSagas) {
        if let OpenSagas::These(open) = open {
            self.copied.0.lock().made.retain(|id, made| open.contains(id) || made.elapsed() < self.settings.lease);
        }
    }

    /// Where a side has another life than when copies were made, none is known to be there.
    pub(super) async fn compare_lives(&self) {
        let (legacy, modern) = (&self.writes.sides.legacy.store, &self.writes.sides.modern.store);
        let within = self.settings.step_within;
        let Ok((legacy, modern)) = tokio::try_join!(legacy.incarnation(within), modern.incarnation(within)) else {
            return;
        };
        let now = PerSide { legacy, modern };
        let mut known = self.copied.0.lock();
        if known.lives.replace(now).is_some_and(|then| then != now) {
            known.made.clear();
        }
    }
}
