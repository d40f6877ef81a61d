//! `routes list`.

use serde_json::{Value as Json, json};

use super::Stop;
use super::groups::{POLICY, heading, percent, policy_json};
use super::link::Link;
use super::print::{Printer, text};

pub(super) async fn list(out: Printer, link: &Link) -> Result<(), Stop> {
    let answer = link.ask("{ routes { route kind type group } }", json!({})).await?;
    // The contract is known without the control store; who answers today is not.
    let groups = link.ask(&format!("{{ groups {{ name policy {{ {POLICY} }} }} }}"), json!({})).await;
    let policy = |group: &Json| {
        let known = groups.as_ref().ok()?["groups"].as_array()?;
        known.iter().find(|known| known["name"] == *group).map(|known| &known["policy"])
    };
    let mut rows = vec![heading(&["ROUTE", "KIND", "TYPE", "GROUP", "STAGE", "READS FROM MODERN"])];
    let mut shown: Vec<Json> = Vec::new();
    for route in answer["routes"].as_array().into_iter().flatten() {
        let policy = policy(&route["group"]);
        let unknown = || "?".to_owned();
        let mut row: Vec<String> = ["route", "kind", "type", "group"].map(|field| text(&route[field])).to_vec();
        row.push(policy.map_or_else(unknown, |policy| text(&policy["stage"])));
        row.push(policy.map_or_else(unknown, |policy| percent(&policy["reads"])));
        rows.push(row);
        let mut route = route.clone();
        route["policy"] = policy.map(|policy| policy_json(&route["group"], policy)).into();
        shown.push(route);
    }
    out.table(&rows);
    if let Err(stop) = &groups {
        out.warn(format!("Stages and percentages are not known: {}.", stop.text().unwrap_or_default()));
    }
    out.json(&shown);
    Ok(())
}
