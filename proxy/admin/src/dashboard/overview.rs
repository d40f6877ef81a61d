//! `/`: all groups at a glance.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::layout::{self, Part, alert, number, percent, stage, words};
use super::shapes::{
    FIGURES, Figures, GUARD, Gate, GateState, Guard, LATELY, Lately, POLICY, PolicyShape, Readiness, Replica, Unsettled,
};

/// Seconds that count as lately.
pub(super) const MEASURED: u32 = 300;

use super::{Dashboard, Problem, breakeven, charts, sagas};

#[derive(Deserialize)]
struct Answer {
    groups: Vec<Group>,
    replicas: Vec<Replica>,
    rollout: Rollout,
    proposals: Vec<Waiting>,
}

/// A change that waits for a second person.
#[derive(Deserialize)]
struct Waiting {
    group: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rollout {
    version: u64,
    published_at: String,
    who: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    policy: PolicyShape,
    in_contract: bool,
    lately: Lately,
    unsettled: Option<Unsettled>,
    readiness: Readiness,
    figures: Vec<Figures>,
    guard: Option<Guard>,
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller) -> Response {
    let question = format!(
        "{{ groups {{ name inContract {POLICY} {LATELY} \
         unsettled {{ writes oldestSeconds leftBehind }} readiness {{ answer promotion {{ state said atStep }} \
         gates {{ name state figure limit sentence }} }} figures(seconds: {MEASURED}) {FIGURES} {GUARD} }} \
         replicas {{ id adminAddress rollout }} rollout {{ version publishedAt who }} \
         proposals {{ group }} }}"
    );
    // Asked apart: the groups are shown whether or not the sides tell of their sagas, or anything can be weighed.
    let (answer, stuck) =
        tokio::join!(dashboard.ask::<Answer>(&caller, &question, json!({})), sagas::stuck(&dashboard, &caller),);
    match answer {
        Ok(answer) => {
            let weighed = breakeven::weighed(&dashboard, &caller, &breakeven::Wanted::default()).await;
            let content = html! { (sagas::panel(&stuck)) (all(&answer)) (breakeven::panel(&weighed)) };
            layout::page(&caller, Part::Groups, "Groups", &content)
        }
        Err(problem) => {
            let content = without_control(&dashboard, &problem);
            layout::shown(problem.status, &caller, Part::Groups, "Groups", &content)
        }
    }
}

fn all(answer: &Answer) -> Markup {
    let behind = answer.replicas.iter().filter(|replica| replica.rollout < answer.rollout.version).count();
    html! {
        div data-live="groups" #groups {
            h1 { "Groups" }
            p.soft {
                "Rollout " (answer.rollout.version) ", published by " (answer.rollout.who) " on "
                (layout::time(&answer.rollout.published_at)) ". "
                (answer.replicas.len()) @if answer.replicas.len() == 1 { " replica lives" } @else { " replicas live" }
                @if behind > 0 { ", " b { (behind) " of them not under it yet" } }
                "."
            }
            div.cards { @for group in &answer.groups { (card(group, &answer.proposals)) } }
        }
    }
}

fn card(group: &Group, proposals: &[Waiting]) -> Markup {
    let waiting = proposals.iter().filter(|proposal| proposal.group == group.name).count();
    let gates = &group.readiness.gates;
    let closed: Vec<&str> = gates.iter().filter(|gate| !gate.state.holds()).map(|gate| gate.name.as_str()).collect();
    let (class, sign) = if closed.is_empty() { ("good", "✓") } else { ("warn", "✗") };
    html! {
        article.card aria-labelledby={ "group-" (group.name) } {
            div.head {
                h2 id={ "group-" (group.name) } {
                    @if group.in_contract { a href={ "/groups/" (group.name) } { (group.name) } }
                    @else { (group.name) }
                }
                (stage(&group.policy.stage))
            }
            @if !group.in_contract { p.soft { "Not in this replica's contract: a newer release has published it." } }
            (charts::split(group.policy.reads))
            dl.facts {
                dt { "Mismatches" } dd { (group.lately.shown()) }
                dt { "Shadow" } dd { (percent(group.policy.shadow)) " of reads" }
                dt { "Unsettled" } dd { (unsettled(group.unsettled.as_ref())) }
                dt { "CDC lag" } dd { (lag(gates)) }
                dt { "Latency" } dd { (latency(&group.figures)) }
                dt { "Guard" } dd { (guard(group.guard.as_ref())) }
                @if group.in_contract { dt { "Rows at rest" } dd { a href={ "/rest#rest-" (group.name) } { "what is known of " (group.name) } } }
                dt { "Gates" }
                dd {
                    span class={ "state " (class) } {
                        span aria-hidden="true" { (sign) " " } (gates.len() - closed.len()) " of " (gates.len()) " hold"
                    }
                }
            }
            p.answer { (words(&group.readiness.answer)) }
            @if waiting > 0 { p.warn { b { (waiting) " waiting for a second person." } } }
        }
    }
}

pub(super) fn unsettled(unsettled: Option<&Unsettled>) -> Markup {
    html! {
        @match unsettled {
            None => span.soft { "not known: the primary did not tell" },
            Some(Unsettled { writes, oldest_seconds, left_behind }) => {
                @match (writes, oldest_seconds) {
                    (0, _) => "none",
                    (writes, Some(age)) => { b.warn { (number(*writes)) } " (oldest " (format!("{age:.1}")) " s)" }
                    (writes, None) => { b.warn { (number(*writes)) } " (of unknown age)" }
                }
                @match left_behind {
                    Some(0) => {}
                    Some(left) => { ", " b.warn { (number(*left)) " left behind" } }
                    None => { ", " span.soft { "not known how many were left behind" } }
                }
            }
        }
    }
}

/// How far change capture is behind, as its gate has found it.
pub(super) fn lag(gates: &[Gate]) -> Markup {
    let gate = gates.iter().find(|gate| gate.name == "change capture");
    html! { @match gate {
        Some(Gate { state: GateState::NotAsked, .. }) => span.soft { "no change capture" },
        Some(gate) => (gate.figure),
        None => span.soft { "not measured" },
    } }
}

/// Of both sides, the newest that was counted.
pub(super) fn latency(figures: &[Figures]) -> Markup {
    let newest = |side: fn(&Figures) -> Option<f64>| figures.iter().rev().find_map(side);
    let told = |millis: Option<f64>| millis.map_or("not measured".to_owned(), |millis| format!("{millis:.1} ms"));
    let (legacy, modern) = (newest(|point| point.legacy.p95_millis), newest(|point| point.modern.p95_millis));
    html! {
        @if legacy.or(modern).is_none() { span.soft { "nothing measured lately" } }
        @else { "legacy " (told(legacy)) ", modern " (told(modern)) " (95 of 100)" }
    }
}

/// What the guard says, and whether it can be believed.
pub(super) fn guard(guard: Option<&Guard>) -> Markup {
    html! { @match guard {
        None => span.soft { "none on this replica" },
        Some(guard) => {
            @let (class, sign) = match guard.state.as_str() {
                "well" => ("good", "✓"),
                "breach" => ("bad", "✗"),
                "paused" => ("warn", "?"),
                _ => ("soft", "–"),
            };
            span class={ "state " (class) } { span aria-hidden="true" { (sign) " " } (guard.state) }
            @if !guard.healthy { " " b.bad { "the guard itself is not well: " (guard.health) } }
        }
    } }
}

/// While the control store is down: what this replica works under, and the way to the roll-back buttons.
fn without_control(dashboard: &Dashboard, problem: &Problem) -> Markup {
    html! {
        h1 { "Groups" }
        (alert(&problem.message))
        p { "Figures are missing. This is what this replica works under; rolling back works all the same." }
        div.cards { @for group in &dashboard.admin.groups {
            @let policy = PolicyShape::from(dashboard.policy_here(group));
            article.card {
                div.head { h2 { a href={ "/groups/" (group) } { (group) } } (stage(&policy.stage)) }
                (charts::split(policy.reads))
            }
        } }
    }
}
