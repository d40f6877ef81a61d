//! `sagas`: mutations in steps; which of them wait for somebody, and what to do with those that are stuck.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Stop;
use super::args::WhoArgs;
use super::groups::heading;
use super::link::Link;
use super::print::{Printer, seconds, text};

const SAGA: &str =
    "id route status side beganAt steps { name state refused attempts triedAt } attempts problem refused";

/// What to do with sagas.
#[derive(Debug, Subcommand)]
pub enum SagasCommand {
    /// Sagas, newest first.
    List {
        /// Only these: running, compensating, stuck, done, undone or abandoned.
        #[arg(long)]
        status: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "COUNT")]
        limit: usize,
    },
    /// One saga: how each of its steps stands.
    Show {
        /// Its id.
        id: String,
    },
    /// Go on with a stuck saga, when its cause was mended.
    Retry(SagaArgs),
    /// Take a stuck saga over: whatever of it stands is yours to mend, and no replica touches it again.
    Abandon(SagaArgs),
}

/// `sagas retry` and `sagas abandon`.
#[derive(Debug, Args)]
pub struct SagaArgs {
    /// Its id, as `sagas list` shows it.
    pub id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who.
    #[command(flatten)]
    pub who: WhoArgs,
}

pub(super) async fn list(out: Printer, link: &Link, status: Option<&str>, limit: usize) -> Result<(), Stop> {
    let document =
        format!("query($status: String, $limit: Int!) {{ sagas(status: $status, limit: $limit) {{ {SAGA} }} }}");
    let answer = link.ask(&document, json!({ "status": status, "limit": limit.min(500) })).await?;
    let sagas = answer["sagas"].as_array().cloned().unwrap_or_default();
    if sagas.is_empty() {
        out.line("There is no such saga.");
    } else {
        let mut rows = vec![heading(&["ID", "STATUS", "ROUTE", "BEGAN", "STEPS", "TRIED", "PROBLEM"])];
        rows.extend(sagas.iter().map(|saga| {
            let cell = |field: &str| text(&saga[field]);
            let began = seconds(&saga["beganAt"]);
            vec![cell("id"), cell("status"), cell("route"), began, steps(saga), cell("attempts"), cell("problem")]
        }));
        out.table(&rows);
    }
    out.json(&sagas);
    Ok(())
}

pub(super) async fn show(out: Printer, link: &Link, id: &str) -> Result<(), Stop> {
    let document = format!("query($id: String!) {{ saga(id: $id) {{ {SAGA} }} }}");
    let answer = link.ask(&document, json!({ "id": id })).await?;
    tell(out, &answer["saga"]);
    Ok(())
}

pub(super) async fn retry(out: Printer, link: &Link, args: &SagaArgs) -> Result<(), Stop> {
    order(out, link, args, "retrySaga", "Replicas go on with it at once").await
}

pub(super) async fn abandon(out: Printer, link: &Link, args: &SagaArgs) -> Result<(), Stop> {
    order(out, link, args, "abandonSaga", "No replica touches it again; its steps that are `done` are yours to mend")
        .await
}

async fn order(out: Printer, link: &Link, args: &SagaArgs, field: &str, done: &str) -> Result<(), Stop> {
    link.require_author()?;
    let document =
        format!("mutation($id: String!, $reason: String!) {{ saga: {field}(id: $id, reason: $reason) {{ {SAGA} }} }}");
    let answer = link.ask(&document, json!({ "id": args.id, "reason": args.reason })).await?;
    out.line(format!("{done}. Noted."));
    tell(out, &answer["saga"]);
    Ok(())
}

fn tell(out: Printer, saga: &Json) {
    out.line(format!("Saga {} of {} is {}.", text(&saga["id"]), text(&saga["route"]), text(&saga["status"])));
    out.line(format!("It began at {}; its log is on {}.", seconds(&saga["beganAt"]), text(&saga["side"])));
    let mut rows = vec![heading(&["STEP", "STATE", "REFUSED", "TRIED", "LAST"])];
    rows.extend(saga["steps"].as_array().into_iter().flatten().map(|step| {
        let cell = |field: &str| text(&step[field]);
        vec![cell("name"), cell("state"), cell("refused"), cell("attempts"), seconds(&step["triedAt"])]
    }));
    out.table(&rows);
    if let Some(code) = saga["refused"].as_str() {
        out.line(format!("It is undone since a step was refused as {code}."));
    }
    if let Some(problem) = saga["problem"].as_str() {
        out.line(format!("Tried in vain {} times, the last time {problem}.", saga["attempts"]));
    }
    out.json(saga);
}

fn steps(saga: &Json) -> String {
    let steps = saga["steps"].as_array().cloned().unwrap_or_default();
    let step = |step: &Json| format!("{}={}", text(&step["name"]), text(&step["state"]));
    steps.iter().map(step).collect::<Vec<_>>().join(" ")
}
