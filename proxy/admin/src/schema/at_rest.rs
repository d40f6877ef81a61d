//! Rows at rest, as the admin API shows them: what is known, what was ordered, how far it is. Values are among it only as
//! the reports have them, sensitive ones hashed.

use async_graphql::{ComplexObject, Context, Json, Result, SimpleObject};
use model::control::reconciliation::{DriftKind, Reconciliation};
use model::control::{OrderEnd, OrderRecord};
use serde_json::Value;

use super::types::rfc3339;
use super::{desk, shown};
use control_plane::desk::orders::running_in_words;
use control_plane::desk::{GroupAtRest, TypeAtRest};

/// What is known of a group's rows at rest.
#[derive(SimpleObject)]
#[graphql(name = "RowsAtRest")]
pub(super) struct AtRestShape {
    group: String,
    stage: String,
    /// Whether anything keeps the sides equal; else nothing is compared.
    dual_writes: bool,
    /// What the newest run of each type says, all in all.
    sentence: String,
    /// Rows that differ; null where it is not known whether any does.
    drift: Option<u64>,
    /// When the last complete run began of the type that was compared completely longest ago; null: some type never was.
    complete_at: Option<String>,
    /// When a type is due by the schedule; null: by order only.
    next_at: Option<String>,
    types: Vec<TypeShape>,
    /// The newest orders, newest first.
    orders: Vec<OrderShape>,
}

/// What is known of one type's rows at rest.
#[derive(SimpleObject)]
#[graphql(name = "TypeAtRest")]
struct TypeShape {
    entity: String,
    /// The newest run that has ended, complete or not; null: there is none.
    newest: Option<RunShape>,
    /// Whether that run compared by what this contract says.
    same_contract: bool,
    /// When the last run began that compared every row.
    complete_at: Option<String>,
}

/// One type in one run.
#[derive(SimpleObject)]
#[graphql(name = "ReconcileRun")]
struct RunShape {
    run: String,
    entity: String,
    who: String,
    origin: String,
    begun_at: String,
    ended_at: Option<String>,
    /// Whether it is known of every row of both sides whether it is equal.
    complete: bool,
    /// Why it is not.
    why_incomplete: Option<String>,
    legacy_rows: u64,
    modern_rows: u64,
    drift: u64,
    excused: u64,
    undecided: u64,
    kinds: Vec<KindShape>,
    /// Everything that was found, for programs.
    findings: Json<Value>,
}

/// One kind of drift.
#[derive(SimpleObject)]
#[graphql(name = "DriftKind")]
struct KindShape {
    /// Null when one side does not have the row.
    field: Option<String>,
    cause: String,
    rows: u64,
}

/// An order to compare the rows of a group at rest.
#[derive(SimpleObject)]
#[graphql(name = "ReconcileOrder", complex)]
pub(super) struct OrderShape {
    id: String,
    group: String,
    types: Vec<String>,
    who: String,
    origin: String,
    reason: Option<String>,
    ordered_at: String,
    /// waiting, running, complete, incomplete or failed.
    state: String,
    /// Who has ordered it and how far it is, or how it ended.
    sentence: String,
    /// The replica that has it, or had it last.
    taken_by: Option<String>,
    /// How often it was taken up.
    takes: u32,
    ended_at: Option<String>,
    /// The type that is being compared.
    at: Option<String>,
    /// Of that one, rows of legacy and of modern that were compared so far.
    legacy_rows: u64,
    modern_rows: u64,
    /// Of that one, rows that differ so far.
    drift: u64,
    /// Of that one, chunks still to be looked at, as far as is known.
    chunks: u64,
    /// Types that are done.
    done: Vec<String>,
    /// Rows of these that differ.
    drifted: u64,
    #[graphql(skip)]
    record: OrderRecord,
}

#[ComplexObject]
impl OrderShape {
    /// What was found of the types that are done.
    async fn runs(&self, context: &Context<'_>) -> Result<Vec<RunShape>> {
        let runs = desk(context)?.findings_of(&self.record).await.map_err(shown)?;
        Ok(runs.into_iter().map(RunShape::from).collect())
    }
}

impl From<GroupAtRest> for AtRestShape {
    fn from(known: GroupAtRest) -> Self {
        use model::control::reconciliation::AtRest;
        let drift = match known.known {
            AtRest::Unknown(_) => None,
            AtRest::Equal(_) => Some(0),
            AtRest::Drifted(rows) => Some(rows),
        };
        Self {
            sentence: known.sentence(),
            complete_at: known.complete().map(rfc3339),
            group: known.group.to_string(),
            stage: known.policy.stage().to_string(),
            dual_writes: known.policy.stage().dual_writes(),
            drift,
            next_at: known.next.map(rfc3339),
            types: known.types.into_iter().map(TypeShape::from).collect(),
            orders: known.orders.into_iter().map(OrderShape::from).collect(),
        }
    }
}

impl From<TypeAtRest> for TypeShape {
    fn from(one: TypeAtRest) -> Self {
        let TypeAtRest { entity, newest, same_contract, complete } = one;
        Self {
            entity: entity.to_string(),
            newest: newest.map(RunShape::from),
            same_contract,
            complete_at: complete.map(rfc3339),
        }
    }
}

impl From<Reconciliation> for RunShape {
    fn from(run: Reconciliation) -> Self {
        let why_incomplete = match &run.findings {
            Some(findings) => findings.why_incomplete(),
            None => Some("it has not ended".to_owned()),
        };
        let json = run.findings.as_ref().and_then(|findings| serde_json::to_value(findings).ok());
        let findings = run.findings.unwrap_or_default();
        let kind = |kind: &DriftKind| KindShape {
            field: kind.field.as_ref().map(ToString::to_string),
            cause: kind.cause.to_string(),
            rows: kind.rows,
        };
        Self {
            run: run.run.to_string(),
            entity: run.entity.to_string(),
            who: run.author.who,
            origin: run.author.origin,
            begun_at: rfc3339(run.begun),
            ended_at: run.ended.map(rfc3339),
            complete: why_incomplete.is_none(),
            why_incomplete,
            legacy_rows: findings.rows.legacy,
            modern_rows: findings.rows.modern,
            drift: findings.drift,
            excused: findings.excused,
            undecided: findings.undecided,
            kinds: findings.kinds.iter().map(kind).collect(),
            findings: Json(json.unwrap_or_default()),
        }
    }
}

impl From<OrderRecord> for OrderShape {
    fn from(record: OrderRecord) -> Self {
        let (order, progress) = (&record.order, &record.progress);
        Self {
            id: order.id.to_string(),
            group: order.group.to_string(),
            types: order.types.iter().map(|one| one.entity.to_string()).collect(),
            who: order.author.who.clone(),
            origin: order.author.origin.clone(),
            reason: order.author.reason.clone(),
            ordered_at: rfc3339(record.ordered),
            state: record.state().as_str().to_owned(),
            sentence: sentence(&record),
            taken_by: record.taken.as_ref().map(|taken| taken.by.to_string()),
            takes: record.takes(),
            ended_at: record.ended.as_ref().map(|(at, _)| rfc3339(*at)),
            at: progress.at.as_ref().map(ToString::to_string),
            legacy_rows: progress.rows.legacy,
            modern_rows: progress.rows.modern,
            drift: progress.drift,
            chunks: progress.chunks,
            done: progress.done.iter().map(|one| one.entity.to_string()).collect(),
            drifted: progress.done.iter().map(|one| one.drift).sum(),
            record,
        }
    }
}

/// How far it is, or how it ended.
fn sentence(record: &OrderRecord) -> String {
    match &record.ended {
        None => running_in_words(record),
        Some((_, OrderEnd::Failed(why))) => format!("not every type was compared: {why}"),
        Some((_, OrderEnd::Done)) => {
            let why = record.progress.done.iter().find_map(|one| Some((&one.entity, one.incomplete.as_ref()?)));
            match (why, record.progress.done.iter().map(|one| one.drift).sum::<u64>()) {
                (Some((entity, why)), drift) => {
                    format!("{drift} rows have drifted, and not every row of {entity} could be compared: {why}")
                }
                (None, 0) => "every row was compared, none has drifted".to_owned(),
                (None, 1) => "every row was compared, 1 has drifted".to_owned(),
                (None, drift) => format!("every row was compared, {drift} have drifted"),
            }
        }
    }
}
