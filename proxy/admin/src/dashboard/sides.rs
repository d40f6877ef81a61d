//! The sides: whether each is the database that we knew.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Dashboard;
use super::caller::Caller;
use super::layout::{Part, failed, page, sentence, time, wide, words};

const TITLE: &str = "Sides";
const DOCUMENT: &str = "{ sides { name well sentence incarnation suspended markedAt toBring lost } }";

#[derive(Deserialize)]
struct Answer {
    sides: Vec<Side>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    name: String,
    well: bool,
    sentence: String,
    incarnation: Option<u32>,
    suspended: Option<String>,
    marked_at: Option<String>,
    to_bring: Option<usize>,
    lost: Option<usize>,
}

/// The page.
pub(super) async fn of(State(dashboard): State<Dashboard>, caller: Caller) -> Response {
    match dashboard.ask::<Answer>(&caller, DOCUMENT, json!({})).await {
        Ok(answer) => page(&caller, Part::Sides, TITLE, &shown(&answer.sides)),
        Err(problem) => failed(&caller, Part::Sides, TITLE, &problem),
    }
}

fn shown(sides: &[Side]) -> Markup {
    let count = |count: Option<usize>| count.map_or_else(|| "not known".to_owned(), |count| count.to_string());
    let table = html! {
        table {
            thead { tr { th { "Side" } th { "State" } th { "What is known" } th { "Incarnation" } th { "Newest mark" } th { "Lost" } th { "To bring again" } } }
            tbody { @for side in sides { tr {
                th scope="row" { (side.name) }
                td { @if side.well { span.state.good { span aria-hidden="true" { "✓ " } "well" } }
                     @else if side.suspended.is_some() { span.state.bad { span aria-hidden="true" { "✗ " } "suspended" } }
                     @else { span.state.warn { span aria-hidden="true" { "? " } "look" } } }
                td { (words(&sentence(&side.sentence))) }
                td { @if let Some(incarnation) = side.incarnation { (incarnation) } @else { "not known" } }
                td { @if let Some(at) = &side.marked_at { (time(at)) } @else { "not known" } }
                td { (count(side.lost)) }
                td { (count(side.to_bring)) }
            } } }
        }
    };
    html! {
        h1 { (TITLE) }
        p { "A side that was restored, moved or failed over may lack what was acknowledged. It takes no writes until it was "
            "compared, and, where something is missing, until a person has decided what becomes of it." }
        (wide("Sides", &table))
        @if sides.iter().any(|side| !side.well) {
            p { "See what is lost with " code { "strangler sides show" } ", and decide with " code { "strangler sides raise" } "." }
        }
    }
}
