//! Reports for a terminal: no colour, no width to know, aligned columns.

use super::answer::{field_or_whole, reason_list};
use super::history;
use super::sample::Mark;
use super::table::{Align, aligned, harmless, indented};
use super::{CoverageReport, Line, Report, RouteReport, SampleReport, TrendReport};
use crate::propose::Proposal;
use crate::words::{number, percent};

impl Report {
    /// The answer, then one line per route, field and cause.
    pub fn list_text(&self) -> String {
        let lines = self.routes.iter().flat_map(|r| r.differences.iter().map(move |line| (r, line)));
        let mut rows = Vec::from_iter(lines.map(|(route, line)| {
            let mut cells = vec![route.route.to_string()];
            cells.extend(cells_of(line));
            cells
        }));
        let mut text = format!("{}\n", self.answer);
        if !rows.is_empty() {
            rows.insert(
                0,
                headings(&["ROUTE", "FIELD", "CAUSE", "VERDICT", "ANSWERS", "ROWS", "FIRST SEEN", "LAST SEEN"]),
            );
            text.push('\n');
            text.push_str(&aligned(&[LEFT, LEFT, LEFT, LEFT, RIGHT, RIGHT, LEFT, LEFT], &rows));
            text.push_str(&look_closer(self));
        }
        harmless(&text)
    }

    /// The whole report.
    pub fn text(&self) -> String {
        let mut text = format!("{}\nMade at {}.\n", self.answer, self.made_at);
        if let Some(trend) = &self.trend {
            text.push_str(&trend_text(trend));
        }
        for route in &self.routes {
            text.push('\n');
            text.push_str(&route_text(route, self.asked.time.as_deref()));
        }
        harmless(&text)
    }
}

impl SampleReport {
    /// The answer, both records side by side, and their unified diff.
    pub fn text(&self) -> String {
        let excused = if self.excused { ", excused" } else { "" };
        let mut text = format!("{}\nSample {}, seen at {}{excused}.\n", self.answer, self.id, self.seen_at);
        text.push('\n');
        text.push_str(&side_by_side(self));
        text.push('\n');
        text.push_str(&self.diff);
        text.push('\n');
        match &self.history {
            Some(known) => text.push_str(&history::text(known, self.field.as_ref())),
            None => {
                let closer = format!("Look closer: strangler diffs show {} --history\n", self.id);
                text.push_str(&closer);
            }
        }
        harmless(&text)
    }
}

const LEFT: Align = Align::Left;
const RIGHT: Align = Align::Right;
/// Stands where a count is not known.
const UNKNOWN: &str = "-";

fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn cells_of(line: &Line) -> Vec<String> {
    vec![
        field_or_whole(line.field.as_ref(), line.cause).to_owned(),
        line.cause.to_string(),
        line.verdict.to_string(),
        line.answers.map_or_else(|| UNKNOWN.to_owned(), number),
        number(line.rows),
        line.first_seen.to_string(),
        line.last_seen.to_string(),
    ]
}

fn route_text(route: &RouteReport, time: Option<&str>) -> String {
    let mut body = format!("{}\n", route.answer);
    body.push_str(&coverage_text(route, time));
    if let Some(trend) = &route.trend {
        body.push_str(&trend_text(trend));
    }
    if !route.differences.is_empty() {
        let mut rows = vec![headings(&["FIELD", "CAUSE", "VERDICT", "ANSWERS", "ROWS", "FIRST SEEN", "LAST SEEN"])];
        rows.extend(route.differences.iter().map(cells_of));
        body.push('\n');
        body.push_str(&aligned(&[LEFT, LEFT, LEFT, RIGHT, RIGHT, LEFT, LEFT], &rows));
    }
    for proposal in route.differences.iter().flat_map(|line| &line.proposals) {
        body.push_str(&proposal_text(proposal));
    }
    for (place, excuse) in route.excuses.iter().enumerate() {
        let before = if place == 0 { "\n" } else { "" };
        body.push_str(before);
        body.push_str(&excuse.text());
        body.push('\n');
    }
    for sample in route.differences.iter().flat_map(|line| &line.samples) {
        let title = format!("\nSample {}: {}, {}\n", sample.id, sample.subject(), sample.cause);
        body.push_str(&title);
        body.push_str(&indented(&format!("{}\n{}", sample.answer, sample.diff), 2));
        let closer = format!("  Look closer: strangler diffs show {} --history\n", sample.id);
        body.push_str(&closer);
    }
    format!("{}\n{}", route.route, indented(&body, 2))
}

/// The command for one level further down, at the first line.
fn look_closer(report: &Report) -> String {
    let first = report.routes.iter().find_map(|route| Some((&route.route, route.differences.first()?)));
    first.map_or_else(String::new, |(route, line)| {
        let field = line.field.as_ref().map(|field| format!(" --field {field}")).unwrap_or_default();
        let cause = line.cause;
        format!("\nLook closer: strangler diffs report --route {route}{field} --cause {cause}\n")
    })
}

fn trend_text(trend: &TrendReport) -> String {
    format!("{}\n{}\n", trend.bars(), trend.answer)
}

fn proposal_text(proposal: &Proposal) -> String {
    let Proposal { answer, contract, place, excuse, .. } = proposal;
    format!("\nProposal: {answer}\n  schema.graphql, {place}: {contract}\n  or, until a day: {excuse}\n")
}

fn coverage_text(route: &RouteReport, time: Option<&str>) -> String {
    let totals = &route.totals;
    let inconclusive = match reason_list(&route.inconclusive_reasons).as_str() {
        "" => String::new(),
        reasons => format!(" ({reasons})"),
    };
    let verdicts = format!(
        "{} match, {} excused, {} mismatch, {} inconclusive{inconclusive}",
        number(totals.matches),
        number(totals.excused),
        number(totals.mismatches),
        number(totals.inconclusive),
    );
    let rows = vec![
        vec!["answers".to_owned(), verdicts],
        vec!["keys".to_owned(), keys(&route.coverage)],
        vec!["fields".to_owned(), fields(&route.coverage, time)],
    ];
    aligned(&[LEFT, LEFT], &rows)
}

/// `about 4 812 of 20 000 ever compared (24.1 %)`: keys are kept for ever, whatever time was asked for.
pub(super) fn keys(coverage: &CoverageReport) -> String {
    let compared = match coverage.keys_compared {
        0 => "none".to_owned(),
        keys => format!("about {}", number(keys)),
    };
    match (coverage.keys_total, coverage.keys_ratio) {
        (Some(total), Some(ratio)) => {
            format!("{compared} of {} ever compared ({})", number(total), percent(ratio))
        }
        // No share of nothing: there are no keys yet.
        (Some(total), None) => format!("{compared} of {} ever compared", number(total)),
        (None, _) => format!("{compared} ever compared, total not known"),
    }
}

/// `9 compared, 2 not: description, weight`; of a part of the time, in which time.
pub(super) fn fields(coverage: &CoverageReport, time: Option<&str>) -> String {
    let never: Vec<_> = coverage.fields_never.iter().map(model::FieldName::as_str).collect();
    let compared = coverage.fields_compared.len();
    let time = time.map(|time| format!(" {time}")).unwrap_or_default();
    if never.is_empty() {
        return format!("{compared} compared{time}, none left out");
    }
    format!("{compared} compared{time}, {} not: {}", never.len(), never.join(", "))
}

fn side_by_side(sample: &SampleReport) -> String {
    let mut rows = vec![headings(&["", "FIELD", "LEGACY", "MODERN"])];
    rows.extend(sample.rows.iter().map(|row| {
        let cells = row.cells.clone().map(|side, cell| cell.unwrap_or_else(|| sample.gap(side).to_owned()));
        vec![row.mark.as_str().to_owned(), row.name.clone(), cells.legacy, cells.modern]
    }));
    let mut text: String = sample.notes().iter().map(|note| format!("{note}\n")).collect();
    text.push_str(&aligned(&[LEFT, LEFT, LEFT, LEFT], &rows));
    if sample.rows.iter().any(|row| row.mark == Mark::Other) {
        text.push_str("~ differs too: another difference, or one that the contract does not count\n");
    }
    text
}
