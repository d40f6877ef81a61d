//! What operators see of groups and routes.

use model::contract::RootKind;
use model::control::{EvidenceFilter, Sums};
use model::evidence::Verdict;
use model::{GroupName, Policy, RouteName};
use serde_json::Value as Json;
use shadow_compare::words::number;

use super::{Desk, DeskError};

/// A group and the policy it is under.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// The group.
    pub name: GroupName,
    /// Its policy in the newest rollout.
    pub policy: Policy,
    /// Whether the contract has it; a newer release may have published others.
    pub in_contract: bool,
}

/// What is known about one route of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteView {
    /// The route.
    pub route: RouteName,
    /// `read by key`, `read by keys`, `read list` or `write`.
    pub kind: &'static str,
    /// The type that it answers or changes.
    pub entity: String,
    /// Its group.
    pub group: GroupName,
}

fn kind(kind: &RootKind) -> &'static str {
    match kind {
        RootKind::ByKey { .. } => "read by key",
        RootKind::ByKeys { .. } => "read by keys",
        RootKind::List { .. } => "read list",
        RootKind::Write(_) => "write",
    }
}

impl Desk {
    /// Every group, those of the contract first.
    ///
    /// # Errors
    /// As [`Desk::newest`].
    pub async fn groups(&self) -> Result<Vec<GroupView>, DeskError> {
        let rollout = self.newest().await?.rollout;
        let known = self.contract.groups();
        let others = rollout.policies.keys().filter(|group| !known.contains(group));
        let view = |name: &GroupName| GroupView {
            name: name.clone(),
            policy: rollout.policy(name),
            in_contract: known.contains(name),
        };
        Ok(known.iter().chain(others).map(view).collect())
    }

    /// Every route of the contract, or those of `group`.
    pub fn routes(&self, group: Option<&GroupName>) -> Vec<RouteView> {
        let roots = self.contract.roots.values().filter(|root| group.is_none_or(|group| root.group == *group));
        let view = |root: &std::sync::Arc<model::Root>| RouteView {
            route: root.route.clone(),
            kind: kind(&root.kind),
            entity: root.entity.name.to_string(),
            group: root.group.clone(),
        };
        roots.map(view).collect()
    }

    /// The evidence of a group's routes.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn sums(&self, group: &GroupName, since: Option<model::Instant>) -> Result<Sums, DeskError> {
        let routes = Some(self.witness.routes(group));
        Ok(self.control.evidence(&EvidenceFilter { routes, since, ..EvidenceFilter::default() }).await?)
    }
}

/// One sentence about what is unsettled, from what the witness saw.
pub fn unsettled_in_words(evidence: &Json) -> String {
    let not_known =
        |why: &str| format!("Whether every write is settled is not known: {why}. `strangler sides show` says more.");
    // Null where the ledgers told nothing, which is said below; within it, where the primary did not say.
    if let Some(suspended) = evidence["unsettled"].get("suspended") {
        let Some(suspended) = suspended.as_array() else {
            return not_known("the primary does not say whether it is suspended");
        };
        let suspended: Vec<_> = suspended.iter().filter_map(Json::as_str).collect();
        if !suspended.is_empty() {
            let are = if suspended.len() == 1 { "is" } else { "are" };
            return not_known(&format!("{} {are} suspended", suspended.join(" and ")));
        }
    }
    let left = evidence["unsettled"]["leftBehind"].as_u64();
    let said = match evidence["unsettled"]["writes"].as_u64() {
        Some(0) if left == Some(0) => "Every write is settled.".to_owned(),
        Some(0) => "Every write of the primary is settled.".to_owned(),
        Some(1) => "1 write is not settled yet.".to_owned(),
        Some(writes) => format!("{} writes are not settled yet.", number(writes)),
        None => "How many writes are unsettled is not known: the primary did not tell.".to_owned(),
    };
    match left {
        Some(0) => said,
        Some(left) => format!("{said} {left} were left behind by a handover that was forced: nobody brings them over."),
        None => format!("{said} How many were left behind is not known."),
    }
}

/// `7 match, 1 mismatch; 0 unsettled`, from the evidence at the moment of a change.
pub fn evidence_in_words(evidence: &Json) -> String {
    if evidence.is_null() {
        return String::new();
    }
    if let Some(handover) = evidence.get("handover") {
        return handover_in_words(handover);
    }
    let count = |verdict: Verdict| evidence["comparisons"][verdict.as_str()].as_u64();
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| Some((verdict, count(verdict)?)));
    let counts: Vec<_> =
        counts.filter(|(_, n)| *n > 0).map(|(verdict, n)| format!("{} {verdict}", number(n))).collect();
    let compared = match (&evidence["comparisons"], counts.is_empty()) {
        // The control store did not tell: that is not nothing.
        (Json::Null, _) => "not known what was compared".to_owned(),
        (_, true) => "nothing compared".to_owned(),
        (_, false) => counts.join(", "),
    };
    match evidence["unsettled"]["writes"].as_u64() {
        Some(writes) => format!("{compared}; {} unsettled", number(writes)),
        None => compared,
    }
}

/// How long writes waited for a handover, and for which step; whether it was undone, and what was left behind.
fn handover_in_words(handover: &Json) -> String {
    let millis = |value: &Json| value.as_f64().map(|millis| format!("{millis:.1} ms"));
    let mut told = Vec::new();
    if handover["undone"] == true {
        told.push("undone".to_owned());
    }
    told.extend(millis(&handover["pauseMillis"]).map(|pause| format!("writes waited {pause}")));
    let until_then = |waited| format!("writes waited {waited} until this was published");
    told.extend(millis(&handover["waitedMillis"]).map(until_then));
    let steps = handover["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let steps =
        steps.iter().filter_map(|step| Some(format!("{} {}", step["step"].as_str()?, millis(&step["millis"])?)));
    let steps: Vec<_> = steps.collect();
    if !steps.is_empty() {
        told.push(steps.join(", "));
    }
    if let Some(writes) = handover["left"]["writes"].as_u64().filter(|writes| *writes > 0) {
        told.push(format!("{writes} writes left behind"));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_ledger_of_a_suspended_side_says_is_called_settled_by_nobody() {
        let told = |suspended| {
            unsettled_in_words(&json!({ "unsettled": { "writes": 0, "leftBehind": 0, "suspended": suspended } }))
        };
        assert_eq!(told(json!([])), "Every write is settled.");
        assert!(told(json!(["legacy"])).contains("not known: legacy is suspended"), "{}", told(json!(["legacy"])));
        assert!(told(json!(["legacy", "modern"])).contains("legacy and modern are suspended"));
        assert!(told(Json::Null).contains("the primary does not say"), "{}", told(Json::Null));
    }

    #[test]
    fn a_handover_is_told_by_its_steps_and_anything_else_by_what_was_compared() {
        let steps = json!([{ "step": "freeze", "millis": 1.25 }, { "step": "open", "millis": 2.0 }]);
        let handover = json!({ "pauseMillis": 3.26, "steps": steps, "left": { "writes": 0 } });
        let told = evidence_in_words(&json!({ "handover": handover }));
        assert_eq!(told, "writes waited 3.3 ms; freeze 1.2 ms, open 2.0 ms");
        let undone = json!({ "undone": true, "steps": steps, "left": { "writes": 7 } });
        let told = evidence_in_words(&json!({ "handover": undone }));
        assert_eq!(told, "undone; freeze 1.2 ms, open 2.0 ms; 7 writes left behind");
        let compared = json!({ "comparisons": { "match": 3, "mismatch": 0 }, "unsettled": { "writes": 2 } });
        assert_eq!(evidence_in_words(&compared), "3 match; 2 unsettled");
        let silent = json!({ "comparisons": null, "unsettled": { "writes": 0 } });
        assert_eq!(evidence_in_words(&silent), "not known what was compared; 0 unsettled");
        let none = json!({ "comparisons": {}, "unsettled": null });
        assert_eq!(evidence_in_words(&none), "nothing compared");
        assert_eq!(evidence_in_words(&Json::Null), "");
    }
}
