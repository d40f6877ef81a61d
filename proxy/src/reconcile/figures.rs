//! Tells the metrics what the last reconciliation of each group has found, from the control store:
//! the runs themselves are short-lived commands.

use std::sync::Arc;
use std::time::Duration;

use model::control::ControlStore;
use model::control::reconciliation::{LastComplete, freshness};
use model::{Contract, EntityName, GroupName};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// How often the control store is asked.
const PACE: Duration = Duration::from_secs(15);

/// Looks until `stop`. While the control store does not answer, the figures stay as they were.
pub async fn watch(control: Arc<dyn ControlStore>, contract: Arc<Contract>, stop: CancellationToken) {
    let mut pace = tokio::time::interval(PACE);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        for group in contract.groups() {
            if let Ok(last) = control.last_complete(&group).await {
                tell(&group, &entities(&contract, &group), &last);
            }
        }
    }
}

/// The types of `group`.
pub fn entities(contract: &Contract, group: &GroupName) -> Vec<EntityName> {
    let of_group = contract.entities.iter().filter(|(_, entity)| entity.group == *group);
    of_group.map(|(name, _)| name.clone()).collect()
}

/// A group of which a type was never compared has no figures: an absent metric is no zero.
fn tell(group: &GroupName, entities: &[EntityName], last: &[LastComplete]) {
    if freshness(entities, last).is_none() {
        return;
    }
    let known = last.iter().filter(|one| entities.contains(&one.reconciliation.entity));
    let known: Vec<_> = known.map(|one| &one.reconciliation).collect();
    let drift = known.iter().filter_map(|one| one.findings.as_ref()).map(|findings| findings.drift).sum();
    let completed = known.iter().filter_map(|one| one.ended).min();
    telemetry::reconciled(group, drift, completed);
}

#[cfg(test)]
mod tests {
    use adapters::memory::control::MemoryControl;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use model::PerSide;
    use model::control::{Author, Findings, ReconciliationStore as _, RunId};
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn drift_shows_in_the_metrics_when_every_type_was_compared() {
        let (control, group) = (MemoryControl::new(), GroupName::from("inventory"));
        let types: Vec<EntityName> = vec!["Product".into(), "StockLevel".into()];
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
        let recorder = PrometheusBuilder::new().build_recorder();
        for (number, entity) in (1..).zip(&types) {
            let last = control.last_complete(&group).await.unwrap();
            metrics::with_local_recorder(&recorder, || tell(&group, &types, &last));
            assert!(!recorder.handle().render().contains("strangler_drift_rows"), "not everything was compared");
            let run = RunId(Uuid::from_u128(number));
            let findings = Findings { rows: PerSide { legacy: 9, modern: 9 }, drift: 3, ..Findings::default() };
            control.begin_reconciliation(run, &group, entity, &author).await.unwrap();
            control.end_reconciliation(run, entity, &findings).await.unwrap();
        }
        let last = control.last_complete(&group).await.unwrap();
        metrics::with_local_recorder(&recorder, || tell(&group, &types, &last));
        let shown = recorder.handle().render();
        assert!(shown.contains("strangler_drift_rows{group=\"inventory\"} 6"), "{shown}");
        let completed = "strangler_reconcile_completed_timestamp_seconds{group=\"inventory\"} ";
        let completed = shown.lines().find_map(|line| line.strip_prefix(completed)).unwrap();
        assert!(completed.parse::<f64>().unwrap() > 1.7e9, "{shown}");
    }
}
