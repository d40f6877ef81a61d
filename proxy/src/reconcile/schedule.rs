//! The reconciliation that nobody has to order: every so many hours, or once a day at a time.
//!
//! Every replica looks, and the first live one by name acts. What is due is read from the control store alone: a type is
//! due when the last run of it that ended is too old. So a replica that dies in the middle loses the type that it was at,
//! and the next one goes on from there.
//!
//! It costs the sides what the command costs them: one statement at a time in the lane of scans, with a pause after each.
//! Not here: mending what has drifted. That is an order of a person.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveTime, TimeDelta};
use model::control::reconciliation::Newest;
use model::control::{Author, Findings, LIVE_WITHIN};
use model::{EntityType, GroupName, Instant, ReplicaId};
use tokio_util::sync::CancellationToken;

use super::{ReconcileError, Reconciler, Run};
use crate::desk::{Desk, DeskError};
use crate::tasks::Tasks;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(10);
/// How soon a run that could not compare everything is tried again.
const RETRY: Duration = Duration::from_secs(3_600);

/// When rows at rest are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after the last run began.
    Every(Duration),
    /// Each day at this time, UTC.
    DailyAt(NaiveTime),
}

/// What is compared, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When.
    pub when: When,
    /// Which groups; empty: every one that is written to both sides.
    pub groups: BTreeSet<GroupName>,
    /// Pause after each statement, to spare the databases.
    pub pause: Duration,
}

impl fmt::Display for When {
    /// `every 24 h`, `daily at 02:30 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(pause) => write!(f, "every {} h", pause.as_secs() / 3_600),
            Self::DailyAt(time) => write!(f, "daily at {} UTC", time.format("%H:%M")),
        }
    }
}

impl When {
    /// Whether a type is due at `now` whose newest run is `newest`.
    fn is_due(self, newest: Option<&Newest>, now: Instant) -> bool {
        // How old it is cannot be told where a clock was put back: no data is not success.
        let Some((age, newest)) = newest.and_then(|newest| Some((newest.age?, newest))) else { return true };
        let incomplete = !newest.reconciliation.findings.as_ref().is_some_and(Findings::is_complete);
        if incomplete && age >= RETRY {
            return true;
        }
        match self {
            Self::Every(pause) => age >= pause,
            Self::DailyAt(time) => {
                let now = now.to_utc();
                let today = now.date_naive().and_time(time).and_utc();
                let last = if today <= now { today } else { today - TimeDelta::days(1) };
                now - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX) < last
            }
        }
    }
}

/// Compares what is due.
pub struct Scheduled {
    desk: Desk,
    replica: ReplicaId,
    reconciler: Reconciler,
    schedule: Schedule,
}

/// Compares rows at rest as `schedule` says, if there is one.
pub fn start(
    schedule: Option<Schedule>,
    desk: &Desk,
    replica: &ReplicaId,
    reconciler: impl Fn(Duration) -> Reconciler,
    tasks: &Tasks,
) {
    let Some(schedule) = schedule else { return };
    let known = desk.contract.groups();
    for unknown in schedule.groups.iter().filter(|group| !known.contains(group)) {
        tracing::error!(
            "`reconcile.groups` names {unknown}, which the contract does not have: nothing is compared for it"
        );
    }
    let (desk, replica, reconciler) = (desk.clone(), replica.clone(), reconciler(schedule.pause));
    let scheduled = Arc::new(Scheduled { desk, replica, reconciler, schedule });
    tasks.keep("reconcile", move |stop| {
        let scheduled = Arc::clone(&scheduled);
        async move { scheduled.run(stop).await }
    });
}

impl Scheduled {
    /// For `replica`.
    pub fn new(desk: Desk, replica: ReplicaId, reconciler: Reconciler, schedule: Schedule) -> Self {
        Self { desk, replica, reconciler, schedule }
    }

    async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Err(error) = self.round(&stop).await {
                // Without the control store nothing can be recorded; the follower has said that it is down.
                tracing::debug!(%error, "scheduled reconciliations wait: {error}");
            }
        }
    }

    /// Compares every type that is due, one after the other.
    ///
    /// # Errors
    /// When the control store does not tell or record.
    pub async fn round(&self, stop: &CancellationToken) -> Result<(), DeskError> {
        let rollout = self.desk.newest().await?.rollout;
        for group in self.desk.contract.groups() {
            let wanted = self.schedule.groups.is_empty() || self.schedule.groups.contains(&group);
            if !wanted || !rollout.policy(&group).stage().dual_writes() {
                self.desk.notices.set(&group, "reconcile", None);
                continue;
            }
            let when = self.schedule.when;
            let notice = format!("Its rows at rest are compared {when}, by the first live replica.");
            self.desk.notices.set(&group, "reconcile", Some(notice));
            let types: Vec<_> = self.desk.contract.entities.values().filter(|entity| entity.group == group).collect();
            for entity in types {
                let newest = self.desk.control.newest_reconciliations(&group).await?;
                let newest = newest.iter().find(|newest| newest.reconciliation.entity == entity.name);
                // Asked before each: whoever is first now may not be after a long table.
                if when.is_due(newest, (self.desk.clock)()) && self.acts().await? {
                    self.compare(entity, &group, stop).await?;
                }
                if stop.is_cancelled() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn compare(
        &self,
        entity: &Arc<EntityType>,
        group: &GroupName,
        stop: &CancellationToken,
    ) -> Result<(), DeskError> {
        let reason = Some(self.schedule.when.to_string());
        let author = Author { who: "schedule".to_owned(), origin: self.replica.to_string(), reason };
        let policy = self.desk.newest().await?.rollout.policy(group);
        let run = Run::new(Arc::clone(entity), author, policy);
        let name = &entity.name;
        let found = match Box::pin(self.reconciler.run(&run, stop, |_| {})).await {
            Ok(found) => found.findings,
            // The stage was changed meanwhile.
            Err(ReconcileError::NotKeptEqual { .. }) => return Ok(()),
            Err(ReconcileError::Control(error)) => return Err(error.into()),
        };
        match (found.why_incomplete(), found.drift) {
            (Some(why), _) => {
                tracing::warn!(%group, "the rows of {name} could not all be compared, which is tried again: {why}");
            }
            (None, 0) => tracing::info!(%group, "the rows of {name} are equal on both sides"),
            (None, drift) => {
                tracing::error!(%group, "{drift} rows of {name} have drifted: `strangler reconcile {group}` names them, `strangler repair` levels them");
            }
        }
        Ok(())
    }

    async fn acts(&self) -> Result<bool, DeskError> {
        let live = self.desk.control.replicas(LIVE_WITHIN).await?;
        Ok(live.first().is_some_and(|first| self.desk.is_here(&first.id, &self.replica)))
    }
}

#[cfg(test)]
mod tests;
