//! `diffs list`, `show` and `report`, from route to field to cause to sample to the history of a key: the stored
//! evidence, as `shadow-compare` words it.

use std::path::Path;

use serde_json::json;
use shadow_compare::Report;
use shadow_compare::report::SampleReport;

use super::args::{DiffsCommand, FilterArgs};
use super::desk::Desk;
use super::{Stop, excuses};
use crate::desk::DiffFilter;

pub(super) async fn run(desk: &Desk, command: &DiffsCommand) -> Result<(), Stop> {
    match command {
        DiffsCommand::List(filter) => {
            let report = report(desk, filter).await?;
            desk.out.text(&if desk.out.is_json() { report.list_json() } else { report.list_text() });
            Ok(())
        }
        DiffsCommand::Show { id, history } => show(desk, id, *history).await,
        DiffsCommand::Excuse(args) => excuses::excuse(desk, args).await,
        DiffsCommand::Excuses => excuses::list(desk).await,
        DiffsCommand::Unexcuse(args) => excuses::withdraw(desk, args).await,
        DiffsCommand::Report { filter, html } => {
            let report = report(desk, filter).await?;
            match html {
                Some(file) => write(desk, file, &report.html()),
                None => {
                    desk.out.text(&if desk.out.is_json() { report.json() } else { report.text() });
                    Ok(())
                }
            }
        }
    }
}

impl From<&FilterArgs> for DiffFilter {
    fn from(args: &FilterArgs) -> Self {
        let FilterArgs { route, field, cause, since } = args.clone();
        Self { route, field, cause, since }
    }
}

async fn report(desk: &Desk, filter: &FilterArgs) -> Result<Report, Stop> {
    let office = desk.office();
    Ok(office.report(&office.evidence_filter(&filter.into())?).await?)
}

async fn show(desk: &Desk, id: &str, with_history: bool) -> Result<(), Stop> {
    let office = desk.office();
    let sample = office.sample(id).await?;
    let mut shown = SampleReport::of(&sample);
    if with_history {
        shown.history = Some(office.key_history(&sample).await?);
    }
    desk.out.text(&if desk.out.is_json() { shown.json() } else { shown.text() });
    Ok(())
}

fn write(desk: &Desk, file: &Path, page: &str) -> Result<(), Stop> {
    let path = file.display();
    std::fs::write(file, page).map_err(|error| Stop::No(format!("{path} cannot be written: {error}")))?;
    desk.out.line(format!("Report written to {path}."));
    desk.out.json(&json!({ "html": file }));
    Ok(())
}
