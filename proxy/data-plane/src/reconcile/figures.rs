//! Tells the metrics what the last reconciliation of each group has found, from the control store:
//! the runs themselves are short-lived commands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::control::reconciliation::{AtRest, Newest, at_rest, mapping};
use model::control::{ControlStore, RunId};
use model::evidence::Cause;
use model::{Contract, EntityName, GroupName};
use tokio_util::sync::CancellationToken;

/// How often the control store is asked.
const PACE: Duration = Duration::from_secs(15);

/// Looks until `stop`. While the control store does not answer, the figures stay as they were.
pub async fn watch(control: Arc<dyn ControlStore>, contract: Arc<Contract>, stop: CancellationToken) {
    let mut pace = tokio::time::interval(PACE);
    let mut runs = Runs::default();
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        for group in contract.groups() {
            if let Ok(newest) = control.newest_reconciliations(&group).await {
                newest.iter().for_each(|one| telemetry::foreign_found(&group, runs.foreign_rows(one)));
                tell(&group, &types(&contract, &group), &newest);
            }
        }
    }
}

/// The newest run of each type that was looked at.
#[derive(Default)]
struct Runs(HashMap<EntityName, RunId>);

impl Runs {
    /// How many rows a run that was not seen before has found changed past us; those of before our start were told then.
    fn foreign_rows(&mut self, newest: &Newest) -> u64 {
        let Newest { reconciliation, .. } = newest;
        let before = self.0.insert(reconciliation.entity.clone(), reconciliation.run);
        let kinds = reconciliation.findings.iter().flat_map(|findings| &findings.kinds);
        // A row may differ in several fields.
        let rows = kinds.filter(|kind| kind.cause == Cause::ForeignWrite).map(|kind| kind.rows).max();
        rows.filter(|_| before.is_some_and(|before| before != reconciliation.run)).unwrap_or(0)
    }
}

/// The types of `group`, and what each is compared by.
pub fn types(contract: &Contract, group: &GroupName) -> Vec<(EntityName, String)> {
    let of_group = contract.entities.iter().filter(|(_, entity)| entity.group == *group);
    of_group.map(|(name, entity)| (name.clone(), mapping(entity))).collect()
}

/// A group of which it is not known whether its rows are equal has no figure: an absent metric is no zero.
fn tell(group: &GroupName, types: &[(EntityName, String)], newest: &[Newest]) {
    let drift = match at_rest(types, newest) {
        AtRest::Unknown(_) => return telemetry::reconciled(group, None, None),
        AtRest::Equal(_) => 0,
        AtRest::Drifted(rows) => rows,
    };
    let of_type = |one: &&Newest| types.iter().any(|(name, _)| *name == one.reconciliation.entity);
    let completed = newest.iter().filter(of_type).map(|one| &one.reconciliation);
    let is_complete = |one: &model::control::reconciliation::Reconciliation| {
        one.findings.as_ref().is_some_and(model::control::Findings::is_complete)
    };
    let ended: Option<Vec<_>> = completed.map(|one| one.ended.filter(|_| is_complete(one))).collect();
    telemetry::reconciled(group, Some(drift), ended.and_then(|ended| ended.into_iter().min()));
}

#[cfg(test)]
mod tests {
    use adapters::memory::control::MemoryControl;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use model::PerSide;
    use model::control::reconciliation::DriftKind;
    use model::control::{Author, Findings, ReconciliationStore as _};
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn drift_shows_in_the_metrics_when_every_type_was_compared() {
        let (control, group) = (MemoryControl::new(), GroupName::from("inventory"));
        let types: Vec<(EntityName, String)> = vec![("Product".into(), "m".into()), ("StockLevel".into(), "m".into())];
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
        let recorder = PrometheusBuilder::new().build_recorder();
        for (number, (entity, mapping)) in (1..).zip(&types) {
            let last = control.newest_reconciliations(&group).await.unwrap();
            metrics::with_local_recorder(&recorder, || tell(&group, &types, &last));
            let shown = recorder.handle().render();
            let figures = shown.lines().filter(|line| line.starts_with("strangler_drift_rows{"));
            assert!(figures.clone().all(|line| line.ends_with(" NaN")), "not everything was compared: {shown}");
            let run = RunId(Uuid::from_u128(number));
            let findings = Findings {
                rows: PerSide { legacy: 9, modern: 9 },
                drift: 0,
                mapping: mapping.clone(),
                ..Findings::default()
            };
            control.begin_reconciliation(run, &group, entity, &author).await.unwrap();
            control.end_reconciliation(run, entity, &findings).await.unwrap();
        }
        let last = control.newest_reconciliations(&group).await.unwrap();
        metrics::with_local_recorder(&recorder, || tell(&group, &types, &last));
        let shown = recorder.handle().render();
        assert!(shown.contains("strangler_drift_rows{group=\"inventory\"} 0"), "{shown}");
        let completed = "strangler_reconcile_completed_timestamp_seconds{group=\"inventory\"} ";
        let completed = shown.lines().find_map(|line| line.strip_prefix(completed)).unwrap();
        assert!(completed.parse::<f64>().unwrap() > 1.7e9, "{shown}");
    }

    #[tokio::test]
    async fn foreign_rows_that_a_new_run_finds_are_counted_once() {
        let (control, group) = (MemoryControl::new(), GroupName::from("inventory"));
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
        let mut runs = Runs::default();
        let mut counted = Vec::new();
        for (number, rows) in (1..).zip([5, 7, 0]) {
            let run = RunId(Uuid::from_u128(number));
            let kind = |field: Option<&str>, rows| DriftKind {
                field: field.map(Into::into),
                cause: Cause::ForeignWrite,
                rows,
            };
            let kinds = vec![kind(Some("onHand"), rows), kind(Some("note"), rows.min(1))];
            let findings = Findings { kinds, ..Findings::default() };
            control.begin_reconciliation(run, &group, &"Product".into(), &author).await.unwrap();
            control.end_reconciliation(run, &"Product".into(), &findings).await.unwrap();
            for _ in 0..2 {
                let newest = control.newest_reconciliations(&group).await.unwrap();
                counted.extend(newest.iter().map(|one| runs.foreign_rows(one)));
            }
        }
        // The first was there when we began to look.
        assert_eq!(counted, [0, 0, 7, 0, 0, 0]);
    }
}
