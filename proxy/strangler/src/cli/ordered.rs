//! `reconcile --admin`: orders the comparison of a replica's fleet, waits for its end, and says what was found.
//!
//! The order is the fleet's: it goes on when whoever waits for it goes away. Exit codes are those of the command that
//! compares by itself: 0 only when every row was compared and none has drifted.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::Stop;
use super::link::Link;
use super::print::{Printer, text};
use super::reconcile::{ReconcileArgs, TELL_EVERY, stop_by_interrupt};
use super::repair::or_none;

/// How often it is asked how far the order is.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// For how long a replica may not answer while it is waited for: it may be restarted meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

const ORDER: &str = "id group state sentence takenBy at legacyRows modernRows drift chunks done types drifted";
const RUNS: &str = "runs { run entity complete whyIncomplete legacyRows modernRows drift excused kinds { field cause rows } \
                    findings }";

pub(super) async fn reconcile(out: Printer, link: &Link, args: &ReconcileArgs) -> Result<(), Stop> {
    let bad = |what: &str| {
        Stop::BadUse(format!(
            "{what} does not go with --admin: the replicas compare, at their own pace, and do not level anything"
        ))
    };
    if args.repair {
        return Err(Stop::BadUse(format!("--repair does not go with --admin: {}", super::NEEDS_DATABASES)));
    }
    if args.limit != ReconcileArgs::LIMIT {
        return Err(bad("--limit"));
    }
    if args.pause != ReconcileArgs::PAUSE {
        return Err(bad("--pause"));
    }
    let reason = args.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| Stop::BadUse("an order needs --reason: say why, for the record".to_owned()))?;
    let stop = stop_by_interrupt();
    let (mut shown, mut drift, mut complete) = (Vec::new(), 0, true);
    for group in groups(link, args).await? {
        if stop.is_cancelled() {
            // Groups that were not ordered are not known.
            complete = false;
            break;
        }
        let document = format!(
            "mutation($group: String!, $entity: String, $reason: String!) {{ order: reconcile(group: $group, \
             entity: $entity, reason: $reason) {{ {ORDER} }} }}"
        );
        let given = json!({ "group": group, "entity": args.entity, "reason": reason });
        let order = link.ask(&document, given).await?["order"].clone();
        out.line(format!("Group {group}: ordered as {}; a replica takes it up within seconds.", text(&order["id"])));
        let ended = tokio::select! {
            ended = wait(out, link, &order["id"]) => ended?,
            () = stop.cancelled() => {
                out.warn("The order goes on without you: the page `Rows at rest` of the dashboard shows how far it is.");
                return Err(Stop::Told);
            }
        };
        complete &= ended["state"] == "complete";
        // As the order counts them: a run that is not shown has not drifted less.
        let unknown = || Stop::No("the replica does not say how many rows have drifted".to_owned());
        drift += ended["drifted"].as_u64().ok_or_else(unknown)?;
        tell(out, &ended);
        shown.extend(types(&ended));
    }
    out.json(&json!({ "complete": complete, "drift": drift, "types": shown }));
    if complete && drift == 0 { Ok(()) } else { Err(Stop::Told) }
}

/// The groups to be compared: the one that is named, that of the type, or all that are written to both sides.
async fn groups(link: &Link, args: &ReconcileArgs) -> Result<Vec<String>, Stop> {
    if let Some(group) = &args.group {
        return Ok(vec![group.clone()]);
    }
    let answer = link.ask("{ rowsAtRest { group dualWrites types { entity } } }", json!({})).await?;
    let all: Vec<&Json> = answer["rowsAtRest"].as_array().into_iter().flatten().collect();
    let name = |group: &&Json| text(&group["group"]);
    match &args.entity {
        Some(entity) => {
            let has = |group: &&&Json| {
                group["types"].as_array().into_iter().flatten().any(|one| one["entity"] == entity.as_str())
            };
            let found: Vec<_> = all.iter().filter(has).map(name).collect();
            if found.is_empty() {
                return Err(Stop::BadUse(format!("there is no type `{entity}`")));
            }
            Ok(found)
        }
        None => {
            let groups: Vec<_> = all.iter().filter(|group| group["dualWrites"] == true).map(name).collect();
            or_none(
                groups,
                "no group is written to both sides: there is nothing to compare; set stage dual-write first",
            )
        }
    }
}

/// Asks until the order has ended.
async fn wait(out: Printer, link: &Link, id: &Json) -> Result<Json, Stop> {
    let (mut told, mut heard) = (Instant::now(), Instant::now());
    loop {
        let document = format!("query($id: String!) {{ order: reconcileOrder(id: $id) {{ {ORDER} }} }}");
        match link.ask(&document, json!({ "id": id })).await {
            Ok(answer) => {
                heard = Instant::now();
                let order = &answer["order"];
                if !matches!(order["state"].as_str(), Some("waiting" | "running")) {
                    let document =
                        format!("query($id: String!) {{ order: reconcileOrder(id: $id) {{ {ORDER} {RUNS} }} }}");
                    return Ok(link.ask(&document, json!({ "id": id })).await?["order"].clone());
                }
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    out.warn(far(order));
                }
            }
            // The replica that is asked may be restarted: the order goes on with another.
            Err(Stop::No(why)) if heard.elapsed() < PATIENCE => {
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    out.warn(format!("{why}; asked again"));
                }
            }
            Err(stop) => return Err(stop),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn far(order: &Json) -> String {
    let cell = |field: &str| text(&order[field]);
    match order["at"].as_str() {
        Some(at) => format!(
            "{at}: {} rows of legacy and {} of modern compared, {} drifted, {} chunks to go",
            cell("legacyRows"),
            cell("modernRows"),
            cell("drift"),
            cell("chunks")
        ),
        None => format!("{}: {}", cell("group"), cell("sentence")),
    }
}

/// Says what was found.
fn tell(out: Printer, order: &Json) {
    for run in runs(order) {
        let (cell, drift) = (|field: &str| text(&run[field]), run["drift"].as_u64());
        let verdict = match drift {
            None => "how many have drifted is not known".to_owned(),
            Some(0) if run["complete"] != true => "no drift was found, which says nothing of the rest".to_owned(),
            Some(0) => "none has drifted".to_owned(),
            Some(1) => "1 has drifted".to_owned(),
            Some(many) => format!("{many} have drifted"),
        };
        let (legacy, modern) = (cell("legacyRows"), cell("modernRows"));
        out.line(format!("{}: {legacy} rows of legacy and {modern} of modern compared, {verdict}.", cell("entity")));
        if let Some(why) = run["whyIncomplete"].as_str() {
            out.line(format!("  NOT COMPLETE: {why}. This run does not count: mend that, and run it again."));
        }
        for kind in run["kinds"].as_array().into_iter().flatten() {
            let field = kind["field"].as_str().map_or(String::new(), |field| format!("{field}: "));
            out.line(format!("  {field}{}, {} rows", text(&kind["cause"]), text(&kind["rows"])));
        }
        for row in run["findings"]["named"].as_array().into_iter().flatten() {
            out.line(format!("  {}", text(row)));
        }
    }
    if order["state"] == "failed" {
        out.warn(format!("strangler: group {}: {}", text(&order["group"]), text(&order["sentence"])));
    }
}

fn runs(order: &Json) -> impl Iterator<Item = &Json> {
    order["runs"].as_array().into_iter().flatten()
}

/// As the command that compares by itself shows them, without the keys, which only it has.
fn types(order: &Json) -> Vec<Json> {
    let one = |run: &Json| {
        json!({ "run": run["run"], "group": order["group"], "entity": run["entity"], "complete": run["complete"],
                "findings": run["findings"] })
    };
    runs(order).map(one).collect()
}
