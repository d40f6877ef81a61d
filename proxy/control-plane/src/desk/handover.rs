//! Handing a group's authority over, and what that would cost: as an operator orders and asks it.

use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use model::control::{Action, Author, Deed};
use model::fence::Authority;
use model::{EntityKey, GroupName, Holder, PerSide, Policy, RolloutVersion, Side, Stage, Store, WriteId};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::decision::Decision;
use super::preview::Knowing;
use super::{Desk, DeskError, SetOutcome};
use crate::handover::coordinate::{Coordinator, Handed, NotHanded, Step};
use crate::handover::drain::Left;
use crate::handover::safety::{self, Safety};
use crate::handover::steps::StepName;
use crate::rollout::Refused;
use crate::rollout::handed::{HandedOver, publish_handover, with};
use crate::rollout::publish::{Change, Consent};
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::fences::Fences;
use data_plane::write::apply::Door;

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

/// What the authority over a group shall come to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// This side has it; with `force` also when writes would be left behind.
    Side { to: Side, force: bool },
    /// Modern has it alone.
    Alone,
}

/// A step as it is recorded.
pub(super) fn step_json(step: &Step) -> Json {
    json!({ "step": step.name.as_str(), "millis": step.took.as_secs_f64() * 1_000.0, "note": step.note })
}

/// What is left behind, as it is recorded.
pub(super) fn left_json(left: &Left) -> Json {
    let keys: Vec<String> = left.keys.iter().map(shown_key).collect();
    json!({ "writes": left.writes, "leftBefore": left.before, "keys": keys, "bare": left.bare, "said": left.said })
}

/// The first few of what is in the way, for a sentence.
fn shown_left(left: &Left) -> String {
    let bare = |write: &WriteId| format!("write {write}, which changed nothing");
    let all = left.keys.iter().map(shown_key).chain(left.bare.iter().map(bare));
    all.take(5).collect::<Vec<_>>().join(", ")
}

/// `StockLevel ["A","BER1"]`: a key as reports name it.
pub fn shown_key(key: &EntityKey) -> String {
    format!("{} {}", key.entity(), key.as_text())
}

impl Desk {
    pub(super) fn handover_stores(&self) -> PerSide<Arc<dyn Store>> {
        self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Admin)))
    }

    pub(super) fn fences(&self) -> Arc<Fences> {
        let here = self.here.as_ref().map(|here| here.rollout.clone());
        let told = move |group: &GroupName, holder| {
            if let Some(rollout) = &here {
                rollout.hear(group, holder);
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
        self.hand_over_as_seen(group, to, force, &Knowing::default(), author).await
    }

    /// As [`Desk::hand_over`], but only if nobody has changed the group since the rollout that `by` has seen.
    ///
    /// # Errors
    /// As [`Desk::hand_over`]; `OVERTAKEN` when somebody has.
    pub async fn hand_over_as_seen(
        &self,
        group: &GroupName,
        to: Side,
        force: bool,
        by: &Knowing,
        author: &Author,
    ) -> Result<HandoverOutcome, DeskError> {
        self.publish_as_held(group).await?;
        let (before, seen) = self.policy_for_handover(group, to).await?;
        self.still_as_seen(group, by, seen).await?;
        let after = before.handed_to(to, before.epoch());
        if before.primary() != to && self.approvals.ask(&before, &after) {
            let proposed = self.keep_proposal(group, before, after, Vec::new(), author, seen).await?;
            return Ok(HandoverOutcome::Proposed(Box::new(proposed)));
        }
        let goal = Goal::Side { to, force };
        let done = Box::pin(self.hand_over_now(group, goal, author, Consent::NotNeeded, seen)).await?;
        Ok(HandoverOutcome::Done(Box::new(done)))
    }

    /// The policy of `group`, if its authority may go to `to`, and the rollout that says so.
    async fn policy_for_handover(&self, group: &GroupName, to: Side) -> Result<(Policy, RolloutVersion), DeskError> {
        let newest = self.newest().await?.rollout;
        let policy = newest.policy(group);
        let wrong = |message: String| Err(DeskError::wrong("NOT_POSSIBLE", message));
        match (policy.stage(), to) {
            (Stage::Shift, Side::Modern) if policy.reads() == model::Percentage::FULL => Ok((policy, newest.version)),
            (Stage::Shift, Side::Modern) => wrong(format!(
                "modern answers {} of the reads of group `{group}`: promote it to 100 % before it becomes primary",
                policy.reads()
            )),
            (Stage::Shift | Stage::Reverse, _) => Ok((policy, newest.version)),
            (Stage::Legacy | Stage::DualWrite | Stage::Shadow, Side::Modern) => wrong(format!(
                "group `{group}` is at stage `{}`: modern becomes primary from stage `shift` at 100 %",
                policy.stage()
            )),
            (Stage::Legacy | Stage::DualWrite | Stage::Shadow, Side::Legacy) => Ok((policy, newest.version)),
            (Stage::Modern, _) => wrong(format!("group `{group}`: {}", Refused::NoReturn)),
        }
    }

    /// Hands over without asking anybody else. To modern only if nothing of the group was published since rollout `seen`.
    pub(super) async fn hand_over_now(
        &self,
        group: &GroupName,
        goal: Goal,
        author: &Author,
        consent: Consent<'_>,
        seen: RolloutVersion,
    ) -> Result<HandoverDone, DeskError> {
        self.both_live().await?;
        if let Goal::Side { to, force: false } = goal {
            self.would_run(group, to).await?;
        }
        let fences = self.fences();
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let doors = Door::both(&self.contract, &self.handover_stores(), breaker, self.handover.within, None);
        let decision = Decision::new(&self.witness, group, author, consent, seen).await;
        let decide = decision.as_ref();
        let coordinator = Coordinator { fences: &fences, doors: &doors, group, decide, settings: self.handover };
        let outcome = match goal {
            Goal::Side { to, force } => coordinator.hand_to(to, force).await,
            Goal::Alone => coordinator.end_dual_write().await,
        };
        // Whoever runs it hears at once what the fences say now.
        let _ = fences.look(group).await;
        let handed = match outcome {
            Ok(handed) => handed,
            Err(error) => return Err(self.not_handed(group, goal, error, author).await),
        };
        let (done, detail) = self.published(handed, &decision, group, author, consent).await;
        let group = Some(group.clone());
        let deed = Deed { action: Action::HandedOver, group, author: author.clone(), rollout: done.version, detail };
        if let Err(error) = self.control.note(&deed).await {
            tracing::warn!(%error, "how long writes waited for the handover is not in the record: {error}");
        }
        Ok(done)
    }

    /// A handover that is done, with the rollout that says so: published before modern was opened, or now.
    async fn published(
        &self,
        mut handed: Handed,
        decision: &Decision<'_>,
        group: &GroupName,
        author: &Author,
        consent: Consent<'_>,
    ) -> (HandoverDone, Json) {
        let detail = json!({
            "to": handed.to.as_str(),
            "alone": handed.alone,
            "pauseMillis": handed.pause.map(|pause| pause.as_secs_f64() * 1_000.0),
            "steps": handed.steps.iter().map(step_json).collect::<Vec<_>>(),
            "left": left_json(&handed.left),
        });
        if let Some((policy, version)) = decision.published() {
            return (HandoverDone { handed, policy, version: Some(version) }, detail);
        }
        let began = Instant::now();
        let holder = Holder { side: handed.to, epoch: handed.epoch, alone: handed.alone };
        let told = HandedOver { group, holder, evidence: decision.evidence(detail.clone()), consent };
        let (policy, version, note) = match publish_handover(&self.witness, &told, author).await {
            Ok(Change::Published { record, .. }) => {
                let version = record.rollout.version;
                (record.rollout.policy(group), Some(version), format!("rollout {version} says so"))
            }
            Ok(Change::AlreadySo { policy, version }) => {
                (policy, Some(version), format!("rollout {version} said so already"))
            }
            Err(error) => {
                let policy = self.known_policy(group, holder);
                (policy, None, format!("not yet, replicas follow the fences and publish it later ({error})"))
            }
        };
        telemetry::handover_step(StepName::Publish.as_str(), began.elapsed());
        handed.steps.push(Step { name: StepName::Publish, took: began.elapsed(), note });
        (HandoverDone { handed, policy, version }, detail)
    }

    /// That `to` would run what it is asked once it has the authority. One that is under way already is brought to its end
    /// whatever it meets: writes wait for it.
    async fn would_run(&self, group: &GroupName, to: Side) -> Result<(), DeskError> {
        let down = |error: model::StoreError| DeskError::no("SIDE_DOWN", request::error::with_root(&error));
        let fences = self.fences().standings(group).await.map_err(down)?;
        let (legacy, modern) = (fences.legacy.fence, fences.modern.fence);
        let held = matches!(Authority::of(&PerSide { legacy, modern }), Authority::Held { by, .. } if by != to);
        if !held {
            return Ok(());
        }
        let store = self.sides.get(to).get(Lane::Admin);
        // What is locked was tried when replicas started; the drain waits for the lock, or is undone by it.
        let wrong = store.wrong_statements(LOOK_WITHIN).await.map_err(down)?.into_iter();
        let wrong: Vec<_> = wrong.filter(|wrong| wrong.group == *group && wrong.tried).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{to} would not run {} statements of group `{group}`, so clients would get errors: {}. Mend them or the side \
             (`strangler check`), or use --force",
            wrong.len(),
            wrong.iter().map(|wrong| format!("{to}: {wrong}")).collect::<Vec<_>>().join("; ")
        );
        Err(DeskError::no("WRONG_STATEMENTS", message))
    }

    /// A side that has gone back lacks writes that count as settled: what it has is neither told nor handed over.
    async fn both_live(&self) -> Result<(), DeskError> {
        for side in Side::BOTH {
            let look = self.sides.get(side).get(Lane::Scan).life(&[], self.handover.within).await;
            let look = look.map_err(|error| DeskError::no("SIDE_DOWN", request::error::with_root(&error)))?;
            if let Some(why) = look.doubt() {
                return Err(DeskError::no(
                    "SIDE_SUSPENDED",
                    format!(
                        "{side} {why}, and may lack writes that were settled there: `strangler sides show` lists them, `strangler sides raise` brings them again; then hand over"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn known_policy(&self, group: &GroupName, holder: Holder) -> Policy {
        let known = self.here.as_ref().map_or_else(Policy::initial, |here| here.rollout.policy(group));
        known.following(holder)
    }

    /// An undone handover raised the epoch: that is published too, with what was in the way.
    async fn not_handed(&self, group: &GroupName, goal: Goal, error: NotHanded, author: &Author) -> DeskError {
        let message = request::error::with_root(&error);
        let undone = |steps: &[Step], left: &Left| {
            let steps: Vec<_> = steps.iter().map(step_json).collect();
            json!({ "handover": { "undone": true, "left": left_json(left), "steps": steps } })
        };
        match error {
            NotHanded::WritersStay { .. } => DeskError::no("WRITERS_STAY", message),
            NotHanded::Undone { .. } => DeskError::no("UNDONE", message),
            NotHanded::Alone(_) => DeskError::no("NOT_POSSIBLE", message),
            NotHanded::Unopened(_) => DeskError::no("UNOPENED_FENCE", message),
            NotHanded::Broken { .. } => DeskError::no("BROKEN_FENCES", message),
            NotHanded::Store(_) => DeskError::no("SIDE_DOWN", message),
            NotHanded::Overtaken { steps, .. } => {
                self.publish_undone(group, undone(&steps, &Left::default()), author).await;
                DeskError::no("OVERTAKEN", message)
            }
            NotHanded::Undecided { steps, .. } => {
                self.publish_undone(group, undone(&steps, &Left::default()), author).await;
                DeskError::no("CONTROL_STORE", message)
            }
            NotHanded::Undrained { left, steps, .. } => {
                let keys = shown_left(&left);
                let said = left.said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
                self.publish_undone(group, undone(&steps, &left), author).await;
                let forced = match goal {
                    Goal::Side { .. } => ", or use --force, which lists what is left behind in the record",
                    Goal::Alone => ": legacy gets nothing after it",
                };
                DeskError::no(
                    "UNDRAINED",
                    format!("{message}. In the way: {keys}{said}. Mend them (`strangler repair`){forced}"),
                )
            }
        }
    }

    /// Publishes that a handover was undone, as the fences say. Replicas do it later where it cannot be done now.
    async fn publish_undone(&self, group: &GroupName, evidence: Json, author: &Author) {
        let Ok(authority) = self.fences().look(group).await else { return };
        let Some(holder) = authority.holder() else { return };
        let evidence = with(self.witness.testify(group).await, &evidence);
        let told = HandedOver { group, holder, evidence, consent: Consent::NotNeeded };
        if let Err(error) = publish_handover(&self.witness, &told, author).await {
            tracing::warn!(%group, %error, "that the handover of group {group} was undone is not published yet: {error}");
        }
    }

    /// Publishes who has the authority over `group` where the newest rollout does not say so: a handover that was undone
    /// a moment ago is not one that was overtaken.
    async fn publish_as_held(&self, group: &GroupName) -> Result<(), DeskError> {
        let policy = self.newest().await?.rollout.policy(group);
        // A side that does not tell is told of by what follows.
        let Ok(authority) = self.fences().look(group).await else { return Ok(()) };
        if authority.holder().is_some_and(|holder| holder.epoch > policy.epoch()) {
            let author = Author {
                who: "strangler".to_owned(),
                origin: self.here.as_ref().map_or_else(|| "command line".to_owned(), |here| here.id.to_string()),
                reason: Some("the fences say so, and no rollout did".to_owned()),
            };
            self.publish_undone(group, Json::Null, &author).await;
        }
        Ok(())
    }

    /// That the fences of both sides go together.
    pub(super) async fn sound_fences(&self, group: &GroupName) -> Result<(), DeskError> {
        let fences = self.fences().standings(group).await;
        let fences = fences.map_err(|error| DeskError::no("SIDE_DOWN", request::error::with_root(&error)))?;
        let (legacy, modern) = (fences.legacy.fence, fences.modern.fence);
        if Authority::of(&PerSide { legacy, modern }) == Authority::Broken {
            let broken = NotHanded::Broken { group: group.clone(), legacy, modern };
            return Err(DeskError::no("BROKEN_FENCES", broken.to_string()));
        }
        Ok(())
    }

    /// What would be lost or wait if the authority over `group` went to `to` now. Changes nothing.
    ///
    /// # Errors
    /// When the handover is not possible at all, or a side does not answer.
    pub async fn handover_safety(&self, group: &GroupName, to: Side) -> Result<Safety, DeskError> {
        self.policy_for_handover(group, to).await?;
        self.both_live().await?;
        self.sound_fences(group).await?;
        let stores = self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Scan)));
        let looked = safety::look(&self.contract, &stores, group, to.other(), LOOK_WITHIN).await;
        looked.map_err(|error| DeskError::no("SIDE_DOWN", request::error::with_root(&error)))
    }
}
