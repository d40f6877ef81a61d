//! `/rest`: rows at rest. When each group was compared completely, what has drifted, what was ordered and how far it is;
//! and the button that orders it.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Dashboard;
use super::caller::Caller;
use super::layout::{self, Part, alert, csrf, fact, number, sentence, wide, words};
use super::of_group::OfGroup;
use super::told::{Just, Told};

const TITLE: &str = "Rows at rest";
/// Orders that are shown of each group.
const SHOWN: usize = 5;
const ORDER: &str = "id who reason orderedAt state sentence takenBy takes endedAt at legacyRows modernRows drift chunks \
                     done types";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    rows_at_rest: Vec<Group>,
    strange_orders: Vec<Order>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group: String,
    stage: String,
    dual_writes: bool,
    sentence: String,
    drift: Option<u64>,
    complete_at: Option<String>,
    next_at: Option<String>,
    types: Vec<Type>,
    orders: Vec<Order>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Type {
    entity: String,
    newest: Option<Run>,
    same_contract: bool,
    complete_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    begun_at: String,
    who: String,
    complete: bool,
    why_incomplete: Option<String>,
    legacy_rows: u64,
    modern_rows: u64,
    drift: u64,
    excused: u64,
    undecided: u64,
    kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    field: Option<String>,
    cause: String,
    rows: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    who: String,
    reason: Option<String>,
    ordered_at: String,
    state: String,
    sentence: String,
    taken_by: Option<String>,
    takes: u32,
    ended_at: Option<String>,
    at: Option<String>,
    legacy_rows: u64,
    modern_rows: u64,
    drift: u64,
    chunks: u64,
    done: Vec<String>,
    types: Vec<String>,
}

impl Order {
    fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "waiting" | "running")
    }
}

/// What the form sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    reason: String,
}

/// What the page says after an order.
fn in_words(code: &str) -> Option<&'static str> {
    (code == "ordered").then_some("Ordered: a replica takes it up within seconds. This page shows how far it is.")
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller, Query(just): Query<Just>) -> Response {
    shown(&dashboard, &caller, &just.told(in_words), ("", "")).await
}

pub(super) async fn order(of: OfGroup, Form(wish): Form<Wish>) -> Response {
    let document = "mutation($group: String!, $reason: String!) { reconcile(group: $group, reason: $reason) { id } }";
    let given = json!({ "group": of.group, "reason": wish.reason });
    match of.dashboard.ask::<Json>(&of.caller, document, given).await {
        Ok(_) => Redirect::to("/rest?done=ordered").into_response(),
        Err(problem) => {
            let typed = (of.group.as_str(), wish.reason.as_str());
            shown(&of.dashboard, &of.caller, &Told::Problem(problem), typed).await
        }
    }
}

/// The page, after an order or before the first. `draft`: whose form was sent, and the reason in it.
async fn shown(dashboard: &Dashboard, caller: &Caller, told: &Told, draft: (&str, &str)) -> Response {
    let question = format!(
        "{{ rowsAtRest {{ group stage dualWrites sentence drift completeAt nextAt orders {{ {ORDER} }} \
         types {{ entity sameContract completeAt newest {{ begunAt who complete whyIncomplete legacyRows modernRows \
         drift excused undecided kinds {{ field cause rows }} }} }} }} strangeOrders {{ {ORDER} }} }}"
    );
    let found = dashboard.ask::<Answer>(caller, &question, json!({})).await;
    let content = html! {
        h1 { (TITLE) }
        p.soft { "Every row of both sides, compared where it lies. Shadow reads see only what clients ask for; this sees the rest." }
        (told.notice())
        @match &found {
            Ok(answer) => {
                @for group in &answer.rows_at_rest { (one(caller, group, draft)) }
                @if !answer.strange_orders.is_empty() { (strange(&answer.strange_orders)) }
            }
            Err(problem) => (alert(&problem.message)),
        }
    };
    layout::shown(told.status(&found), caller, Part::AtRest, TITLE, &content)
}

fn one(caller: &Caller, group: &Group, (sent, typed): (&str, &str)) -> Markup {
    let name = &group.group;
    let complete = group.types.iter().filter(|one| known(one)).count();
    let open = group.orders.iter().find(|order| order.is_open());
    html! {
        section aria-labelledby={ "rest-" (name) } {
            div data-live={ "rest-" (name) } id={ "now-" (name) } {
                div.head { h2 id={ "rest-" (name) } { a href={ "/groups/" (name) } { (name) } } (verdict(group)) }
                p.answer { (words(&sentence(&group.sentence))) }
                dl.facts.in-a-row {
                    (fact("Compared completely", &html! { @match &group.complete_at {
                        Some(at) => (layout::time(at)),
                        None => span.soft { "never, all of it" },
                    } }))
                    (fact("Next", &html! { @match (&group.next_at, group.dual_writes) {
                        (Some(at), _) => { "due at " (layout::time(at)) }
                        (None, true) => span.soft { "by order only" },
                        (None, false) => span.soft { "not in stage " (group.stage) },
                    } }))
                    (fact("Coverage", &html! { (complete) " of " (group.types.len()) " types known completely" }))
                }
                @if let Some(order) = open { (under_way(order)) }
                (wide(&format!("Types of {name}"), &types(group)))
                @if !group.orders.is_empty() { (wide(&format!("Orders of {name}"), &orders(&group.orders))) }
            }
            @if !group.dual_writes {
                p.soft { "In stage " (group.stage) " nothing keeps the other side equal, so a difference says nothing." }
            } @else if caller.may_act() {
                (form(caller, name, if sent == name { typed } else { "" }))
            } @else { p.soft { "Ordering it takes the role operator." } }
        }
    }
}

/// Whether it is known of every row of the type whether it is equal.
fn known(one: &Type) -> bool {
    one.same_contract && one.newest.as_ref().is_some_and(|run| run.complete)
}

fn verdict(group: &Group) -> Markup {
    html! { @match group.drift {
        Some(0) => span.state.good { span aria-hidden="true" { "✓ " } "equal" },
        Some(rows) => span.state.bad { span aria-hidden="true" { "✗ " } (number(rows)) " drifted" },
        None => span.state.warn { span aria-hidden="true" { "? " } "not known" },
    } }
}

fn under_way(order: &Order) -> Markup {
    html! {
        p { b { @if order.state == "running" { "Under way: " } @else { "Ordered: " } } (words(&sentence(&order.sentence))) }
        @if let Some(at) = &order.at {
            p.soft {
                (at) ": " (number(order.legacy_rows)) " rows of legacy and " (number(order.modern_rows)) " of modern compared, "
                (number(order.drift)) " drifted, " (number(order.chunks)) " chunks to go"
            }
        }
    }
}

fn types(group: &Group) -> Markup {
    html! {
        table {
            caption { "The newest run of each type" }
            thead { tr {
                th scope="col" { "Type" } th scope="col" { "State" } th.number scope="col" { "Legacy" }
                th.number scope="col" { "Modern" } th scope="col" { "Drift" } th scope="col" { "Compared" }
                th scope="col" { "Last complete" }
            } }
            tbody { @for one in &group.types { tr {
                th scope="row" { (one.entity) }
                td { (state(one)) }
                @match &one.newest {
                    Some(run) => {
                        td.number { (number(run.legacy_rows)) }
                        td.number { (number(run.modern_rows)) }
                        td.words { (drift(run)) }
                        td { (layout::time(&run.begun_at)) div.soft { "by " (run.who) } }
                    }
                    None => { td.number { "–" } td.number { "–" } td { "–" } td { "never" } }
                }
                td { @match &one.complete_at {
                    Some(at) => (layout::time(at)),
                    None => span.soft { "never" },
                } }
            } } }
        }
    }
}

fn state(one: &Type) -> Markup {
    html! { @match &one.newest {
        None => span.state.warn { span aria-hidden="true" { "? " } "never compared" },
        Some(run) if run.drift > 0 => span.state.bad { span aria-hidden="true" { "✗ " } "drifted" },
        Some(_) if !one.same_contract => span.state.warn { span aria-hidden="true" { "? " } "other contract" },
        Some(run) if !run.complete => span.state.warn { span aria-hidden="true" { "? " } "not complete" },
        Some(_) => span.state.good { span aria-hidden="true" { "✓ " } "equal" },
    } }
}

/// By field and cause, and why not everything is known.
fn drift(run: &Run) -> Markup {
    html! {
        @if let Some(why) = &run.why_incomplete { div.warn { "Not complete: " (words(why)) } }
        @if run.drift == 0 { div { @if run.complete { "none" } @else { "none was found, which says nothing of the rest" } } }
        @for kind in &run.kinds { div {
            @if let Some(field) = &kind.field { code { (field) } ": " }
            (kind.cause) ", " (number(kind.rows)) @if kind.rows == 1 { " row" } @else { " rows" }
        } }
        @if run.excused > 0 { div.soft { (number(run.excused)) " differ as the contract excuses it" } }
        @if run.undecided > 0 { div.soft { "of " (number(run.undecided)) " rows nothing is known" } }
    }
}

fn orders(orders: &[Order]) -> Markup {
    html! {
        table {
            caption { "What was ordered, newest first" }
            thead { tr {
                th scope="col" { "State" } th scope="col" { "Ordered" } th scope="col" { "By" } th scope="col" { "Ended" }
                th scope="col" { "In words" }
            } }
            tbody { @for order in orders.iter().take(SHOWN) { tr {
                td { (order_state(order)) }
                td.nowrap { (layout::time(&order.ordered_at)) }
                td.who-cell { (order.who) @if let Some(reason) = &order.reason { div.soft { "“" (reason) "”" } } }
                td.nowrap { @match &order.ended_at { Some(at) => (layout::time(at)), None => span.soft { "not yet" } } }
                td.words {
                    (words(&sentence(&order.sentence)))
                    @if let (Some(replica), false) = (&order.taken_by, order.is_open()) {
                        div.soft {
                            "by " (replica) @if order.takes > 1 { ", the " (order.takes) ". that took it up" }
                            "; " (order.done.len()) " of " (order.types.len()) " types"
                        }
                    }
                }
            } } }
        }
    }
}

fn order_state(order: &Order) -> Markup {
    let (class, sign) = match order.state.as_str() {
        "complete" => ("good", "✓ "),
        "failed" => ("bad", "✗ "),
        "incomplete" => ("warn", "? "),
        _ => ("soft", "… "),
    };
    html! { span class={ "state " (class) } { span aria-hidden="true" { (sign) } (order.state) } }
}

fn strange(orders: &[Order]) -> Markup {
    html! {
        section aria-labelledby="strange" {
            h2 #strange { "Orders of groups that this replica's contract does not have" }
            p { "They wait for a replica of the release that has the group; without one they end by themselves, as failed." }
            (wide("Orders of other groups", &self::orders(orders)))
        }
    }
}

fn form(caller: &Caller, group: &str, typed: &str) -> Markup {
    let field = format!("rest-reason-{group}");
    html! {
        form.inline method="post" action={ "/rest/" (group) } {
            (csrf(caller))
            div.field {
                label for=(field) { "Why?" }
                input id=(field) name="reason" required maxlength="500" autocomplete="off" value=(typed);
            }
            button.primary { "Compare " (group) " now" }
        }
        p.soft { "It reads both databases in the lane of scans, one statement at a time. Levelling what has drifted is "
            code { "strangler repair" } ", where the configuration is." }
    }
}
