//! A control store in memory, for tests and for trying things out; it can be made to fail.

mod excuses;
mod trend;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use model::bookkeeping::{Bookkeeping, Due};
use model::control::{
    AuditEntry, BatchId, ControlError, ControlStore, Deed, EvidenceFilter, ExcuseRecord, Figures, FiguresStore, Heard,
    LIVE_WITHIN, OverrideId, Promotion, Proposal, Publication, Replica, RolloutRecord, Sums,
};
use model::life::Memory;
use model::{GroupName, Instant, ReplicaId, RolloutVersion, Side, WebhookName};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

mod documents;
mod lives;
mod orders;
mod reconciliation;
mod webhooks;

/// Rollouts, replicas and evidence of one process.
#[derive(Debug)]
pub struct MemoryControl {
    state: Mutex<State>,
    newest: watch::Sender<Option<RolloutVersion>>,
    down: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    lives: HashMap<Side, Memory>,
    rollouts: Vec<RolloutRecord>,
    replicas: BTreeMap<ReplicaId, (Replica, tokio::time::Instant)>,
    /// Unmerged, so that a filter by time sees each flush on its own.
    evidence: Vec<(BatchId, Sums)>,
    audit: Vec<AuditEntry>,
    proposals: Vec<Proposal>,
    promotions: BTreeMap<GroupName, Promotion>,
    figures: Figures,
    figure_batches: BTreeSet<BatchId>,
    excuses: Vec<ExcuseRecord>,
    reconciliation: reconciliation::Kept,
    orders: Vec<orders::Kept>,
    webhooks: BTreeMap<WebhookName, webhooks::Telling>,
}

impl MemoryControl {
    /// An empty store, up.
    pub fn new() -> Self {
        Self { state: Mutex::default(), newest: watch::Sender::new(None), down: AtomicBool::new(false) }
    }

    /// Makes every call fail as unreachable, or work again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Empties the audit, as whoever truncates its table does.
    pub fn empty_audit(&self) {
        self.state.lock().audit.clear();
    }

    /// Forgets every rollout newer than `version`, as a restore from a backup does.
    pub fn rewind_to(&self, version: RolloutVersion) {
        let mut state = self.state.lock();
        state.rollouts.retain(|r| r.rollout.version <= version);
        self.newest.send_replace(state.newest());
    }

    fn up(&self) -> Result<(), ControlError> {
        if self.down.load(Ordering::SeqCst) {
            let source = "told to be down".into();
            return Err(ControlError::Unreachable { source });
        }
        Ok(())
    }
}

impl Default for MemoryControl {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn newest(&self) -> Option<RolloutVersion> {
        self.rollouts.last().map(|record| record.rollout.version)
    }
}

#[async_trait]
impl ControlStore for MemoryControl {
    async fn prepare(&self) -> Result<(), ControlError> {
        self.up()
    }

    async fn bookkeeping(&self) -> Result<Bookkeeping, ControlError> {
        self.up()?;
        Ok(Bookkeeping::compare(vec![Due { step: 1, missing: Vec::new() }], 1, 1))
    }

    fn ddl(&self, _found: Option<&Bookkeeping>) -> String {
        "-- nothing is stored outside of this process\n".to_owned()
    }

    async fn newest(&self) -> Result<Option<RolloutRecord>, ControlError> {
        self.up()?;
        Ok(self.state.lock().rollouts.last().cloned())
    }

    async fn publish(&self, publication: &Publication) -> Result<RolloutRecord, ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        let found = state.newest();
        if found != publication.expected {
            let expected = publication.expected;
            return Err(ControlError::Conflict { expected, found });
        }
        if let Some(approval) = &publication.approves {
            let decision = approval.under(publication.rollout.version);
            if !state.decide(approval.proposal, &decision) {
                return Err(ControlError::Decided);
            }
        }
        let record = record(publication);
        state.append(&Deed::of_rollout(&record), record.at);
        state.rollouts.push(record.clone());
        self.newest.send_replace(Some(record.rollout.version));
        Ok(record)
    }

    async fn history(&self, group: Option<&GroupName>, limit: usize) -> Result<Vec<RolloutRecord>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        let wanted = |r: &&RolloutRecord| group.is_none_or(|group| r.groups.contains(group));
        let newest_first = state.rollouts.iter().rev().filter(wanted);
        Ok(newest_first.take(limit).cloned().collect())
    }

    async fn published(&self, overrides: &[OverrideId]) -> Result<Vec<OverrideId>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        let taken_in = |id: &&OverrideId| state.rollouts.iter().any(|r| r.overrides.contains(id));
        Ok(overrides.iter().filter(taken_in).copied().collect())
    }

    async fn wait_for_change(&self, known: Option<RolloutVersion>, within: Duration) -> Result<bool, ControlError> {
        self.up()?;
        let mut newest = self.newest.subscribe();
        let changed = tokio::time::timeout(within, newest.wait_for(|newest| *newest != known)).await.is_ok();
        self.up()?;
        Ok(changed)
    }

    async fn heartbeat(&self, replica: &Replica) -> Result<Heard, ControlError> {
        self.up()?;
        let replicas = &mut self.state.lock().replicas;
        if let Some((other, at)) = replicas.get(&replica.id)
            && other.instance != replica.instance
            && at.elapsed() <= LIVE_WITHIN
        {
            return Ok(Heard::Taken(other.admin_address.clone()));
        }
        replicas.insert(replica.id.clone(), (replica.clone(), tokio::time::Instant::now()));
        Ok(Heard::Noted)
    }

    async fn succeed(&self, replica: &ReplicaId, former: Uuid) -> Result<bool, ControlError> {
        self.up()?;
        let replicas = &mut self.state.lock().replicas;
        let is_there = replicas.get(replica).is_some_and(|(known, _)| known.instance == former);
        Ok(is_there && replicas.remove(replica).is_some())
    }

    async fn retire(&self, replica: &ReplicaId) -> Result<(), ControlError> {
        self.up()?;
        self.state.lock().replicas.remove(replica);
        Ok(())
    }

    async fn replicas(&self, within: Duration) -> Result<Vec<Replica>, ControlError> {
        self.up()?;
        let state = self.state.lock();
        let live = state.replicas.values().filter(|(_, at)| at.elapsed() <= within);
        Ok(live.map(|(replica, _)| replica.clone()).collect())
    }

    async fn add_evidence(&self, batch: BatchId, evidence: &Sums) -> Result<(), ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.evidence.iter().all(|(known, _)| *known != batch) {
            state.evidence.push((batch, evidence.clone()));
        }
        Ok(())
    }

    async fn evidence(&self, filter: &EvidenceFilter) -> Result<Sums, ControlError> {
        self.up()?;
        let mut sums = Sums::default();
        for (_, added) in &self.state.lock().evidence {
            sums.merge(added.clone().retained(filter));
        }
        Ok(sums)
    }

    async fn forget(&self, retention: Duration) -> Result<(), ControlError> {
        self.up()?;
        let since = Instant::new(Utc::now() - retention);
        let kept = EvidenceFilter { since: Some(since), ..EvidenceFilter::default() };
        let mut state = self.state.lock();
        for (_, sums) in &mut state.evidence {
            *sums = std::mem::take(sums).retained(&kept);
        }
        state.figures.slots.retain(|slot, _| slot.at >= since);
        Ok(())
    }
}

#[async_trait]
impl FiguresStore for MemoryControl {
    async fn add_figures(&self, batch: BatchId, figures: &Figures) -> Result<(), ControlError> {
        self.up()?;
        let mut state = self.state.lock();
        if state.figure_batches.insert(batch) {
            state.figures.merge(figures);
        }
        Ok(())
    }

    async fn figures(&self, group: Option<&GroupName>, since: Instant) -> Result<Figures, ControlError> {
        self.up()?;
        Ok(self.state.lock().figures.clone().retained(group, since))
    }
}

fn record(publication: &Publication) -> RolloutRecord {
    let Publication { expected: _, rollout, author, summary, groups, evidence, overrides, approved_by, approves: _ } =
        publication.clone();
    let at = Instant::new(Utc::now());
    RolloutRecord { rollout, at, author, summary, groups, evidence, overrides, approved_by }
}
