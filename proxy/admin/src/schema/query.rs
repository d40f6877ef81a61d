//! Questions.

use async_graphql::{ComplexObject, Context, Json, Object, Result, SimpleObject};
use model::GroupName;
use model::control::{LIVE_WITHIN, Sums};
use model::evidence::Verdict;
use serde_json::Value;

use super::at_rest::{AtRestShape, OrderShape};
use super::breakeven::{BreakEvenShape, GivenShape, MoneyInput};
use super::differences::{DiffFilterInput, ExcuseShape};
use super::figures::{FigurePoint, GuardShape, LatelyShape};
use super::handover::{DualWriteEndShape, Primary, SafetyShape};
use super::plans::{PromotionShape, ProposalShape, Readiness, gate, step};
use super::preview::Previews;
use super::reports::{ReportShape, SampleShape};
use super::sagas::{SagaCountsShape, SagaShape};
use super::sides::{self, SideShape};
use super::types::{
    AuditShape, ChangeShape, Me, PolicyShape, ReplicaShape, RolloutShape, RouteEvidence, RouteShape, Unsettled,
    VerifiedShape, rfc3339,
};
use super::{at_least, desk, figures, shown};
use crate::auth::{Identity, Role};
use control_plane::desk::{GroupView, RecordFilter, unsettled_in_words};

/// Most rows of one answer.
const MOST: usize = 500;

/// Questions.
pub struct Query;

fn limited(limit: u32) -> usize {
    (limit as usize).min(MOST)
}

#[Object(guard = "at_least(Role::Viewer)")]
impl Query {
    /// Who is asking, and what they may.
    async fn me(&self, context: &Context<'_>) -> Result<Me> {
        let identity = context.data::<Identity>()?;
        Ok(Me { who: identity.who.clone(), role: identity.role.to_string() })
    }

    /// The replica that answers; null on the command line.
    async fn replica(&self, context: &Context<'_>) -> Result<Option<String>> {
        Ok(desk(context)?.here.as_ref().map(|here| here.id.to_string()))
    }

    /// The newest rollout.
    async fn rollout(&self, context: &Context<'_>) -> Result<RolloutShape> {
        let newest = desk(context)?.newest().await.map_err(shown)?;
        Ok(RolloutShape { version: newest.rollout.version.0, published_at: rfc3339(newest.at), who: newest.author.who })
    }

    /// Every group.
    async fn groups(&self, context: &Context<'_>) -> Result<Vec<Group>> {
        let groups = desk(context)?.groups().await.map_err(shown)?;
        Ok(groups.into_iter().map(Group::from).collect())
    }

    /// One group of the contract.
    async fn group(&self, context: &Context<'_>, name: String) -> Result<Group> {
        let desk = desk(context)?;
        let name = desk.group(&name).map_err(shown)?;
        let policy = desk.newest().await.map_err(shown)?.rollout.policy(&name);
        Ok(GroupView { name, policy, in_contract: true }.into())
    }

    /// Every route of the contract.
    async fn routes(&self, context: &Context<'_>) -> Result<Vec<RouteShape>> {
        Ok(desk(context)?.routes(None).into_iter().map(RouteShape::from).collect())
    }

    /// Mutations in steps, newest first.
    async fn sagas(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "running, compensating, stuck, done, undone or abandoned")] status: Option<String>,
        #[graphql(default = 50)] limit: u32,
    ) -> Result<Vec<SagaShape>> {
        let sagas = desk(context)?.sagas(status.as_deref(), limited(limit)).await.map_err(shown)?;
        Ok(sagas.into_iter().map(SagaShape::from).collect())
    }

    /// How many mutations in steps have not ended.
    async fn saga_counts(&self, context: &Context<'_>) -> Result<SagaCountsShape> {
        Ok(desk(context)?.saga_counts().await.map_err(shown)?.into())
    }

    /// One mutation in steps.
    async fn saga(&self, context: &Context<'_>, id: String) -> Result<SagaShape> {
        Ok(desk(context)?.saga(&id).await.map_err(shown)?.into())
    }

    /// Whether each side is the database that we knew, and what it has lost.
    async fn sides(&self, context: &Context<'_>) -> Result<Vec<SideShape>> {
        Ok(sides::both(Box::pin(desk(context)?.sides()).await))
    }

    /// What is known of the rows of every group at rest, or of one.
    async fn rows_at_rest(&self, context: &Context<'_>, group: Option<String>) -> Result<Vec<AtRestShape>> {
        let desk = desk(context)?;
        let groups = match group {
            Some(name) => vec![desk.group(&name).map_err(shown)?],
            None => desk.contract.groups().into_iter().collect(),
        };
        let mut known = Vec::new();
        for group in groups {
            known.push(desk.at_rest(&group).await.map_err(shown)?.into());
        }
        Ok(known)
    }

    /// An order to compare rows at rest: how far it is, and how it ended.
    async fn reconcile_order(&self, context: &Context<'_>, id: String) -> Result<OrderShape> {
        Ok(desk(context)?.reconcile_order(&id).await.map_err(shown)?.into())
    }

    /// Open orders of groups that the contract of the replica that answers does not have.
    async fn strange_orders(&self, context: &Context<'_>) -> Result<Vec<OrderShape>> {
        let orders = desk(context)?.strange_orders().await.map_err(shown)?;
        Ok(orders.into_iter().map(OrderShape::from).collect())
    }

    /// Replicas that live now.
    async fn replicas(&self, context: &Context<'_>) -> Result<Vec<ReplicaShape>> {
        let replicas = desk(context)?.control.replicas(LIVE_WITHIN).await.map_err(|error| shown(error.into()))?;
        Ok(replicas.iter().map(ReplicaShape::from).collect())
    }

    /// Published changes, newest first.
    async fn history(
        &self,
        context: &Context<'_>,
        group: Option<String>,
        #[graphql(default = 20)] limit: u32,
    ) -> Result<Vec<ChangeShape>> {
        let desk = desk(context)?;
        let group = group.map(|name| desk.group(&name)).transpose().map_err(shown)?;
        let records = desk.control.history(group.as_ref(), limited(limit)).await;
        Ok(records.map_err(|error| shown(error.into()))?.into_iter().map(ChangeShape::from).collect())
    }

    /// The audit, newest first.
    #[expect(clippy::too_many_arguments, reason = "arguments of a GraphQL field, each of them optional")]
    async fn audit(
        &self,
        context: &Context<'_>,
        group: Option<String>,
        #[graphql(desc = "Only what this person or program did.")] who: Option<String>,
        #[graphql(desc = "Only this event, as webhooks know it, such as rolled-back or excused.")] event: Option<
            String,
        >,
        #[graphql(desc = "2h, 7d, or a time in RFC 3339.")] since: Option<String>,
        #[graphql(desc = "Only entries before this place: where the last page ended.")] before: Option<u64>,
        #[graphql(default = 50)] limit: u32,
    ) -> Result<Vec<AuditShape>> {
        let filter = RecordFilter { group, who, event, since, before };
        let entries = desk(context)?.record(&filter, limited(limit)).await.map_err(shown)?;
        Ok(entries.into_iter().map(AuditShape::from).collect())
    }

    /// The audit as a chain, oldest first, from the entry behind place `after`: to be kept elsewhere, and followed there.
    async fn audit_chain(
        &self,
        context: &Context<'_>,
        #[graphql(default)] after: u64,
        #[graphql(default = 500)] limit: u32,
    ) -> Result<Vec<AuditShape>> {
        let entries = desk(context)?.control.audit(after, limited(limit)).await;
        Ok(entries.map_err(|error| shown(error.into()))?.into_iter().map(AuditShape::from).collect())
    }

    /// Whether the audit is what it was. Reads all of it.
    async fn verified(&self, context: &Context<'_>) -> Result<VerifiedShape> {
        Ok(desk(context)?.verify().await.map_err(shown)?.into())
    }

    /// What would be lost or wait if the authority over the group went to a side now. Reads every row of the group, and
    /// changes nothing. For operators, since it costs the sides something.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn handover_safety(&self, context: &Context<'_>, group: String, to: Primary) -> Result<SafetyShape> {
        let desk = desk(context)?;
        let group = desk.group(&group).map_err(shown)?;
        Ok(desk.handover_safety(&group, to.into()).await.map_err(shown)?.into())
    }

    /// What ending the dual write of the group would wait for now, or what is in its way. Changes nothing.
    #[graphql(guard = "at_least(Role::Operator)")]
    async fn dual_write_end(&self, context: &Context<'_>, group: String) -> Result<DualWriteEndShape> {
        let desk = desk(context)?;
        let group = desk.group(&group).map_err(shown)?;
        Ok(desk.dual_write_end(&group).await.map_err(shown)?.into())
    }

    /// What orders would do. Changes nothing.
    async fn preview(&self) -> Previews {
        Previews
    }

    /// Changes that wait for a second person.
    async fn proposals(&self, context: &Context<'_>) -> Result<Vec<ProposalShape>> {
        let open = desk(context)?.open_proposals().await.map_err(shown)?;
        Ok(open.into_iter().map(ProposalShape::from).collect())
    }

    /// What shadow reads have found.
    async fn report(&self, context: &Context<'_>, #[graphql(default)] filter: DiffFilterInput) -> Result<ReportShape> {
        let desk = desk(context)?;
        let filter = desk.evidence_filter(&filter.into()).map_err(shown)?;
        Ok(ReportShape(desk.report(&filter).await.map_err(shown)?))
    }

    /// One stored difference; the first letters of its id are enough.
    async fn sample(&self, context: &Context<'_>, id: String) -> Result<SampleShape> {
        let sample = desk(context)?.sample(&id).await.map_err(shown)?;
        Ok(SampleShape(sample))
    }

    /// Known differences that were accepted here, those that were taken back or have expired too.
    async fn excuses(&self, context: &Context<'_>) -> Result<Vec<ExcuseShape>> {
        let desk = desk(context)?;
        let today = (desk.clock)().to_utc().date_naive();
        let records = desk.excuses().await.map_err(shown)?;
        Ok(records.iter().map(|record| ExcuseShape::of(record, today)).collect())
    }

    /// What errors cost against what waiting costs, since the last repair where no time is asked for. What is left out is
    /// taken from the configuration.
    async fn breakeven(
        &self,
        context: &Context<'_>,
        #[graphql(default)] filter: DiffFilterInput,
        #[graphql(default)] given: MoneyInput,
    ) -> Result<BreakEvenShape> {
        let desk = desk(context)?;
        let filter = desk.evidence_filter(&filter.into()).map_err(shown)?;
        let given = given.over(&desk.breakeven).map_err(shown)?;
        Ok(desk.weigh(&given, &filter, None).await.map_err(shown)?.into())
    }

    /// The figures that break-even is made of and nobody can measure, those that are missing too.
    async fn breakeven_given(
        &self,
        context: &Context<'_>,
        #[graphql(default)] given: MoneyInput,
    ) -> Result<Vec<GivenShape>> {
        let given = given.over(&desk(context)?.breakeven).map_err(shown)?;
        Ok(given.inputs().into_iter().map(GivenShape::from).collect())
    }
}

/// A group.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Group {
    name: String,
    policy: PolicyShape,
    /// Whether the contract has it; a newer release may have published others.
    in_contract: bool,
    #[graphql(skip)]
    group: GroupName,
}

impl From<GroupView> for Group {
    fn from(view: GroupView) -> Self {
        Self {
            name: view.name.to_string(),
            policy: (&view.policy).into(),
            in_contract: view.in_contract,
            group: view.name,
        }
    }
}

#[ComplexObject]
impl Group {
    /// How it does now, beside the last day, and whether what was found is repaired since.
    async fn lately(&self, context: &Context<'_>) -> Result<LatelyShape> {
        Ok(desk(context)?.lately(&self.group).await.map_err(shown)?.into())
    }

    /// Answers compared by route, as far back as counts are kept. Mutations are never asked twice, so there is nothing to
    /// count.
    async fn comparisons(&self, context: &Context<'_>) -> Result<Vec<RouteEvidence>> {
        let desk = desk(context)?;
        let sums = desk.sums(&self.group, None).await.map_err(shown)?;
        let reads = desk.routes(Some(&self.group)).into_iter().filter(|route| route.kind != "write");
        Ok(reads.map(|view| counted(&sums, &view.route)).collect())
    }

    /// What the secondary does not have yet; null when the primary does not tell.
    async fn unsettled(&self, context: &Context<'_>) -> Result<Option<Unsettled>> {
        let evidence = desk(context)?.witness.testify(&self.group).await;
        let unsettled = &evidence["unsettled"];
        Ok(unsettled["writes"].as_u64().map(|writes| Unsettled {
            writes,
            oldest_seconds: unsettled["oldestSeconds"].as_f64(),
            left_behind: unsettled["leftBehind"].as_u64(),
        }))
    }

    /// The evidence at this moment, as a change would record it.
    async fn evidence(&self, context: &Context<'_>) -> Result<Json<Value>> {
        Ok(Json(desk(context)?.witness.testify(&self.group).await))
    }

    /// One sentence about what is unsettled.
    async fn unsettled_in_words(&self, context: &Context<'_>) -> Result<String> {
        Ok(unsettled_in_words(&desk(context)?.witness.testify(&self.group).await))
    }

    /// What this contract and the one that is registered on the sides differ in, for this group's types; empty outside of
    /// a rollout of the contract.
    async fn contracts_apart(&self, context: &Context<'_>) -> Result<Vec<String>> {
        Ok(desk(context)?.apart_in_words(&self.group).await)
    }

    /// What a person should know of it now, as this replica sees it, in sentences.
    async fn notices(&self, context: &Context<'_>) -> Result<Vec<String>> {
        Ok(desk(context)?.notices_of(&self.group))
    }

    /// "May I promote, and if not, why not?"
    async fn readiness(&self, context: &Context<'_>) -> Result<Readiness> {
        let view = desk(context)?.promotion(&self.group).await.map_err(shown)?;
        Ok(Readiness {
            answer: view.answer,
            gates: view.gates.into_iter().map(gate).collect(),
            plan: view.steps.iter().map(step).collect(),
            promotion: view.promotion.map(PromotionShape::from),
        })
    }

    /// What was counted over the last `seconds`, in steps of ten seconds or more.
    async fn figures(
        &self,
        context: &Context<'_>,
        #[graphql(default = 3_600)] seconds: u32,
    ) -> Result<Vec<FigurePoint>> {
        figures::over_time(context, &self.group, seconds).await
    }

    /// What the guard makes of it; null on the command line.
    async fn guard(&self, context: &Context<'_>) -> Result<Option<GuardShape>> {
        figures::guard(context, &self.group)
    }

    /// Its last changes, newest first.
    async fn changes(&self, context: &Context<'_>, #[graphql(default = 5)] limit: u32) -> Result<Vec<ChangeShape>> {
        let records = desk(context)?.control.history(Some(&self.group), limited(limit)).await;
        Ok(records.map_err(|error| shown(error.into()))?.into_iter().map(ChangeShape::from).collect())
    }
}

fn counted(sums: &Sums, route: &model::RouteName) -> RouteEvidence {
    let count = |verdict| sums.count(Some(route), verdict);
    RouteEvidence {
        route: route.to_string(),
        matches: count(Verdict::Match),
        excused: count(Verdict::Excused),
        mismatch: count(Verdict::Mismatch),
        inconclusive: count(Verdict::Inconclusive),
    }
}
