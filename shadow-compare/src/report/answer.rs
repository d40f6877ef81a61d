//! The answer in a sentence, and the words that all forms share.

use std::collections::BTreeMap;

use model::evidence::{Cause, Verdict};
use model::{FieldName, RouteName};

use super::{Line, RouteReport, Totals};

/// How many kinds of difference the answer names; the rest are counted.
const NAMED: usize = 3;

/// The answer for all routes.
pub(super) fn of_all(totals: &Totals, routes: &[RouteReport]) -> String {
    let mut reasons = BTreeMap::new();
    for (reason, count) in routes.iter().flat_map(|route| &route.inconclusive_reasons) {
        *reasons.entry(reason.clone()).or_insert(0) += count;
    }
    let lines = routes.iter().flat_map(|r| r.differences.iter().map(move |line| (Some(&r.route), line)));
    sentence(totals, &reasons, lines.collect())
}

/// The answer for one route.
pub(super) fn of_route(totals: &Totals, reasons: &BTreeMap<String, u64>, lines: &[Line]) -> String {
    sentence(totals, reasons, lines.iter().map(|line| (None, line)).collect())
}

fn sentence(totals: &Totals, reasons: &BTreeMap<String, u64>, mut lines: Vec<(Option<&RouteName>, &Line)>) -> String {
    lines.retain(|(_, line)| line.verdict == Verdict::Mismatch);
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.count));
    let reasons = match reason_list(reasons).as_str() {
        "" => String::new(),
        reasons => format!(" ({reasons})"),
    };
    let inconclusive = number(totals.inconclusive);
    if totals.comparisons == 0 {
        return match (lines.is_empty(), totals.inconclusive) {
            (false, _) => {
                let kinds = kinds(&lines);
                format!("Comparisons were not counted, but differences are on record: {kinds}.")
            }
            (true, 0) => "Nothing has been compared yet, so nothing is known.".to_owned(),
            (true, 1) => {
                format!("Nothing is known: the only comparison was inconclusive{reasons}.")
            }
            (true, _) => {
                format!("Nothing is known: all {inconclusive} comparisons were inconclusive{reasons}.")
            }
        };
    }
    let answer = conclusive(totals, &lines);
    match totals.inconclusive {
        0 => answer,
        1 => format!("{answer} 1 more was inconclusive{reasons}."),
        _ => format!("{answer} {inconclusive} more were inconclusive{reasons}."),
    }
}

/// What the comparisons say that say something; there is at least one.
fn conclusive(totals: &Totals, lines: &[(Option<&RouteName>, &Line)]) -> String {
    let all = number(totals.comparisons);
    let differ = |count| format!("{} {}", number(count), if count == 1 { "differs" } else { "differ" });
    match (totals.mismatches, totals.excused) {
        (0, 0) if totals.comparisons == 1 => "The only comparison matches.".to_owned(),
        (0, 0) => format!("All {all} comparisons match."),
        (0, excused) => {
            let (matches, differ) = (number(totals.matches), differ(excused));
            format!("{matches} of {all} comparisons match, {differ} in ways that are excused.")
        }
        (differing, _) => {
            let verb = if differing == 1 { "differs" } else { "differ" };
            let kinds = if lines.is_empty() { "no details are kept".to_owned() } else { kinds(lines) };
            format!("{} of {all} comparisons {verb}: {kinds}.", number(differing))
        }
    }
}

/// `side-error 10, timed-out 4`.
pub(super) fn reason_list(reasons: &BTreeMap<String, u64>) -> String {
    let each = reasons.iter().map(|(reason, count)| format!("{reason} {}", number(*count)));
    each.collect::<Vec<_>>().join(", ")
}

fn kinds(lines: &[(Option<&RouteName>, &Line)]) -> String {
    let named = lines.iter().take(NAMED).map(|(route, line)| {
        let place = match (place(line.field.as_ref(), line.cause), route) {
            (Some(place), Some(route)) => format!(" in {place} of {route}"),
            (Some(place), None) => format!(" in {place}"),
            (None, Some(route)) => format!(" in {route}"),
            (None, None) => String::new(),
        };
        format!("{}{place} ({})", words(line.cause), number(line.count))
    });
    let mut kinds: Vec<_> = named.collect();
    match lines.len().saturating_sub(NAMED) {
        0 => {}
        1 => kinds.push("and 1 more kind".to_owned()),
        more => kinds.push(format!("and {more} more kinds")),
    }
    kinds.join(", ")
}

fn place(field: Option<&FieldName>, cause: Cause) -> Option<&str> {
    match (field, cause) {
        (Some(field), _) => Some(field.as_str()),
        // Stale without a field: the record is there on one side only, and was not always.
        (None, Cause::Stale) => Some("whole records"),
        (None, _) => None,
    }
}

/// A field's name, or what differs when it is no field.
pub(super) fn field_or_whole(field: Option<&FieldName>, cause: Cause) -> &str {
    match (field, cause) {
        (Some(field), _) => field.as_str(),
        (None, Cause::Order) => "(order)",
        (None, _) => "(record)",
    }
}

/// The cause in prose: `missing row`.
pub(super) fn words(cause: Cause) -> String {
    cause.as_str().replace('-', " ")
}

/// A count with its thousands apart: `12 400`.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A share in percent with one digit, never rounded up to all or down to nothing: `99.9 %`.
pub(super) fn percent(ratio: f64) -> String {
    let percent = (ratio * 1_000.0).round() / 10.0;
    match ratio {
        r if r > 0.0 && percent < 0.1 => "below 0.1 %".to_owned(),
        r if r < 1.0 && percent > 99.9 => "99.9 %".to_owned(),
        _ => format!("{percent} %"),
    }
}
