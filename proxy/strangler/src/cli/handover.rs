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
         left {{ writes keys bare said }} proposal {{ id expires }} }} }}"
    );
    let variables = json!({ "group": args.group, "to": to, "force": args.force, "reason": args.reason });
    let answer = link.ask(&document, variables).await?;
    let done = &answer["done"];
    out.json(done);
    if let Some(id) = done["proposal"]["id"].as_str() {
        out.line(format!("It waits for a second person: `strangler groups approve {id}`."));
        return Ok(());
    }
    tell_steps(out, done);
    let primary = text(&done["policy"]["primary"]);
    match done["pauseMillis"].as_f64() {
        Some(pause) => out.line(format!("\n{primary} is primary of {}. Writes waited for {pause:.1} ms.", args.group)),
        None => out.line(format!("\n{primary} is primary of {}, and was before.", args.group)),
    }
    tell_left(out, &done["left"]);
    Ok(())
}

/// What was done, step by step.
pub(super) fn tell_steps(out: Printer, done: &Json) {
    let mut rows = vec![heading(&["STEP", "TOOK", ""])];
    rows.extend(list(&done["steps"]).iter().map(|step| {
        let millis = format!("{:.1} ms", step["millis"].as_f64().unwrap_or_default());
        vec![text(&step["step"]), millis, text(&step["note"])]
    }));
    out.table(&rows);
}

/// What a forced handover has left behind.
fn tell_left(out: Printer, left: &Json) {
    if left["writes"].as_u64().is_none_or(|writes| writes == 0) {
        return;
    }
    out.warn(format!(
        "{} writes were left behind: they are never applied by themselves. Their keys, all in the record too:",
        left["writes"]
    ));
    tell(out, &left["keys"]);
    if !list(&left["bare"]).is_empty() {
        out.warn("These of them changed nothing; a repeat of one is done anew:");
        tell(out, &left["bare"]);
    }
}

async fn dry_run(out: Printer, link: &Link, group: &str, to: &str) -> Result<(), Stop> {
    let document = "query($group: String!, $to: Primary!) { safety: handoverSafety(group: $group, to: $to) { \
                    safe rows unsettled unsettledKeys leftBehind missing missingKeys undecided keyless keylessKeys leftOut unfit { code rows } unfitKeys wrongStatements } }";
    let answer = link.ask(document, json!({ "group": group, "to": to })).await?;
    let safety = &answer["safety"];
    out.json(safety);
    out.line(format!("{} rows of group {group} were read on the present primary.", safety["rows"]));
    out.line(format!("Would wait: {} writes that the other side does not have yet.", safety["unsettled"]));
    tell(out, &safety["unsettledKeys"]);
    out.line(format!(
        "Left behind by an earlier handover: {} writes, which nobody brings over by itself.",
        safety["leftBehind"]
    ));
    out.line(format!("Would be lost to readers: {} rows that only the present primary has.", safety["missing"]));
    tell(out, &safety["missingKeys"]);
    if safety["undecided"].as_u64().is_some_and(|rows| rows > 0) {
        out.line(format!(
            "Lost or on their way: {} rows more. Too many writes wait to tell; ask again when fewer do.",
            safety["undecided"]
        ));
    }
    if safety["keyless"].as_u64().is_some_and(|rows| rows > 0) {
        out.line(format!(
            "Rows without a usable key (null, or a number that no key can be): {}. Nothing brings them over; give them \
             one, or delete them.",
            safety["keyless"]
        ));
        tell(out, &safety["keylessKeys"]);
    }
    if !list(&safety["leftOut"]).is_empty() {
        out.line(
            "Columns that the contract leaves out stay behind; give each a field, or say @ignored(column:, reason:):",
        );
        tell(out, &safety["leftOut"]);
    }
    let unfit: Vec<String> =
        list(&safety["unfit"]).iter().map(|kind| format!("{} {}", kind["rows"], text(&kind["code"]))).collect();
    let unfit = if unfit.is_empty() { "none".to_owned() } else { unfit.join(", ") };
    out.line(format!("Rows that the other side cannot hold: {unfit}."));
    tell(out, &safety["unfitKeys"]);
    let would_run = tell_wrong(out, &safety["wrongStatements"]);
    // One place says it, in words and in the exit code alike.
    let nothing = |what: &str| safety[what] == 0;
    match (safety["safe"] == true, nothing("missing") && nothing("undecided") && nothing("keyless") && unfit == "none")
    {
        (true, _) => {
            out.line("Nothing would be lost.");
            Ok(())
        }
        (false, false) => Err(Stop::No(
            "something would be lost: mend it first (`strangler reconcile`, `strangler repair`)".to_owned(),
        )),
        (false, true) => {
            would_run?;
            let left = if nothing("leftBehind") { None } else { Some("end what an earlier handover left behind") };
            let columns = if list(&safety["leftOut"]).is_empty() {
                None
            } else {
                Some("decide about the columns that the contract leaves out")
            };
            let first: Vec<_> = left.into_iter().chain(columns).collect();
            Err(Stop::No(format!(
                "no row would be lost, but it is not safe: {} first (docs/handover.md)",
                if first.is_empty() { "see above what is in the way".to_owned() } else { first.join(", and ") }
            )))
        }
    }
}

/// Statements that the other side would not run: with any of them it is no use to hand over.
fn tell_wrong(out: Printer, wrong: &Json) -> Result<(), Stop> {
    if list(wrong).is_empty() {
        return Ok(());
    }
    out.line("Statements of the contract that the other side would not run, or that could not be tried there:");
    tell(out, wrong);
    let why = "no row would be lost, but clients would get errors after it: mend these statements, or the side, first \
               (`strangler check`), and try again where something was locked";
    Err(Stop::No(why.to_owned()))
}

fn tell(out: Printer, keys: &Json) {
    list(keys).iter().for_each(|key| out.line(format!("  {}", text(key))));
}
