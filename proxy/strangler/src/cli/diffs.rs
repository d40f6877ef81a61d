//! `diffs list`, `show` and `report`, from route to field to cause to sample to the history of a key: the stored
//! evidence, as `shadow-compare` words it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Stop;
use super::args::FilterArgs;
use super::link::Link;
use super::print::{Printer, text};

fn filter(args: &FilterArgs) -> Json {
    json!({ "filter": { "route": args.route, "field": args.field, "cause": args.cause, "since": args.since } })
}

async fn report(link: &Link, args: &FilterArgs, form: &str) -> Result<Json, Stop> {
    let document = format!("query($filter: DiffFilterInput!) {{ report(filter: $filter) {{ told: {form} }} }}");
    Ok(link.ask(&document, filter(args)).await?["report"]["told"].clone())
}

/// What was told, in the form that the reader wants.
fn tell(out: Printer, told: &Json) {
    if out.is_json() { out.json(told) } else { out.text(&text(told)) }
}

pub(super) async fn list(out: Printer, link: &Link, args: &FilterArgs) -> Result<(), Stop> {
    tell(out, &report(link, args, if out.is_json() { "listJson" } else { "listText" }).await?);
    Ok(())
}

pub(super) async fn show_report(out: Printer, link: &Link, args: &FilterArgs, html: Option<&Path>) -> Result<(), Stop> {
    match html {
        Some(file) => write(out, file, &text(&report(link, args, "html").await?)),
        None => {
            tell(out, &report(link, args, if out.is_json() { "json" } else { "text" }).await?);
            Ok(())
        }
    }
}

pub(super) async fn show(out: Printer, link: &Link, id: &str, history: bool) -> Result<(), Stop> {
    let form = if out.is_json() { "json" } else { "text" };
    let document =
        format!("query($id: String!, $history: Boolean!) {{ sample(id: $id) {{ told: {form}(history: $history) }} }}");
    let answer = link.ask(&document, json!({ "id": id, "history": history })).await?;
    tell(out, &answer["sample"]["told"]);
    Ok(())
}

fn write(out: Printer, file: &Path, page: &str) -> Result<(), Stop> {
    let path = file.display();
    std::fs::write(file, page).map_err(|error| Stop::No(format!("{path} cannot be written: {error}")))?;
    out.line(format!("Report written to {path}."));
    out.json(&json!({ "html": file }));
    Ok(())
}
