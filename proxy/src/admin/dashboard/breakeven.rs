//! `/breakeven`: what errors would cost after the move, against what waiting costs. Plain sentences come first.
//!
//! Promise: where figures are missing or nothing was compared, the page says so and concludes nothing.
//! Not here: the calculation (`crate::breakeven`).

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::caller::Caller;
use super::layout::{self, Part, alert, number, sentence, wide, words};
use super::{Dashboard, Problem, diffs, overview};

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default, deserialize_with = "diffs::filled")]
    since: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    breakeven: Forms,
}

#[derive(Deserialize)]
struct Forms {
    json: Weighed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Weighed {
    answer: String,
    plain: [String; 2],
    currency: String,
    measured: Measured,
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

/// The calculation over differences since then, or over all.
pub(super) async fn weighed(dashboard: &Dashboard, caller: &Caller, since: Option<&str>) -> Result<Weighed, Problem> {
    let question = "query($filter: DiffFilterInput!) { breakeven(filter: $filter) { json } }";
    let given = json!({ "filter": { "since": since } });
    Ok(dashboard.ask::<Answer>(caller, question, given).await?.breakeven.json)
}

pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    caller: Caller,
    Query(Wanted { since }): Query<Wanted>,
) -> Response {
    let found = weighed(&dashboard, &caller, since.as_deref()).await;
    let status = found.as_ref().map_or_else(|problem| problem.status, |_| axum::http::StatusCode::OK);
    let content = html! {
        h1 { "Break-even" }
        @match &found {
            Ok(weighed) => { (told(weighed)) (form(since.as_deref())) (figures(weighed)) (cases(weighed)) }
            // Not a guess, and not a zero.
            Err(problem) => { (alert(&problem.message)) (form(since.as_deref())) }
        }
    };
    layout::shown(status, &caller, Part::BreakEven, "Break-even", &content)
}

/// What everybody understands, on the page of all groups.
pub(super) fn panel(found: &Result<Weighed, Problem>) -> Markup {
    html! {
        section data-live="break-even" #weighed aria-labelledby="break-even" {
            h2 #break-even { a href="/breakeven" { "Move now, or wait?" } }
            @match found {
                Ok(weighed) => p.answer { (weighed.plain[0]) " " (weighed.plain[1]) },
                Err(problem) => p.warn { (words(&sentence(&problem.message))) },
            }
        }
    }
}

fn told(weighed: &Weighed) -> Markup {
    html! {
        section aria-label="In plain words" {
            @for sentence in &weighed.plain { p.answer { (sentence) } }
        }
        p.answer { (words(&weighed.answer)) }
    }
}

fn form(since: Option<&str>) -> Markup {
    html! {
        form.filter method="get" action="/breakeven" role="search" aria-label="Which comparisons" {
            div.field {
                label for="since" { "Comparisons since" }
                input #since name="since" value=[since] placeholder="2h, 7d" aria-describedby="since-help";
                span.soft #since-help { "2h, 7d, or a time; empty: all" }
            }
            button { "Weigh" }
        }
    }
}

fn figures(weighed: &Weighed) -> Markup {
    let Measured { comparisons, mismatches, settle_p99 } = &weighed.measured;
    html! {
        dl.facts {
            dt { "Mismatches" }
            dd { (number(*mismatches)) " of " (number(*comparisons)) " comparisons ("
                 (overview::share(*mismatches, *comparisons)) ")" }
            dt { "Both sides have a write" }
            dd { @match settle_p99 {
                Some(seconds) => { "within " (format!("{seconds:.1}")) " s (99 of 100)" }
                None => span.soft { "not measured" },
            } }
            dt { "Waiting costs" } dd { (money(weighed.waiting_per_day, &weighed.currency)) " a day" }
            dt { "Both cost the same at" }
            dd { @match weighed.break_even_probability {
                Some(probability) => { "an error in " (probable(probability)) " of transactions" }
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
                td.number { (probable(case.probability)) }
                td.number { (money(case.errors_per_day, &weighed.currency)) }
                td.number { @match case.break_even_days {
                    Some(days) => { (grouped(days, 1)) " days" }
                    None => "never",
                } }
            } } }
        }
    };
    wide("How much hangs on the probability", &table)
}

/// A probability as a percentage; a small one is never shown as none.
fn probable(probability: f64) -> String {
    let text = format!("{:.6}", probability * 100.0);
    match text.trim_end_matches('0').trim_end_matches('.') {
        "0" if probability > 0.0 => "less than 0.000001 %".to_owned(),
        digits => format!("{digits} %"),
    }
}

fn money(amount: f64, currency: &str) -> String {
    if amount > 0.0 && amount < 0.01 {
        return format!("less than 0.01 {currency}");
    }
    format!("{} {currency}", grouped(amount, if amount < 100.0 { 2 } else { 0 }))
}

/// With gaps between thousands.
fn grouped(amount: f64, digits: usize) -> String {
    let text = format!("{amount:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    whole.parse().map_or_else(|_| text.clone(), |whole| format!("{}{rest}", number(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_is_not_none_and_large_can_be_read() {
        assert_eq!(probable(0.000_003), "0.0003 %");
        assert_eq!((probable(0.0), probable(1e-10)), ("0 %".into(), "less than 0.000001 %".into()));
        assert_eq!(money(15_000.4, "EUR"), "15\u{202f}000 EUR");
        assert_eq!((money(6.48, "EUR"), money(0.001, "EUR")), ("6.48 EUR".into(), "less than 0.01 EUR".into()));
        assert_eq!(grouped(1234.56, 1), "1\u{202f}234.6");
    }
}
