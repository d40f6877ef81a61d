//! `/groups/NAME/handover?to=SIDE`: what would be lost or wait if the authority went there now. Changes nothing.

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Problem;
use super::layout::{self, Part, alert, csrf, done, fact, number};
use super::of_group::OfGroup;
use super::orders;

#[derive(Deserialize)]
pub(super) struct Wish {
    to: String,
}

#[derive(Deserialize)]
struct Answer {
    safety: Safety,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Safety {
    safe: bool,
    rows: u64,
    unsettled: u64,
    unsettled_keys: Vec<String>,
    missing: u64,
    missing_keys: Vec<String>,
    undecided: u64,
    left_behind: u64,
    keyless: u64,
    keyless_keys: Vec<String>,
    left_out: Vec<String>,
    unfit: Vec<Unfit>,
    unfit_keys: Vec<String>,
    wrong_statements: Vec<String>,
}

#[derive(Deserialize)]
struct Unfit {
    code: String,
    rows: u64,
}

pub(super) async fn page(of: OfGroup, Query(wish): Query<Wish>) -> Response {
    let title = format!("What would be lost if {} went to {}?", of.group, wish.to);
    match look(&of, &wish.to).await {
        Ok(seen) => layout::page(&of.caller, Part::Groups, &title, &told(&of, &wish.to, &title, &seen, None, "")),
        Err(problem) => layout::failed(&of.caller, Part::Groups, "What would be lost?", &problem),
    }
}

/// The page again after an order that was refused; or the refusal alone, where nothing can be looked at.
pub(super) async fn refused(of: &OfGroup, to: &str, problem: &Problem, reason: &str) -> Response {
    let title = format!("What would be lost if {} went to {to}?", of.group);
    let again = match problem.status {
        StatusCode::FORBIDDEN => None,
        _ => look(of, to).await.ok(),
    };
    match again {
        Some(seen) => {
            let content = told(of, to, &title, &seen, Some(problem), reason);
            layout::shown(problem.status, &of.caller, Part::Groups, &title, &content)
        }
        None => layout::failed(&of.caller, Part::Groups, "What would be lost?", problem),
    }
}

/// What was found, and the newest rollout from before it was looked for.
struct Seen {
    safety: Safety,
    rollout: u64,
}

async fn look(of: &OfGroup, to: &str) -> Result<Seen, Problem> {
    #[derive(Deserialize)]
    struct Newest {
        rollout: Rollout,
    }
    #[derive(Deserialize)]
    struct Rollout {
        version: u64,
    }
    let to = orders::primary(to)?;
    // First: what is changed while every row is read was not seen.
    let newest = of.dashboard.ask::<Newest>(&of.caller, "{ rollout { version } }", json!({})).await?;
    let question = "query($group: String!, $to: Primary!) { safety: handoverSafety(group: $group, to: $to) { safe rows \
                    unsettled unsettledKeys leftBehind missing missingKeys undecided keyless keylessKeys leftOut unfit { code rows } unfitKeys \
                    wrongStatements } }";
    let given = json!({ "group": of.group, "to": to });
    let safety = of.dashboard.ask::<Answer>(&of.caller, question, given).await?.safety;
    Ok(Seen { safety, rollout: newest.rollout.version })
}

/// The order, where what it would cost has just been read.
fn order(of: &OfGroup, to: &str, seen: &Seen, reason: &str) -> Markup {
    html! {
        form.handover method="post" action={ "/groups/" (of.group) "/handover" } aria-label="Hand over" {
            (csrf(&of.caller))
            input type="hidden" name="to" value=(to);
            input type="hidden" name="after" value=(seen.rollout);
            label for="handover-reason" { "Hand the authority for writes to " (to) ": why?" }
            input #handover-reason name="reason" required maxlength="500" autocomplete="off" value=(reason)
                aria-describedby="handover-help";
            button.danger[!seen.safety.safe] {
                "Make " (to) " primary"
                @if !seen.safety.safe { ", although something would be lost" }
            }
            p.soft #handover-help { "Writes wait a moment and fail nowhere. Who has changed the group since is asked first." }
        }
    }
}

fn told(of: &OfGroup, to: &str, title: &str, seen: &Seen, refused: Option<&Problem>, reason: &str) -> Markup {
    let safety = &seen.safety;
    let unfit: u64 = safety.unfit.iter().map(|kind| kind.rows).sum();
    html! {
        h1 { (title) }
        @if let Some(problem) = refused { (alert(&problem.message)) }
        @if safety.safe { (done("Nothing would be lost.")) }
        @else { (alert("something would be lost: mend it first, by `strangler reconcile` and `strangler repair`")) }
        dl.facts.in-a-row {
            (fact("Rows read", &html! { (number(safety.rows)) }))
            (fact("Writes that would wait", &html! { (number(safety.unsettled)) }))
            (fact("Rows that only the present primary has", &html! { (number(safety.missing)) }))
            @if safety.left_behind > 0 {
                (fact("Left behind by an earlier handover", &html! { (number(safety.left_behind)) }))
            }
            @if safety.undecided > 0 {
                (fact("More rows that are lost or on their way", &html! { (number(safety.undecided)) }))
            }
            @if safety.keyless > 0 {
                (fact("Rows without a usable key", &html! { (number(safety.keyless)) }))
            }
            (fact("Rows that the other side cannot hold", &html! {
                (number(unfit))
                @for kind in &safety.unfit { ", " (kind.code) " " (number(kind.rows)) }
            }))
        }
        (keys("The first writes that would wait", &safety.unsettled_keys))
        (keys("The first rows that only the present primary has", &safety.missing_keys))
        (keys("The first rows without a usable key", &safety.keyless_keys))
        (keys("Columns that the contract leaves out", &safety.left_out))
        (keys("The first rows that the other side cannot hold", &safety.unfit_keys))
        (keys("Statements that the other side would not run", &safety.wrong_statements))
        (order(of, to, seen, reason))
        p { a href={ "/groups/" (of.group) } { "Back to group " (of.group) } }
    }
}

fn keys(title: &str, keys: &[String]) -> Markup {
    html! {
        @if !keys.is_empty() {
            section aria-label=(title) {
                h2 { (title) }
                ul { @for key in keys { li { code { (key) } } } }
            }
        }
    }
}
