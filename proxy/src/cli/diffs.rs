//! `diffs list`, `show` and `report`, from route to field to cause to sample to the history of a key: the stored evidence, as `shadow-compare` words it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use adapters::Lane;
use model::control::{EvidenceFilter, ExcuseScope, Span};
use model::evidence::{Cause, Evidence};
use model::{EntityName, Instant, RouteName};
use serde_json::json;
use shadow_compare::Report;
use shadow_compare::report::SampleReport;

use super::args::{DiffsCommand, FilterArgs, duration};
use super::desk::{Desk, now};
use super::{Stop, excuses, history};
use crate::contract::suggest;
use crate::evidence::stored;

/// How long a report waits for one total.
const TOTALS_WITHIN: Duration = Duration::from_millis(500);

pub(super) async fn run(desk: &Desk, command: &DiffsCommand) -> Result<(), Stop> {
    match command {
        DiffsCommand::List(filter) => {
            let report = report(desk, &wanted(desk, filter)?).await?;
            desk.out.text(&if desk.out.is_json() { report.list_json() } else { report.list_text() });
            Ok(())
        }
        DiffsCommand::Show { id, history } => show(desk, id, *history).await,
        DiffsCommand::Excuse(args) => excuses::excuse(desk, args).await,
        DiffsCommand::Excuses => excuses::list(desk).await,
        DiffsCommand::Unexcuse(args) => excuses::withdraw(desk, args).await,
        DiffsCommand::Report { filter, html } => {
            let report = report(desk, &wanted(desk, filter)?).await?;
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

async fn report(desk: &Desk, filter: &EvidenceFilter) -> Result<Report, Stop> {
    let sums = desk.control().evidence(filter).await?;
    let until = now();
    // Of all time: from the first comparison on.
    let first = || sums.comparisons.values().map(|seen| seen.first).min();
    let trend = match filter.since.or_else(first) {
        Some(since) => {
            let span = Span::between(since, until);
            Some((span, desk.control().trend(filter, span).await?))
        }
        None => None,
    };
    let mut excuses = desk.control().excuses().await?;
    excuses.retain(|record| concerns(&record.excuse.scope, filter));
    let evidence = stored(&sums, desk.contract(), filter, &totals(desk).await);
    Ok(Report::of(&Evidence { trend, excuses, ..evidence }, until))
}

/// Whether an excuse is about what `filter` wants.
fn concerns(scope: &ExcuseScope, filter: &EvidenceFilter) -> bool {
    filter.routes.as_ref().is_none_or(|routes| routes.contains(&scope.route))
        && (filter.field.is_none() || filter.field == scope.field)
        && filter.cause.is_none_or(|cause| cause == scope.cause)
}

/// How many records legacy holds of each type; those are left out that it does not tell at once.
async fn totals(desk: &Desk) -> BTreeMap<EntityName, u64> {
    let legacy = desk.backends.sides.legacy.get(Lane::Scan);
    let mut totals = BTreeMap::new();
    for (name, entity) in &desk.contract().entities {
        if let Ok(count) = legacy.rough_count(entity, TOTALS_WITHIN).await {
            totals.insert(name.clone(), count);
        }
    }
    totals
}

async fn show(desk: &Desk, id: &str, with_history: bool) -> Result<(), Stop> {
    let sums = desk.control().evidence(&EvidenceFilter::default()).await?;
    let found: Vec<_> = sums.samples.iter().filter(|sample| !id.is_empty() && sample.id.starts_with(id)).collect();
    match found.as_slice() {
        [sample] => {
            let mut shown = SampleReport::of(sample);
            if with_history {
                shown.history = Some(history::of(desk, sample).await?);
            }
            desk.out.text(&if desk.out.is_json() { shown.json() } else { shown.text() });
            Ok(())
        }
        [] => Err(Stop::No(format!("there is no sample `{id}`: `strangler diffs report` names those that are kept"))),
        several => Err(Stop::BadUse(format!("{} samples begin with `{id}`: give more of its id", several.len()))),
    }
}

fn write(desk: &Desk, file: &Path, page: &str) -> Result<(), Stop> {
    let path = file.display();
    std::fs::write(file, page).map_err(|error| Stop::No(format!("{path} cannot be written: {error}")))?;
    desk.out.line(format!("Report written to {path}."));
    desk.out.json(&json!({ "html": file }));
    Ok(())
}

pub(super) fn wanted(desk: &Desk, args: &FilterArgs) -> Result<EvidenceFilter, Stop> {
    let contract = desk.contract();
    let routes = args.route.as_ref().map(|name| match contract.root(&RouteName::from(name.as_str())) {
        Some(root) => Ok(vec![root.route.clone()]),
        None => {
            let known = suggest::or_all(name, "", contract.roots.keys().map(RouteName::as_str));
            Err(Stop::BadUse(format!("there is no route `{name}`: {known}")))
        }
    });
    let cause = args.cause.as_ref().map(|name| {
        let known = || suggest::or_all(name, "", Cause::ALL.iter().map(|cause| cause.as_str()));
        Cause::named(name).ok_or_else(|| Stop::BadUse(format!("there is no cause `{name}`: {}", known())))
    });
    let fields: Vec<&str> =
        contract.entities.values().flat_map(|entity| entity.fields.iter().map(|field| field.name.as_str())).collect();
    let field = args.field.as_ref().map(|name| {
        let known = || suggest::or_all(name, "", fields.iter().copied());
        let found = fields.contains(&name.as_str()).then(|| name.as_str().into());
        found.ok_or_else(|| Stop::BadUse(format!("there is no field `{name}`: {}", known())))
    });
    Ok(EvidenceFilter {
        routes: routes.transpose()?,
        field: field.transpose()?,
        cause: cause.transpose()?,
        since: args.since.as_deref().map(since).transpose()?,
    })
}

fn since(text: &str) -> Result<Instant, Stop> {
    if let Some(instant) = Instant::parse(text) {
        return Ok(instant);
    }
    let ago = duration(text).ok().and_then(|ago| chrono::TimeDelta::from_std(ago).ok());
    let ago =
        ago.ok_or_else(|| Stop::BadUse("--since takes 2h, 7d, or a time such as 2026-01-31T08:00:00Z".to_owned()))?;
    Ok(Instant::new(now().to_utc() - ago))
}
