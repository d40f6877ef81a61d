//! `/history`: every change and deed: what exactly, who, when, from where, why, and the evidence at that moment.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use model::control::Event;
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::diffs::filled;
use super::layout::{self, Part, alert, number, sentence, wide, words};
use super::{Dashboard, Problem};

/// Entries on the page.
const SHOWN: usize = 200;

/// Which entries: the page's own query, as it stands in its address.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    #[serde(deserialize_with = "filled")]
    group: Option<String>,
    #[serde(deserialize_with = "filled")]
    who: Option<String>,
    #[serde(deserialize_with = "filled")]
    event: Option<String>,
    #[serde(deserialize_with = "filled")]
    since: Option<String>,
    /// Where the page before this one ended.
    #[serde(deserialize_with = "filled")]
    before: Option<String>,
}

impl Wanted {
    fn is_narrow(&self) -> bool {
        [&self.group, &self.who, &self.event, &self.since, &self.before].into_iter().any(Option::is_some)
    }

    /// The address of the page that begins behind `place`.
    fn further_back(&self, place: u64) -> String {
        let parts = [("group", &self.group), ("who", &self.who), ("event", &self.event), ("since", &self.since)];
        let parts = parts.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let mut address = form_urlencoded::Serializer::new(String::new());
        format!("/history?{}", address.extend_pairs(parts).append_pair("before", &place.to_string()).finish())
    }
}

#[derive(Deserialize)]
struct Answer {
    audit: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    place: u64,
    at: String,
    summary: String,
    group: Option<String>,
    who: String,
    origin: String,
    reason: Option<String>,
    rollout: Option<u64>,
    evidence_in_words: String,
    hash: String,
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let question = "query($group: String, $who: String, $event: String, $since: String, $before: Int, $limit: Int!) { \
                    audit(group: $group, who: $who, event: $event, since: $since, before: $before, limit: $limit) { \
                    place at summary group who origin reason rollout evidenceInWords hash } }";
    let before = wanted.before.as_deref().map(|place| place.parse::<u64>());
    let found = match before.transpose() {
        Ok(before) => {
            let given = json!({ "group": wanted.group, "who": wanted.who, "event": wanted.event,
                                "since": wanted.since, "before": before, "limit": SHOWN });
            dashboard.ask::<Answer>(&caller, question, given).await
        }
        Err(_) => Err(Problem {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: "`before` takes the place of an entry, a number".to_owned(),
        }),
    };
    let status = found.as_ref().map_or_else(|problem| problem.status, |_| StatusCode::OK);
    let content = html! {
        h1 { "History" }
        (form(&dashboard, &wanted))
        @match &found {
            Ok(answer) => (all(&wanted, answer)),
            // The form stays as it was filled in, so that one letter can be mended.
            Err(problem) => (alert(&problem.message)),
        }
    };
    layout::shown(status, &caller, Part::History, "History", &content)
}

fn form(dashboard: &Dashboard, wanted: &Wanted) -> Markup {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    html! {
        form.filter method="get" action="/history" role="search" aria-label="Which changes" {
            div.field {
                label for="group" { "Group" }
                select #group name="group" {
                    option value="" selected[wanted.group.is_none()] { "all" }
                    @for known in &dashboard.admin.groups {
                        option value=(known) selected[wanted.group.as_deref() == Some(known.as_str())] { (known) }
                    }
                }
            }
            div.field {
                label for="event" { "Event" }
                select #event name="event" {
                    option value="" { "all" }
                    @for event in Event::ALL {
                        option value=(event.as_str()) selected[wanted.event.as_deref() == Some(event.as_str())] {
                            (event.as_str())
                        }
                    }
                }
            }
            div.field { label for="who" { "Who" } input #who name="who" value=(text(&wanted.who)); }
            div.field {
                label for="since" { "Since" }
                input #since name="since" value=(text(&wanted.since)) placeholder="2h, 7d"
                    aria-describedby="since-help";
                span.soft #since-help { "2h, 7d, or a time" }
            }
            button { "Show" }
        }
        p { a.button href="/history/verify" { "Verify the record" } }
    }
}

fn all(wanted: &Wanted, answer: &Answer) -> Markup {
    html! {
        @if !answer.audit.is_empty() { (wide("The record, newest first", &table(answer))) }
        @else if wanted.is_narrow() {
            p { "No entry of the record is like that. " a href="/history" { "The whole of it" } "." }
        }
        @else { p { "Nothing was recorded yet." } }
        @if let (SHOWN, Some(last)) = (answer.audit.len(), answer.audit.last()) {
            p { a.button href=(wanted.further_back(last.place)) { "Further back" } }
        }
    }
}

fn table(answer: &Answer) -> Markup {
    html! {
        table {
            caption { "Newest first" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Group" }
                th scope="col" { "Who, from where" } th scope="col" { "Why" } th scope="col" { "Evidence then" }
                th scope="col" { "Place, hash" }
            } }
            tbody { @for entry in &answer.audit { tr {
                td.nowrap { (layout::time(&entry.at)) }
                td.words {
                    (words(&entry.summary))
                    @if let Some(rollout) = entry.rollout { span.soft { " (rollout " (rollout) ")" } }
                }
                td { @if let Some(group) = &entry.group { a href={ "/groups/" (group) } { (group) } } }
                td.who-cell { (entry.who) div.soft { (entry.origin) } }
                td.words { (entry.reason.as_deref().unwrap_or("none given")) }
                td { (entry.evidence_in_words) }
                td.nowrap { (entry.place) " " code { (entry.hash.get(..8).unwrap_or(&entry.hash)) } }
            } } }
        }
    }
}

#[derive(Deserialize)]
struct Verification {
    verified: Verified,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    ok: bool,
    entries: u64,
    rollouts: u64,
    tampered: Option<String>,
    head_place: Option<u64>,
    head_hash: Option<String>,
}

pub(super) async fn verify(State(dashboard): State<Dashboard>, caller: Caller) -> Response {
    let question = "{ verified { ok entries rollouts tampered headPlace headHash } }";
    match dashboard.ask::<Verification>(&caller, question, json!({})).await {
        Ok(answer) => layout::page(&caller, Part::History, "Is the record what it was?", &verdict(&answer.verified)),
        Err(problem) => layout::failed(&caller, Part::History, "Is the record what it was?", &problem),
    }
}

fn verdict(found: &Verified) -> Markup {
    let looked = format!("{} entries and {} rollouts were followed", number(found.entries), number(found.rollouts));
    html! {
        h1 { "Is the record what it was?" }
        @if found.ok && found.head_hash.is_none() {
            p { "There is no entry yet, and no rollout: nothing was verified." }
        } @else if found.ok {
            div.told.good role="status" { p { b { "Yes. " } (looked) "; each fits the one before it." } }
        } @else {
            (alert(&format!("no: {}", found.tampered.as_deref().unwrap_or("something is not well"))))
            p { (sentence(&looked)) }
        }
        @if let (Some(place), Some(hash)) = (found.head_place, &found.head_hash) {
            p { "Note place " b { (place) } " and hash elsewhere to find out later whether the end was cut off:" }
            p { code { (hash) } }
        }
        p { a href="/history" { "Back to the history" } }
    }
}
