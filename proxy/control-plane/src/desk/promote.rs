//! Promotions: begin, look, stop; and what is known at the gates.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adapters::Lane;
use chrono::TimeDelta;
use model::control::reconciliation::{at_rest, left_out};
use model::control::{Action, Approval, Author, Deed, EvidenceFilter, LIVE_WITHIN, Progress, Promotion, Step, Sums};
use model::evidence::Verdict;
use model::{EntityName, FieldName, GroupName, Instant, Policy, RouteName, Stage};
use serde_json::json;
use shadow_compare::judge::Reason;

use super::change::SetOutcome;
use super::{Desk, DeskError};
use crate::guard::GuardState;
use crate::promotion::gates::{self, Gate, GuardSays, Known};
use data_plane::evidence::stored;
use data_plane::reconcile::figures::types;

/// How long the gates wait for one total, and for the backlog.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// A group on its way, and what stands before the next step.
#[derive(Debug, Clone, PartialEq)]
pub struct PromotionView {
    /// The group's policy.
    pub policy: Policy,
    /// Its last promotion, if there ever was one.
    pub promotion: Option<Promotion>,
    /// The declared plan.
    pub steps: Vec<Step>,
    /// The gates, now.
    pub gates: Vec<Gate>,
    /// "May I promote, and if not, why not?" in words.
    pub answer: String,
}

/// What came of the wish to promote.
#[derive(Debug, Clone, PartialEq)]
pub enum PromoteOutcome {
    /// It has begun.
    Begun(Box<PromotionView>),
    /// It waits for a second person.
    Proposed(Box<SetOutcome>),
}

impl Desk {
    /// Where `group` is on its way, and whether it may move on.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn promotion(&self, group: &GroupName) -> Result<PromotionView, DeskError> {
        let policy = self.newest().await?.rollout.policy(group);
        let promotion = self.last_promotion(group).await?;
        let gates = self.gates(group).await;
        let answer = answer(&policy, promotion.as_ref(), &gates);
        Ok(PromotionView { policy, promotion, steps: self.promotions.steps.clone(), gates, answer })
    }

    pub(crate) async fn last_promotion(&self, group: &GroupName) -> Result<Option<Promotion>, DeskError> {
        Ok(self.control.promotions().await?.into_iter().find(|promotion| promotion.group == *group))
    }

    /// Begins to promote `group` along the declared plan, or proposes it where a second person is needed.
    ///
    /// # Errors
    /// [`DeskError`] when it is on its way already, or in a stage from which no promotion begins.
    pub async fn promote(&self, group: &GroupName, author: &Author) -> Result<PromoteOutcome, DeskError> {
        let newest = self.newest().await?.rollout;
        let policy = newest.policy(group);
        let steps = self.steps_from(group, &policy).await?;
        let last = steps[steps.len() - 1].reads;
        let to = Policy::new(Stage::Shift, last, policy.shadow(), policy.epoch())
            .map_err(|error| DeskError::wrong("NOT_POSSIBLE", error.to_string()))?;
        if self.approvals.ask(&policy, &to) {
            let proposed = self.keep_proposal(group, policy, to, steps, author, newest.version).await?;
            return Ok(PromoteOutcome::Proposed(Box::new(proposed)));
        }
        Ok(PromoteOutcome::Begun(Box::new(self.begin_promotion(group, author, None).await?)))
    }

    /// The policies after the first and after the last step from `policy` on, and the plan in words.
    pub(super) async fn first_step(
        &self,
        group: &GroupName,
        policy: &Policy,
    ) -> Result<(Policy, Policy, String), DeskError> {
        let steps = self.steps_from(group, policy).await?;
        let at = |step: &Step| {
            Policy::new(Stage::Shift, step.reads, policy.shadow(), policy.epoch())
                .map_err(|error| DeskError::wrong("NOT_POSSIBLE", error.to_string()))
        };
        let plan: Vec<String> =
            steps.iter().map(|step| format!("{} for {}", step.reads, crate::spoken::spoken(step.hold))).collect();
        Ok((at(&steps[0])?, at(&steps[steps.len() - 1])?, plan.join(", ")))
    }

    /// The steps of the plan that are left from `policy` on; never empty.
    async fn steps_from(&self, group: &GroupName, policy: &Policy) -> Result<Vec<Step>, DeskError> {
        match policy.stage() {
            Stage::Shadow | Stage::Shift => {}
            stage @ (Stage::Legacy | Stage::DualWrite) => {
                let message = format!(
                    "group `{group}` is in stage {stage}: set stage shadow first, so that there is evidence to go by"
                );
                return Err(DeskError::wrong("NOT_POSSIBLE", message));
            }
            stage @ (Stage::Reverse | Stage::Modern) => {
                return Err(DeskError::wrong("NOT_POSSIBLE", format!("group `{group}` is in stage {stage} already")));
            }
        }
        let steps: Vec<Step> =
            self.promotions.steps.iter().filter(|step| step.reads > policy.reads()).copied().collect();
        if steps.is_empty() {
            let message =
                format!("modern answers {} of group `{group}` already: no step of the plan is left", policy.reads());
            return Err(DeskError::wrong("NOT_POSSIBLE", message));
        }
        Ok(steps)
    }

    pub(super) async fn begin_promotion(
        &self,
        group: &GroupName,
        author: &Author,
        approval: Option<&Approval>,
    ) -> Result<PromotionView, DeskError> {
        let newest = self.newest().await?.rollout;
        let policy = newest.policy(group);
        let steps = self.steps_from(group, &policy).await?;
        let last = self.last_promotion(group).await?;
        if last.as_ref().is_some_and(|last| last.progress == Progress::Running) {
            return Err(DeskError::wrong("UNDER_WAY", format!("group `{group}` is being promoted already")));
        }
        let plan: Vec<String> = steps.iter().map(|step| step.reads.to_string()).collect();
        let promotion = Promotion {
            group: group.clone(),
            steps,
            at_step: None,
            since: (self.clock)(),
            since_rollout: Some(newest.version),
            author: author.clone(),
            approved_by: approval.map(|approval| approval.by.who.clone()),
            progress: Progress::Running,
            said: "begins".to_owned(),
            // The first revision is 1.
            revision: last.map_or(0, |last| last.revision) + 1,
        };
        let saved = match approval {
            Some(approval) => self.control.begin_approved(&promotion, approval, newest.version).await?,
            None => self.control.save_promotion(&promotion).await?,
        };
        if !saved {
            return Err(DeskError::no(
                "OVERTAKEN",
                format!("somebody else began to promote group `{group}` meanwhile"),
            ));
        }
        let detail = json!({ "steps": plan, "approvedBy": promotion.approved_by });
        self.note_promotion(Action::PromotionStarted, &promotion, author, detail).await?;
        let replicas = self.control.replicas(LIVE_WITHIN).await?.len();
        let mut view = self.promotion(group).await?;
        if replicas == 0 {
            view.answer += " No replica is live: the first one that starts takes the steps.";
        }
        Ok(view)
    }

    /// Ends the promotion of `group` where it is; percentages stay.
    ///
    /// # Errors
    /// [`DeskError`] when none is under way, or the control store does not do it.
    pub async fn stop_promotion(&self, group: &GroupName, author: &Author) -> Result<PromotionView, DeskError> {
        let running = self.last_promotion(group).await?.filter(|last| last.progress == Progress::Running);
        let Some(running) = running else {
            return Err(DeskError::wrong("NOT_UNDER_WAY", format!("group `{group}` is not being promoted")));
        };
        let why = format!("stopped by {}", author.who);
        let stopped = Promotion {
            progress: Progress::Stopped { why: why.clone() },
            said: why,
            revision: running.revision + 1,
            ..running
        };
        if !self.control.save_promotion(&stopped).await? {
            return Err(DeskError::no(
                "OVERTAKEN",
                "it has just moved on: look, and stop it again if you still want to",
            ));
        }
        let detail = json!({ "atStep": stopped.at_step });
        self.note_promotion(Action::PromotionStopped, &stopped, author, detail).await?;
        self.promotion(group).await
    }

    pub(crate) async fn note_promotion(
        &self,
        action: Action,
        promotion: &Promotion,
        author: &Author,
        detail: serde_json::Value,
    ) -> Result<(), DeskError> {
        let group = Some(promotion.group.clone());
        self.control.note(&Deed { action, group, author: author.clone(), rollout: None, detail }).await?;
        Ok(())
    }

    /// The gates of `group`, now. What cannot be learnt is unknown, and its gate does not hold.
    pub async fn gates(&self, group: &GroupName) -> Vec<Gate> {
        gates::judge(&self.known(group).await, &self.promotions.limits)
    }

    async fn known(&self, group: &GroupName) -> Known {
        let limits = &self.promotions.limits;
        let now = (self.clock)().to_utc();
        let since = Instant::new(now - TimeDelta::from_std(limits.evidence).unwrap_or(TimeDelta::days(1)));
        let mut known = Known { cdc_lag: Some(None), guard: self.guard_says(group), ..Known::default() };
        let counted = self.counted(group, since).await.ok();
        known.compared = counted.as_ref().map(|counted| counted.compared);
        if let Some(counted) = &counted
            && let Ok(recent) = self.sums(group, Some(since.max(counted.alone_since))).await
        {
            let count = |verdict| recent.count(None, verdict);
            let conclusive = count(Verdict::Match) + count(Verdict::Excused) + count(Verdict::Mismatch);
            known.routes = Some(self.conclusive_by_route(group, &recent));
            let failed = failed(&recent);
            known.modern = Some((conclusive + failed, failed));
        }
        if let Some(counted) = &counted
            && let Ok(ever) = self.sums(group, Some(counted.alone_since)).await
        {
            known.fields_never = Some(self.fields_never(group, &ever));
            known.keys_ratio = self.keys_ratio(group, &ever, counted.by_type.as_ref()).await;
        }
        if let Ok(newest) = self.control.newest_reconciliations(group).await {
            let types = types(&self.contract, group);
            known.left_out = left_out(&types, &newest);
            known.at_rest = Some(at_rest(&types, &newest));
        }
        known.unsettled_age = self.unsettled_age(group).await;
        known
    }

    fn guard_says(&self, group: &GroupName) -> GuardSays {
        let Some(guard) = &self.guard else { return GuardSays::NotHere };
        if let Err(why) = guard.check() {
            return GuardSays::Paused(why);
        }
        let Some(view) = guard.views().into_iter().find(|view| view.group == *group) else {
            return GuardSays::Nothing;
        };
        match view.state {
            GuardState::Idle | GuardState::Well => GuardSays::Well,
            GuardState::Paused => GuardSays::Paused(view.sentence),
            GuardState::Breach => GuardSays::Against(view.sentence),
        }
    }

    /// Age of the oldest unsettled write, as the primary says; `None` when it is not known who that is, or how old.
    async fn unsettled_age(&self, group: &GroupName) -> Option<Duration> {
        let primary = self.newest().await.ok()?.rollout.policy(group).primary();
        let backlog = self.sides.get(primary).get(Lane::Admin).backlog(group, LOOK_WITHIN).await.ok()?;
        if backlog.writes == 0 { Some(Duration::ZERO) } else { backlog.oldest }
    }

    /// Comparisons that say something, of each route that can be compared.
    fn conclusive_by_route(&self, group: &GroupName, sums: &Sums) -> BTreeMap<RouteName, u64> {
        let reads = self.routes(Some(group)).into_iter().filter(|route| route.kind != "write");
        let conclusive = |route: &RouteName| {
            [Verdict::Match, Verdict::Excused, Verdict::Mismatch]
                .map(|verdict| sums.count(Some(route), verdict))
                .iter()
                .sum()
        };
        reads.map(|view| (view.route.clone(), conclusive(&view.route))).collect()
    }

    /// The fields of the group's types that no route ever compared.
    fn fields_never(&self, group: &GroupName, sums: &Sums) -> Vec<(EntityName, FieldName)> {
        let mut compared: BTreeMap<&EntityName, BTreeSet<&FieldName>> = BTreeMap::new();
        for (route, field) in sums.fields.keys() {
            if let Some(root) = self.contract.root(route) {
                compared.entry(&root.entity.name).or_default().insert(field);
            }
        }
        let entities = self.contract.entities.values().filter(|entity| entity.group == *group);
        let never = entities.flat_map(|entity| {
            // A type that no route compared: none of its fields was.
            let seen = compared.get(&entity.name).cloned().unwrap_or_default();
            let unseen = entity.fields.iter().filter(move |field| !seen.contains(&field.name));
            unseen.map(|field| (entity.name.clone(), field.name.clone()))
        });
        never.collect()
    }

    /// The smallest share of keys that was compared, over the group's types; `None` when one is not known. `by_type`:
    /// how many records of each count, where the maps of all time hold others, too.
    async fn keys_ratio(
        &self,
        group: &GroupName,
        sums: &Sums,
        by_type: Option<&BTreeMap<EntityName, u64>>,
    ) -> Option<f64> {
        let totals = self.totals(Some(group)).await;
        let evidence = stored(sums, &self.contract, &EvidenceFilter::default(), &totals);
        let mut best: BTreeMap<&EntityName, f64> = BTreeMap::new();
        for coverage in &evidence.coverage {
            let Some(root) = self.contract.root(&coverage.route).filter(|root| root.entity.group == *group) else {
                continue;
            };
            // A table without rows has no share of keys that was compared: nobody knows.
            let total = coverage.keys_total.filter(|total| *total > 0)?;
            let counted = |types: &BTreeMap<_, u64>| types.get(&root.entity.name).copied().unwrap_or_default();
            let compared = by_type.map_or(coverage.keys_compared, counted);
            #[expect(clippy::cast_precision_loss, reason = "a share of keys, estimated anyway")]
            let ratio = (compared as f64 / total as f64).min(1.0);
            let so_far = best.entry(&root.entity.name).or_default();
            *so_far = so_far.max(ratio);
        }
        best.into_values().min_by(f64::total_cmp)
    }

    /// How many records legacy holds of each type; those are left out that it does not tell at once.
    pub(super) async fn totals(&self, group: Option<&GroupName>) -> BTreeMap<EntityName, u64> {
        let legacy = self.sides.legacy.get(Lane::Scan);
        let mut totals = BTreeMap::new();
        for (name, entity) in &self.contract.entities {
            if group.is_some_and(|group| entity.group != *group) {
                continue;
            }
            if let Ok(count) = legacy.rough_count(entity, LOOK_WITHIN).await {
                totals.insert(name.clone(), count);
            }
        }
        totals
    }
}

/// Comparisons that failed because a side had no answer. In stages that shadow, legacy had answered the client.
fn failed(sums: &Sums) -> u64 {
    let no_answer = [Reason::SideError.as_str(), Reason::TimedOut.as_str()];
    let of_side = |reason: &Option<String>| reason.as_deref().is_some_and(|reason| no_answer.contains(&reason));
    let failed = sums.comparisons.iter().filter(|(finding, _)| of_side(&finding.reason));
    failed.map(|(_, seen)| seen.count).sum()
}

fn answer(policy: &Policy, promotion: Option<&Promotion>, gates: &[Gate]) -> String {
    let closed = gates::closed(gates);
    let may = match (policy.stage(), closed.as_str()) {
        (Stage::Legacy | Stage::DualWrite, _) => {
            format!("No: in stage {} nothing is compared. Set stage shadow first.", policy.stage())
        }
        (Stage::Reverse | Stage::Modern, _) => format!("Nothing to promote: stage {}.", policy.stage()),
        (Stage::Shadow | Stage::Shift, "") => "Yes: every gate holds.".to_owned(),
        (Stage::Shadow | Stage::Shift, closed) => format!("No: {closed}."),
    };
    match promotion {
        Some(Promotion { progress: Progress::Running, said, .. }) => format!("{may} Under way: {said}."),
        Some(Promotion { progress: Progress::Stopped { why }, .. }) => {
            format!("{may} The last promotion stopped: {why}.")
        }
        Some(Promotion { progress: Progress::Finished, .. }) | None => may,
    }
}
