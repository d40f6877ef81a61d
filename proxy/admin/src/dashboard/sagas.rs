//! `/sagas`: mutations in steps, those that wait for a person above all; and one of them, with what can be ordered.
//!
//! Not here: arguments and results. They are business data, and no page has them.

use std::time::Duration;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use model::SagaStatus;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::caller::Caller;
use super::diffs::filled;
use super::layout::{self, Part, alert, csrf, number, sentence, wide, words};
use super::told::{Just, Told};
use super::{Dashboard, Problem};

/// Sagas on the page.
const SHOWN: usize = 200;
/// For how long the page of the groups waits for the sides to tell how many are stuck. Whoever looks there while a side
/// hangs is about to roll back.
const PATIENCE: Duration = Duration::from_millis(500);
/// What is asked of each.
const SAGA: &str = "id route status side beganAt attempts problem refused \
                    steps { name state refused attempts triedAt }";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saga {
    id: String,
    route: String,
    status: String,
    side: String,
    began_at: String,
    attempts: u32,
    problem: Option<String>,
    refused: Option<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: String,
    state: String,
    refused: Option<String>,
    attempts: u32,
    tried_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default, deserialize_with = "filled")]
    status: Option<String>,
}

/// How many sagas are stuck.
pub(super) async fn stuck(dashboard: &Dashboard, caller: &Caller) -> Result<u64, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        saga_counts: Counts,
    }
    #[derive(Deserialize)]
    struct Counts {
        stuck: u64,
    }
    let asked = dashboard.ask::<Answer>(caller, "{ sagaCounts { stuck } }", json!({}));
    let late = |_| {
        Err(Problem {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: "a side does not answer; the page of sagas waits longer".to_owned(),
        })
    };
    Ok(tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(late)?.saga_counts.stuck)
}

/// What whoever looks at the groups must know of sagas; nothing while all is well.
pub(super) fn panel(stuck: &Result<u64, Problem>) -> Markup {
    html! {
        div data-live="sagas" #sagas { @match stuck {
            Ok(0) => {}
            Ok(stuck) => section.waits aria-labelledby="stuck" {
                h2 #stuck { a href="/sagas?status=stuck" {
                    (number(*stuck)) @if *stuck == 1 { " saga is" } @else { " sagas are" } " stuck"
                } }
                p { "Half done, and nobody goes on: a person must retry or abandon each." }
            },
            Err(problem) => p.warn { "Whether sagas are stuck is not known: " (words(&sentence(&problem.message))) },
        } }
    }
}

pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Query(Wanted { status }): Query<Wanted>,
) -> Response {
    #[derive(Deserialize)]
    struct Answer {
        sagas: Vec<Saga>,
    }
    let question =
        format!("query($status: String, $limit: Int!) {{ sagas(status: $status, limit: $limit) {{ {SAGA} }} }}");
    let found = dashboard.ask::<Answer>(&caller, &question, json!({ "status": status, "limit": SHOWN })).await;
    let code = found.as_ref().map_or_else(|problem| problem.status, |_| StatusCode::OK);
    let content = html! {
        h1 { "Sagas" }
        p.soft { "Mutations in steps. When a step is refused or given up, those before it are undone." }
        (filter(status.as_deref()))
        @match &found {
            Ok(Answer { sagas }) => (list(sagas)),
            Err(problem) => (alert(&problem.message)),
        }
    };
    layout::shown(code, &caller, Part::Sagas, "Sagas", &content)
}

fn filter(chosen: Option<&str>) -> Markup {
    html! {
        form.filter method="get" action="/sagas" role="search" aria-label="Which sagas" {
            div.field {
                label for="status" { "State" }
                select #status name="status" {
                    option value="" selected[chosen.is_none()] { "all" }
                    @for known in SagaStatus::ALL.map(SagaStatus::as_str) {
                        option value=(known) selected[chosen == Some(known)] { (known) }
                    }
                }
            }
            button { "Show" }
        }
    }
}

fn list(sagas: &[Saga]) -> Markup {
    let table = html! {
        table {
            caption { "Newest first" }
            thead { tr {
                th scope="col" { "Saga" } th scope="col" { "State" } th scope="col" { "Began" }
                th scope="col" { "Steps" } th.number scope="col" { "Tried in vain" } th scope="col" { "Problem" }
            } }
            tbody { @for saga in sagas { tr {
                th scope="row" { (saga.route) div.soft { a href={ "/sagas/" (saga.id) } { code { (saga.id) } } } }
                td { (state(&saga.status)) }
                td.nowrap { (layout::time(&saga.began_at)) }
                td.words { @for (place, step) in saga.steps.iter().enumerate() {
                    @if place > 0 { ", " } (step.name) " " span.soft { (step.state) }
                } }
                td.number { (saga.attempts) }
                td { @if let Some(code) = saga.problem.as_ref().or(saga.refused.as_ref()) { code { (code) } } }
            } } }
        }
    };
    html! { div data-live="list" #list {
        @if sagas.is_empty() { p { "There is no such saga." } } @else { (wide("Sagas", &table)) }
        @if sagas.len() == SHOWN { p.soft { "Older ones: " code { "strangler sagas list" } "." } }
    } }
}

/// Where a saga stands: colour and word.
fn state(status: &str) -> Markup {
    let class = match SagaStatus::parse(status) {
        Some(SagaStatus::Stuck) => "bad",
        Some(SagaStatus::Running | SagaStatus::Compensating) => "warn",
        Some(SagaStatus::Done) => "good",
        Some(SagaStatus::Undone | SagaStatus::Abandoned) | None => "soft",
    };
    html! { span class={ "state " (class) } { (status) } }
}

/// What the forms send.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    reason: String,
}

/// What the page says after an order.
fn in_words(code: &str) -> Option<&'static str> {
    Some(match code {
        "retried" => "Ordered: replicas go on with it at once.",
        "abandoned" => "Taken over: no replica touches it again. Its steps that are `done` are yours to mend.",
        _ => return None,
    })
}

pub(super) async fn one(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Path(id): Path<String>,
    Query(just): Query<Just>,
) -> Response {
    shown(&dashboard, &caller, &id, &just.told(in_words), ("", "")).await
}

pub(super) async fn retry(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Path(id): Path<String>,
    Form(wish): Form<Wish>,
) -> Response {
    let order = "mutation($id: String!, $reason: String!) { retrySaga(id: $id, reason: $reason) { id } }";
    answered(&dashboard, &caller, &id, order, ("retry", "retried"), &wish).await
}

pub(super) async fn abandon(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Path(id): Path<String>,
    Form(wish): Form<Wish>,
) -> Response {
    let order = "mutation($id: String!, $reason: String!) { abandonSaga(id: $id, reason: $reason) { id } }";
    answered(&dashboard, &caller, &id, order, ("abandon", "abandoned"), &wish).await
}

async fn answered(
    dashboard: &Dashboard,
    caller: &Caller,
    id: &str,
    order: &str,
    (form, code): (&str, &str),
    wish: &Wish,
) -> Response {
    match dashboard.ask::<Json>(caller, order, json!({ "id": id, "reason": wish.reason })).await {
        // The id is one that the log knows: letters, digits and hyphens.
        Ok(_) => Redirect::to(&format!("/sagas/{id}?done={code}")).into_response(),
        Err(problem) => shown(dashboard, caller, id, &Told::Problem(problem), (form, &wish.reason)).await,
    }
}

/// The page of one saga, after an order or before the first. `draft`: which form was sent, and the reason in it.
async fn shown(dashboard: &Dashboard, caller: &Caller, id: &str, told: &Told, draft: (&str, &str)) -> Response {
    #[derive(Deserialize)]
    struct Answer {
        saga: Saga,
    }
    let question = format!("query($id: String!) {{ saga(id: $id) {{ {SAGA} }} }}");
    let found = dashboard.ask::<Answer>(caller, &question, json!({ "id": id })).await;
    let code = told.status(&found);
    let saga = match (found, told) {
        (Ok(Answer { saga }), _) => saga,
        // What went wrong with the order says more than that the saga cannot be shown now.
        (Err(_), Told::Problem(problem)) => return layout::failed(caller, Part::Sagas, "No saga to show", problem),
        (Err(problem), Told::Nothing | Told::Done(_)) => {
            return layout::failed(caller, Part::Sagas, "No saga to show", &problem);
        }
    };
    let content = html! {
        ol.trail aria-label="Where this is" { li { a href="/sagas" { "Sagas" } } li { (saga.route) } }
        h1 { (saga.route) }
        (told.notice())
        div data-live="saga" #saga { (facts(&saga)) (wide("Steps", &steps(&saga))) }
        @if saga.status == SagaStatus::Stuck.as_str() { (orders(caller, &saga, draft)) }
    };
    layout::shown(code, caller, Part::Sagas, &saga.route, &content)
}

fn facts(saga: &Saga) -> Markup {
    html! {
        dl.facts {
            dt { "State" } dd { (state(&saga.status)) }
            dt { "Saga" } dd { code { (saga.id) } }
            dt { "Began" } dd { (layout::time(&saga.began_at)) }
            dt { "Log" } dd { "table " code { "strangler_saga" } " of " (saga.side) }
            @if let Some(code) = &saga.refused { dt { "Undone because of" } dd { code { (code) } } }
            @if let Some(code) = &saga.problem {
                dt { "Tried in vain" } dd { (saga.attempts) " times, the last time " code { (code) } }
            }
        }
    }
}

fn steps(saga: &Saga) -> Markup {
    html! {
        table {
            caption { "Steps, in their order" }
            thead { tr {
                th scope="col" { "Step" } th scope="col" { "Outcome" } th scope="col" { "Refused as" }
                th.number scope="col" { "Attempts" } th scope="col" { "Last attempt" }
            } }
            tbody { @for step in &saga.steps { tr {
                th scope="row" { (step.name) }
                td { (step.state) }
                td { @if let Some(code) = &step.refused { code { (code) } } }
                td.number { (step.attempts) }
                td.nowrap { @if let Some(at) = &step.tried_at { (layout::time(at)) } }
            } } }
        }
    }
}

fn orders(caller: &Caller, saga: &Saga, (sent, typed): (&str, &str)) -> Markup {
    let typed = |form: &str| if sent == form { typed } else { "" };
    html! {
        section aria-labelledby="orders" {
            h2 #orders { "It is stuck: what now?" }
            p { "Steps that are " b { "done" } " stand. Of one that is " b { "refusing" }
                " nobody knows, nor of the first " b { "open" } " one where none is refused." }
            @if caller.may_act() {
                h3 { "Its cause is mended" }
                (form(caller, saga, ("retry", "Retry: replicas go on with it", "primary"), typed("retry")))
                h3 { "It is undone by hand" }
                p.soft { "No replica touches it again, and there is no way back." }
                (form(caller, saga, ("abandon", "Abandon: it is mine to mend", "danger"), typed("abandon")))
            } @else { p.soft { "Retrying or abandoning it takes the role operator." } }
        }
    }
}

fn form(caller: &Caller, saga: &Saga, (order, words, class): (&str, &str, &str), typed: &str) -> Markup {
    let field = format!("{order}-reason");
    html! {
        form.inline method="post" action={ "/sagas/" (saga.id) "/" (order) } {
            (csrf(caller))
            div.field {
                label for=(field) { "Why?" }
                input id=(field) name="reason" required maxlength="500" autocomplete="off" value=(typed);
            }
            button class=(class) { (words) }
        }
    }
}
