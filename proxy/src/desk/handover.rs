//! Handing a group's authority over, and what that would cost: as an operator orders and asks it.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use model::control::Author;
use model::{EntityKey, GroupName, PerSide, Policy, RolloutVersion, Side, Stage, Store};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::{Desk, DeskError, SetOutcome};
use crate::handover::coordinate::{Coordinator, Handed, NotHanded, Step, StepName};
use crate::handover::drain::Left;
use crate::handover::fences::Fences;
use crate::handover::safety::{self, Safety};
use crate::read::breaker::{Breaker, BreakerSettings};
use crate::rollout::publish::{Change, HandedOver, publish_handover};
use crate::telemetry;
use crate::write::apply::Door;

/// Limit of one call of the look at what would be lost.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// What came of an order to hand a group over.
#[derive(Debug, Clone, PartialEq)]
pub enum HandoverOutcome {
    /// The side has the authority.
    Done(Box<HandoverDone>),
    /// It waits for a second person.
    Proposed(Box<SetOutcome>),
}

/// A handover that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoverDone {
    /// Who has the authority, what was done for it, and how long clients waited.
    pub handed: Handed,
    /// The policy that the group is under.
    pub policy: Policy,
    /// The rollout that says so; `None` while the control store does not take it. Replicas follow the fences meanwhile.
    pub version: Option<RolloutVersion>,
}

/// A step as it is recorded.
fn step_json(step: &Step) -> Json {
    json!({ "step": step.name.as_str(), "millis": step.took.as_secs_f64() * 1_000.0, "note": step.note })
}

fn left_json(left: &Left) -> Json {
    let keys: Vec<String> = left.keys.iter().map(shown_key).collect();
    json!({ "writes": left.writes, "keys": keys, "listed": left.listed(), "said": left.said })
}

/// `StockLevel ["A","BER1"]`: a key as reports name it.
pub(crate) fn shown_key(key: &EntityKey) -> String {
    format!("{} {}", key.entity(), key.as_text())
}

impl Desk {
    fn handover_stores(&self) -> PerSide<Arc<dyn Store>> {
        self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Admin)))
    }

    fn fences(&self) -> Arc<Fences> {
        let here = self.here.as_ref().map(|here| here.rollout.clone());
        let told = move |group: &GroupName, side, epoch| {
            if let Some(rollout) = &here {
                rollout.hear(group, side, epoch);
            }
        };
        Fences::new(self.handover_stores(), Arc::new(told), self.handover.within)
    }

    /// Hands the authority over `group` to `to`, or finishes what was begun. `force`: also when writes would be left
    /// behind, which are then listed in the record.
    ///
    /// # Errors
    /// [`DeskError`] with what to do. After any of them the group has one primary, or gets one when the time of the
    /// handover is over.
    pub async fn hand_over(
        &self,
        group: &GroupName,
        to: Side,
        force: bool,
        author: &Author,
    ) -> Result<HandoverOutcome, DeskError> {
        let before = self.policy_for_handover(group, to).await?;
        let after = before.handed_to(to, before.epoch());
        if before.primary() != to && self.approvals.ask(&before, &after) {
            let proposed = self.keep_proposal(group, before, after, Vec::new(), author).await?;
            return Ok(HandoverOutcome::Proposed(Box::new(proposed)));
        }
        let done = self.hand_over_now(group, to, force, author, None).await?;
        Ok(HandoverOutcome::Done(Box::new(done)))
    }

    /// The policy of `group`, if its authority may go to `to`.
    async fn policy_for_handover(&self, group: &GroupName, to: Side) -> Result<Policy, DeskError> {
        let policy = self.newest().await?.rollout.policy(group);
        let wrong = |message: String| Err(DeskError::wrong("NOT_POSSIBLE", message));
        match (policy.stage(), to) {
            (Stage::Shift, Side::Modern) if policy.reads() == model::Percentage::FULL => Ok(policy),
            (Stage::Shift, Side::Modern) => wrong(format!(
                "modern answers {} of the reads of group `{group}`: promote it to 100 % before it becomes primary",
                policy.reads()
            )),
            (Stage::Shift | Stage::Reverse, _) => Ok(policy),
            (Stage::Legacy | Stage::DualWrite | Stage::Shadow, Side::Modern) => wrong(format!(
                "group `{group}` is at stage `{}`: modern becomes primary from stage `shift` at 100 %",
                policy.stage()
            )),
            (Stage::Legacy | Stage::DualWrite | Stage::Shadow, Side::Legacy) => Ok(policy),
            (Stage::Modern, _) => wrong(format!(
                "group `{group}` is at stage `modern`: legacy does not have its writes, there is no way back"
            )),
        }
    }

    /// Hands over without asking anybody else.
    pub(super) async fn hand_over_now(
        &self,
        group: &GroupName,
        to: Side,
        force: bool,
        author: &Author,
        approved_by: Option<&str>,
    ) -> Result<HandoverDone, DeskError> {
        let fences = self.fences();
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let doors = Door::both(&self.contract, &self.handover_stores(), breaker, self.handover.within, None);
        let coordinator = Coordinator { fences: &fences, doors: &doors, group, settings: self.handover };
        let outcome = coordinator.hand_to(to, force).await;
        // Whoever runs it hears at once what the fences say now.
        let _ = fences.look(group).await;
        match outcome {
            Ok(mut handed) => {
                let began = Instant::now();
                let evidence = json!({
                    "handover": {
                        "to": to.as_str(),
                        "pauseMillis": handed.pause.map(|pause| pause.as_secs_f64() * 1_000.0),
                        "steps": handed.steps.iter().map(step_json).collect::<Vec<_>>(),
                        "left": left_json(&handed.left),
                    }
                });
                let told = HandedOver { group, side: to, epoch: handed.epoch, evidence, approved_by };
                let (policy, version, note) = match publish_handover(&self.witness, &told, author).await {
                    Ok(Change::Published { record, .. }) => {
                        let version = record.rollout.version;
                        (record.rollout.policy(group), Some(version), format!("rollout {version} says so"))
                    }
                    Ok(Change::AlreadySo { policy, version }) => {
                        (policy, Some(version), format!("rollout {version} said so already"))
                    }
                    Err(error) => {
                        let policy = self.known_policy(group, to, handed.epoch);
                        (policy, None, format!("not yet, replicas follow the fences and publish it later ({error})"))
                    }
                };
                telemetry::handover_step(StepName::Publish.as_str(), began.elapsed());
                handed.steps.push(Step { name: StepName::Publish, took: began.elapsed(), note });
                Ok(HandoverDone { handed, policy, version })
            }
            Err(error) => Err(self.not_handed(group, error, author).await),
        }
    }

    fn known_policy(&self, group: &GroupName, to: Side, epoch: model::Epoch) -> Policy {
        let known = self.here.as_ref().map_or_else(Policy::initial, |here| here.rollout.policy(group));
        known.handed_to(to, epoch)
    }

    /// An undone handover raised the epoch: that is published too, with what was in the way.
    async fn not_handed(&self, group: &GroupName, error: NotHanded, author: &Author) -> DeskError {
        let message = crate::error::with_root(&error);
        match error {
            NotHanded::WritersStay { .. } => DeskError::no("WRITERS_STAY", message),
            NotHanded::Undone { .. } => DeskError::no("UNDONE", message),
            NotHanded::Broken { .. } => DeskError::no("BROKEN_FENCES", message),
            NotHanded::Store(_) => DeskError::no("SIDE_DOWN", message),
            NotHanded::Undrained { to, left, steps, .. } => {
                let keys = left.keys.iter().take(5).map(shown_key).collect::<Vec<_>>().join(", ");
                let said = left.said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
                if let Ok(standings) = self.fences().standings(group).await {
                    let side = to.other();
                    let epoch = standings.get(side).fence.epoch;
                    let evidence = json!({ "handover": { "undone": true, "left": left_json(&left),
                        "steps": steps.iter().map(step_json).collect::<Vec<_>>() } });
                    let told = HandedOver { group, side, epoch, evidence, approved_by: None };
                    if let Err(error) = publish_handover(&self.witness, &told, author).await {
                        tracing::warn!(%group, %error, "that the handover of group {group} was undone is not published yet: {error}");
                    }
                }
                DeskError::no(
                    "UNDRAINED",
                    format!(
                        "{message}. In the way: {keys}{said}. Mend them (`strangler repair`), or use --force, which lists what is left behind in the record"
                    ),
                )
            }
        }
    }

    /// What would be lost or wait if the authority over `group` went to `to` now. Changes nothing.
    ///
    /// # Errors
    /// When the handover is not possible at all, or a side does not answer.
    pub async fn handover_safety(&self, group: &GroupName, to: Side) -> Result<Safety, DeskError> {
        self.policy_for_handover(group, to).await?;
        let stores = self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Scan)));
        let looked = safety::look(&self.contract, &stores, group, to.other(), LOOK_WITHIN).await;
        looked.map_err(|error| DeskError::no("SIDE_DOWN", crate::error::with_root(&error)))
    }
}
