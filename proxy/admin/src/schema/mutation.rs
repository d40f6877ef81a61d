//! Orders. Each says why, and is recorded with who and from where.

use std::time::Duration;

use async_graphql::{Context, Object, Result};
use model::control::Author;
use model::{GroupName, Percentage, RolloutVersion, Stage};
use tokio::time::Instant;

use super::at_rest::OrderShape;
use super::differences::ExcuseInput;
use super::handover::{HandoverShape, Primary};
use super::plans::{PromotionShape, ProposalShape, Readiness, gate, step};
use super::preview::seen;
use super::sagas::SagaShape;
use super::types::{Ended, PolicyShape, ReplicaShape, RollbackShape, SetShape};
use super::{Origin, at_least, desk, shown};
use crate::auth::{Identity, Role};
use control_plane::desk::{Desk, DeskError, PromoteOutcome, PromotionView, RollbackOptions, SetOutcome, reason};
use control_plane::rollout::SetPolicy;

/// The longest wait for the replicas.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Orders.
pub struct Mutation;

fn author(context: &Context<'_>, why: &str) -> Result<Author> {
    let (identity, origin) = (context.data::<Identity>()?, context.data::<Origin>()?);
    let reason = Some(reason(why).map_err(shown)?);
    Ok(Author { who: identity.who.clone(), origin: origin.0.clone(), reason })
}

fn percentage(percent: Option<f64>, what: &str) -> Result<Option<Percentage>> {
    let checked = percent.map(Percentage::try_from).transpose();
    checked.map_err(|error| shown(DeskError::wrong("BAD_PERCENTAGE", format!("{what}: {error}"))))
}

/// What is to be set, checked.
pub(super) fn wish(stage: Option<String>, reads: Option<f64>, shadow: Option<f64>) -> Result<SetPolicy> {
    let stage = stage.map(|name| name.parse::<Stage>()).transpose();
    let stage = stage.map_err(|error| shown(DeskError::wrong("UNKNOWN_STAGE", error.to_string())))?;
    Ok(SetPolicy { stage, reads: percentage(reads, "reads")?, shadow: percentage(shadow, "shadow")? })
}

#[Object]
impl Mutation {
    /// Changes stage or percentages, and waits until every live replica works under them.
    #[graphql(guard = "at_least(Role::Operator)")]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of one GraphQL field")]
    async fn set_policy(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(
            desc = "legacy, dual-write, shadow or shift; modern, from reverse, ends the dual write and always takes a second person"
        )]
        stage: Option<String>,
        #[graphql(desc = "Percentage of keys that modern answers, in steps of 0.01")] reads: Option<f64>,
        #[graphql(desc = "Percentage of reads that are also asked of the other side")] shadow: Option<f64>,
        #[graphql(desc = "Why, for the record")] reason: String,
        #[graphql(
            desc = "The objections that this goes past, by the names in its preview; `all` is any. Needed where modern would answer more while gates do not hold, and to leave the dual write",
            default
        )]
        past_gates: Vec<String>,
        #[graphql(desc = "The newest rollout that you have seen: refused if somebody has changed the group since")]
        after: Option<u64>,
        #[graphql(desc = "How long to wait for the replicas", default = 5_000)] wait_millis: u32,
    ) -> Result<SetShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        let wish = wish(stage, reads, shadow)?;
        let begun = Instant::now();
        let outcome = desk.set(&group, &wish, &seen(&past_gates, after), &author).await.map_err(shown)?;
        acknowledged(desk, &group, outcome, begun, wait_millis).await
    }

    /// Sets the group back to what held before its newest change, and waits until every live replica works under it.
    /// Refused when somebody else has changed the group since.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn undo(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(desc = "The change to take back; null: the newest, if it is your own")] rollout: Option<u64>,
        #[graphql(desc = "Why, for the record")] reason: String,
        #[graphql(desc = "As for setPolicy: an undo can raise reads, too", default)] past_gates: Vec<String>,
        #[graphql(desc = "How long to wait for the replicas", default = 5_000)] wait_millis: u32,
    ) -> Result<SetShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        let begun = Instant::now();
        let (past, rollout) = (seen(&past_gates, None).past, rollout.map(RolloutVersion));
        let outcome = desk.undo(&group, rollout, past, &author).await.map_err(shown)?;
        acknowledged(desk, &group, outcome, begun, wait_millis).await
    }

    /// Hands the authority for writes to a side, or finishes a handover that was begun. Clients wait meanwhile.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn hand_over(
        &self,
        context: &Context<'_>,
        group: String,
        to: Primary,
        #[graphql(desc = "Also when writes would be left behind, which are listed in the record", default = false)]
        force: bool,
        #[graphql(desc = "Why, for the record")] reason: String,
        #[graphql(desc = "The newest rollout that you have seen: refused if somebody has changed the group since")]
        after: Option<u64>,
    ) -> Result<HandoverShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        let by = seen(&[], after);
        let outcome = desk.hand_over_as_seen(&group, to.into(), force, &by, &author);
        let outcome = Box::pin(outcome).await.map_err(shown)?;
        Ok(HandoverShape::of(&group, outcome))
    }

    /// Answers all reads of the group from legacy, at once, whatever is down. Never needs a second person.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn roll_back(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(desc = "Why, for the record")] reason: Option<String>,
        #[graphql(desc = "How long to wait for the replicas", default = 5_000)] wait_millis: u32,
    ) -> Result<RollbackShape> {
        let (identity, origin) = (context.data::<Identity>()?, context.data::<Origin>()?);
        let reason = reason.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
        let author = Author { who: identity.who.clone(), origin: origin.0.clone(), reason };
        let desk = desk(context)?;
        let group = desk.group(&group).map_err(shown)?;
        let within = Duration::from_millis(wait_millis.into()).min(LONGEST_WAIT);
        let options = RollbackOptions { token_file: None, within };
        let warn = |problem: &str| tracing::warn!(%group, "while group {group} is rolled back: {problem}");
        Ok(desk.roll_back(&group, author, &options, warn).await.map_err(shown)?.into())
    }

    /// Accepts a known difference until a day; every replica counts it within seconds.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn excuse(
        &self,
        context: &Context<'_>,
        excuse: ExcuseInput,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<String> {
        let author = author(context, &reason)?;
        let accepted = desk(context)?.excuse(&excuse.wish().map_err(shown)?, &author).await.map_err(shown)?;
        Ok(accepted.id.to_string())
    }

    /// Takes an excuse back: it counts again. The first letters of its id are enough.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn unexcuse(
        &self,
        context: &Context<'_>,
        id: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<String> {
        let author = author(context, &reason)?;
        let record = desk(context)?.unexcuse(&id, &author).await.map_err(shown)?;
        Ok(record.excuse.id.to_string())
    }

    /// Orders that the rows of a group be compared at rest, or those of one type of it. Answers at once: a replica takes
    /// the order up within seconds, and `reconcileOrder` says how far it is. A group has one order at a time.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn reconcile(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(desc = "Only this type of it")] entity: Option<String>,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<OrderShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        Ok(desk.order_reconcile(&group, entity.as_deref(), &author).await.map_err(shown)?.into())
    }

    /// Lets replicas go on with a stuck saga, when its cause was mended.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn retry_saga(
        &self,
        context: &Context<'_>,
        id: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<SagaShape> {
        let author = author(context, &reason)?;
        Ok(desk(context)?.retry_saga(&id, &author).await.map_err(shown)?.into())
    }

    /// Takes a stuck saga over: no replica touches it again.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn abandon_saga(
        &self,
        context: &Context<'_>,
        id: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<SagaShape> {
        let author = author(context, &reason)?;
        Ok(desk(context)?.abandon_saga(&id, &author).await.map_err(shown)?.into())
    }

    /// Approves a change that waits for a second person: it takes effect.
    #[graphql(guard = "at_least(Role::Admin)")]
    async fn approve(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The proposal; the first letters of its id are enough")] id: String,
        #[graphql(desc = "Why, for the record")] reason: String,
        #[graphql(desc = "As for setPolicy: what stands against it now, whoever approves it goes past", default)]
        past_gates: Vec<String>,
        #[graphql(desc = "The newest rollout that you have seen: refused if somebody has changed the group since")]
        after: Option<u64>,
        #[graphql(desc = "How long to wait for the replicas", default = 5_000)] wait_millis: u32,
    ) -> Result<SetShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let begun = Instant::now();
        let (group, outcome) = desk.approve(&id, &seen(&past_gates, after), &author).await.map_err(shown)?;
        acknowledged(desk, &group, outcome, begun, wait_millis).await
    }

    /// Takes a proposal back, or turns it down.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn withdraw(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The proposal; the first letters of its id are enough")] id: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<ProposalShape> {
        let author = author(context, &reason)?;
        Ok(desk(context)?.withdraw(&id, &author).await.map_err(shown)?.into())
    }

    /// Begins to walk the declared plan; each step is taken when every gate holds.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn promote(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<PromoteShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        Ok(match desk.promote(&group, &author).await.map_err(shown)? {
            PromoteOutcome::Begun(view) => PromoteShape::of(*view, None),
            PromoteOutcome::Proposed(proposed) => {
                let proposal = match *proposed {
                    SetOutcome::Proposed(proposal) => Some((*proposal).into()),
                    SetOutcome::Published { .. } | SetOutcome::AlreadySo { .. } | SetOutcome::HandedOver { .. } => None,
                };
                PromoteShape::of(desk.promotion(&group).await.map_err(shown)?, proposal)
            }
        })
    }

    /// Ends a promotion where it is; percentages stay.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn stop_promotion(
        &self,
        context: &Context<'_>,
        group: String,
        #[graphql(desc = "Why, for the record")] reason: String,
    ) -> Result<PromoteShape> {
        let (desk, author) = (desk(context)?, author(context, &reason)?);
        let group = desk.group(&group).map_err(shown)?;
        Ok(PromoteShape::of(desk.stop_promotion(&group, &author).await.map_err(shown)?, None))
    }
}

/// What came of a wish to promote.
#[derive(async_graphql::SimpleObject)]
struct PromoteShape {
    policy: PolicyShape,
    readiness: Readiness,
    /// Where a second person is needed.
    proposal: Option<ProposalShape>,
}

impl PromoteShape {
    fn of(view: PromotionView, proposal: Option<ProposalShape>) -> Self {
        Self {
            policy: (&view.policy).into(),
            readiness: Readiness {
                answer: view.answer,
                gates: view.gates.into_iter().map(gate).collect(),
                plan: view.steps.iter().map(step).collect(),
                promotion: view.promotion.map(PromotionShape::from),
            },
            proposal,
        }
    }
}

/// Waits for the replicas where something was published.
async fn acknowledged(
    desk: &Desk,
    group: &GroupName,
    outcome: SetOutcome,
    begun: Instant,
    wait_millis: u32,
) -> Result<SetShape> {
    let (mut shape, version) = SetShape::of(group, outcome);
    if let (Some(version), Ended::Published | Ended::HandedOver) = (version, shape.ended) {
        let wait = Duration::from_millis(wait_millis.into()).min(LONGEST_WAIT);
        let seen = desk.acknowledged(version, wait).await.map_err(shown)?;
        shape.acknowledged = seen.by.iter().map(ReplicaShape::from).collect();
        shape.laggards = seen.laggards.iter().map(ReplicaShape::from).collect();
    }
    shape.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(shape)
}
