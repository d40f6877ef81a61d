//! Webhooks: what the audit tells to receivers elsewhere, and how far each of them has been told.
//!
//! One replica at a time tells a webhook, under a lease; the place of the last entry that it was told stands in the
//! control store, so that a restart or another replica goes on from there.
//! Not here: sending (`proxy::webhooks`).

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::audit::{Action, AuditEntry};
use super::{ControlError, PROMOTION_STEP};
use crate::name::{GroupName, ReplicaId, WebhookName};
use crate::policy::Policy;
use crate::share::Percentage;

/// Who the guard is, in what it changes.
pub const GUARD: &str = "guard";

/// What an entry of the audit is to somebody who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Stage or percentages of a group were changed, by none of the ways below.
    Rollout,
    /// Somebody rolled a group back.
    RolledBack,
    /// The guard rolled a group back.
    GuardRolledBack,
    /// A promotion took a step.
    PromotionStep,
    /// A promotion began.
    PromotionStarted,
    /// A promotion ended before its last step.
    PromotionStopped,
    /// A promotion reached its last step.
    PromotionFinished,
    /// A change was proposed that needs a second person.
    Proposed,
    /// A proposal was approved.
    Approved,
    /// A proposal was withdrawn or turned down.
    Withdrawn,
    /// A known difference was accepted.
    Excused,
    /// A known difference counts again.
    Unexcused,
    /// Keys were levelled by hand.
    Repaired,
    /// A stuck saga was set going again.
    SagaRetried,
    /// A stuck saga was taken over by hand.
    SagaAbandoned,
    /// A side takes writes again that had gone back or was moved.
    SideRaised,
    /// The authority over a group has changed hands.
    HandedOver,
    /// Somebody ordered that rows at rest be compared.
    ReconcileOrdered,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 18] = [
        Self::Rollout,
        Self::RolledBack,
        Self::GuardRolledBack,
        Self::PromotionStep,
        Self::PromotionStarted,
        Self::PromotionStopped,
        Self::PromotionFinished,
        Self::Proposed,
        Self::Approved,
        Self::Withdrawn,
        Self::Excused,
        Self::Unexcused,
        Self::Repaired,
        Self::SagaRetried,
        Self::SagaAbandoned,
        Self::SideRaised,
        Self::HandedOver,
        Self::ReconcileOrdered,
    ];

    /// What `entry` is.
    pub fn of(entry: &AuditEntry) -> Self {
        match entry.action {
            Action::Rollout if is_rollback(entry) && entry.author.who == GUARD => Self::GuardRolledBack,
            Action::Rollout if is_rollback(entry) => Self::RolledBack,
            Action::Rollout if is_step(entry) => Self::PromotionStep,
            Action::Rollout => Self::Rollout,
            Action::Proposed => Self::Proposed,
            Action::Approved => Self::Approved,
            Action::Withdrawn => Self::Withdrawn,
            Action::PromotionStarted => Self::PromotionStarted,
            Action::PromotionStopped => Self::PromotionStopped,
            Action::PromotionFinished => Self::PromotionFinished,
            Action::Excused => Self::Excused,
            Action::Unexcused => Self::Unexcused,
            Action::Repaired => Self::Repaired,
            Action::SagaRetried => Self::SagaRetried,
            Action::SagaAbandoned => Self::SagaAbandoned,
            Action::SideRaised => Self::SideRaised,
            Action::HandedOver => Self::HandedOver,
            Action::ReconcileOrdered => Self::ReconcileOrdered,
        }
    }

    /// The word used in configuration and messages: `guard-rolled-back`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::RolledBack => "rolled-back",
            Self::GuardRolledBack => "guard-rolled-back",
            Self::PromotionStep => "promotion-step",
            Self::PromotionStarted => "promotion-started",
            Self::PromotionStopped => "promotion-stopped",
            Self::PromotionFinished => "promotion-finished",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Withdrawn => "withdrawn",
            Self::Excused => "excused",
            Self::Unexcused => "unexcused",
            Self::Repaired => "repaired",
            Self::SagaRetried => "saga-retried",
            Self::SagaAbandoned => "saga-abandoned",
            Self::SideRaised => "side-raised",
            Self::HandedOver => "handed-over",
            Self::ReconcileOrdered => "reconcile-ordered",
        }
    }

    /// The event with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// What a rollout's entry says of its group.
#[derive(Deserialize)]
struct Detail {
    groups: Vec<GroupName>,
    policies: std::collections::BTreeMap<GroupName, Policy>,
    overrides: Vec<Json>,
}

/// A rollback names the order that replicas were given (`overrides`) and leaves its group without reads on modern.
/// No other change does both: `set … --reads 0` takes no order in.
fn is_rollback(entry: &AuditEntry) -> bool {
    let Ok(detail) = serde_json::from_str::<Detail>(&entry.detail) else { return false };
    let without_reads = |group| detail.policies.get(group).is_some_and(|policy| policy.reads() == Percentage::ZERO);
    !detail.overrides.is_empty() && matches!(detail.groups.as_slice(), [group] if without_reads(group))
}

fn is_step(entry: &AuditEntry) -> bool {
    entry.author.reason.as_deref().is_some_and(|reason| reason.starts_with(PROMOTION_STEP))
}

/// Keeps how far each webhook was told. Part of every control store.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Takes the lease of `webhook` for `replica`, or prolongs it, for `term` by the store's clock; zero gives it
    /// back. Returns the place of the last entry that the webhook was told; `None` when another replica has the
    /// lease. A webhook that was never heard of begins at the newest entry: it is not told of the past.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer` (the lease may stand), `Misfit`.
    async fn lease_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        term: Duration,
    ) -> Result<Option<u64>, ControlError>;

    /// Notes that `webhook` was told everything up to place `to`, if `replica` has the lease and the last place
    /// was `from`. False otherwise: nothing was noted.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer` (it may stand), `Misfit`.
    async fn advance_webhook(
        &self,
        webhook: &WebhookName,
        replica: &ReplicaId,
        from: u64,
        to: u64,
    ) -> Result<bool, ControlError>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Epoch;
    use crate::control::{Author, Deed, OverrideId, RolloutRecord};
    use crate::policy::{Rollout, RolloutVersion, Stage};
    use crate::value::Instant;

    fn entry(deed: &Deed) -> AuditEntry {
        AuditEntry::following(None, deed, Instant::parse("2026-01-31T08:00:00Z").unwrap())
    }

    fn rollout(who: &str, reason: &str, reads: f64, overrides: Vec<OverrideId>) -> AuditEntry {
        let group = GroupName::new("inventory");
        let policy = Policy::new(Stage::Shift, reads.try_into().unwrap(), Percentage::FULL, Epoch(1)).unwrap();
        entry(&Deed::of_rollout(&RolloutRecord {
            rollout: Rollout { version: RolloutVersion(7), policies: [(group.clone(), policy)].into() },
            at: Instant::parse("2026-01-31T08:00:00Z").unwrap(),
            author: Author { who: who.into(), origin: "desk".into(), reason: Some(reason.into()) },
            summary: "set inventory: reads 50 % -> 0 %".into(),
            groups: vec![group],
            evidence: Json::Null,
            overrides,
            approved_by: None,
        }))
    }

    #[test]
    fn a_rollback_is_told_from_every_other_change() {
        let order = || vec![OverrideId(uuid::Uuid::nil())];
        assert_eq!(Event::of(&rollout("ada", "why", 0.0, order())), Event::RolledBack);
        assert_eq!(Event::of(&rollout("guard", "why", 0.0, order())), Event::GuardRolledBack);
        assert_eq!(Event::of(&rollout("ada", "why", 0.0, Vec::new())), Event::Rollout);
        assert_eq!(Event::of(&rollout("guard", "why", 5.0, order())), Event::Rollout);
        let step = format!("{PROMOTION_STEP}1 of 5, every gate holds");
        assert_eq!(Event::of(&rollout("ada", &step, 5.0, Vec::new())), Event::PromotionStep);
    }

    #[test]
    fn every_other_action_has_an_event_of_its_name() {
        for action in Action::ALL {
            let author = Author { who: GUARD.into(), origin: "desk".into(), reason: None };
            let deed = Deed { action, group: None, author, rollout: None, detail: json!({}) };
            assert_eq!(Event::of(&entry(&deed)).as_str(), action.as_str());
        }
    }

    #[test]
    fn every_event_is_found_by_its_name() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.as_str()), Some(event));
            assert_eq!(json!(event), json!(event.as_str()));
        }
        assert_eq!(Event::named("rollback"), None);
    }
}
