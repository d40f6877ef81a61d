//! The shapes of the admin API.

use async_graphql::{Enum, InputObject, Json, SimpleObject};
use chrono::NaiveDate;
use model::control::audit::AuditEntry;
use model::control::{Decision, ExcuseRecord, Progress, Promotion, Proposal, Replica, RolloutRecord};
use model::{GroupName, Policy, RolloutVersion, Rule};
use serde_json::Value;

use crate::desk::{
    DeskError, DiffFilter, ExcuseWish, RollbackOutcome, RouteView, SetOutcome, Verified, evidence_in_words,
};
use crate::promotion::Gate;
use crate::rollout::describe;

/// Who is asking.
#[derive(SimpleObject)]
pub(super) struct Me {
    pub(super) who: String,
    /// viewer, operator or admin.
    pub(super) role: String,
}

/// A group's settings.
#[derive(SimpleObject, Clone, Debug, PartialEq)]
pub(super) struct PolicyShape {
    /// legacy, dual-write, shadow, shift, reverse or modern.
    pub(super) stage: String,
    /// Percentage of keys that modern answers.
    pub(super) reads: f64,
    /// Percentage of reads that are also asked of the other side.
    pub(super) shadow: f64,
    /// legacy or modern: the authority for writes.
    pub(super) primary: String,
    pub(super) epoch: u64,
}

impl From<&Policy> for PolicyShape {
    fn from(policy: &Policy) -> Self {
        Self {
            stage: policy.stage().to_string(),
            reads: policy.reads().into(),
            shadow: policy.shadow().into(),
            primary: policy.primary().to_string(),
            epoch: policy.epoch().0.into(),
        }
    }
}

/// The newest rollout.
#[derive(SimpleObject)]
pub(super) struct RolloutShape {
    pub(super) version: u64,
    /// RFC 3339.
    pub(super) published_at: String,
    pub(super) who: String,
}

/// A running replica.
#[derive(SimpleObject)]
pub(super) struct ReplicaShape {
    pub(super) id: String,
    pub(super) admin_address: String,
    /// The rollout that it works under.
    pub(super) rollout: u64,
}

impl From<&Replica> for ReplicaShape {
    fn from(replica: &Replica) -> Self {
        Self { id: replica.id.to_string(), admin_address: replica.admin_address.clone(), rollout: replica.rollout.0 }
    }
}

/// A route of the contract.
#[derive(SimpleObject)]
pub(super) struct RouteShape {
    pub(super) route: String,
    /// `read by key`, `read by keys`, `read list` or `write`.
    pub(super) kind: String,
    #[graphql(name = "type")]
    pub(super) entity: String,
    pub(super) group: String,
}

impl From<RouteView> for RouteShape {
    fn from(view: RouteView) -> Self {
        Self {
            route: view.route.to_string(),
            kind: view.kind.to_owned(),
            entity: view.entity,
            group: view.group.to_string(),
        }
    }
}

/// Comparisons of one route by verdict.
#[derive(SimpleObject)]
pub(super) struct RouteEvidence {
    pub(super) route: String,
    #[graphql(name = "match")]
    pub(super) matches: u64,
    pub(super) excused: u64,
    pub(super) mismatch: u64,
    pub(super) inconclusive: u64,
}

/// What the secondary does not have yet.
#[derive(SimpleObject)]
pub(super) struct Unsettled {
    pub(super) writes: u64,
    pub(super) oldest_seconds: f64,
}

/// One published change.
#[derive(SimpleObject)]
pub(super) struct ChangeShape {
    pub(super) rollout: u64,
    /// RFC 3339.
    pub(super) at: String,
    pub(super) who: String,
    pub(super) origin: String,
    pub(super) reason: Option<String>,
    pub(super) approved_by: Option<String>,
    pub(super) summary: String,
    pub(super) groups: Vec<String>,
    pub(super) evidence: Json<Value>,
    /// The evidence at that moment in a few words; empty when there was none.
    pub(super) evidence_in_words: String,
    /// The whole record, as it is kept.
    pub(super) record: Json<Value>,
}

impl From<RolloutRecord> for ChangeShape {
    fn from(record: RolloutRecord) -> Self {
        Self {
            record: Json(serde_json::to_value(&record).unwrap_or_default()),
            rollout: record.rollout.version.0,
            at: rfc3339(record.at),
            who: record.author.who,
            origin: record.author.origin,
            reason: record.author.reason,
            approved_by: record.approved_by,
            summary: record.summary,
            groups: record.groups.iter().map(GroupName::to_string).collect(),
            evidence_in_words: evidence_in_words(&record.evidence),
            evidence: Json(record.evidence),
        }
    }
}

/// One entry of the audit.
#[derive(SimpleObject)]
pub(super) struct AuditShape {
    pub(super) place: u64,
    pub(super) at: String,
    pub(super) action: String,
    pub(super) group: Option<String>,
    pub(super) who: String,
    pub(super) origin: String,
    pub(super) reason: Option<String>,
    pub(super) rollout: Option<u64>,
    pub(super) detail: Json<Value>,
    pub(super) hash: String,
}

impl From<AuditEntry> for AuditShape {
    fn from(entry: AuditEntry) -> Self {
        Self {
            place: entry.place,
            at: rfc3339(entry.at),
            action: entry.action.as_str().to_owned(),
            group: entry.group.map(|group| group.to_string()),
            who: entry.author.who,
            origin: entry.author.origin,
            reason: entry.author.reason,
            rollout: entry.rollout.map(|version| version.0),
            detail: Json(serde_json::from_str(&entry.detail).unwrap_or_default()),
            hash: entry.hash.0,
        }
    }
}

/// Whether the record is what it was.
#[derive(SimpleObject)]
pub(super) struct VerifiedShape {
    pub(super) ok: bool,
    pub(super) entries: u64,
    pub(super) rollouts: u64,
    /// What is not well, in a sentence.
    pub(super) tampered: Option<String>,
    pub(super) head_place: Option<u64>,
    pub(super) head_hash: Option<String>,
}

impl From<Verified> for VerifiedShape {
    fn from(verified: Verified) -> Self {
        let (head_place, head_hash) = verified.head.map(|(place, hash)| (place, hash.0)).unzip();
        Self {
            ok: verified.tampered.is_none(),
            entries: verified.entries,
            rollouts: verified.rollouts,
            tampered: verified.tampered.map(|tampered| tampered.to_string()),
            head_place,
            head_hash,
        }
    }
}

/// A change that waits for a second person, or did.
#[derive(SimpleObject)]
pub(super) struct ProposalShape {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) summary: String,
    #[graphql(name = "from")]
    pub(super) before: PolicyShape,
    #[graphql(name = "to")]
    pub(super) after: PolicyShape,
    /// Whether it begins a promotion.
    pub(super) promotion: bool,
    pub(super) who: String,
    pub(super) reason: Option<String>,
    pub(super) at: String,
    pub(super) expires: String,
    /// waits, approved or withdrawn.
    pub(super) state: String,
    pub(super) decided_by: Option<String>,
}

impl From<Proposal> for ProposalShape {
    fn from(proposal: Proposal) -> Self {
        let (state, decided_by) = match proposal.decision {
            None => ("waits", None),
            Some(Decision::Approved { by, .. }) => ("approved", Some(by.who)),
            Some(Decision::Withdrawn { by }) => ("withdrawn", Some(by.who)),
        };
        Self {
            id: proposal.id.to_string(),
            group: proposal.group.to_string(),
            summary: describe(&proposal.from, &proposal.to),
            before: (&proposal.from).into(),
            after: (&proposal.to).into(),
            promotion: !proposal.steps.is_empty(),
            who: proposal.author.who,
            reason: proposal.author.reason,
            at: rfc3339(proposal.at),
            expires: rfc3339(proposal.expires),
            state: state.to_owned(),
            decided_by,
        }
    }
}

/// A step of a plan.
#[derive(SimpleObject)]
pub(super) struct StepShape {
    pub(super) reads: f64,
    pub(super) hold_seconds: u64,
}

/// A group on its way.
#[derive(SimpleObject)]
pub(super) struct PromotionShape {
    pub(super) steps: Vec<StepShape>,
    /// The step that is held, counted from 0.
    pub(super) at_step: Option<u64>,
    pub(super) since: String,
    pub(super) who: String,
    pub(super) reason: Option<String>,
    pub(super) approved_by: Option<String>,
    /// running, finished or stopped.
    pub(super) state: String,
    /// What it does or waits for.
    pub(super) said: String,
}

impl From<Promotion> for PromotionShape {
    fn from(promotion: Promotion) -> Self {
        let state = match promotion.progress {
            Progress::Running => "running",
            Progress::Finished => "finished",
            Progress::Stopped { .. } => "stopped",
        };
        Self {
            steps: promotion.steps.iter().map(step).collect(),
            at_step: promotion.at_step.map(|place| place as u64),
            since: rfc3339(promotion.since),
            who: promotion.author.who,
            reason: promotion.author.reason,
            approved_by: promotion.approved_by,
            state: state.to_owned(),
            said: promotion.said,
        }
    }
}

pub(super) fn step(step: &model::control::Step) -> StepShape {
    StepShape { reads: step.reads.into(), hold_seconds: step.hold.as_secs() }
}

/// "May I promote, and if not, why not?"
#[derive(SimpleObject)]
pub(super) struct Readiness {
    /// In words.
    pub(super) answer: String,
    pub(super) gates: Vec<Gate>,
    /// The declared plan.
    pub(super) plan: Vec<StepShape>,
    pub(super) promotion: Option<PromotionShape>,
}

/// How a wish ended.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is published.
    Published,
    /// Everything was so already.
    AlreadySo,
    /// It waits for a second person.
    Proposed,
}

/// What came of a change.
#[derive(SimpleObject)]
pub(super) struct SetShape {
    pub(super) ended: Ended,
    pub(super) group: String,
    /// The policy that holds now.
    pub(super) policy: PolicyShape,
    /// One line for people: what changed.
    pub(super) summary: String,
    pub(super) rollout: Option<u64>,
    pub(super) proposal: Option<ProposalShape>,
    /// How long it took to reach the replicas.
    pub(super) millis: u64,
    /// Live replicas that work under it.
    pub(super) acknowledged: Vec<ReplicaShape>,
    /// Live replicas that do not yet.
    pub(super) laggards: Vec<ReplicaShape>,
}

impl SetShape {
    pub(super) fn of(group: &GroupName, outcome: SetOutcome) -> (Self, Option<RolloutVersion>) {
        let shape = |ended, policy: &Policy, summary, rollout: Option<RolloutVersion>, proposal| Self {
            ended,
            group: group.to_string(),
            policy: policy.into(),
            summary,
            rollout: rollout.map(|version| version.0),
            proposal,
            millis: 0,
            acknowledged: Vec::new(),
            laggards: Vec::new(),
        };
        match outcome {
            SetOutcome::Published { record, before } => {
                let after = record.rollout.policy(group);
                let version = Some(record.rollout.version);
                (shape(Ended::Published, &after, describe(&before, &after), version, None), version)
            }
            SetOutcome::AlreadySo { policy, version } => {
                (shape(Ended::AlreadySo, &policy, "no change".to_owned(), Some(version), None), None)
            }
            SetOutcome::Proposed(proposal) => {
                let summary = describe(&proposal.from, &proposal.to);
                let from = proposal.from;
                (shape(Ended::Proposed, &from, summary, None, Some((*proposal).into())), None)
            }
        }
    }
}

/// A known difference that was accepted.
#[derive(SimpleObject)]
#[graphql(name = "Excuse")]
pub(super) struct ExcuseShape {
    pub(super) id: String,
    /// Route, field, cause and rule, in words.
    pub(super) what: String,
    pub(super) route: String,
    pub(super) owner: String,
    /// The last day on which it counts, in UTC.
    pub(super) until: String,
    /// in force, expired or withdrawn.
    pub(super) state: String,
    pub(super) who: String,
    pub(super) reason: Option<String>,
}

impl ExcuseShape {
    pub(super) fn of(record: &ExcuseRecord, today: NaiveDate) -> Self {
        let excuse = &record.excuse;
        Self {
            state: record.state(today).as_str().to_owned(),
            id: excuse.id.to_string(),
            what: excuse.scope.to_string(),
            route: excuse.scope.route.to_string(),
            owner: excuse.owner.clone(),
            until: excuse.until.to_string(),
            who: excuse.author.who.clone(),
            reason: excuse.author.reason.clone(),
        }
    }
}

/// What is to be excused.
#[derive(InputObject)]
pub(super) struct ExcuseInput {
    /// Such as Query.product.
    pub(super) route: String,
    /// Not for missing-row, extra-row and order.
    pub(super) field: Option<String>,
    /// Such as rounding.
    pub(super) cause: String,
    /// Only what this rule explains, such as `scale: 2`, as reports propose it.
    pub(super) rule: Option<String>,
    /// Who answers for the difference.
    pub(super) owner: String,
    /// The last day on which it is excused, in UTC: 2026-12-31.
    pub(super) until: String,
}

impl ExcuseInput {
    pub(super) fn wish(self) -> Result<ExcuseWish, DeskError> {
        let rule = self.rule.map(|rule| rule.parse::<Rule>()).transpose();
        let until =
            self.until.parse().map_err(|_| DeskError::wrong("BAD_EXCUSE", "until: give a day such as 2026-12-31"));
        Ok(ExcuseWish {
            route: self.route,
            field: self.field,
            cause: self.cause,
            rule: rule.map_err(|error| DeskError::wrong("BAD_EXCUSE", error.to_string()))?,
            owner: self.owner,
            until: until?,
        })
    }
}

/// Where a rollback has got to.
#[derive(SimpleObject)]
pub(super) struct RollbackShape {
    /// Whether every replica that may be running has confirmed.
    pub(super) done: bool,
    /// The rollout that has it; null while the control store has none.
    pub(super) rollout: Option<u64>,
    /// Why the control store does not have it yet; the replicas hold it and tell it when it is back.
    pub(super) control_store: Option<String>,
    /// Admin addresses of replicas that have confirmed.
    pub(super) confirmed: Vec<String>,
    /// Replicas that may be running and have not confirmed.
    pub(super) open: Vec<OpenReplica>,
}

/// A replica that may still answer from modern.
#[derive(SimpleObject)]
pub(super) struct OpenReplica {
    pub(super) address: String,
    pub(super) why: String,
}

impl From<RollbackOutcome> for RollbackShape {
    fn from(outcome: RollbackOutcome) -> Self {
        Self {
            done: outcome.is_done(),
            rollout: outcome.version.as_ref().ok().map(|version| version.0),
            control_store: outcome.version.err(),
            confirmed: outcome.confirmed.into_iter().collect(),
            open: outcome.open.into_iter().map(|(address, why)| OpenReplica { address, why }).collect(),
        }
    }
}

/// Which differences.
#[derive(InputObject, Default)]
pub(super) struct DiffFilterInput {
    /// Such as Query.stockLevel.
    pub(super) route: Option<String>,
    pub(super) field: Option<String>,
    /// Such as rounding or missing-row.
    pub(super) cause: Option<String>,
    /// 2h, 7d, or a time in RFC 3339.
    pub(super) since: Option<String>,
}

impl From<DiffFilterInput> for DiffFilter {
    fn from(input: DiffFilterInput) -> Self {
        Self { route: input.route, field: input.field, cause: input.cause, since: input.since }
    }
}

pub(super) fn rfc3339(instant: model::Instant) -> String {
    instant.to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
