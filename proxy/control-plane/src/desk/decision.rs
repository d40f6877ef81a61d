//! What decides a handover to modern: a rollout that says so, by compare-and-swap on what was seen when it was ordered.

use std::sync::Arc;

use async_trait::async_trait;
use model::control::{Author, ControlError};
use model::{GroupName, Policy, RolloutVersion};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::handover::{left_json, step_json};
use crate::handover::decide::{Decide, Proposed, Undecided};
use crate::rollout::Witness;
use crate::rollout::handed::{HandedOver, publish_decision, with};
use crate::rollout::publish::{Change, ChangeError, Consent};

/// Decides one handover.
pub(super) struct Decision<'a> {
    witness: &'a Witness,
    group: &'a GroupName,
    author: &'a Author,
    consent: Consent<'a>,
    /// The rollout by which it was ordered.
    seen: RolloutVersion,
    /// What was known of the group before its writers were stopped: afterwards every millisecond is one that clients wait.
    known: Json,
    published: Mutex<Option<(Policy, RolloutVersion)>>,
}

impl<'a> Decision<'a> {
    /// For a handover of `group` that was ordered under rollout `seen`.
    pub(super) async fn new(
        witness: &'a Witness,
        group: &'a GroupName,
        author: &'a Author,
        consent: Consent<'a>,
        seen: RolloutVersion,
    ) -> Arc<Self> {
        let known = witness.testify(group).await;
        Arc::new(Self { witness, group, author, consent, seen, known, published: Mutex::new(None) })
    }

    /// What is recorded of a handover, beside what was known before it.
    pub(super) fn evidence(&self, handover: Json) -> Json {
        with(self.known.clone(), &json!({ "handover": handover }))
    }

    /// The policy that was published, and the rollout that says so.
    pub(super) fn published(&self) -> Option<(Policy, RolloutVersion)> {
        *self.published.lock()
    }
}

#[async_trait]
impl Decide for Decision<'_> {
    async fn decide(&self, proposed: &Proposed<'_>) -> Result<String, Undecided> {
        let Proposed { holder, was, steps, left } = *proposed;
        let waited: f64 = steps.iter().map(|step| step.took.as_secs_f64() * 1_000.0).sum();
        let evidence = self.evidence(json!({
            "waitedMillis": waited,
            "to": holder.side.as_str(),
            "alone": holder.alone,
            "steps": steps.iter().map(step_json).collect::<Vec<_>>(),
            "left": left_json(left),
        }));
        let told = HandedOver { group: self.group, holder, evidence, consent: self.consent };
        let (policy, version) = match publish_decision(self.witness, &told, self.author, was, self.seen).await {
            Ok(Change::Published { record, .. }) => (record.rollout.policy(self.group), record.rollout.version),
            Ok(Change::AlreadySo { policy, version }) => (policy, version),
            Err(ChangeError::Control(ControlError::Decided)) => {
                let why = format!("the proposal to hand over group `{}` was withdrawn meanwhile", self.group);
                return Err(Undecided::Overtaken(why));
            }
            Err(ChangeError::Control(error)) => return Err(Undecided::Unknown(error.to_string())),
            Err(error) => return Err(Undecided::Overtaken(error.to_string())),
        };
        *self.published.lock() = Some((policy, version));
        Ok(format!("rollout {version} says so"))
    }
}
