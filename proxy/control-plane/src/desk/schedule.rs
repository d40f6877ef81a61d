//! The reconciliation that nobody has to order: every so many hours, or once a day at a time.
//!
//! Every replica looks, and the first live one by name places the order, as a person would (`desk::at_rest`): so what is
//! due and what was ordered never run at once, and a replica that dies in the middle loses the type that it was at, no
//! more. What is due is read from the control store alone: a type is due when the last run of it that ended is too old.
//!
//! Not here: running it (`orders`); mending what has drifted, which is an order of a person.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveTime, TimeDelta};
use model::control::reconciliation::Newest;
use model::control::{Author, Findings, LIVE_WITHIN, OrderEnd};
use model::{EntityType, GroupName, Instant, ReplicaId};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, DeskError};
use telemetry::tasks::Tasks;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(10);
/// How soon a run that could not compare everything is tried again.
const RETRY: Duration = Duration::from_secs(3_600);

/// Longer than anything that was ever compared, and within the bounds of a calendar.
const AGES: TimeDelta = TimeDelta::days(36_500);
/// Who places what is due.
pub const SCHEDULE: &str = "schedule";

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
    /// From when on a type is due whose newest run is `newest`; `now` where it is and was.
    pub fn due(self, newest: Option<&Newest>, now: Instant) -> Instant {
        // How old it is cannot be told where a clock was put back: no data is not success.
        let Some((age, newest)) = newest.and_then(|newest| Some((newest.age?, newest))) else { return now };
        let span = |time: Duration| TimeDelta::from_std(time).unwrap_or(AGES);
        let begun = now.to_utc() - span(age);
        let regular = match self {
            Self::Every(pause) => begun + span(pause),
            Self::DailyAt(time) => {
                let that_day = begun.date_naive().and_time(time).and_utc();
                if that_day > begun { that_day } else { that_day + TimeDelta::days(1) }
            }
        };
        let incomplete = !newest.reconciliation.findings.as_ref().is_some_and(Findings::is_complete);
        Instant::new(if incomplete { regular.min(begun + span(RETRY)) } else { regular })
    }

    /// Whether a type is due at `now` whose newest run is `newest`.
    fn is_due(self, newest: Option<&Newest>, now: Instant) -> bool {
        self.due(newest, now) <= now
    }
}

/// Orders what is due.
pub struct Scheduled {
    desk: Desk,
    replica: ReplicaId,
    schedule: Schedule,
}

/// Orders that rows at rest be compared as the schedule says, if there is one.
pub fn start(desk: &Desk, replica: &ReplicaId, tasks: &Tasks) {
    let Some(schedule) = desk.reconcile.clone() else { return };
    let known = desk.contract.groups();
    for unknown in schedule.groups.iter().filter(|group| !known.contains(group)) {
        tracing::error!(
            "`reconcile.groups` names {unknown}, which the contract does not have: nothing is compared for it"
        );
    }
    let scheduled = Arc::new(Scheduled::new(desk.clone(), replica.clone(), schedule));
    tasks.keep("reconcile", move |stop| {
        let scheduled = Arc::clone(&scheduled);
        async move { scheduled.run(stop).await }
    });
}

impl Scheduled {
    /// For `replica`.
    pub fn new(desk: Desk, replica: ReplicaId, schedule: Schedule) -> Self {
        Self { desk, replica, schedule }
    }

    async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Err(error) = self.round().await {
                // Without the control store nothing can be recorded; the follower has said that it is down.
                tracing::debug!(%error, "scheduled reconciliations wait: {error}");
            }
        }
    }

    /// Orders for each group the types that are due, where no order of it is open.
    ///
    /// # Errors
    /// When the control store does not tell or record.
    pub async fn round(&self) -> Result<(), DeskError> {
        let rollout = self.desk.newest().await?.rollout;
        for group in self.desk.contract.groups() {
            let wanted = self.schedule.groups.is_empty() || self.schedule.groups.contains(&group);
            if !wanted || !rollout.policy(&group).stage().dual_writes() {
                self.desk.notices.set(&group, "reconcile", None);
                continue;
            }
            let when = self.schedule.when;
            let notice = format!("Its rows at rest are compared {when}, by one replica.");
            self.desk.notices.set(&group, "reconcile", Some(notice));
            let newest = self.desk.control.newest_reconciliations(&group).await?;
            let now = (self.desk.clock)();
            let is_due = |entity: &EntityType| {
                let newest = newest.iter().find(|newest| newest.reconciliation.entity == entity.name);
                when.is_due(newest, now)
            };
            let of_group = self.desk.contract.entities.values().filter(|entity| entity.group == group);
            let due: Vec<_> = of_group.filter(|entity| is_due(entity)).cloned().collect();
            if !due.is_empty() && self.acts().await? && !self.failed_lately(&group).await? {
                let reason = Some(when.to_string());
                let author = Author { who: SCHEDULE.to_owned(), origin: self.replica.to_string(), reason };
                // One that is open compares the group already; what it leaves out is due again after it.
                self.desk.place_order(&group, &due, &author, false).await?;
            }
        }
        Ok(())
    }

    /// Whether the newest order of the group came to nothing a short while ago: the next one would too.
    async fn failed_lately(&self, group: &GroupName) -> Result<bool, DeskError> {
        let orders = self.desk.control.orders(Some(group), 1).await?;
        let retry = TimeDelta::from_std(RETRY).unwrap_or(AGES);
        let lately = |at: &Instant| (self.desk.clock)().to_utc() - at.to_utc() < retry;
        Ok(orders.iter().any(|one| matches!(&one.ended, Some((at, OrderEnd::Failed(_))) if lately(at))))
    }

    async fn acts(&self) -> Result<bool, DeskError> {
        let live = self.desk.control.replicas(LIVE_WITHIN).await?;
        Ok(live.first().is_some_and(|first| self.desk.is_here(&first.id, &self.replica)))
    }
}

#[cfg(test)]
mod tests;
