//! The answer in a sentence, and the words that all forms share.
//!
//! Every sentence counts answers: the whole first, then its parts, none of which is larger. Rows are for tables.

use std::collections::BTreeMap;

use model::evidence::{Cause, Verdict};
use model::{FieldName, RouteName};

use super::scope::Scope;
use super::{Line, RouteReport, Totals};
use crate::words::{answers, differ, number};

/// How many kinds of difference the answer names; the rest are counted.
const NAMED: usize = 3;

type Kind<'a> = (Option<&'a RouteName>, &'a Line);

/// The answer for all routes.
pub(super) fn of_all(totals: &Totals, routes: &[RouteReport], scope: &Scope<'_>) -> String {
    let mut reasons = BTreeMap::new();
    for (reason, count) in routes.iter().flat_map(|route| &route.inconclusive_reasons) {
        *reasons.entry(reason.clone()).or_insert(0) += count;
    }
    let lines = routes.iter().flat_map(|r| r.differences.iter().map(move |line| (Some(&r.route), line)));
    let answer = sentence(totals, &reasons, lines.collect(), scope);
    // What there is outside of what was asked for, where there is nothing inside.
    match (totals.comparisons, scope.in_all()) {
        (0, Some(in_all)) => format!("{answer} {in_all}"),
        (_, _) => answer,
    }
}

/// The answer for one route.
pub(super) fn of_route(totals: &Totals, reasons: &BTreeMap<String, u64>, lines: &[Line], scope: &Scope<'_>) -> String {
    sentence(totals, reasons, lines.iter().map(|line| (None, line)).collect(), scope)
}

fn sentence(totals: &Totals, reasons: &BTreeMap<String, u64>, mut lines: Vec<Kind<'_>>, scope: &Scope<'_>) -> String {
    lines.retain(|(_, line)| line.verdict == Verdict::Mismatch);
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.answers.unwrap_or(line.count)));
    let reasons = match reason_list(reasons).as_str() {
        "" => String::new(),
        reasons => format!(" ({reasons})"),
    };
    let inconclusive = number(totals.inconclusive);
    if totals.comparisons == 0 {
        return match (lines.is_empty(), totals.inconclusive) {
            (false, _) => {
                let kinds = kinds(&lines, 0);
                format!("How many answers were compared is not known, but differences are on record: {kinds}.")
            }
            (true, 0) => scope.nothing(),
            (true, 1) => {
                scope.within(&format!("nothing is known: the only answer compared was inconclusive{reasons}."))
            }
            (true, _) => scope
                .within(&format!("nothing is known: all {inconclusive} answers compared were inconclusive{reasons}.")),
        };
    }
    let answer = scope.within(&conclusive(totals, &lines, scope));
    match totals.inconclusive {
        0 => answer,
        1 => format!("{answer} 1 more was inconclusive{reasons}."),
        _ => format!("{answer} {inconclusive} more were inconclusive{reasons}."),
    }
}

/// What the answers say that say something; there is at least one.
fn conclusive(totals: &Totals, lines: &[Kind<'_>], scope: &Scope<'_>) -> String {
    let all = answers(totals.comparisons);
    match (totals.mismatches, totals.excused) {
        (0, 0) if totals.comparisons == 1 => "the only answer compared matches.".to_owned(),
        (0, 0) => format!("all {all} match."),
        (0, excused) => {
            let differ = format!("{} {}", number(excused), if excused == 1 { "differs" } else { "differ" });
            format!("{} of {all} match, {differ} in ways that are excused.", number(totals.matches))
        }
        (differing, _) => {
            let differ = differ(differing, totals.comparisons);
            match (lines.is_empty(), scope.kind()) {
                (true, Some(kind)) => format!("{differ}, none of them in the way that was asked for ({kind})."),
                (true, None) => format!("{differ}; no details are kept."),
                (false, Some(kind)) => format!("{differ}; with {kind}: {}.", kinds(lines, differing)),
                (false, None) => format!("{differ}: {}.", kinds(lines, differing)),
            }
        }
    }
}

/// `side-error 10, timed-out 4`.
pub(super) fn reason_list(reasons: &BTreeMap<String, u64>) -> String {
    let each = reasons.iter().map(|(reason, count)| format!("{reason} {}", number(*count)));
    each.collect::<Vec<_>>().join(", ")
}

/// Each kind with the answers that hold it, of `whole` that differ at all. One answer may hold several kinds.
fn kinds(lines: &[Kind<'_>], whole: u64) -> String {
    let mut first = true;
    let named = lines.iter().take(NAMED).map(|(route, line)| {
        let place = match (place(line.field.as_ref(), line.cause), route) {
            (Some(place), Some(route)) => format!(" in {place} of {route}"),
            (Some(place), None) => format!(" in {place}"),
            (None, Some(route)) => format!(" in {route}"),
            (None, None) => String::new(),
        };
        // More than there are cannot be true: a release that counts otherwise was at work.
        let part = line.answers.filter(|part| *part <= whole);
        let part = part
            .map(|part| if first { format!(" (in {} of them)", number(part)) } else { format!(" ({})", number(part)) });
        first &= part.is_none();
        format!("{}{place}{}", words(line.cause), part.unwrap_or_default())
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
