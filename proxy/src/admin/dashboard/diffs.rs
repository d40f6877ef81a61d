//! `/diffs`: what shadow reads have found, from route to field to cause to one sample with both sides.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Dashboard;
use super::caller::Caller;
use super::layout::{self, Part, alert, number, wide, words};

/// Which differences: the page's own query, as it stands in its address.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Filter {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled")]
    since: Option<String>,
}

/// A form sends its empty fields too.
fn filled<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?.trim().to_owned()).filter(|text| !text.is_empty()))
}

impl Filter {
    /// The address of the page with this filter.
    fn address(&self) -> String {
        let mut address = form_urlencoded::Serializer::new(String::new());
        let parts = [("route", &self.route), ("field", &self.field), ("cause", &self.cause), ("since", &self.since)];
        for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            address.append_pair(name, value);
        }
        format!("/diffs?{}", address.finish())
    }
}

#[derive(Deserialize)]
struct Answer {
    report: Forms,
    routes: Vec<KnownRoute>,
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
    totals: Totals,
    routes: Vec<RouteReport>,
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
    count: u64,
    first_seen: String,
    last_seen: String,
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    id: String,
    answer: String,
    seen_at: String,
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller, Query(filter): Query<Filter>) -> Response {
    let question = "query($filter: DiffFilterInput!) { report(filter: $filter) { json } routes { route kind } }";
    match dashboard.ask::<Answer>(&caller, question, json!({ "filter": filter })).await {
        Ok(answer) => layout::page(&caller, Part::Diffs, "Differences", &found(&filter, &answer)),
        Err(problem) => {
            // The form stays as it was filled in, so that one letter can be mended.
            let content = html! { h1 { "Differences" } (alert(&problem.message)) (form(&filter, &[])) };
            layout::shown(problem.status, &caller, Part::Diffs, "Differences", &content)
        }
    }
}

fn found(filter: &Filter, answer: &Answer) -> Markup {
    let report = &answer.report.json;
    html! {
        h1 { "Differences" }
        (trail(filter))
        p.answer { (words(&report.answer)) }
        (tiles(&report.totals))
        (form(filter, &answer.routes))
        @for route in report.routes.iter().filter(|route| route.is_known()) { (route_section(filter, route)) }
        (unknown(report))
    }
}

/// Routes of which nothing is known, which is not the same as no difference.
fn unknown(report: &Report) -> Markup {
    let unknown: Vec<_> = report.routes.iter().filter(|route| !route.is_known()).collect();
    html! {
        @if !unknown.is_empty() {
            section aria-labelledby="unknown" {
                h2 #unknown { "Never compared" }
                p { "Nothing is known about these routes: nobody asked them while their reads were compared." }
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
fn trail(filter: &Filter) -> Markup {
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
        ("Match", totals.matches),
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

fn route_section(filter: &Filter, route: &RouteReport) -> Markup {
    let here = Filter { route: Some(route.route.clone()), since: filter.since.clone(), ..Filter::default() };
    // Samples are what is left when nothing else is to be chosen.
    let deep = filter.field.is_some() || filter.cause.is_some();
    html! {
        section aria-label=(route.route) {
            h2 { a href=(here.address()) { (route.route) } }
            p.answer { (words(&route.answer)) }
            @if !route.differences.is_empty() {
                (wide(&format!("Differences of {}", route.route), &lines(&here, route)))
            }
            @if deep { @for line in &route.differences { (samples(line)) } }
        }
    }
}

fn lines(here: &Filter, route: &RouteReport) -> Markup {
    html! {
        table {
            caption { "What differs, worst first" }
            thead { tr {
                th scope="col" { "Field" } th scope="col" { "Cause" } th scope="col" { "Verdict" }
                th.number scope="col" { "Count" } th scope="col" { "First seen" } th scope="col" { "Last seen" }
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
                    td.number { (number(line.count)) }
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

#[derive(Deserialize)]
struct SampleAnswer {
    sample: SampleForms,
}

#[derive(Deserialize)]
struct SampleForms {
    html: String,
    json: SampleReport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SampleReport {
    id: String,
    answer: String,
    route: String,
    field: Option<String>,
    cause: String,
    excused: bool,
    key: String,
    seen_at: String,
}

pub(super) async fn sample(State(dashboard): State<Dashboard>, caller: Caller, Path(id): Path<String>) -> Response {
    let question = "query($id: String!) { sample(id: $id) { html json } }";
    match dashboard.ask::<SampleAnswer>(&caller, question, json!({ "id": id })).await {
        Ok(SampleAnswer { sample }) => layout::page(&caller, Part::Diffs, "One difference", &one(&sample)),
        Err(problem) => layout::failed(&caller, Part::Diffs, "One difference", &problem),
    }
}

fn one(sample: &SampleForms) -> Markup {
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
            dt { "Cause" } dd { (report.cause) @if report.excused { " (excused by the contract)" } }
            dt { "Seen" } dd { (layout::time(&report.seen_at)) }
            dt { "On the command line" } dd { code { "strangler diffs show " (report.id) } }
        }
        // Made and escaped by `shadow-compare`, as in its own report.
        section.sample aria-label="Both sides" { (PreEscaped(&sample.html)) }
    }
}
