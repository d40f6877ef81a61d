//! `/history`: every change and deed, with who, when, from where, why, and the evidence at that moment.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Dashboard;
use super::caller::Caller;
use super::layout::{self, Part, alert, number, sentence, wide, words};
use super::shapes::{CHANGE, Change};

/// Entries on the page.
const SHOWN: usize = 200;

#[derive(Deserialize)]
pub(super) struct Wanted {
    group: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    audit: Vec<Entry>,
    history: Vec<Change>,
}

#[derive(Deserialize)]
struct Entry {
    place: u64,
    at: String,
    action: String,
    group: Option<String>,
    who: String,
    origin: String,
    reason: Option<String>,
    rollout: Option<u64>,
    hash: String,
}

pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Query(Wanted { group }): Query<Wanted>,
) -> Response {
    let group = group.filter(|name| !name.is_empty());
    let question = format!(
        "query($group: String, $limit: Int!) {{ history(group: $group, limit: $limit) {{ {CHANGE} }} \
         audit(group: $group, limit: $limit) {{ place at action group who origin reason rollout hash }} }}"
    );
    match dashboard.ask::<Answer>(&caller, &question, json!({ "group": group, "limit": SHOWN })).await {
        Ok(answer) => layout::page(&caller, Part::History, "History", &all(&dashboard, group.as_deref(), &answer)),
        Err(problem) => layout::failed(&caller, Part::History, "History", &problem),
    }
}

fn all(dashboard: &Dashboard, group: Option<&str>, answer: &Answer) -> Markup {
    let changes: BTreeMap<u64, &Change> = answer.history.iter().map(|change| (change.rollout, change)).collect();
    html! {
        h1 { "History" }
        div.tools {
            form.filter method="get" action="/history" {
                label for="group" { "Group" }
                select #group name="group" {
                    option value="" selected[group.is_none()] { "all" }
                    @for known in &dashboard.admin.groups {
                        option value=(known) selected[group == Some(known.as_str())] { (known) }
                    }
                }
                button { "Show" }
            }
            a.button href="/history/verify" { "Verify the record" }
        }
        @if answer.audit.is_empty() { p { "Nothing was recorded yet." } }
        @else { (wide("The record, newest first", &table(answer, &changes))) }
        @if answer.audit.len() == SHOWN { p.soft { "Older entries: " code { "strangler history" } "." } }
    }
}

fn table(answer: &Answer, changes: &BTreeMap<u64, &Change>) -> Markup {
    html! {
        table {
            caption { "Newest first" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Group" }
                th scope="col" { "Who, from where" } th scope="col" { "Why" } th scope="col" { "Evidence then" }
                th scope="col" { "Place, hash" }
            } }
            tbody { @for entry in &answer.audit {
                @let change = entry.rollout.and_then(|version| changes.get(&version));
                tr {
                    td.nowrap { (layout::time(&entry.at)) }
                    td.words {
                        @match change {
                            Some(change) if entry.action == "rollout" => {
                                (words(&change.summary)) span.soft { " (rollout " (change.rollout) ")" }
                                @if let Some(second) = &change.approved_by { span.soft { ", approved by " (second) } }
                            }
                            _ => (entry.action),
                        }
                    }
                    td { @if let Some(group) = &entry.group { a href={ "/groups/" (group) } { (group) } } }
                    td.who-cell { (entry.who) div.soft { (entry.origin) } }
                    td.words { (entry.reason.as_deref().unwrap_or("none given")) }
                    td { @if let Some(change) = change { (change.evidence_in_words) } }
                    td.nowrap { (entry.place) " " code { (entry.hash.get(..8).unwrap_or(&entry.hash)) } }
                }
            } }
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
