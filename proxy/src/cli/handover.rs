//! `groups handover`: hands the authority over, or tells what that would cost.

use serde_json::{Value as Json, json};

use super::Stop;
use super::args::{HandoverArgs, To};
use super::groups::{POLICY, heading};
use super::link::Link;
use super::print::{Printer, text};

fn list(value: &Json) -> &[Json] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) async fn run(out: Printer, link: &Link, args: &HandoverArgs) -> Result<(), Stop> {
    let to = match args.to {
        To::Legacy => "LEGACY",
        To::Modern => "MODERN",
    };
    if args.dry_run {
        return dry_run(out, link, &args.group, to).await;
    }
    link.require_author()?;
    let document = format!(
        "mutation($group: String!, $to: Primary!, $force: Boolean!, $reason: String!) {{ \
         done: handOver(group: $group, to: $to, force: $force, reason: $reason) {{ \
         group policy {{ {POLICY} }} rollout pauseMillis steps {{ step millis note }} \
         left {{ writes keys listed said }} proposal {{ id expires }} }} }}"
    );
    let variables = json!({ "group": args.group, "to": to, "force": args.force, "reason": args.reason });
    let answer = link.ask(&document, variables).await?;
    let done = &answer["done"];
    out.json(done);
    if let Some(id) = done["proposal"]["id"].as_str() {
        out.line(format!("It waits for a second person: `strangler groups approve {id}`."));
        return Ok(());
    }
    let mut rows = vec![heading(&["STEP", "TOOK", ""])];
    rows.extend(list(&done["steps"]).iter().map(|step| {
        let millis = format!("{:.1} ms", step["millis"].as_f64().unwrap_or_default());
        vec![text(&step["step"]), millis, text(&step["note"])]
    }));
    out.table(&rows);
    let primary = text(&done["policy"]["primary"]);
    match done["pauseMillis"].as_f64() {
        Some(pause) => out.line(format!("\n{primary} is primary of {}. Writes waited for {pause:.1} ms.", args.group)),
        None => out.line(format!("\n{primary} is primary of {}, and was before.", args.group)),
    }
    if done["left"]["writes"].as_u64().is_some_and(|writes| writes > 0) {
        let (writes, listed) = (&done["left"]["writes"], text(&done["left"]["listed"]));
        out.warn(format!("{writes} writes were left behind; the record lists {listed}."));
    }
    Ok(())
}

async fn dry_run(out: Printer, link: &Link, group: &str, to: &str) -> Result<(), Stop> {
    let document = "query($group: String!, $to: Primary!) { safety: handoverSafety(group: $group, to: $to) { \
                    safe rows unsettled unsettledKeys missing missingKeys undecided unfit { code rows } unfitKeys } }";
    let answer = link.ask(document, json!({ "group": group, "to": to })).await?;
    let safety = &answer["safety"];
    out.json(safety);
    out.line(format!("{} rows of group {group} were read on the present primary.", safety["rows"]));
    out.line(format!("Would wait: {} writes that the other side does not have yet.", safety["unsettled"]));
    tell(out, &safety["unsettledKeys"]);
    out.line(format!("Would be lost to readers: {} rows that only the present primary has.", safety["missing"]));
    tell(out, &safety["missingKeys"]);
    if safety["undecided"].as_u64().is_some_and(|rows| rows > 0) {
        out.line(format!(
            "Lost or on their way: {} rows more. Too many writes wait to tell; ask again when fewer do.",
            safety["undecided"]
        ));
    }
    let unfit: Vec<String> =
        list(&safety["unfit"]).iter().map(|kind| format!("{} {}", kind["rows"], text(&kind["code"]))).collect();
    let unfit = if unfit.is_empty() { "none".to_owned() } else { unfit.join(", ") };
    out.line(format!("Rows that the other side cannot hold: {unfit}."));
    tell(out, &safety["unfitKeys"]);
    if safety["safe"] == true {
        out.line("Nothing would be lost.");
        return Ok(());
    }
    Err(Stop::No("something would be lost: mend it first (`strangler reconcile`, `strangler repair`)".to_owned()))
}

fn tell(out: Printer, keys: &Json) {
    list(keys).iter().for_each(|key| out.line(format!("  {}", text(key))));
}
