//! The shapes of the admin API.

use async_graphql::{ComplexObject, Context, Enum, Json, Result, SimpleObject};
use model::control::audit::AuditEntry;
use model::control::{Event, Replica, RolloutRecord};
use model::{GroupName, Policy, RolloutVersion};
use serde_json::Value;

use super::desk;
use super::handover::HandoverShape;
use super::plans::ProposalShape;
use control_plane::desk::{RollbackOutcome, RouteView, SetOutcome, Verified, evidence_in_words};
use control_plane::rollout::{describe, way_back};

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
    /// Whether that rollout is on its disk.
    pub(super) saved: bool,
}

impl From<&Replica> for ReplicaShape {
    fn from(replica: &Replica) -> Self {
        let Replica { id, admin_address, rollout, instance: _, saved } = replica;
        Self { id: id.to_string(), admin_address: admin_address.clone(), rollout: rollout.0, saved: *saved }
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
    /// Null when it is not known, since the side's clock was put back.
    pub(super) oldest_seconds: Option<f64>,
    /// Writes that a handover left behind, on either side: nobody brings them over by itself. Null when a side does not
    /// tell.
    pub(super) left_behind: Option<u64>,
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
    /// What it is to webhooks: finer than the action, such as rolled-back.
    pub(super) event: String,
    /// What was done, in one line.
    pub(super) summary: String,
    pub(super) group: Option<String>,
    pub(super) who: String,
    pub(super) origin: String,
    pub(super) reason: Option<String>,
    pub(super) rollout: Option<u64>,
    pub(super) detail: Json<Value>,
    /// The evidence at that moment in a few words; empty when there was none.
    pub(super) evidence_in_words: String,
    /// The detail as the text that the hash covers.
    pub(super) detail_text: String,
    /// The hash of the entry before.
    pub(super) previous: String,
    pub(super) hash: String,
}

impl From<AuditEntry> for AuditShape {
    fn from(entry: AuditEntry) -> Self {
        let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
        Self {
            place: entry.place,
            at: rfc3339(entry.at),
            action: entry.action.as_str().to_owned(),
            event: Event::of(&entry).as_str().to_owned(),
            summary: entry.summary(),
            group: entry.group.map(|group| group.to_string()),
            who: entry.author.who,
            origin: entry.author.origin,
            reason: entry.author.reason,
            rollout: entry.rollout.map(|version| version.0),
            evidence_in_words: evidence_in_words(&detail["evidence"]),
            detail: Json(detail),
            detail_text: entry.detail,
            previous: entry.previous.0,
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

/// How a wish ended.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is published.
    Published,
    /// Everything was so already.
    AlreadySo,
    /// The authority has changed hands, or the dual write has ended: an approval does that.
    HandedOver,
    /// It waits for a second person.
    Proposed,
}

/// What came of a change.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct SetShape {
    pub(super) ended: Ended,
    pub(super) group: String,
    /// The policy that holds now.
    pub(super) policy: PolicyShape,
    /// The policy that held before; null where nothing was changed.
    pub(super) before: Option<PolicyShape>,
    /// The command that leads back to it; null where no single change does, as across a handover.
    pub(super) back: Option<String>,
    /// One line for people: what changed.
    pub(super) summary: String,
    pub(super) rollout: Option<u64>,
    pub(super) proposal: Option<ProposalShape>,
    /// What was done, where the authority has changed hands or the dual write has ended.
    pub(super) handover: Option<HandoverShape>,
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
            before: None,
            back: None,
            summary,
            rollout: rollout.map(|version| version.0),
            proposal,
            handover: None,
            millis: 0,
            acknowledged: Vec::new(),
            laggards: Vec::new(),
        };
        match outcome {
            SetOutcome::Published { record, before } => {
                let after = record.rollout.policy(group);
                let version = Some(record.rollout.version);
                let back = way_back(&before, &after);
                let rollout = record.rollout.version;
                let back = back.map(|_| format!("strangler groups undo {group} --rollout {rollout} --reason WHY"));
                let shape = shape(Ended::Published, &after, describe(&before, &after), version, None);
                (Self { before: Some((&before).into()), back, ..shape }, version)
            }
            SetOutcome::AlreadySo { policy, version } => {
                (shape(Ended::AlreadySo, &policy, "no change".to_owned(), Some(version), None), None)
            }
            SetOutcome::HandedOver { done, before } => {
                let (after, version) = (done.policy, done.version);
                let shape = shape(Ended::HandedOver, &after, describe(&before, &after), version, None);
                let (handover, before) = (Some(HandoverShape::done(group, *done)), Some((&before).into()));
                (Self { handover, before, ..shape }, version)
            }
            SetOutcome::Proposed(proposal) => {
                let summary = describe(&proposal.from, &proposal.to);
                let from = proposal.from;
                (shape(Ended::Proposed, &from, summary, None, Some((*proposal).into())), None)
            }
        }
    }
}

#[ComplexObject]
impl SetShape {
    /// The gates of the group that do not hold now, as `groups show` names them. A change by hand asks none of them.
    async fn closed_gates(&self, context: &Context<'_>) -> Result<Vec<String>> {
        let gates = desk(context)?.gates(&GroupName::new(&*self.group)).await;
        Ok(gates.into_iter().filter(|gate| !gate.holds()).map(|gate| gate.name.to_owned()).collect())
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
    /// Admin addresses of those that could not write it to their disk.
    pub(super) unsaved: Vec<String>,
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
            unsaved: outcome.unsaved.into_iter().collect(),
            open: outcome.open.into_iter().map(|(address, why)| OpenReplica { address, why }).collect(),
        }
    }
}

pub(super) fn rfc3339(instant: model::Instant) -> String {
    instant.to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
