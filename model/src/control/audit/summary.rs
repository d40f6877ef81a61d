//! What an entry says was done, in one line: the line that every list, page, message and file has.
//!
//! Entries are for ever, so what older releases noted is read too: where a detail is missing, less is said.

use serde_json::Value as Json;

use super::{Action, AuditEntry};

impl AuditEntry {
    /// What was done, without who and why, which stand beside it: `excused rounding in unitPrice of Query.product
    /// (scale: 1) until 2026-12-31, owner pricing`.
    pub fn summary(&self) -> String {
        let detail: Json = serde_json::from_str(&self.detail).unwrap_or_default();
        let text = |name: &str| detail[name].as_str().filter(|text| !text.is_empty());
        let part = |before: &str, name: &str| text(name).map(|text| format!("{before}{text}")).unwrap_or_default();
        let what = || text("what").unwrap_or("a difference that the entry does not name");
        match self.action {
            Action::Rollout => {
                let summary = text("summary").unwrap_or("a rollout");
                format!("{summary}{}", part(", approved by ", "approvedBy"))
            }
            Action::Proposed => format!("proposed: {}", text("summary").unwrap_or("a change")),
            Action::Approved | Action::Withdrawn => {
                let by = part(", proposed by ", "proposedBy");
                format!("{}: {}{by}", self.action.as_str(), text("summary").unwrap_or("a change"))
            }
            Action::PromotionStarted => {
                format!("promotion begun{}{}", steps(&detail["steps"]), part(", approved by ", "approvedBy"))
            }
            Action::PromotionStopped => {
                let at = detail["atStep"].as_u64().map(|step| format!(" at step {}", step + 1)).unwrap_or_default();
                format!("promotion stopped{at}{}", part(": ", "why"))
            }
            Action::PromotionFinished => "promotion finished: its last step is held".to_owned(),
            Action::Excused => format!("excused {}{}{}", what(), part(" until ", "until"), part(", owner ", "owner")),
            Action::Unexcused => format!(
                "unexcused {}: it counts again{}{}",
                what(),
                part(", was excused until ", "until"),
                part(" by ", "excusedBy")
            ),
            Action::Repaired => repaired(&detail),
            Action::SagaRetried | Action::SagaAbandoned => {
                let verb = if self.action == Action::SagaRetried { "ordered to go on" } else { "taken over by hand" };
                let (saga, route) = (text("saga").unwrap_or("not named"), part(" of ", "route"));
                format!("saga {saga}{route} {verb}{}", part("; it was stuck: ", "problem"))
            }
            Action::SideRaised => side_raised(&detail),
            Action::HandedOver => {
                let pause = detail["pauseMillis"].as_f64().map(|pause| format!(": writes waited {pause:.0} ms"));
                format!("handed over{}{}", part(" to ", "to"), pause.unwrap_or_default())
            }
            Action::ReconcileOrdered => {
                let types: Vec<&str> =
                    detail["types"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                let of = if types.is_empty() { String::new() } else { format!(" of {}", types.join(", ")) };
                format!("ordered to compare the rows at rest{of}")
            }
        }
    }
}

/// `: 1 %, 5 %, 25 %`.
fn steps(steps: &Json) -> String {
    let steps: Vec<&str> = steps.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if steps.is_empty() { String::new() } else { format!(": {}", steps.join(", ")) }
}

fn repaired(detail: &Json) -> String {
    if let Some(left) = detail["leftBehind"].as_array() {
        let writes = left.len();
        return format!("ended {writes} {} left behind by a handover", if writes == 1 { "write" } else { "writes" });
    }
    let kind = detail["type"].as_str().unwrap_or("rows");
    let asked = detail["asked"].as_str().map(|asked| format!(": {asked}")).unwrap_or_default();
    match detail["keys"].as_u64() {
        Some(1) => format!("repaired 1 key of {kind}{asked}"),
        Some(keys) => format!("repaired {keys} keys of {kind}{asked}"),
        None => format!("repaired {kind}{asked}"),
    }
}

fn side_raised(detail: &Json) -> String {
    let side = detail["side"].as_str().unwrap_or("a side");
    match (detail["lost"].as_u64(), detail["decision"].as_str(), detail["outcome"].is_object()) {
        (_, _, true) => format!("what {side} had lost was brought back, as the entry lists it"),
        (Some(0), _, _) => format!("{side} ordered to take writes again: it had lost none"),
        (Some(lost), Some(decision), _) => format!("{side} ordered to take writes again: {lost} lost, {decision}"),
        (Some(lost), None, _) => format!("{side} ordered to take writes again: {lost} lost"),
        (None, _, _) => format!("{side} ordered to take writes again"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::{Author, Deed};
    use crate::value::Instant;

    fn told(action: Action, detail: Json) -> String {
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: Some("the ERP rounds".into()) };
        let deed = Deed { action, group: None, author, rollout: None, detail };
        AuditEntry::following(None, &deed, Instant::parse("2026-01-31T08:00:00Z").unwrap()).summary()
    }

    #[test]
    fn an_entry_says_what_was_done_to_what_until_when_and_whose_it_is() {
        let excuse = json!({ "what": "rounding in unitPrice of Query.product (scale: 1)", "until": "2026-12-31",
                             "owner": "pricing", "excusedBy": "bob" });
        let plan = json!({ "steps": ["1 %", "5 %"], "approvedBy": null });
        let change = json!({ "summary": "stage shift -> reverse", "proposedBy": "bob", "approvedBy": "eve" });
        let saga = json!({ "saga": "s-1", "route": "Mutation.order", "problem": "no stock" });
        for (action, detail, said) in [
            (
                Action::Excused,
                excuse.clone(),
                "excused rounding in unitPrice of Query.product (scale: 1) until 2026-12-31, owner pricing",
            ),
            (
                Action::Unexcused,
                excuse,
                "unexcused rounding in unitPrice of Query.product (scale: 1): it counts again, was excused until \
                 2026-12-31 by bob",
            ),
            (
                Action::Repaired,
                json!({ "type": "Product", "keys": 26, "asked": "every row with cause foreign-write" }),
                "repaired 26 keys of Product: every row with cause foreign-write",
            ),
            (Action::Repaired, json!({ "leftBehind": [1] }), "ended 1 write left behind by a handover"),
            (Action::PromotionStarted, plan, "promotion begun: 1 %, 5 %"),
            (Action::PromotionStopped, json!({ "atStep": 0 }), "promotion stopped at step 1"),
            (Action::PromotionStopped, json!({ "why": "a gate closed" }), "promotion stopped: a gate closed"),
            (Action::Rollout, change.clone(), "stage shift -> reverse, approved by eve"),
            (Action::Approved, change, "approved: stage shift -> reverse, proposed by bob"),
            (Action::SagaRetried, saga, "saga s-1 of Mutation.order ordered to go on; it was stuck: no stock"),
            (
                Action::ReconcileOrdered,
                json!({ "types": ["Product", "StockLevel"] }),
                "ordered to compare the rows at rest of Product, StockLevel",
            ),
            (
                Action::SideRaised,
                json!({ "side": "legacy", "lost": 3, "decision": "GiveUp" }),
                "legacy ordered to take writes again: 3 lost, GiveUp",
            ),
        ] {
            assert_eq!(told(action, detail), said);
        }
    }

    #[test]
    fn an_entry_without_detail_says_less_and_never_nothing() {
        for action in Action::ALL {
            for detail in [Json::Null, json!({}), json!({ "what": 7, "summary": [] })] {
                let said = told(action, detail);
                assert!(said.len() > 5 && !said.contains("null"), "{action:?}: {said}");
            }
        }
    }
}
