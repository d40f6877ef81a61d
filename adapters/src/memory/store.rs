//! The port, filled. Nothing here waits, so no call exceeds its limit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::bookkeeping::Due;
use model::fence::{Fence, Move, Standing, Traces};
use model::history::KeyHistory;
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Bare, Forget, Inspection, Keyed, MAX_BATCH, Strays, Unsettled};
use model::write::{Claim, IdempotencyKey};
use model::{
    Applied, Bookkeeping, Change, Command, EntityKey, EntityName, EntityType, Epoch, FieldSet, GroupName, Incarnation,
    Record, Recorded, Rehearsal, Scan, Side, Stand, States, Store, StoreError, WriteId, Written,
};

use tokio::time::Instant;

use super::scan::Snapshot;
use super::{KeptFence, MemoryStore};
use crate::gate::Gate;

/// `record` cut down to `fields` and the key.
fn cut(entity: &EntityType, record: &Record, fields: FieldSet) -> Record {
    let fields = fields.union(entity.key_fields());
    let mut cut = Record::empty(entity);
    for (index, value) in record.iter().filter(|(index, _)| fields.contains(*index)) {
        cut.set(index, value.clone());
    }
    record.unreadable().both(fields).iter().for_each(|index| cut.set_unreadable(index));
    cut
}

impl MemoryStore {
    pub(super) fn entity(&self, key: &EntityKey) -> Result<&EntityType, StoreError> {
        let entity = self.contract.entity(key.entity());
        let unknown = || self.misfit(format!("the contract has no type {}", key.entity()));
        entity.map(AsRef::as_ref).ok_or_else(unknown)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn side(&self) -> Side {
        self.side
    }

    async fn fetch(
        &self,
        entity: &EntityType,
        keys: &[EntityKey],
        fields: FieldSet,
        _within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        if keys.len() > MAX_BATCH || keys.iter().any(|key| *key.entity() != entity.name) {
            return Err(self.misfit("too many keys, or a key of another entity type, in one call"));
        }
        let state = self.shared.lock();
        let find = |key| state.rows.get(key).map(|record| cut(entity, record, fields));
        Ok(keys.iter().map(find).collect())
    }

    async fn list(
        &self,
        entity: &EntityType,
        query: &NamedSql,
        params: &Params,
        fields: FieldSet,
        _within: Duration,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.shared.lock();
        let find = state.queries.get(query);
        let find = find.ok_or_else(|| self.misfit("a query that nobody taught"))?;
        let found = find(&state.rows, params);
        Ok(found.iter().map(|record| cut(entity, record, fields)).collect())
    }

    async fn execute(&self, command: &Command, _within: Duration) -> Result<Written, StoreError> {
        self.write(command).map(|(written, _)| written)
    }

    async fn execute_seeing(&self, command: &Command, _within: Duration) -> Result<(Written, States), StoreError> {
        self.write(command)
    }

    async fn rehearse(&self, command: &Command, _within: Duration) -> Result<Rehearsal, StoreError> {
        self.try_out(command)
    }

    async fn claim(&self, write: WriteId, _within: Duration) -> Result<Claim, StoreError> {
        self.claimed(write)
    }

    async fn apply(&self, changes: &[Change], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.take(changes, false, Gate::Secondary(self.source.read()))
    }

    async fn apply_over(&self, changes: &[Change], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.take(changes, true, Gate::Secondary(self.source.read()))
    }

    async fn carry(&self, changes: &[Change], _within: Duration) -> Result<Option<WriteId>, StoreError> {
        self.carry_proven(changes)
    }

    async fn keep(&self, writes: &[Bare], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.keep_bare(writes, Gate::Secondary(self.source.read()))
    }

    async fn recorded(&self, keys: &[EntityKey], _within: Duration) -> Result<Vec<Option<Recorded>>, StoreError> {
        let state = self.shared.lock();
        Ok(keys.iter().map(|key| state.versions.get(key).copied()).collect())
    }

    async fn as_left(
        &self,
        _entity: &EntityType,
        key: &EntityKey,
        _within: Duration,
    ) -> Result<Option<bool>, StoreError> {
        self.is_as_left(&self.shared.lock(), key)
    }

    async fn settle(&self, writes: &[WriteId], _within: Duration) -> Result<(), StoreError> {
        self.mark_settled(writes);
        Ok(())
    }

    async fn lease_unsettled(
        &self,
        group: &GroupName,
        stand: Stand,
        older_than: Duration,
        lease: Duration,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        Ok(self.lease(group, stand, older_than, lease, limit))
    }

    async fn unsettled_keys(
        &self,
        group: &GroupName,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
        Ok(self.waiting_keys(group, limit))
    }

    async fn backlog(&self, group: &GroupName, _within: Duration) -> Result<Backlog, StoreError> {
        Ok(self.count_waiting(group))
    }

    async fn left_behind(
        &self,
        group: &GroupName,
        after: Option<WriteId>,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        Ok(self.which_are_left(group, after, limit))
    }

    async fn strays(&self, _within: Duration) -> Result<Vec<Strays>, StoreError> {
        Ok(self.which_stray())
    }

    async fn standing(&self, writes: &[WriteId], _within: Duration) -> Result<Vec<WriteId>, StoreError> {
        Ok(self.which_stand(writes))
    }

    async fn past_states(
        &self,
        _entity: &EntityType,
        key: &EntityKey,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        Ok(self.states_of(key, limit))
    }

    async fn history(&self, key: &EntityKey, limit: usize, _within: Duration) -> Result<KeyHistory, StoreError> {
        Ok(self.history_of(key, limit))
    }

    async fn rough_count(&self, entity: &EntityType, _within: Duration) -> Result<u64, StoreError> {
        Ok(self.shared.lock().rows.keys().filter(|key| *key.entity() == entity.name).count() as u64)
    }

    async fn snapshot(&self, _within: Duration) -> Result<Arc<dyn Scan>, StoreError> {
        Ok(Arc::new(Snapshot(self.rows())))
    }

    async fn keyed(&self, key: &IdempotencyKey, _within: Duration) -> Result<Option<Keyed>, StoreError> {
        Ok(self.under(key))
    }

    async fn forget(&self, old: &Forget, _within: Duration) -> Result<u64, StoreError> {
        Ok(self.drop_old(old))
    }

    async fn incarnation(&self, _within: Duration) -> Result<Incarnation, StoreError> {
        Ok(Incarnation(1))
    }

    async fn prepare(&self, groups: &[GroupName], _within: Duration) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        state.prepared = true;
        for group in groups {
            let kept = KeptFence { fence: Fence::BORN, moved: Instant::now(), since: Epoch(0) };
            state.fences.entry(group.clone()).or_insert(kept);
        }
        Ok(())
    }

    async fn bookkeeping(&self, _within: Duration) -> Result<Bookkeeping, StoreError> {
        let missing = if self.shared.lock().prepared { Vec::new() } else { vec!["the bookkeeping".to_owned()] };
        let step = u32::from(missing.is_empty());
        Ok(Bookkeeping::compare(vec![Due { step: 1, missing }], step, step))
    }

    fn bookkeeping_ddl(&self, _found: Option<&Bookkeeping>, _groups: &[GroupName]) -> String {
        String::new()
    }

    async fn fence(&self, group: &GroupName, _within: Duration) -> Result<Standing, StoreError> {
        let state = self.shared.lock();
        let found = state.fences.get(group);
        let none = || self.misfit(format!("group {group} has no fence: run `strangler init`"));
        found.map(|kept| Standing { fence: kept.fence, age: kept.moved.elapsed() }).ok_or_else(none)
    }

    async fn traces(&self, group: &GroupName, _within: Duration) -> Result<Traces, StoreError> {
        let state = self.shared.lock();
        let is_of = |key: &EntityKey| self.contract.entity(key.entity()).is_some_and(|entity| entity.group == *group);
        let versions = state.versions.iter().filter(|(key, _)| is_of(key));
        let epoch = versions.map(|(_, version)| version.version.epoch).max().unwrap_or(Epoch(0));
        let writes = state.ledger.values().any(|entry| match entry.changes.first() {
            Some(change) => is_of(&change.key),
            None => entry.group.as_ref() == Some(group),
        });
        Ok(Traces { epoch, writes })
    }

    async fn fences(&self, _within: Duration) -> Result<Vec<(GroupName, Fence)>, StoreError> {
        let state = self.shared.lock();
        Ok(state.fences.iter().map(|(group, kept)| (group.clone(), kept.fence)).collect())
    }

    async fn move_fence(&self, group: &GroupName, step: &Move, _within: Duration) -> Result<Fence, StoreError> {
        let mut state = self.shared.lock();
        let living = self.living(&state).and_then(|_| self.whole(&state));
        let none = || self.misfit(format!("group {group} has no fence: run `strangler init`"));
        let kept = state.fences.get_mut(group).ok_or_else(none)?;
        if kept.fence == step.from {
            if step.to.stand.takes_writes() && step.to != step.from {
                living?;
            }
            let since = if step.takes_over { step.to.epoch } else { kept.since };
            *kept = KeptFence { fence: step.to, moved: Instant::now(), since };
        }
        Ok(kept.fence)
    }

    async fn inspect(&self, entities: &[EntityName], _within: Duration) -> Result<Inspection, StoreError> {
        let unknown = entities.iter().filter(|name| self.contract.entity(name).is_none());
        let mut problems: Vec<_> =
            unknown.map(|name| format!("{name} is not a type of the contract: check the name")).collect();
        if !self.shared.lock().prepared {
            problems.push("the bookkeeping is missing: run `strangler init`".into());
        }
        Ok(Inspection { server: "memory".into(), facts: Vec::new(), notices: Vec::new(), problems })
    }
}
