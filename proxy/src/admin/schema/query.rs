//! Questions.

use async_graphql::{ComplexObject, Context, Json, Object, Result, SimpleObject};
use model::GroupName;
use model::control::{LIVE_WITHIN, Sums};
use model::evidence::Verdict;
use serde_json::Value;
use shadow_compare::Report;
use shadow_compare::report::SampleReport;

use super::types::{
    AuditShape, ChangeShape, DiffFilterInput, Me, PolicyShape, PromotionShape, ProposalShape, Readiness, ReplicaShape,
    RolloutShape, RouteEvidence, RouteShape, Unsettled, VerifiedShape, rfc3339, step,
};
use super::{Here, at_least, desk, shown};
use crate::admin::auth::{Identity, Role};
use crate::desk::{GroupView, unsettled_in_words};

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
        Ok(context.data::<Option<Here>>()?.as_ref().map(|here| here.id.to_string()))
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
    async fn audit(
        &self,
        context: &Context<'_>,
        group: Option<String>,
        #[graphql(default = 50)] limit: u32,
    ) -> Result<Vec<AuditShape>> {
        let desk = desk(context)?;
        let group = group.map(|name| desk.group(&name)).transpose().map_err(shown)?;
        let entries = desk.control.newest_audit(group.as_ref(), limited(limit)).await;
        Ok(entries.map_err(|error| shown(error.into()))?.into_iter().map(AuditShape::from).collect())
    }

    /// Whether the audit is what it was. Reads all of it.
    async fn verified(&self, context: &Context<'_>) -> Result<VerifiedShape> {
        Ok(desk(context)?.verify().await.map_err(shown)?.into())
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
        let report = SampleReport::of(&sample);
        Ok(SampleShape { id: sample.id.clone(), text: report.text(), json: json(&report.json()), html: report.html() })
    }
}

fn json(text: &str) -> Json<Value> {
    Json(serde_json::from_str(text).unwrap_or_default())
}

/// A report, in each of its forms.
pub(super) struct ReportShape(Report);

#[Object(name = "Report")]
impl ReportShape {
    /// The whole report in a sentence or two.
    async fn answer(&self) -> &str {
        &self.0.answer
    }

    /// Everything, for a terminal.
    async fn text(&self) -> String {
        self.0.text()
    }

    /// Everything, for programs.
    async fn json(&self) -> Json<Value> {
        json(&self.0.json())
    }

    /// Everything, as one page that loads nothing.
    async fn html(&self) -> String {
        self.0.html()
    }

    /// One line per route, field and cause, for a terminal.
    async fn list_text(&self) -> String {
        self.0.list_text()
    }

    /// One line per route, field and cause, for programs.
    async fn list_json(&self) -> Json<Value> {
        json(&self.0.list_json())
    }
}

/// One stored difference.
#[derive(SimpleObject)]
#[graphql(name = "Sample")]
pub(super) struct SampleShape {
    id: String,
    /// For a terminal: both sides, and their diff.
    text: String,
    /// For programs.
    json: Json<Value>,
    /// Both sides and their diff, to be part of a page.
    html: String,
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
    /// Comparisons by route, of all time. Mutations are never asked twice, so there is nothing to count.
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
            oldest_seconds: unsettled["oldestSeconds"].as_f64().unwrap_or_default(),
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

    /// "May I promote, and if not, why not?"
    async fn readiness(&self, context: &Context<'_>) -> Result<Readiness> {
        let view = desk(context)?.promotion(&self.group).await.map_err(shown)?;
        Ok(Readiness {
            answer: view.answer,
            gates: view.gates,
            plan: view.steps.iter().map(step).collect(),
            promotion: view.promotion.map(PromotionShape::from),
        })
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
