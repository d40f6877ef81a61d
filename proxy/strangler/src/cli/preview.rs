//! `--dry-run` of orders that change a group, and `groups undo`: what would change, what stands against it, who would be
//! answered by whom.

use clap::Args;
use serde_json::{Value as Json, json};

use super::Stop;
use super::args::WhoArgs;
use super::link::Link;
use super::print::{Printer, text};
use super::set::{millis, outcome, tell_outcome};

/// What is asked of a preview.
pub(super) const PREVIEW: &str = "group rollout settings { name from to } stops answered objections { name sentence } \
                                  objectionsInWords notes secondPerson";

/// What whoever orders a change has seen of it.
#[derive(Debug, Clone, Args)]
pub struct SeenArgs {
    /// Change it although gates do not hold, or writes stop reaching modern. With names, as `--dry-run` shows them, only
    /// past these: --past-gates=mismatches,columns
    #[arg(
        long, value_name = "NAMES", num_args = 0..=1, require_equals = true, value_delimiter = ',',
        default_missing_value = "all"
    )]
    pub past_gates: Vec<String>,
    /// Only if nobody has changed the group since this rollout, as `--dry-run` names it.
    #[arg(long, value_name = "ROLLOUT")]
    pub after: Option<u64>,
}

/// `groups undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The group.
    pub group: String,
    /// The change to take back. It must be the group's newest. Default: the newest, if it is your own.
    #[arg(long)]
    pub rollout: Option<u64>,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// Change it although gates do not hold, or writes stop reaching modern. With names, as `--dry-run` shows them, only
    /// past these: --past-gates=mismatches,columns
    #[arg(
        long, value_name = "NAMES", num_args = 0..=1, require_equals = true, value_delimiter = ',',
        default_missing_value = "all"
    )]
    pub past_gates: Vec<String>,
    /// Why, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `groups undo`.
pub(super) async fn undo(out: Printer, link: &Link, args: &UndoArgs) -> Result<(), Stop> {
    let UndoArgs { group, rollout, dry_run, past_gates, reason, who } = args;
    link.require_author()?;
    if *dry_run {
        let document = format!(
            "query($group: String!, $rollout: Int) {{ preview {{ one: undo(group: $group, rollout: $rollout) {{ {PREVIEW} }} }} }}"
        );
        let answer = link.ask(&document, json!({ "group": group, "rollout": rollout })).await?;
        return tell(out, &answer["preview"]["one"]);
    }
    let document = format!(
        "mutation($group: String!, $rollout: Int, $reason: String!, $past: [String!]!, $wait: Int!) {{ \
         done: undo(group: $group, rollout: $rollout, reason: $reason, pastGates: $past, waitMillis: $wait) {{ {} }} }}",
        outcome()
    );
    let given = json!({
        "group": group, "rollout": rollout, "reason": reason, "past": past_gates, "wait": millis(who),
    });
    tell_outcome(out, link, &link.ask(&document, given).await?["done"]).await
}

/// Asks for the preview of an order whose only argument is a group's name or a proposal's id.
pub(super) async fn of(out: Printer, link: &Link, order: &str, argument: &str, value: &str) -> Result<(), Stop> {
    let document = format!("query($one: String!) {{ preview {{ one: {order}({argument}: $one) {{ {PREVIEW} }} }} }}");
    let answer = link.ask(&document, json!({ "one": value })).await?;
    tell(out, &answer["preview"]["one"])
}

/// Shows a preview. Nothing was refused: it only tells what an order would meet.
pub(super) fn tell(out: Printer, preview: &Json) -> Result<(), Stop> {
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let group = text(&preview["group"]);
    let settings = list(&preview["settings"]);
    if settings.is_empty() {
        out.line(format!("Group {group} is so already: nothing would change."));
    } else {
        out.line(format!("Group {group} would change; nothing has changed yet."));
    }
    for setting in &settings {
        let (name, from, to) = (text(&setting["name"]), text(&setting["from"]), text(&setting["to"]));
        out.line(format!("  {name}: {from} → {to}"));
    }
    let told = ["stops", "answered", "notes"].map(|part| list(&preview[part]));
    told.iter().flatten().for_each(|sentence| out.line(text(sentence)));
    let objections = list(&preview["objections"]);
    if !objections.is_empty() {
        out.line(format!("Against it: {}.", text(&preview["objectionsInWords"])));
        for objection in &objections {
            out.line(format!("  {}: {}", text(&objection["name"]), text(&objection["sentence"])));
        }
        let names: Vec<_> = objections.iter().map(|objection| text(&objection["name"])).collect();
        out.line("It takes --past-gates. To be held to what is shown here:");
        out.line(format!("  --past-gates='{}' --after {}", names.join(","), preview["rollout"]));
    }
    if preview["secondPerson"] == true {
        out.line("It takes a second person.");
    }
    out.json(preview);
    Ok(())
}
