//! `history list` and `verify`: everything that anybody changed, and whether the record is what it was.

use serde_json::json;

use super::Stop;
use super::groups::heading;
use super::link::Link;
use super::print::{Printer, seconds, text};

pub(super) async fn list(out: Printer, link: &Link, group: Option<&str>, limit: usize) -> Result<(), Stop> {
    let document = "query($group: String, $limit: Int!) { audit(group: $group, limit: $limit) { \
                    place at action group who origin reason rollout detail hash } }";
    let answer = link.ask(document, json!({ "group": group, "limit": limit.min(500) })).await?;
    let entries = answer["audit"].as_array().cloned().unwrap_or_default();
    let mut rows = vec![heading(&["PLACE", "AT", "WHAT", "GROUP", "WHO", "FROM", "BECAUSE"])];
    rows.extend(entries.iter().map(|entry| {
        let cell = |field: &str| text(&entry[field]);
        let at = seconds(&entry["at"]);
        vec![cell("place"), at, cell("action"), cell("group"), cell("who"), cell("origin"), cell("reason")]
    }));
    out.table(&rows);
    out.json(&entries);
    Ok(())
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
