//! The forms of a group's page. They work without scripts; `live.js` adds the slider.

use maud::{Markup, html};
use model::{GroupName, Policy, Side, Stage};

use super::super::caller::Caller;
use super::super::layout::csrf;
use super::super::shapes::{PolicyShape, Proposal, Readiness};
use super::Draft;

/// Stages that can be chosen at once; the others take a handover.
const CHOICE: [Stage; 4] = [Stage::Legacy, Stage::DualWrite, Stage::Shadow, Stage::Shift];

/// Always in sight. While modern is primary, the way back is to hand the authority over.
pub(super) fn roll_back(caller: &Caller, group: &GroupName, policy: &PolicyShape, draft: &Draft) -> Markup {
    if policy.primary == Side::Modern.as_str() {
        return hand_over(group, Side::Legacy);
    }
    html! {
        @if policy.stage == Stage::Shift.as_str() && policy.reads >= 100.0 {
            (hand_over(group, Side::Modern))
        }
        form.rollback method="post" action={ "/groups/" (group) "/rollback" } aria-label="Roll back" {
            (csrf(caller))
            label for="rollback-reason" { "Roll back: why?" }
            input #rollback-reason name="reason" maxlength="500" autocomplete="off" value=(draft.reason("rollback"))
                placeholder=[(policy.reads == 0.0).then_some("legacy answers all reads already")];
            button.danger { "Roll back all reads to legacy" }
        }
    }
}

/// Leads to the page that tells what would be lost: the order is given there, by whoever has read it.
fn hand_over(group: &GroupName, to: Side) -> Markup {
    html! {
        form.handover method="get" action={ "/groups/" (group) "/handover" } aria-label="Hand over" {
            input type="hidden" name="to" value=(to);
            button aria-describedby="handover-help" { "Hand over to " (to) ": what would be lost?" }
            p.soft #handover-help {
                "Reads every row first, and changes nothing. The authority for writes is handed over on that page."
            }
        }
    }
}

pub(super) fn set(caller: &Caller, group: &GroupName, policy: &PolicyShape, draft: &Draft) -> Markup {
    let typed = draft.form == "set";
    let shown = |typed_value: &str, now: f64| if typed { typed_value.to_owned() } else { now.to_string() };
    let chosen = if typed { draft.stage.as_str() } else { policy.stage.as_str() };
    let is_choice = CHOICE.iter().any(|stage| stage.as_str() == chosen);
    html! {
        form.set method="post" action={ "/groups/" (group) "/set" } {
            (csrf(caller))
            // What the form started from: somebody else's change meanwhile is not undone unseen.
            input type="hidden" name="was" value={ (policy.stage) "/" (policy.reads) "/" (policy.shadow) };
            div.field {
                label for="stage-choice" { "Stage" }
                select #stage-choice name="stage" aria-describedby="stage-help" {
                    @if !is_choice { option value=(chosen) selected { (chosen) } }
                    @for stage in CHOICE {
                        option value=(stage) selected[stage.as_str() == chosen] { (stage) " – " (meaning(stage)) }
                    }
                }
                p.soft #stage-help { "A change of stage takes effect at once, on every replica." }
            }
            (percentage("reads", "Reads from modern, %", &shown(&draft.reads, policy.reads), "Only in stage shift. Steps of 0.01."))
            (percentage("shadow", "Shadow reads, %", &shown(&draft.shadow, policy.shadow), "In stages shadow and shift."))
            div.field {
                label for="set-reason" { "Why?" }
                input #set-reason name="reason" required maxlength="500" autocomplete="off" value=(draft.reason("set"));
            }
            div.choice {
                button.primary { "Publish the change" }
                // To look takes no reason.
                button name="look" value="yes" formnovalidate { "What would it do?" }
            }
        }
    }
}

/// Sets again what held before the newest change.
pub(super) fn back(caller: &Caller, group: &GroupName, before: &Policy, after: &Policy, rollout: u64) -> Markup {
    let reads = f64::from(before.reads());
    html! {
        form.inline method="post" action={ "/groups/" (group) "/undo" } aria-label="Go back" {
            (csrf(caller))
            // Only as long as it is the newest: somebody else's change is not undone unseen.
            input type="hidden" name="rollout" value=(rollout);
            div.field {
                label for="back-reason" { "Go back: why?" }
                input #back-reason name="reason" required maxlength="500" autocomplete="off";
            }
            button {
                @if before.stage() == after.stage() && before.reads() != after.reads() { "Back to " (reads) " %" }
                @else { "Back to stage " (before.stage()) ", reads " (reads) " %" }
            }
        }
    }
}

fn meaning(stage: Stage) -> &'static str {
    match stage {
        Stage::Legacy => "modern is not used",
        Stage::DualWrite => "writes reach both sides",
        Stage::Shadow => "reads are compared too",
        Stage::Shift => "modern answers some reads",
        Stage::Reverse => "modern is the authority",
        Stage::Modern => "legacy is not used",
    }
}

fn percentage(name: &str, label: &str, value: &str, help: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            div.slide data-slide=(name) {
                input.exact id=(name) name=(name) type="number" inputmode="decimal" min="0" max="100" step="0.01" required
                    value=(value) aria-describedby={ (name) "-help" };
            }
            p.soft id={ (name) "-help" } { (help) }
        }
    }
}

pub(super) fn promotion(
    caller: &Caller,
    group: &GroupName,
    policy: &PolicyShape,
    readiness: &Readiness,
    draft: &Draft,
) -> Markup {
    let runs = readiness.promotion.as_ref().is_some_and(|promotion| promotion.state == "running");
    let begins = matches!(policy.stage.as_str(), "shadow" | "shift");
    let (act, words) = if runs { ("stop", "Stop the promotion") } else { ("promote", "Promote step by step") };
    html! {
        @if runs || begins {
            form.inline method="post" action={ "/groups/" (group) "/" (act) } {
                (csrf(caller))
                div.field {
                    label for="promotion-reason" { @if runs { "Why stop?" } @else { "Why promote?" } }
                    input #promotion-reason name="reason" required maxlength="500" autocomplete="off" value=(draft.reason(act));
                }
                button.primary[!runs] { (words) }
            }
            @if !runs { p.soft { "Each step is taken only while every gate holds." } }
        }
    }
}

pub(super) fn decide(caller: &Caller, group: &GroupName, proposal: &Proposal, draft: &Draft) -> Markup {
    let field = format!("reason-{}", proposal.id);
    let reason = if draft.about == proposal.id { draft.reason("decide") } else { "" };
    html! {
        form.inline method="post" action={ "/groups/" (group) "/proposals/" (proposal.id) } {
            (csrf(caller))
            div.field {
                label for=(field) { "Why?" }
                input id=(field) name="reason" required maxlength="500" autocomplete="off" value=(reason);
            }
            @if caller.may_approve() { button.primary name="decision" value="approve" { "Approve" } }
            button name="decision" value="withdraw" { "Withdraw" }
            @if !caller.may_approve() { p.soft { "Approving it takes the role admin." } }
        }
    }
}
