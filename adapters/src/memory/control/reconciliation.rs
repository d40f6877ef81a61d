//! Reconciliations and repairs in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::Utc;
use model::control::reconciliation::{Newest, Reconciliation, RepairCount, RepairOrder, RepairRecord};
use model::control::{Author, ControlError, Findings, ReconciliationStore, RunId};
use model::{EntityName, GroupName, Instant};

use super::MemoryControl;

/// In the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Kept {
    reconciliations: Vec<Reconciliation>,
    repairs: Vec<RepairRecord>,
}

fn now() -> Instant {
    Instant::new(Utc::now())
}

#[async_trait]
impl ReconciliationStore for MemoryControl {
    async fn begin_reconciliation(
        &self,
        run: RunId,
        group: &GroupName,
        entity: &EntityName,
        author: &Author,
    ) -> Result<(), ControlError> {
        self.up()?;
        let kept = &mut self.state.lock().reconciliation;
        if !kept.reconciliations.iter().any(|one| one.run == run && one.entity == *entity) {
            let (group, entity, author) = (group.clone(), entity.clone(), author.clone());
            let begun = Reconciliation { run, group, entity, author, begun: now(), ended: None, findings: None };
            kept.reconciliations.push(begun);
        }
        Ok(())
    }

    async fn end_reconciliation(
        &self,
        run: RunId,
        entity: &EntityName,
        findings: &Findings,
    ) -> Result<(), ControlError> {
        self.up()?;
        let kept = &mut self.state.lock().reconciliation;
        let open = |one: &&mut Reconciliation| one.run == run && one.entity == *entity && one.ended.is_none();
        if let Some(one) = kept.reconciliations.iter_mut().find(open) {
            (one.ended, one.findings) = (Some(now()), Some(findings.clone()));
        }
        Ok(())
    }

    async fn reconciliations(
        &self,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<Reconciliation>, ControlError> {
        self.up()?;
        let kept = &self.state.lock().reconciliation;
        let wanted = kept.reconciliations.iter().rev().filter(|one| group.is_none_or(|group| one.group == *group));
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn newest_reconciliations(&self, group: &GroupName) -> Result<Vec<Newest>, ControlError> {
        self.up()?;
        let kept = &self.state.lock().reconciliation;
        let ended = kept.reconciliations.iter().filter(|one| one.group == *group && one.ended.is_some());
        // Later ones replace earlier ones.
        let newest: BTreeMap<_, _> = ended.map(|one| (one.entity.clone(), one)).collect();
        let newest = newest
            .into_values()
            .map(|one| Newest { reconciliation: one.clone(), age: (Utc::now() - one.begun.to_utc()).to_std().ok() });
        Ok(newest.collect())
    }

    async fn begin_repair(&self, order: &RepairOrder) -> Result<(), ControlError> {
        self.up()?;
        let kept = &mut self.state.lock().reconciliation;
        if !kept.repairs.iter().any(|one| one.order.id == order.id) {
            kept.repairs.push(RepairRecord { order: order.clone(), begun: now(), ended: None, count: None });
        }
        Ok(())
    }

    async fn end_repair(&self, id: RunId, count: &RepairCount) -> Result<(), ControlError> {
        self.up()?;
        let kept = &mut self.state.lock().reconciliation;
        if let Some(one) = kept.repairs.iter_mut().find(|one| one.order.id == id && one.ended.is_none()) {
            (one.ended, one.count) = (Some(now()), Some(count.clone()));
        }
        Ok(())
    }

    async fn repairs(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RepairRecord>, ControlError> {
        self.up()?;
        let kept = &self.state.lock().reconciliation;
        let wanted = kept.repairs.iter().rev().filter(|one| group.is_none_or(|group| one.order.group == *group));
        Ok(wanted.take(limit).cloned().collect())
    }
}
