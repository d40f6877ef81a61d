//! `groups set`, and the two ends of a change that takes a second person.

use model::{Percentage, Stage};
use serde_json::{Value as Json, json};
use shadow_compare::words::counted;

use super::Stop;
use super::args::{ApproveArgs, SetArgs, WhoArgs, WithdrawArgs};
use super::groups::{POLICY, heading, percent, policy_json};
use super::handover::tell_steps;
use super::link::Link;
use super::preview::{self, PREVIEW};
use super::print::{Printer, seconds, text};
use control_plane::rollout::tell;

/// What came of a change.
pub(super) fn outcome() -> String {
    format!(
        "ended group summary rollout millis policy {{ {POLICY} }} before {{ reads }} back closedGates proposal {{ id expires }} \
         handover {{ pauseMillis steps {{ step millis note }} }} acknowledged {{ id adminAddress rollout saved }} laggards {{ id adminAddress rollout }}"
    )
}

pub(super) fn millis(who: &WhoArgs) -> u64 {
    u64::try_from(who.timeout.as_millis()).unwrap_or(u64::MAX).min(60_000)
}

pub(super) async fn run(out: Printer, link: &Link, args: &SetArgs) -> Result<(), Stop> {
    let wish = json!({
        "group": args.group,
        "stage": args.stage.map(Stage::as_str),
        "reads": args.reads.map(<f64 as From<Percentage>>::from),
        "shadow": args.shadow.map(<f64 as From<Percentage>>::from),
    });
    if args.dry_run {
        // Legacy would be left for good: what would wait or be in the way is a list of its own.
        if args.stage == Some(Stage::Modern) {
            return end_of_dual_write(out, link, args).await;
        }
        let document = format!(
            "query($group: String!, $stage: String, $reads: Float, $shadow: Float) {{ preview {{ \
             one: set(group: $group, stage: $stage, reads: $reads, shadow: $shadow) {{ {PREVIEW} }} }} }}"
        );
        return preview::tell(out, &link.ask(&document, wish).await?["preview"]["one"]);
    }
    let document = format!(
        "mutation($group: String!, $stage: String, $reads: Float, $shadow: Float, $reason: String!, $wait: Int!, \
         $past: [String!]!, $after: Int) {{ done: setPolicy(group: $group, stage: $stage, reads: $reads, shadow: $shadow, \
         reason: $reason, waitMillis: $wait, pastGates: $past, after: $after) {{ {} }} }}",
        outcome()
    );
    let mut variables = wish;
    for (name, value) in [
        ("reason", json!(args.reason)),
        ("wait", json!(millis(&args.who))),
        ("past", json!(args.seen.past_gates)),
        ("after", json!(args.seen.after)),
    ] {
        variables[name] = value;
    }
    link.require_author()?;
    tell_outcome(out, link, &link.ask(&document, variables).await?["done"]).await
}

/// What `--stage modern` would wait for.
async fn end_of_dual_write(out: Printer, link: &Link, args: &SetArgs) -> Result<(), Stop> {
    let document = "query($group: String!) { end: dualWriteEnd(group: $group) { \
                    stage possible unsettled unsettledKeys leftBehind } }";
    let answer = link.ask(document, json!({ "group": args.group })).await?;
    let end = &answer["end"];
    out.json(end);
    let group = &args.group;
    out.line(format!(
        "Group {group} is at stage {}. At stage modern it gets no write in legacy any more,",
        text(&end["stage"])
    ));
    out.line("and nothing leads back: legacy would have to be filled anew from modern.");
    out.line(format!("Would be brought to legacy first: {} writes; meanwhile clients' writes wait.", end["unsettled"]));
    for key in end["unsettledKeys"].as_array().into_iter().flatten() {
        out.line(format!("  {}", text(key)));
    }
    out.line(format!("In the way, left behind by an earlier handover: {} writes.", end["leftBehind"]));
    if end["possible"] == true {
        out.line("It takes a second person.");
        return Ok(());
    }
    let why = match end["stage"].as_str() {
        Some("reverse") => format!("end what was left behind first: strangler repair {group} --left-behind"),
        Some(_) | None => "it begins at stage reverse".to_owned(),
    };
    Err(Stop::No(format!("not possible now: {why}")))
}

pub(super) async fn approve(out: Printer, link: &Link, args: &ApproveArgs) -> Result<(), Stop> {
    if args.dry_run {
        return preview::of(out, link, "approve", "id", &args.id).await;
    }
    let document = format!(
        "mutation($id: String!, $reason: String!, $wait: Int!, $past: [String!]!, $after: Int) {{ \
         done: approve(id: $id, reason: $reason, waitMillis: $wait, pastGates: $past, after: $after) {{ {} }} }}",
        outcome()
    );
    let (past, after) = (&args.seen.past_gates, args.seen.after);
    let variables =
        json!({ "id": args.id, "reason": args.reason, "wait": millis(&args.who), "past": past, "after": after });
    link.require_author()?;
    tell_outcome(out, link, &link.ask(&document, variables).await?["done"]).await
}

pub(super) async fn withdraw(out: Printer, link: &Link, args: &WithdrawArgs) -> Result<(), Stop> {
    let document =
        "mutation($id: String!, $reason: String!) { withdraw(id: $id, reason: $reason) { id group summary } }";
    let answer = link.ask(document, json!({ "id": args.id, "reason": args.reason })).await?;
    let withdrawn = &answer["withdraw"];
    out.line(format!("Withdrawn: {}, {}.", text(&withdrawn["group"]), text(&withdrawn["summary"])));
    out.json(withdrawn);
    Ok(())
}

pub(super) async fn proposals(out: Printer, link: &Link) -> Result<(), Stop> {
    let answer = link.ask("{ proposals { id group summary promotion who reason at expires } }", json!({})).await?;
    let waiting = answer["proposals"].as_array().cloned().unwrap_or_default();
    if waiting.is_empty() {
        out.line("Nothing waits for a second person.");
    } else {
        let mut rows = vec![heading(&["ID", "GROUP", "CHANGE", "BY", "UNTIL", "BECAUSE"])];
        rows.extend(waiting.iter().map(|proposal| {
            let mut change = text(&proposal["summary"]);
            if proposal["promotion"] == true {
                change += ", step by step";
            }
            let until = seconds(&proposal["expires"]);
            let cell = |field: &str| text(&proposal[field]);
            vec![cell("id"), cell("group"), change, cell("who"), until, cell("reason")]
        }));
        out.table(&rows);
    }
    out.json(&waiting);
    Ok(())
}

/// Names the replicas that work under the change and would not after a restart without control store.
fn tell_unsaved(out: Printer, acknowledged: &Json) {
    for one in acknowledged.as_array().into_iter().flatten().filter(|one| one["saved"] == false) {
        let (id, address) = (text(&one["id"]), text(&one["adminAddress"]));
        out.warn(format!("{id} at {address} could not write it to its `state_dir`: restarted without control store, it would answer all reads from legacy"));
    }
}

pub(super) async fn tell_outcome(out: Printer, link: &Link, done: &Json) -> Result<(), Stop> {
    let (group, count) = (text(&done["group"]), |list: &Json| list.as_array().map_or(0, Vec::len));
    let mut shown = policy_json(&done["group"], &done["policy"]);
    shown["changed"] = json!(done["ended"] == "PUBLISHED" || done["ended"] == "HANDED_OVER");
    match done["ended"].as_str() {
        Some("ALREADY_SO") => {
            out.line(format!("Group {group} is so already; nothing was changed."));
            shown["rollout"] = done["rollout"].clone();
        }
        Some("PROPOSED") => {
            let proposal = &done["proposal"];
            let id = text(&proposal["id"]);
            out.line(format!(
                "Group {group}: {}. Nothing has changed yet: it takes a second person.",
                text(&done["summary"])
            ));
            out.line(format!(
                "Somebody else, until {}: strangler groups approve {id} --reason …",
                seconds(&proposal["expires"])
            ));
            shown["proposal"] = proposal.clone();
        }
        Some(_) | None => {
            link.remember_replicas().await;
            let (by, laggards) = (count(&done["acknowledged"]), count(&done["laggards"]));
            let millis = &done["millis"];
            if !done["handover"].is_null() {
                tell_steps(out, &done["handover"]);
                shown["handover"] = done["handover"].clone();
            }
            match done["rollout"].as_u64() {
                Some(version) => out.line(format!("Group {group}: {}. Rollout {version}.", text(&done["summary"]))),
                None => {
                    out.line(format!("Group {group}: {}.", text(&done["summary"])));
                    out.line(
                        "The control store does not have it yet; replicas follow the fences, and publish it later.",
                    );
                }
            }
            match (by, laggards) {
                (0, 0) => out.line("No replica is live; those that start will begin with it."),
                (all, 0) => out.line(format!("In force on {} after {millis} ms.", tell::replicas(all))),
                (some, _) => {
                    let all = tell::replicas(some + laggards);
                    out.line(format!("In force on {some} of {all} after {millis} ms. Not on:"));
                    for laggard in done["laggards"].as_array().into_iter().flatten() {
                        let (id, address) = (text(&laggard["id"]), text(&laggard["adminAddress"]));
                        out.line(format!("  {id} at {address} (rollout {})", laggard["rollout"]));
                    }
                    out.line("The change stands; they take it as soon as they reach the control database.");
                }
            }
            tell_unsaved(out, &done["acknowledged"]);
            tell_gates_and_way_back(out, done);
            for field in ["rollout", "millis", "acknowledged", "laggards", "back", "closedGates"] {
                shown[field] = done[field].clone();
            }
            out.json(&shown);
            return if laggards == 0 { Ok(()) } else { Err(Stop::Told) };
        }
    }
    out.json(&shown);
    Ok(())
}

/// A change by hand asks no gate: which do not hold is said where modern answers more than before. And how to go back.
fn tell_gates_and_way_back(out: Printer, done: &Json) {
    let reads = |policy: &Json| policy["reads"].as_f64().unwrap_or_default();
    let closed: Vec<String> = done["closedGates"].as_array().into_iter().flatten().map(text).collect();
    if reads(&done["policy"]) > reads(&done["before"]) && !closed.is_empty() {
        let gates = counted(closed.len() as u64, "gate does not hold", "gates do not hold");
        out.line(format!("{gates}: {}.", closed.join(", ")));
    }
    if let Some(back) = done["back"].as_str() {
        out.line(format!("Back: {back}"));
    }
}

pub(super) async fn promote(out: Printer, link: &Link, args: &super::args::PromoteArgs) -> Result<(), Stop> {
    if args.dry_run {
        return preview::of(out, link, "promote", "group", &args.group).await;
    }
    link.require_author()?;
    let field = if args.stop { "stopPromotion" } else { "promote" };
    let proposal = if args.stop { "" } else { "proposal { id expires summary }" };
    let document = format!(
        "mutation($group: String!, $reason: String!) {{ done: {field}(group: $group, reason: $reason) {{ \
         policy {{ {POLICY} }} readiness {{ {} }} {proposal} }} }}",
        super::groups::READINESS
    );
    let answer = link.ask(&document, json!({ "group": args.group, "reason": args.reason })).await?;
    let done = &answer["done"];
    if let Some(id) = done["proposal"]["id"].as_str() {
        out.line(format!(
            "Nothing has changed yet: it takes a second person. strangler groups approve {id} --reason …"
        ));
    } else {
        let plan = done["readiness"]["promotion"]["steps"].as_array().cloned().unwrap_or_default();
        let steps: Vec<String> = plan.iter().map(|step| percent(&step["reads"])).collect();
        out.line(format!(
            "Group {}: {}. Plan: {}.",
            args.group,
            if args.stop { "stopped" } else { "on its way" },
            steps.join(" → ")
        ));
        super::groups::tell_readiness(out, &done["readiness"]);
        out.line(format!("Look with `strangler groups show {}`.", args.group));
    }
    out.json(done);
    Ok(())
}
