//! Goes on with one saga until it rests, or until a side does not answer.

use std::time::Duration;

use model::{Instant, SagaRow, SagaStatus, Side};

use super::act::Attempt;
use super::decide::{self, Next, Outcome, Terms};
use super::plan::{self, CONTRACT_CHANGED, plan_of};
use super::road::SagaRoad;
use super::state::{Progress, StepState};

/// What this replica cannot go on with is due at once: before it looks again, each of the others has looked once.
const GIVEN_BACK: Duration = Duration::ZERO;

/// What came of a look at a saga.
enum Advanced {
    /// There is nothing to do.
    Rests,
    /// This release cannot read its document.
    Unreadable,
    /// One attempt was made: the progress after it, and how long to wait before the next if it came to nothing.
    Went(Progress, Option<Duration>),
}

impl SagaRoad {
    /// Goes on with `row`, which is leased to us in the log of `side`. The log has every outcome before the next
    /// step begins. Gives the row back as it was saved last; another replica may have it by then.
    pub(super) async fn drive(&self, side: Side, mut row: SagaRow) -> SagaRow {
        loop {
            let (progress, pause) = match self.advance(side, &row).await {
                Advanced::Rests => return row,
                Advanced::Unreadable => {
                    self.leave(&row, "unreadable");
                    self.save(side, &mut row, GIVEN_BACK).await;
                    return row;
                }
                Advanced::Went(progress, pause) => (progress, pause),
            };
            let before = row.status;
            let was_refused = Progress::read(&row.document).is_some_and(|before| before.refused().is_some());
            row.status = progress.status();
            row.document = progress.write();
            let pause_or_none =
                if row.status.is_under_way() { pause.unwrap_or(self.settings.lease) } else { Duration::ZERO };
            if !self.save(side, &mut row, pause_or_none).await {
                return row;
            }
            tell(&row, before, &progress);
            if !was_refused && progress.refused().is_some() && row.status.is_under_way() {
                // A copy that knew nothing of it would go forward, should all that follows be lost.
                self.copy_if_answered(side, &row).await;
            }
            if pause.is_some() || !row.status.is_under_way() {
                return row;
            }
        }
    }

    /// Notes `row`; whether it is noted.
    async fn save(&self, side: Side, row: &mut SagaRow, pause: Duration) -> bool {
        match self.log(side).save_saga(row, pause, self.settings.step_within).await {
            Ok(true) => {
                row.revision += 1;
                true
            }
            // Our lease was over and somebody else has it: what we did stands under the step's key, and is found.
            Ok(false) => false,
            Err(error) => {
                telemetry::side_error(side, &error);
                tracing::warn!(saga.id = %row.id, %side, %error, "saga {} could not be noted, another look will find how it stands", row.id);
                false
            }
        }
    }

    /// One attempt.
    async fn advance(&self, side: Side, row: &SagaRow) -> Advanced {
        let Some(mut progress) = Progress::read(&row.document) else { return Advanced::Unreadable };
        let now = (self.writes.clock)();
        let Some(plan) = plan_of(&self.contract, &row.route).filter(|plan| progress.is_of(plan)) else {
            return self.unknown(row, progress, now);
        };
        progress.unknown_since = None;
        let next = decide::next(&progress);
        if let Next::Rest(status) = next {
            return if row.status == status { Advanced::Rests } else { Advanced::Went(progress, None) };
        }
        let within = self.settings.step_within;
        let attempt = Attempt { road: &self.writes, id: &row.id, plan, progress: &progress, within };
        let outcome = match self.require_copy(side, row, plan, next).await {
            Ok(()) => attempt.make(next).await,
            Err(code) => Outcome::Unknown(code),
        };
        let in_vain = matches!(
            (&next, &outcome),
            (_, Outcome::Unknown(_)) | (Next::Undo(_), Outcome::Refused(_) | Outcome::Closed | Outcome::NotClosed)
        );
        let now = (self.writes.clock)();
        let overdue = since(row.began_at, now) >= self.settings.limit;
        let progress =
            decide::after(progress, next, outcome, &Terms { undo_attempts: self.settings.undo_attempts, overdue, now });
        tell_given_up(row, next, &progress);
        let pause = in_vain.then(|| self.settings.pause_after(progress.attempts));
        let progress = if progress.status().has_ended() { progress.emptied() } else { progress };
        Advanced::Went(progress, pause)
    }

    /// A saga whose plan our contract does not have. It is left to replicas that do, which a deployment has beside us;
    /// if none comes for as long as a saga may take, somebody must act.
    fn unknown(&self, row: &SagaRow, mut progress: Progress, now: Instant) -> Advanced {
        let first = *progress.unknown_since.get_or_insert(now);
        if since(first, now) >= self.settings.limit {
            return Advanced::Went(decide::changed(progress), None);
        }
        self.leave(row, "contract");
        progress.problem = Some(CONTRACT_CHANGED.to_owned());
        Advanced::Went(progress, Some(GIVEN_BACK))
    }

    /// Counts a saga that this replica leaves to others, and logs it once.
    fn leave(&self, row: &SagaRow, reason: &'static str) {
        telemetry::saga_left(reason);
        if self.left.lock().insert(row.id.clone()) {
            let (id, route) = (&row.id, &row.route);
            tracing::warn!(saga.id = %id, %route, reason, "saga {id} of {route} is left to replicas of another release or contract ({reason})");
        }
    }

    /// Logs the sagas under way that the contract does not have.
    pub(super) async fn tell_strangers(&self) {
        for side in Side::BOTH {
            match plan::strangers(self.log(side), side, &self.contract, self.settings.step_within).await {
                Ok(found) => found.iter().for_each(|what| tracing::error!(%side, "sagas: {what}")),
                Err(error) => telemetry::side_error(side, &error),
            }
        }
    }
}

/// The time from `then` to `now`. A clock that is behind the one that said `then` has seen no time go by.
fn since(then: Instant, now: Instant) -> Duration {
    now.to_utc().signed_duration_since(then.to_utc()).to_std().unwrap_or(Duration::ZERO)
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
