//! `routes list`.

use model::contract::RootKind;
use serde_json::{Value as Json, json};

use super::Stop;
use super::desk::Desk;
use super::groups::policy_json;

fn kind(kind: &RootKind) -> &'static str {
    match kind {
        RootKind::ByKey { .. } => "read by key",
        RootKind::ByKeys { .. } => "read by keys",
        RootKind::List { .. } => "read list",
        RootKind::Write(_) => "write",
    }
}

pub(super) async fn list(desk: &Desk) -> Result<(), Stop> {
    // The contract is known without the control store; who answers today is not.
    let newest = desk.control().newest().await;
    let rollout = newest.as_ref().ok().and_then(Option::as_ref).map(|record| &record.rollout);
    let mut rows = vec![["ROUTE", "KIND", "TYPE", "GROUP", "STAGE", "READS FROM MODERN"].map(str::to_owned).to_vec()];
    let mut shown: Vec<Json> = Vec::new();
    for root in desk.contract().roots.values() {
        let policy = rollout.map(|rollout| rollout.policy(&root.group));
        let cell = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        rows.push(vec![
            root.route.to_string(),
            kind(&root.kind).to_owned(),
            root.entity.name.to_string(),
            root.group.to_string(),
            cell(policy.map(|policy| policy.stage().to_string())),
            cell(policy.map(|policy| policy.reads().to_string())),
        ]);
        shown.push(json!({
            "route": root.route,
            "kind": kind(&root.kind),
            "type": root.entity.name,
            "group": root.group,
            "policy": policy.map(|policy| policy_json(&root.group, &policy)),
        }));
    }
    desk.out.table(&rows);
    if let Err(error) = &newest {
        desk.out.warn(format!("Stages and percentages are not known: {error}."));
    }
    desk.out.json(&shown);
    Ok(())
}
