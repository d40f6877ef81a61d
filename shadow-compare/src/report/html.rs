//! The report as one page: no scripts, nothing to load, light and dark, readable without colours.
//!
//! Every text from the evidence goes through [`Esc`], and the page forbids scripts and requests by
//! a content security policy of its own, so that a value can be shown but never act.

use std::fmt::{self, Write};

use model::{PerSide, Side};
use similar::ChangeTag;

use super::answer::{field_or_whole, reason_list};
use super::diff::DiffLine;
use super::sample::{Mark, Row};
use super::{CoverageReport, Line, Report, RouteReport, SampleReport, Totals, diff, text};
use crate::propose::Proposal;
use crate::words::{number, percent};

const STYLE: &str = include_str!("style.css");

/// Text that is shown as it is and means nothing to the browser.
struct Esc<'a>(&'a str);

impl fmt::Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl Report {
    /// The whole report as one HTML page.
    pub fn html(&self) -> String {
        let mut page = String::new();
        self.write_html(&mut page).expect("writing to a String never fails");
        page
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        let state = state(&self.totals);
        write!(
            page,
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Shadow comparison: {state}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<p class="kicker">strangler · shadow comparison · <time datetime="{made}">{made}</time></p>
<h1 class="{state}">{answer}</h1>
</header>
<main>
"#,
            made = self.made_at,
            answer = Esc(&self.answer),
        )?;
        tiles(page, &self.totals)?;
        if let Some(trend) = &self.trend {
            trend.svg(page)?;
        }
        if !self.routes.is_empty() {
            overview(page, self)?;
        }
        for (place, route) in self.routes.iter().enumerate() {
            route_section(page, place, route, self.asked.time.as_deref())?;
        }
        page.write_str("</main>\n</body>\n</html>\n")
    }
}

impl SampleReport {
    /// Both sides and their diff, to be part of a page that has rules for the classes of `style.css`.
    pub fn html(&self) -> String {
        let mut part = String::new();
        both_sides(&mut part, self).expect("writing to a String never fails");
        part
    }
}

/// The class, and the word, for how things stand. No data is not success.
fn state(totals: &Totals) -> &'static str {
    match (totals.mismatches, totals.comparisons) {
        (0, 0) => "unknown",
        (0, _) => "equal",
        (_, _) => "differs",
    }
}

fn tiles(page: &mut String, totals: &Totals) -> fmt::Result {
    page.write_str("<dl class=\"tiles\">\n")?;
    let tiles = [
        ("match", "match", totals.matches),
        ("mismatch", "mismatch", totals.mismatches),
        ("excused", "excused", totals.excused),
        ("inconclusive", "inconclusive", totals.inconclusive),
    ];
    for (class, name, count) in tiles {
        let none = if count == 0 { " none" } else { "" };
        writeln!(page, r#"<div class="tile {class}{none}"><dt>{name}</dt><dd>{}</dd></div>"#, number(count))?;
    }
    page.write_str("</dl>\n")
}

fn head(page: &mut String, class: &str, caption: &str, columns: &[(&str, &str)]) -> fmt::Result {
    write!(page, "<div class=\"scroll\"><table class=\"{class}\">\n<caption>{caption}</caption>\n<thead><tr>")?;
    for (name, class) in columns {
        write!(page, "<th scope=\"col\" class=\"{class}\">{name}</th>")?;
    }
    page.write_str("</tr></thead>\n<tbody>\n")
}

fn overview(page: &mut String, report: &Report) -> fmt::Result {
    let missing = match &report.asked.time {
        Some(time) => format!("Fields not compared {time}"),
        None => "Fields not compared".to_owned(),
    };
    let columns = [
        ("Route", ""),
        ("Compared", "number"),
        ("Mismatch", "number"),
        ("Excused", "number"),
        ("Inconclusive", "number"),
        ("Keys ever compared", ""),
        (missing.as_str(), ""),
    ];
    head(page, "routes", "Answers by route, worst first", &columns)?;
    for (place, route) in report.routes.iter().enumerate() {
        let totals = &route.totals;
        write!(
            page,
            r##"<tr><th scope="row"><a href="#route-{place}">{}</a></th><td class="number">{}</td>"##,
            Esc(route.route.as_str()),
            number(totals.comparisons),
        )?;
        for (class, count) in
            [("mismatch", totals.mismatches), ("excused", totals.excused), ("inconclusive", totals.inconclusive)]
        {
            let class = if count == 0 { "none" } else { class };
            write!(page, r#"<td class="number {class}">{}</td>"#, number(count))?;
        }
        page.write_str("<td>")?;
        meter(page, &route.coverage)?;
        let never: Vec<_> = route.coverage.fields_never.iter().map(model::FieldName::as_str).collect();
        let never = if never.is_empty() { "none".to_owned() } else { never.join(", ") };
        writeln!(page, "</td><td>{}</td></tr>", Esc(&never))?;
    }
    page.write_str("</tbody></table></div>\n")
}

fn meter(page: &mut String, coverage: &CoverageReport) -> fmt::Result {
    let Some(ratio) = coverage.keys_ratio else {
        return match coverage.keys_compared {
            0 => page.write_str("none"),
            keys => write!(page, "about {}", number(keys)),
        };
    };
    write!(
        page,
        r#"<span class="meter" aria-hidden="true"><span style="width:{:.2}%"></span></span> {}"#,
        ratio * 100.0,
        percent(ratio),
    )
}

fn route_section(page: &mut String, place: usize, route: &RouteReport, time: Option<&str>) -> fmt::Result {
    write!(
        page,
        "<section id=\"route-{place}\" class=\"{}\">\n<h2>{}</h2>\n<p class=\"answer\">{}</p>\n",
        state(&route.totals),
        Esc(route.route.as_str()),
        Esc(&route.answer),
    )?;
    write!(
        page,
        "<dl class=\"facts\"><dt>Keys</dt><dd>{}</dd><dt>Fields</dt><dd>{}</dd>",
        Esc(&text::keys(&route.coverage)),
        Esc(&text::fields(&route.coverage, time)),
    )?;
    if !route.inconclusive_reasons.is_empty() {
        let reasons = reason_list(&route.inconclusive_reasons);
        write!(page, "<dt>Inconclusive</dt><dd>{}</dd>", Esc(&reasons))?;
    }
    page.write_str("</dl>\n")?;
    if let Some(trend) = &route.trend {
        trend.svg(page)?;
    }
    if !route.differences.is_empty() {
        differences(page, &route.differences)?;
    }
    for proposal in route.differences.iter().flat_map(|line| &line.proposals) {
        write_proposal(page, proposal)?;
    }
    for excuse in &route.excuses {
        writeln!(page, "<p class=\"excuse\">{}</p>", Esc(&excuse.text()))?;
    }
    for sample in route.differences.iter().flat_map(|line| &line.samples) {
        sample_details(page, sample)?;
    }
    page.write_str("</section>\n")
}

fn differences(page: &mut String, lines: &[Line]) -> fmt::Result {
    let columns = [
        ("Field", ""),
        ("Cause", ""),
        ("Verdict", ""),
        ("Answers", "number"),
        ("Rows", "number"),
        ("First seen", ""),
        ("Last seen", ""),
    ];
    head(page, "differences", "What differs: the answers that hold it, and the rows in them", &columns)?;
    for line in lines {
        writeln!(
            page,
            r#"<tr><th scope="row">{}</th><td>{}</td><td><span class="badge {verdict}">{verdict}</span></td><td class="number">{}</td><td class="number">{}</td><td>{}</td><td>{}</td></tr>"#,
            Esc(field_or_whole(line.field.as_ref(), line.cause)),
            line.cause,
            line.answers.map_or_else(|| "not known".to_owned(), number),
            number(line.rows),
            line.first_seen,
            line.last_seen,
            verdict = line.verdict,
        )?;
    }
    page.write_str("</tbody></table></div>\n")
}

fn write_proposal(page: &mut String, proposal: &Proposal) -> fmt::Result {
    writeln!(
        page,
        "<p class=\"proposal\">Proposal: {}<br>schema.graphql, {}: <code>{}</code><br>or, until a day: <code>{}</code></p>",
        Esc(&proposal.answer),
        Esc(&proposal.place),
        Esc(&proposal.contract),
        Esc(&proposal.excuse),
    )
}

fn sample_details(page: &mut String, sample: &SampleReport) -> fmt::Result {
    let excused = if sample.excused { " <span class=\"badge excused\">excused</span>" } else { "" };
    write!(
        page,
        "<details><summary><b>{}</b> {} <code>{}</code>{excused} <time datetime=\"{seen}\">{seen}</time></summary>\n<p>{}</p>\n",
        Esc(sample.subject()),
        sample.cause,
        Esc(&sample.key),
        Esc(&sample.answer),
        seen = sample.seen_at,
    )?;
    both_sides(page, sample)?;
    page.write_str("</details>\n")
}

fn both_sides(page: &mut String, sample: &SampleReport) -> fmt::Result {
    let caption = format!("Sample {}: both sides", Esc(&sample.id));
    for note in sample.notes() {
        writeln!(page, "<p class=\"note\">{}</p>", Esc(&note))?;
    }
    head(page, "sides", &caption, &[("", "mark"), ("Field", ""), ("Legacy", ""), ("Modern", "")])?;
    for row in &sample.rows {
        side_by_side(page, sample, row)?;
    }
    page.write_str("</tbody></table></div>\n")?;
    diff_block(page, sample)
}

fn side_by_side(page: &mut String, sample: &SampleReport, row: &Row) -> fmt::Result {
    let (class, meaning) = match row.mark {
        Mark::Same => ("same", ""),
        Mark::This => ("this", "differs"),
        Mark::Other => ("other", "differs too"),
    };
    write!(
        page,
        r#"<tr class="{class}"><td class="mark" title="{meaning}">{}</td><th scope="row">{}</th>"#,
        row.mark.as_str(),
        Esc(&row.name),
    )?;
    match (&row.cells.legacy, &row.cells.modern) {
        (Some(legacy), Some(modern)) => {
            let words = diff::words(legacy, modern);
            for side in Side::BOTH {
                write!(page, "<td class=\"{side}\"><code>")?;
                parts(page, words.get(side), tag_of(side))?;
                page.write_str("</code></td>")?;
            }
        }
        (legacy, modern) => {
            let cells = PerSide { legacy, modern };
            for side in Side::BOTH {
                match cells.get(side) {
                    Some(cell) => write!(page, "<td class=\"{side}\"><code>{}</code></td>", Esc(cell))?,
                    None => write!(page, "<td class=\"nothing\">{}</td>", sample.gap(side))?,
                }
            }
        }
    }
    page.write_str("</tr>\n")
}

/// What only legacy has was taken away, what only modern has was put in.
fn tag_of(side: Side) -> &'static str {
    match side {
        Side::Legacy => "del",
        Side::Modern => "ins",
    }
}

fn parts(page: &mut String, parts: &[(bool, String)], tag: &str) -> fmt::Result {
    for (marked, text) in parts {
        if *marked {
            write!(page, "<{tag}>{}</{tag}>", Esc(text))?;
        } else {
            write!(page, "{}", Esc(text))?;
        }
    }
    Ok(())
}

fn diff_block(page: &mut String, sample: &SampleReport) -> fmt::Result {
    page.write_str("<pre class=\"diff\" aria-label=\"Unified diff from legacy to modern\"><code>")?;
    for line in diff::lines(sample.whole()) {
        let (tag, words) = match line {
            DiffLine::Gap => {
                page.write_str("<span class=\"line gap\">⋯</span>")?;
                continue;
            }
            DiffLine::Text { tag, parts } => (tag, parts),
        };
        let (class, sign, tag) = match tag {
            ChangeTag::Equal => ("same", ' ', "span"),
            ChangeTag::Delete => ("legacy", '-', "del"),
            ChangeTag::Insert => ("modern", '+', "ins"),
        };
        write!(page, "<span class=\"line {class}\">{sign} ")?;
        parts(page, &words, tag)?;
        page.write_str("</span>")?;
    }
    page.write_str("</code></pre>\n")
}
