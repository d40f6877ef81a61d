//! `/diffs/ID`: one difference with both sides, and what both remember of its key.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use model::{PerSide, Side};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::caller::Caller;
use super::diffs::{Filter, trail};
use super::layout::{self, Part, sentence, wide, words};
use super::{Dashboard, Problem};

#[derive(Deserialize)]
struct Answer<T> {
    sample: T,
}

#[derive(Deserialize)]
struct Forms {
    html: String,
    json: Report,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    id: String,
    answer: String,
    route: String,
    field: Option<String>,
    cause: String,
    excused: bool,
    key: String,
    seen_at: String,
}

#[derive(Deserialize)]
struct WithHistory {
    json: Past,
}

#[derive(Deserialize)]
struct Past {
    history: PerSide<SideHistory>,
}

/// What one side remembers of the key.
#[derive(Deserialize)]
struct SideHistory {
    problem: Option<String>,
    present: Json,
    recorded: Option<String>,
    states: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    at: String,
    version: String,
    write: String,
    record: Json,
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller, Path(id): Path<String>) -> Response {
    let question = "query($id: String!) { sample(id: $id) { html json } }";
    // Asked apart: the sample is shown whatever becomes of its history.
    let past = "query($id: String!) { sample(id: $id) { json(history: true) } }";
    let given = json!({ "id": id });
    let (found, past) = tokio::join!(
        dashboard.ask::<Answer<Forms>>(&caller, question, given.clone()),
        dashboard.ask::<Answer<WithHistory>>(&caller, past, given)
    );
    match found {
        Ok(Answer { sample }) => {
            let past = past.map(|answer| answer.sample.json.history);
            let content = html! { (one(&sample)) (history(&past, sample.json.field.as_deref())) };
            layout::page(&caller, Part::Diffs, "One difference", &content)
        }
        Err(problem) => layout::failed(&caller, Part::Diffs, "One difference", &problem),
    }
}

fn one(sample: &Forms) -> Markup {
    let report = &sample.json;
    let filter = Filter {
        route: Some(report.route.clone()),
        field: report.field.clone(),
        cause: Some(report.cause.clone()),
        since: None,
    };
    html! {
        (trail(&filter))
        h1 { "One difference" }
        p.answer { (report.answer) }
        dl.facts {
            dt { "Key" } dd { code { (report.key) } }
            dt { "Cause" } dd { (report.cause) @if report.excused { " (excused)" } }
            dt { "Seen" } dd { (layout::time(&report.seen_at)) }
            dt { "On the command line" } dd { code { "strangler diffs show " (report.id) } }
        }
        // Made and escaped by `shadow-compare`, as in its own report.
        section.sample aria-label="Both sides" { (PreEscaped(&sample.html)) }
    }
}

/// One table per side; of the records only `field`, if the sample is about one.
fn history(past: &Result<PerSide<SideHistory>, Problem>, field: Option<&str>) -> Markup {
    html! {
        section aria-labelledby="history" {
            h2 #history { "History of the key" }
            @match past {
                Ok(past) => { @for side in Side::BOTH { (side_history(side, past.get(side), field)) } }
                Err(problem) => p.warn { (words(&sentence(&problem.message))) },
            }
        }
    }
}

fn side_history(side: Side, past: &SideHistory, field: Option<&str>) -> Markup {
    html! {
        h3 { (side) }
        @match &past.problem {
            Some(problem) => p.warn { "Not known: " (words(problem)) },
            None => {
                p.soft { "Recorded version: " (past.recorded.as_deref().unwrap_or("none, nothing was ever written here")) }
                (wide(&format!("What {side} remembers"), &states(past, field)))
            }
        }
    }
}

fn states(past: &SideHistory, field: Option<&str>) -> Markup {
    html! {
        table {
            caption { "Newest first" }
            thead { tr {
                th scope="col" { "Version" } th scope="col" { "Write" } th scope="col" { "Written" }
                th scope="col" { (field.unwrap_or("Record")) }
            } }
            tbody {
                tr { td { "–" } td { "–" } td { "now" } td.words { (state(&past.present, field)) } }
                @for written in &past.states { tr {
                    td { code { (written.version) } }
                    td { code { (written.write) } }
                    td.nowrap { (layout::time(&written.at)) }
                    td.words { (state(&written.record, field)) }
                } }
            }
        }
    }
}

fn state(record: &Json, field: Option<&str>) -> Markup {
    html! { @match (record, field) {
        (Json::Null, _) => span.nothing { "no record" },
        (record, None) => code { (record) },
        (record, Some(field)) => { @match record.get(field) {
            Some(value) => code { (value) },
            None => span.nothing { "not kept" },
        } }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_table_and_a_side_that_is_not_known_says_why() {
        let script = "<script>alert(1)</script>";
        let past: PerSide<SideHistory> = serde_json::from_value(json!({
            "legacy": { "problem": null, "present": { "name": script, "id": 1 }, "recorded": "1.0.7", "states": [
                { "at": "2026-01-31T07:00:00Z", "version": "1.0.7", "write": "w-7", "record": { "name": script } },
                { "at": "2026-01-31T06:00:00Z", "version": "1.0.6", "write": "w-6", "record": null },
            ] },
            "modern": { "problem": "it is `down`", "present": null, "recorded": null, "states": [] },
        }))
        .unwrap();
        let shown = history(&Ok(past), Some("name")).into_string();
        for words in ["<code>1.0.7</code>", "w-6", "07:00:00 UTC", "no record", "Not known: it is <code>down</code>"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(shown.contains("&lt;script&gt;") && !shown.contains(script), "{shown}");
        assert!(!shown.contains("\"id\"") && shown.matches("<table").count() == 1, "only the field: {shown}");
    }
}
