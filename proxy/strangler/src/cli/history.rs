//! `history list`, `export` and `verify`: everything that anybody changed, and whether the record is what it was.

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::Stop;
use super::groups::heading;
use super::link::Link;
use super::print::{Printer, seconds, text};

/// Entries that are asked for at once.
const PAGE: usize = 500;

/// `history list`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Only changes of this group.
    pub group: Option<String>,
    /// Only what this person or program did; `guard` is one.
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// Only this event, as webhooks know it, such as rolled-back, excused or repaired.
    #[arg(long)]
    pub event: Option<String>,
    /// Only since then: 2h, 7d, or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only entries before this place: where the last page ended.
    #[arg(long, value_name = "PLACE")]
    pub before: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

impl RecordArgs {
    fn is_narrow(&self) -> bool {
        let texts = [&self.group, &self.who, &self.event, &self.since];
        self.before.is_some() || texts.into_iter().any(Option::is_some)
    }

    /// The command for the page behind `place`.
    fn next(&self, place: &Json) -> String {
        let texts = [("", &self.group), ("--who ", &self.who), ("--event ", &self.event), ("--since ", &self.since)];
        let given = texts.into_iter().filter_map(|(name, value)| Some(format!(" {name}{}", value.as_ref()?)));
        format!("strangler history list{} --before {place}", given.collect::<String>())
    }
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated, with a heading.
    Csv,
}

pub(super) async fn list(out: Printer, link: &Link, args: &RecordArgs) -> Result<(), Stop> {
    let document = "query($group: String, $who: String, $event: String, $since: String, $before: Int, $limit: Int!) { \
                    audit(group: $group, who: $who, event: $event, since: $since, before: $before, limit: $limit) { \
                    place at action event summary group who origin reason rollout detail hash } }";
    let limit = args.limit.min(PAGE);
    let given = json!({ "group": args.group, "who": args.who, "event": args.event, "since": args.since,
                        "before": args.before, "limit": limit });
    let answer = link.ask(document, given).await?;
    let entries = answer["audit"].as_array().cloned().unwrap_or_default();
    out.json(&entries);
    if entries.is_empty() {
        out.line(match args.is_narrow() {
            true => "No entry of the record is like that. The whole of it: strangler history list",
            false => "There is no entry yet.",
        });
        return Ok(());
    }
    let mut rows = vec![heading(&["PLACE", "AT", "EVENT", "WHAT", "GROUP", "WHO", "FROM", "BECAUSE"])];
    rows.extend(entries.iter().map(|entry| {
        let cell = |field: &str| text(&entry[field]);
        let at = seconds(&entry["at"]);
        let what = [cell("event"), cell("summary"), cell("group")];
        [vec![cell("place"), at], what.to_vec(), vec![cell("who"), cell("origin"), cell("reason")]].concat()
    }));
    out.table(&rows);
    if let (true, Some(last)) = (entries.len() == limit, entries.last()) {
        out.line(format!("\nFurther back: {}", args.next(&last["place"])));
    }
    Ok(())
}

/// Writes the chain, oldest first. Nothing of it is kept in memory but a page.
pub(super) async fn export(out: Printer, link: &Link, format: Format, after: u64) -> Result<(), Stop> {
    let document = "query($after: Int!, $limit: Int!) { auditChain(after: $after, limit: $limit) { \
                    place at event action group who origin reason rollout summary detailText previous hash } }";
    let mut after = after;
    if format == Format::Csv {
        out.text(&line_of_csv(COLUMNS.iter().map(|name| (*name).to_owned())));
    }
    loop {
        let answer = link.ask(document, json!({ "after": after, "limit": PAGE })).await?;
        let entries = answer["auditChain"].as_array().cloned().unwrap_or_default();
        let Some(last) = entries.last().and_then(|entry| entry["place"].as_u64()) else { break };
        let lines = entries.iter().map(|entry| match format {
            Format::Jsonl => format!("{entry}\n"),
            Format::Csv => line_of_csv(COLUMNS.iter().map(|name| text(&entry[*name]))),
        });
        out.text(&lines.collect::<String>());
        after = last;
    }
    Ok(())
}

/// The columns of an export.
const COLUMNS: [&str; 13] = [
    "place",
    "at",
    "event",
    "action",
    "group",
    "who",
    "origin",
    "reason",
    "rollout",
    "summary",
    "detailText",
    "previous",
    "hash",
];

/// A line as RFC 4180 has it. What somebody typed must not be a formula where a spreadsheet opens it.
fn line_of_csv(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        format!("\"{}{}\"", if formula { "'" } else { "" }, cell.replace('"', "\"\""))
    });
    format!("{}\r\n", quoted.collect::<Vec<_>>().join(","))
}

pub(super) async fn verify(out: Printer, link: &Link) -> Result<(), Stop> {
    let answer = link.ask("{ verified { ok entries rollouts tampered headPlace headHash } }", json!({})).await?;
    let found = &answer["verified"];
    out.json(found);
    let (entries, rollouts) = (&found["entries"], &found["rollouts"]);
    if let Some(tampered) = found["tampered"].as_str() {
        out.line(format!("NOT what it was: {tampered}."));
        out.line(format!("{entries} entries before it are well."));
        return Err(Stop::Told);
    }
    match found["headHash"].as_str() {
        Some(hash) => {
            out.line(format!("{entries} entries, {rollouts} of them rollouts: each is what it was when it was noted."));
            out.line(format!("Entry {} has hash {hash}.", found["headPlace"]));
            out.line("Keep it elsewhere: entries that are cut off at the end leave no gap.");
        }
        None => out.line("There is no entry yet, and no rollout: nothing was verified."),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_typed_is_one_cell_and_no_formula() {
        let line = line_of_csv(["7", "=cmd|'/C calc'!A0", "a \"b\", c\nd", "-1"].map(str::to_owned).into_iter());
        assert_eq!(line, "\"7\",\"'=cmd|'/C calc'!A0\",\"a \"\"b\"\", c\nd\",\"'-1\"\r\n");
    }

    #[test]
    fn the_next_page_asks_for_the_same() {
        let args = RecordArgs {
            group: Some("inventory".into()),
            who: Some("ada".into()),
            event: None,
            since: Some("7d".into()),
            before: None,
            limit: 50,
        };
        assert_eq!(args.next(&json!(12)), "strangler history list inventory --who ada --since 7d --before 12");
    }
}
