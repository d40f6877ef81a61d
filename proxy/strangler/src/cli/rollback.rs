//! `groups rollback`: all reads back to legacy, whatever is down.

use std::path::Path;
use std::time::Duration;

use model::control::Author;
use model::{GroupName, Policy};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::Stop;
use super::args::RollbackArgs;
use super::desk::Desk;
use super::link::Link;
use super::print::{Printer, text};
use control_plane::desk::{RollbackOptions, RollbackOutcome};
use control_plane::rollout::{tell, way_back};

/// How long the record may take to tell what was changed: the rollback itself is done.
const WITHIN: Duration = Duration::from_secs(1);

/// Asks the replica that `--admin` names to tell the others.
pub(super) async fn there(out: Printer, link: &Link, args: &RollbackArgs) -> Result<(), Stop> {
    let document = "mutation($group: String!, $reason: String, $wait: Int!) { done: rollBack(group: $group, \
                    reason: $reason, waitMillis: $wait) { done rollout controlStore confirmed open { address why } } }";
    let wait = u64::try_from(args.who.timeout.as_millis()).unwrap_or(u64::MAX).min(60_000);
    let variables = json!({ "group": args.group, "reason": args.reason, "wait": wait });
    let begun = Instant::now();
    let answer = link.ask(document, variables).await?;
    let done = &answer["done"];
    let confirmed = done["confirmed"].as_array().map_or(0, Vec::len);
    let (group, took) = (&args.group, begun.elapsed().as_millis());
    out.line(format!("Group {group}: legacy answers all reads on {} after {took} ms.", tell::replicas(confirmed)));
    for open in done["open"].as_array().into_iter().flatten() {
        let (address, why) = (text(&open["address"]), text(&open["why"]));
        out.line(format!("  {address} {why}: if it runs, it may still answer from modern"));
    }
    if !done["rollout"].is_null() {
        tell_change(out, link, group).await;
    }
    out.json(done);
    if done["done"] == true { Ok(()) } else { Err(Stop::Told) }
}

/// What it changed, and how to go back. After the rollback, and only if the record tells it soon.
async fn tell_change(out: Printer, link: &Link, group: &str) {
    let document = "query($group: String!) { history(group: $group, limit: 2) { rollout summary record } }";
    let asked = tokio::time::timeout(WITHIN, link.ask(document, json!({ "group": group }))).await;
    let Ok(Ok(answer)) = asked else { return };
    let changes = answer["history"].as_array().cloned().unwrap_or_default();
    let Some(last) = changes.first() else { return };
    out.line(format!("  It was: {}.", text(&last["summary"])));
    let policy =
        |change: &Json| serde_json::from_value::<Policy>(change["record"]["rollout"]["policies"][group].clone()).ok();
    let before = changes.get(1).and_then(policy);
    if before.zip(policy(last)).and_then(|(before, after)| way_back(&before, &after)).is_some() {
        out.line(format!("  Back: strangler groups undo {group} --rollout {} --reason WHY", last["rollout"]));
    }
}

pub(super) async fn run(desk: &Desk, token_file: Option<&Path>, args: &RollbackArgs) -> Result<(), Stop> {
    let group = desk.group(&args.group)?;
    let nobody = || Author {
        who: "unknown".to_owned(),
        origin: data_plane::state_dir::machine_name(),
        reason: args.reason.clone(),
    };
    let author = desk.author(&args.who, args.reason.clone()).unwrap_or_else(nobody);
    let begun = Instant::now();
    let options = RollbackOptions { token_file, within: args.who.timeout };
    let warn = |problem: &str| desk.out.warn(format!("strangler: {problem}"));
    let ordered = desk.office().roll_back(&group, author, &options, warn).await;
    let outcome = ordered.map_err(|refused| Stop::No(refused.to_string()))?;
    let told = report(desk, &group, &outcome, begun.elapsed().as_millis());
    if outcome.version.is_ok() {
        tell_change(desk.out, &desk.link(None), group.as_str()).await;
    }
    told
}

fn report(desk: &Desk, group: &GroupName, outcome: &RollbackOutcome, took: u128) -> Result<(), Stop> {
    let out = desk.out;
    let done = tell::replicas(outcome.confirmed.len());
    match (&outcome.version, outcome.confirmed.is_empty()) {
        (Ok(version), false) => {
            out.line(format!("Group {group}: legacy answers all reads on {done} after {took} ms. Rollout {version}."))
        }
        (Ok(version), true) => {
            out.line(format!("Group {group}: rolled back in rollout {version}. No replica is live."))
        }
        (Err(why), false) => {
            out.line(format!("Group {group}: legacy answers all reads on {done} after {took} ms."));
            out.line(format!(
                "The control store does not have it yet ({why}); the replicas hold it and tell it when it is back."
            ));
        }
        (Err(why), true) => {
            out.line(format!("Group {group}: NOT rolled back. {why}, and no replica could be told."));
            out.line("Name the replicas' admin addresses in `fleet.replicas`, or POST to /api/v1/groups/GROUP/rollback on each.");
        }
    }
    for (address, why) in &outcome.open {
        out.line(format!("  {address} {why}: if it runs, it may still answer from modern"));
    }
    for address in &outcome.unsaved {
        match outcome.version {
            Ok(_) => out.line(format!("  {address} could not write it to its `state_dir`: see to its disk")),
            Err(_) => out.line(format!(
                "  {address} could not write it to its `state_dir`: restarted now it answers all reads from legacy, and the control store never hears of this order from it"
            )),
        }
    }
    out.json(&json!({
        "group": group,
        "done": outcome.is_done(),
        "millis": took,
        "rollout": outcome.version.as_ref().ok(),
        "controlStore": outcome.version.as_ref().err(),
        "confirmed": outcome.confirmed,
        "unsaved": outcome.unsaved,
        "open": outcome.open,
    }));
    if outcome.is_done() { Ok(()) } else { Err(Stop::Told) }
}
