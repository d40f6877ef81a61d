//! The port, filled. Nothing here waits, so no call exceeds its limit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::fence::{Fence, Move, Standing};
use model::history::KeyHistory;
use model::sql::{NamedSql, Params};
use model::store::{Backlog, Inspection, MAX_BATCH, Unsettled};
use model::write::Claim;
use model::{
    Applied, Change, Command, EntityKey, EntityName, EntityType, Epoch, FieldSet, GroupName, Incarnation, Record,
    Rehearsal, Role, Scan, Side, Stand, States, Store, StoreError, WriteId, Written,
};

use tokio::time::Instant;

use super::MemoryStore;
use super::scan::Snapshot;

/// `record` cut down to `fields` and the key.
fn cut(entity: &EntityType, record: &Record, fields: FieldSet) -> Record {
    let fields = fields.union(entity.key_fields());
    let mut cut = Record::empty(entity);
    for (index, value) in record.iter().filter(|(index, _)| fields.contains(*index)) {
        cut.set(index, value.clone());
    }
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
        Ok(self.give_up(write))
    }

    async fn apply(&self, changes: &[Change], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.take(changes, false)
    }

    async fn apply_over(&self, changes: &[Change], _within: Duration) -> Result<Vec<Applied>, StoreError> {
        self.take(changes, true)
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
        groups: &[GroupName],
        older_than: Duration,
        lease: Duration,
        limit: usize,
        _within: Duration,
    ) -> Result<Vec<Unsettled>, StoreError> {
        Ok(self.lease(groups, older_than, lease, limit))
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

    async fn forget(&self, retention: Duration, limit: usize, _within: Duration) -> Result<u64, StoreError> {
        Ok(self.drop_old(retention, limit))
    }

    async fn incarnation(&self, _within: Duration) -> Result<Incarnation, StoreError> {
        Ok(Incarnation(1))
    }

    async fn prepare(&self, groups: &[GroupName], role: Role, _within: Duration) -> Result<(), StoreError> {
        let stand = match role {
            Role::Primary => Stand::Open,
            Role::Secondary => Stand::Closed,
        };
        let mut state = self.shared.lock();
        state.prepared = true;
        for group in groups {
            let fence = Fence::new(Epoch(1), stand);
            state.fences.entry(group.clone()).or_insert_with(|| (fence, Instant::now()));
        }
        Ok(())
    }

    fn bookkeeping_ddl(&self, _groups: &[GroupName], _role: Role) -> String {
        String::new()
    }

    async fn fence(&self, group: &GroupName, _within: Duration) -> Result<Standing, StoreError> {
        let state = self.shared.lock();
        let found = state.fences.get(group);
        let none = || self.misfit(format!("group {group} has no fence: run `strangler init`"));
        found.map(|(fence, moved)| Standing { fence: *fence, age: moved.elapsed() }).ok_or_else(none)
    }

    async fn move_fence(&self, group: &GroupName, step: &Move, _within: Duration) -> Result<Fence, StoreError> {
        let mut state = self.shared.lock();
        let none = || self.misfit(format!("group {group} has no fence: run `strangler init`"));
        let (fence, moved) = state.fences.get_mut(group).ok_or_else(none)?;
        if *fence == step.from {
            (*fence, *moved) = (step.to, Instant::now());
        }
        Ok(*fence)
    }

    async fn inspect(&self, entities: &[EntityName], _within: Duration) -> Result<Inspection, StoreError> {
        let unknown = entities.iter().filter(|name| self.contract.entity(name).is_none());
        let mut problems: Vec<_> =
            unknown.map(|name| format!("{name} is not a type of the contract: check the name")).collect();
        if !self.shared.lock().prepared {
            problems.push("the bookkeeping is missing: run `strangler init`".into());
        }
        Ok(Inspection { server: "memory".into(), facts: Vec::new(), problems })
    }
}
