//! `/diffs`: what shadow reads have found, from route to field to cause.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Dashboard;
use super::caller::Caller;
use super::excuses::{self, EXCUSES, Excuse, Kind, Proposal, Wish};
use super::layout::{self, Part, alert, number, wide, words};
use super::told::{Just, Told};

/// Which differences: the page's own query, as it stands in its address.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Filter {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    pub(super) route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    pub(super) field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    pub(super) cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    pub(super) since: Option<String>,
}

/// A form sends its empty fields too.
pub(super) fn filled<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?.trim().to_owned()).filter(|text| !text.is_empty()))
}

impl Filter {
    /// What is filled in, by the names of the address.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = [("route", &self.route), ("field", &self.field), ("cause", &self.cause), ("since", &self.since)];
        parts.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The address of the page with this filter.
    fn address(&self) -> String {
        let address = form_urlencoded::Serializer::new(String::new()).extend_pairs(self.parts()).finish();
        format!("/diffs?{address}")
    }

    /// The same, after an order.
    pub(super) fn address_after(&self, code: &'static str) -> String {
        let mut address = form_urlencoded::Serializer::new(String::new());
        format!("/diffs?{}", address.extend_pairs(self.parts()).append_pair("done", code).finish())
    }
}

#[derive(Deserialize)]
struct Answer {
    report: Forms,
    routes: Vec<KnownRoute>,
    excuses: Vec<Excuse>,
}

#[derive(Deserialize)]
struct Forms {
    json: Report,
}

#[derive(Deserialize)]
struct KnownRoute {
    route: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    answer: String,
    asked: AskedFor,
    totals: Totals,
    routes: Vec<RouteReport>,
}

/// What part of the evidence it is about.
#[derive(Deserialize)]
struct AskedFor {
    /// The time in words; all time without.
    time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    comparisons: u64,
    matches: u64,
    excused: u64,
    mismatches: u64,
    inconclusive: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RouteReport {
    route: String,
    answer: String,
    totals: Totals,
    differences: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    field: Option<String>,
    cause: String,
    verdict: String,
    rows: u64,
    answers: Option<u64>,
    first_seen: String,
    last_seen: String,
    proposals: Vec<Proposal>,
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    id: String,
    answer: String,
    seen_at: String,
}

pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Query(filter): Query<Filter>,
    Query(just): Query<Just>,
) -> Response {
    shown(&dashboard, &caller, &filter, &just.told(excuses::in_words), &Wish::default()).await
}

/// The page, after an order or before the first.
pub(super) async fn shown(
    dashboard: &Dashboard,
    caller: &Caller,
    filter: &Filter,
    told: &Told,
    draft: &Wish,
) -> Response {
    let question = format!(
        "query($filter: DiffFilterInput!) {{ report(filter: $filter) {{ json }} routes {{ route kind }} {EXCUSES} }}"
    );
    let found = dashboard.ask::<Answer>(caller, &question, json!({ "filter": filter })).await;
    let content = html! {
        h1 { "Differences" }
        (told.notice())
        @match &found {
            Ok(answer) => (all(caller, filter, answer, draft)),
            // The form stays as it was filled in, so that one letter can be mended.
            Err(problem) => { (alert(&problem.message)) (form(filter, &[])) }
        }
    };
    layout::shown(told.status(&found), caller, Part::Diffs, "Differences", &content)
}

fn all(caller: &Caller, filter: &Filter, answer: &Answer, draft: &Wish) -> Markup {
    let report = &answer.report.json;
    html! {
        (trail(filter))
        p.answer { (words(&report.answer)) }
        (tiles(&report.totals))
        (form(filter, &answer.routes))
        @for route in report.routes.iter().filter(|route| route.is_known()) {
            (route_section(caller, filter, route, draft))
        }
        (excuses::list(caller, filter, &answer.excuses, draft))
        (unknown(report))
    }
}

/// Routes of which nothing is known, which is not the same as no difference. "Never" is not said: of a part of the time it
/// would be false, and counts are not kept for ever.
fn unknown(report: &Report) -> Markup {
    let time = report.asked.time.as_deref();
    let unknown: Vec<_> = report.routes.iter().filter(|route| !route.is_known()).collect();
    html! {
        @if !unknown.is_empty() {
            section aria-labelledby="unknown" {
                h2 #unknown { @if time.is_some() { "Not compared in this time" } @else { "Not compared" } }
                p {
                    "Nothing is known about these routes"
                    @if let Some(time) = time { " " (time) }
                    @else { ", as far back as counts are kept" }
                    ": nobody asked them while their reads were compared."
                }
                ul.in-columns { @for route in unknown { li { (route.route) } } }
            }
        }
    }
}

impl RouteReport {
    fn is_known(&self) -> bool {
        self.totals.comparisons + self.totals.inconclusive > 0 || !self.differences.is_empty()
    }
}

/// Where one is between all routes and one cause.
pub(super) fn trail(filter: &Filter) -> Markup {
    let route = Filter { route: filter.route.clone(), since: filter.since.clone(), ..Filter::default() };
    let field = Filter { field: filter.field.clone(), ..route.clone() };
    let all = Filter { since: filter.since.clone(), ..Filter::default() };
    html! {
        nav aria-label="Drill-down" { ol.trail {
            li { a href=(all.address()) { "all routes" } }
            @if let Some(name) = &filter.route { li { a href=(route.address()) { (name) } } }
            @if let Some(name) = &filter.field { li { a href=(field.address()) { (name) } } }
            @if let Some(name) = &filter.cause { li { a href=(filter.address()) aria-current="true" { (name) } } }
        } }
    }
}

fn tiles(totals: &Totals) -> Markup {
    let tiles = [
        ("Answers that match", totals.matches),
        ("Mismatch", totals.mismatches),
        ("Excused", totals.excused),
        ("Inconclusive", totals.inconclusive),
    ];
    html! { dl.tiles { @for (name, count) in tiles { div { dt { (name) } dd { (number(count)) } } } } }
}

fn form(filter: &Filter, routes: &[KnownRoute]) -> Markup {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    html! {
        form.filter method="get" action="/diffs" role="search" aria-label="Which differences" {
            div.field {
                label for="route" { "Route" }
                @if routes.is_empty() { input #route name="route" value=(text(&filter.route)); }
                @else { select #route name="route" {
                    option value="" { "all" }
                    @for known in routes.iter().filter(|route| route.kind != "write") {
                        option value=(known.route) selected[filter.route.as_ref() == Some(&known.route)] { (known.route) }
                    }
                } }
            }
            div.field { label for="field" { "Field" } input #field name="field" value=(text(&filter.field)); }
            div.field {
                label for="cause" { "Cause" }
                select #cause name="cause" {
                    option value="" { "all" }
                    @for cause in model::evidence::Cause::ALL {
                        option value=(cause) selected[filter.cause.as_deref() == Some(cause.as_str())] { (cause) }
                    }
                }
            }
            div.field {
                label for="since" { "Since" }
                input #since name="since" value=(text(&filter.since)) placeholder="2h, 7d" aria-describedby="since-help";
                span.soft #since-help { "2h, 7d, or a time" }
            }
            button { "Show" }
            a href="/diffs" { "Show all" }
        }
    }
}

fn route_section(caller: &Caller, filter: &Filter, route: &RouteReport, draft: &Wish) -> Markup {
    let here = Filter { route: Some(route.route.clone()), since: filter.since.clone(), ..Filter::default() };
    // Samples are what is left when nothing else is to be chosen.
    let deep = filter.field.is_some() || filter.cause.is_some();
    let is_kind = filter.route.is_some() && filter.cause.is_some();
    let kind = |place: usize, line: &Line| {
        let kind = Filter { field: line.field.clone(), cause: Some(line.cause.clone()), ..here.clone() };
        Kind { caller, kind, place, draft }
    };
    html! {
        section aria-label=(route.route) {
            h2 { a href=(here.address()) { (route.route) } }
            p.answer { (words(&route.answer)) }
            @if !route.differences.is_empty() {
                (wide(&format!("Differences of {}", route.route), &lines(&here, route)))
            }
            @for (place, line) in route.differences.iter().enumerate() {
                @if is_kind { (kind(place, line).proposals(&line.proposals)) }
                @if deep { (samples(line)) }
            }
        }
    }
}

fn lines(here: &Filter, route: &RouteReport) -> Markup {
    html! {
        table {
            caption { "What differs, worst first: the answers that hold it, and the rows in them" }
            thead { tr {
                th scope="col" { "Field" } th scope="col" { "Cause" } th scope="col" { "Verdict" }
                th.number scope="col" { "Answers" } th.number scope="col" { "Rows" } th scope="col" { "First seen" } th scope="col" { "Last seen" }
                th scope="col" { "Samples" }
            } }
            tbody { @for line in &route.differences {
                @let field = Filter { field: line.field.clone(), ..here.clone() };
                @let cause = Filter { cause: Some(line.cause.clone()), ..field.clone() };
                tr {
                    th scope="row" {
                        @match &line.field {
                            Some(name) => a href=(field.address()) { (name) },
                            None => { "(" @if line.cause == "order" { "order" } @else { "record" } ")" }
                        }
                    }
                    td { a href=(cause.address()) { (line.cause) } }
                    td { (verdict(&line.verdict)) }
                    td.number { @match line.answers {
                        Some(answers) => (number(answers)),
                        None => span.soft { "not known" },
                    } }
                    td.number { (number(line.rows)) }
                    td.nowrap { (layout::time(&line.first_seen)) }
                    td.nowrap { (layout::time(&line.last_seen)) }
                    td {
                        @match line.samples.first() {
                            Some(sample) => a href={ "/diffs/" (sample.id) } { "newest of " (line.samples.len()) },
                            None => span.soft { "none kept" },
                        }
                    }
                }
            } }
        }
    }
}

fn verdict(verdict: &str) -> Markup {
    let class = if verdict == "mismatch" { "bad" } else { "warn" };
    html! { span class={ "state " (class) } { (verdict) } }
}

fn samples(line: &Line) -> Markup {
    html! {
        @if !line.samples.is_empty() {
            h3 { (line.field.as_deref().unwrap_or("(record)")) ", " (line.cause) ": samples" }
            ul.samples { @for sample in &line.samples {
                li { a href={ "/diffs/" (sample.id) } { (sample.answer) } " " span.soft { (layout::time(&sample.seen_at)) } }
            } }
        }
    }
}
