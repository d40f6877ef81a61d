//! `/breakeven`: what errors would cost after the move, against what waiting costs. What we were told comes first, then
//! plain sentences, then figures.
//!
//! Promise: where figures are missing the page is a form that asks for them; where too little was compared it says so.
//! Either way it concludes nothing.
//! Not here: the calculation (`control_plane::breakeven`).

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shadow_compare::words::{answers, differ};

use super::caller::Caller;
use super::diffs::filled;
use super::layout::{self, Part, alert, sentence, wide, words};
use super::{Dashboard, Problem};
use control_plane::breakeven::{days, estimate, exact, money, percent, short};

/// The page's own query, as it stands in its address: a time, and figures in the place of those that are configured.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    #[serde(deserialize_with = "filled")]
    since: Option<String>,
    #[serde(deserialize_with = "filled")]
    currency: Option<String>,
    #[serde(deserialize_with = "filled")]
    daily_transactions: Option<String>,
    #[serde(deserialize_with = "filled")]
    cost_per_error: Option<String>,
    #[serde(deserialize_with = "filled")]
    licences_per_day: Option<String>,
    #[serde(deserialize_with = "filled")]
    missed_revenue_per_day: Option<String>,
    #[serde(deserialize_with = "filled")]
    team_per_day: Option<String>,
    #[serde(deserialize_with = "filled")]
    horizon_days: Option<String>,
}

impl Wanted {
    fn typed(&self, name: &str) -> Option<&str> {
        let field = match name {
            "daily_transactions" => &self.daily_transactions,
            "cost_per_error" => &self.cost_per_error,
            "licences_per_day" => &self.licences_per_day,
            "missed_revenue_per_day" => &self.missed_revenue_per_day,
            "team_per_day" => &self.team_per_day,
            "horizon_days" => &self.horizon_days,
            _ => return None,
        };
        field.as_deref()
    }

    /// The figures as the API takes them.
    fn given(&self) -> Result<Json, Problem> {
        let wrong = |what: &str, text: &str| Problem {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: format!("{what}: `{text}` is no number; write it as 2400 or 12.5"),
        };
        let number = |name: &str| match self.typed(name) {
            None => Ok(Json::Null),
            Some(text) => {
                let plain = text.replace([' ', '\u{a0}', '\u{202f}'], "");
                let number = plain.parse::<f64>().ok().filter(|number| number.is_finite());
                number.map(Json::from).ok_or_else(|| wrong(name, text))
            }
        };
        let days = self.typed("horizon_days");
        let days = days.map(|text| text.parse::<u32>().map_err(|_| wrong("horizon_days", text))).transpose()?;
        Ok(json!({
            "currency": self.currency,
            "dailyTransactions": number("daily_transactions")?,
            "costPerError": number("cost_per_error")?,
            "licencesPerDay": number("licences_per_day")?,
            "missedRevenuePerDay": number("missed_revenue_per_day")?,
            "teamPerDay": number("team_per_day")?,
            "horizonDays": days,
        }))
    }
}

/// One figure that people give.
#[derive(Deserialize)]
pub(super) struct Input {
    name: String,
    meaning: String,
    value: Option<f64>,
    unit: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Weighed {
    answer: String,
    plain: [String; 2],
    currency: String,
    measured: Measured,
    all_time: Measured,
    waiting_per_day: f64,
    horizon_days: u32,
    break_even_probability: Option<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    comparisons: u64,
    mismatches: u64,
    since: Option<String>,
    settle_p99: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    assumption: String,
    probability: f64,
    errors_per_day: f64,
    break_even_days: Option<f64>,
}

/// What can be shown.
pub(super) struct Found {
    /// What we were told, and what nobody has said.
    given: Result<Vec<Input>, Problem>,
    /// The balance; `None` where a figure is missing that somebody must give.
    weighed: Option<Result<Weighed, Problem>>,
}

/// The calculation, over what was asked for.
pub(super) async fn weighed(dashboard: &Dashboard, caller: &Caller, wanted: &Wanted) -> Found {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Given {
        breakeven_given: Vec<Input>,
    }
    #[derive(Deserialize)]
    struct Answer {
        breakeven: Forms,
    }
    #[derive(Deserialize)]
    struct Forms {
        json: Weighed,
    }
    let figures = match wanted.given() {
        Ok(figures) => figures,
        Err(problem) => return Found { given: Err(problem), weighed: None },
    };
    let question = "query($given: MoneyInput!) { breakevenGiven(given: $given) { name meaning value unit source } }";
    let told = dashboard.ask::<Given>(caller, question, json!({ "given": figures })).await;
    let given = told.map(|told| told.breakeven_given);
    let complete = given.as_ref().is_ok_and(|given| given.iter().all(|input| input.value.is_some()));
    if !complete {
        return Found { given, weighed: None };
    }
    let question = "query($filter: DiffFilterInput!, $given: MoneyInput!) { breakeven(filter: $filter, given: $given) \
                    { json } }";
    let asked = json!({ "filter": { "since": wanted.since }, "given": figures });
    let answer = dashboard.ask::<Answer>(caller, question, asked).await;
    Found { given, weighed: Some(answer.map(|answer| answer.breakeven.json)) }
}

pub(super) async fn page(State(dashboard): State<Dashboard>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let found = weighed(&dashboard, &caller, &wanted).await;
    let status = match (&found.given, &found.weighed) {
        (Err(problem), _) | (_, Some(Err(problem))) => problem.status,
        // A form to be filled in is no error.
        (Ok(_), Some(Ok(_)) | None) => StatusCode::OK,
    };
    let content = html! {
        h1 { "Break-even" }
        @match &found.given {
            // The form stays as it was filled in, so that one figure can be mended.
            Err(problem) => (alert(&problem.message)),
            Ok(given) => {
                @match &found.weighed {
                    None => (explained()),
                    // Not a guess, and not a zero.
                    Some(Err(problem)) => { (inputs(given)) (alert(&problem.message)) }
                    Some(Ok(weighed)) => { (inputs(given)) (told(weighed)) (figures(weighed)) (cases(weighed)) }
                }
            }
        }
        (form(&wanted, found.given.as_deref().unwrap_or_default()))
    };
    layout::shown(status, &caller, Part::BreakEven, "Break-even", &content)
}

/// What everybody understands, on the page of all groups.
pub(super) fn panel(found: &Found) -> Markup {
    html! {
        section data-live="break-even" #weighed aria-labelledby="break-even" {
            h2 #break-even { a href="/breakeven" { "Move now, or wait?" } }
            @match (&found.given, &found.weighed) {
                (Err(problem), _) | (_, Some(Err(problem))) => p.warn { (words(&sentence(&problem.message))) },
                (Ok(_), Some(Ok(weighed))) => p.answer { (weighed.plain[0]) " " (weighed.plain[1]) },
                (Ok(_), None) => p.soft {
                    "Not weighed: nobody has said what a wrong answer and a day of waiting cost. "
                    a href="/breakeven" { "Say it" } "."
                },
            }
        }
    }
}

fn explained() -> Markup {
    html! {
        p.answer { "Say what a wrong answer costs and what a day on the old system costs, and this page weighs one against
            the other, by what was compared." }
        p {
            "Nothing of it can be measured, so nothing is assumed. What costs nothing is 0. What is typed here stays in the
            address of the page; " code { "[breakeven]" } " of the configuration keeps it for everybody."
        }
    }
}

fn inputs(given: &[Input]) -> Markup {
    let table = html! {
        table {
            caption { "What you told us" }
            thead { tr {
                th scope="col" { "What" } th.number scope="col" { "Figure" } th scope="col" { "Unit" }
                th scope="col" { "Who said so" }
            } }
            tbody { @for input in given { tr {
                th scope="row" { (input.meaning) }
                td.number { @match input.value { Some(value) => (exact(value)), None => span.soft { "not said" } } }
                td { (input.unit) }
                td { code { (input.source) } }
            } } }
        }
    };
    wide("What you told us", &table)
}

fn told(weighed: &Weighed) -> Markup {
    html! {
        section aria-label="In plain words" {
            @for sentence in &weighed.plain { p.answer { (sentence) } }
        }
        p.answer { (words(&weighed.answer)) }
    }
}

fn form(wanted: &Wanted, given: &[Input]) -> Markup {
    // As it was typed where it was; else what is configured stands behind the empty field.
    let field = |name: &str, label: &str, unit: &str, hint: Option<String>| {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) inputmode="decimal" value=[wanted.typed(name)] placeholder=[hint]
                    aria-describedby={ (name) "-unit" };
                span.soft id={ (name) "-unit" } { (unit) }
            }
        }
    };
    let names = ["daily_transactions", "cost_per_error", "licences_per_day", "missed_revenue_per_day", "team_per_day"];
    html! {
        section aria-labelledby="what-if" {
            h2 #what-if { "What if?" }
            form.filter method="get" action="/breakeven" role="search" aria-label="Figures to weigh" {
                @if given.is_empty() { @for name in names { (field(name, name, "", None)) } }
                @for input in given { (field(&input.name, &input.meaning, &input.unit, input.value.map(exact))) }
                div.field {
                    label for="currency" { "Money is counted in" }
                    input #currency name="currency" value=[&wanted.currency] placeholder="EUR" maxlength="20";
                }
                div.field {
                    label for="since" { "Comparisons since" }
                    input #since name="since" value=[&wanted.since] placeholder="2h, 7d" aria-describedby="since-help";
                    span.soft #since-help { "2h, 7d, or a time; empty: since the last repair" }
                }
                button { "Weigh" }
                a href="/breakeven" { "As configured" }
            }
        }
    }
}

/// How many of the answers differ.
fn of(measured: &Measured) -> String {
    match measured.mismatches {
        0 => format!("none of {} differs", answers(measured.comparisons)),
        mismatches => differ(mismatches, measured.comparisons),
    }
}

fn figures(weighed: &Weighed) -> Markup {
    let measured = &weighed.measured;
    html! {
        dl.facts {
            dt { "Measured" }
            dd {
                (of(measured))
                @match &measured.since { Some(since) => { ", since " (layout::time(since)) } None => "" }
            }
            @if measured.since != weighed.all_time.since { dt { "In all" } dd { (of(&weighed.all_time)) } }
            dt { "Both sides have a write" }
            dd { @match measured.settle_p99 {
                Some(seconds) => { "within " (short(Duration::from_secs_f64(seconds.max(0.0)))) " (99 of 100, last 24 h)" }
                None => span.soft { "not measured" },
            } }
            dt { "Waiting costs" } dd { (money(weighed.waiting_per_day, &weighed.currency)) " a day" }
            dt { "Both cost the same at" }
            dd { @match weighed.break_even_probability {
                Some(probability) => { "an error in " (percent(probability)) " of transactions" }
                None => "no probability: errors cost nothing",
            } }
        }
    }
}

fn cases(weighed: &Weighed) -> Markup {
    let table = html! {
        table {
            caption { "Break-even: days of waiting that cost as much as errors in " (weighed.horizon_days) " days" }
            thead { tr {
                th scope="col" { "Assumed" } th.number scope="col" { "Probability of an error" }
                th.number scope="col" { "Errors cost a day" } th.number scope="col" { "Break-even" }
            } }
            tbody { @for case in &weighed.cases { tr {
                th scope="row" { (case.assumption) }
                td.number { (percent(case.probability)) }
                td.number { (estimate(case.errors_per_day, &weighed.currency)) }
                td.number { (case.break_even_days.map_or_else(|| "never".to_owned(), days)) }
            } } }
        }
    };
    wide("How much hangs on the probability", &table)
}
