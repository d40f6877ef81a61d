//! The ledger in memory: what stands, what waits, what was given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::history::{KeyHistory, PastState};
use model::store::{Backlog, Bare, Forget, Keyed, Strays, Unsettled};
use model::write::Claim;
use model::{
    Contract, EntityKey, EntityName, Epoch, GroupName, IdempotencyKey, Record, Stand, StoreError, Version, WriteId,
};
use tokio::time::Instant;

use super::{Entry, MemoryStore, Standing};
use crate::known::Known;

/// Unsettled entries of the types of `group`, oldest first. A write without change has no type.
fn waiting<'a>(
    ledger: &'a mut BTreeMap<WriteId, Entry>,
    contract: &Contract,
    group: &GroupName,
) -> Vec<(&'a WriteId, &'a mut Entry)> {
    let of_group = |entry: &Entry| match entry.changes.first() {
        Some(change) => contract.entity(change.key.entity()).is_some_and(|entity| entity.group == *group),
        None => entry.group.as_ref() == Some(group),
    };
    let entries = ledger.iter_mut().filter(|(_, entry)| entry.standing == Standing::Unsettled && of_group(entry));
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(_, entry)| entry.sequence);
    entries
}

/// Whether an unsettled one is brought to the other side: made since `epoch`, under which this side last took the authority
/// over, or settled once, and lost over there. Else it was left behind.
fn is_brought(entry: &Entry, epoch: Epoch) -> bool {
    entry.settled_once || entry.version.epoch >= epoch
}

/// A whole write of `group`, tried so often.
fn unsettled(write: WriteId, group: &GroupName, entry: &Entry, attempts: u32) -> Unsettled {
    let bare = || Bare { write, group: group.clone(), version: entry.version, idempotency: entry.idempotency.clone() };
    let bare = entry.changes.is_empty().then(bare);
    Unsettled { write, changes: entry.changes.clone(), bare, attempts }
}

impl MemoryStore {
    pub(super) fn claimed(&self, write: WriteId) -> Result<Claim, StoreError> {
        let mut state = self.shared.lock();
        self.living(&state)?;
        match state.ledger.get(&write) {
            Some(entry) if entry.standing != Standing::Abandoned => {
                return Ok(Claim::Stands(entry.changes.clone()));
            }
            Some(_) => return Ok(Claim::Abandoned),
            None => {}
        }
        state.position += 1;
        let entry = Entry::new(None, Version::baseline(0), Standing::Abandoned, state.position);
        state.ledger.insert(write, entry);
        Ok(Claim::Abandoned)
    }

    pub(super) fn mark_settled(&self, writes: &[WriteId]) {
        let mut state = self.shared.lock();
        for write in writes {
            if let Some(entry) = state.ledger.get_mut(write)
                && entry.standing == Standing::Unsettled
            {
                entry.standing = Standing::Settled;
            }
        }
    }

    pub(super) fn lease(
        &self,
        group: &GroupName,
        stand: Stand,
        older_than: Duration,
        lease: Duration,
        limit: usize,
    ) -> Vec<Unsettled> {
        let mut state = self.shared.lock();
        let since = match state.fences.get(group) {
            Some(kept) if kept.fence.stand == stand && !state.life.is_suspended() => kept.since,
            Some(_) | None => return Vec::new(),
        };
        let now = Instant::now();
        let picture = Known::new(Arc::clone(&self.contract)).saw(&state.shapes);
        let ours = |entry: &Entry| {
            entry.changes.iter().all(|change| picture.applied().any(|name| name == change.key.entity()))
        };
        let due = |entry: &Entry| entry.next_attempt_at <= now && now.duration_since(entry.created_at) >= older_than;
        let waiting = waiting(&mut state.ledger, &self.contract, group).into_iter();
        let waiting = waiting.filter(|(_, entry)| is_brought(entry, since) && due(entry) && ours(entry)).take(limit);
        let leased = waiting.map(|(write, entry)| {
            entry.next_attempt_at = now + lease;
            entry.attempts += 1;
            unsettled(*write, group, entry, entry.attempts - 1)
        });
        leased.collect()
    }

    pub(super) fn waiting_keys(&self, group: &GroupName, limit: usize) -> Vec<(EntityKey, WriteId)> {
        let mut state = self.shared.lock();
        let waiting = waiting(&mut state.ledger, &self.contract, group).into_iter();
        let keys = waiting.flat_map(|(write, entry)| {
            let keys = entry.changes.iter().map(|change| change.key.clone());
            keys.map(|key| (key, *write)).collect::<Vec<_>>()
        });
        keys.take(limit).collect()
    }

    pub(super) fn count_waiting(&self, group: &GroupName) -> Backlog {
        let mut state = self.shared.lock();
        let since = state.fences.get(group).map_or(Epoch(0), |kept| kept.since);
        let waiting = waiting(&mut state.ledger, &self.contract, group);
        let all = waiting.len() as u64;
        let waiting: Vec<_> = waiting.into_iter().filter(|(_, entry)| is_brought(entry, since)).collect();
        let writes = waiting.len() as u64;
        let oldest = waiting.first().map(|(_, entry)| entry.created_at.elapsed());
        Backlog { writes, oldest, left_behind: all - writes }
    }

    pub(super) fn which_are_left(&self, group: &GroupName, after: Option<WriteId>, limit: usize) -> Vec<Unsettled> {
        let mut state = self.shared.lock();
        let kept = state.fences.get(group).copied();
        let left = |entry: &Entry| match kept {
            Some(kept) if kept.fence.stand.takes_writes() => !is_brought(entry, kept.since),
            Some(_) | None => true,
        };
        let mut waiting = waiting(&mut state.ledger, &self.contract, group);
        waiting.retain(|(write, entry)| left(entry) && after.is_none_or(|after| **write > after));
        waiting.sort_by_key(|(write, _)| **write);
        let whole = waiting.into_iter().take(limit);
        whole.map(|(write, entry)| unsettled(*write, group, entry, entry.attempts)).collect()
    }

    pub(super) fn which_stray(&self) -> Vec<Strays> {
        let state = self.shared.lock();
        let groups = self.contract.groups();
        let mut strays: BTreeMap<(GroupName, EntityName), u64> = BTreeMap::new();
        for entry in state.ledger.values().filter(|entry| entry.standing == Standing::Unsettled) {
            if entry.changes.is_empty()
                && let Some(group) = entry.group.as_ref().filter(|group| !groups.contains(group))
            {
                *strays.entry((group.clone(), "".into())).or_default() += 1;
            }
            for change in &entry.changes {
                if self.contract.entity(change.key.entity()).is_none()
                    && let Some(group) = &entry.group
                {
                    *strays.entry((group.clone(), change.key.entity().clone())).or_default() += 1;
                }
            }
        }
        strays.into_iter().map(|((group, entity), changes)| Strays { group, entity, changes }).collect()
    }

    pub(super) fn which_stand(&self, writes: &[WriteId]) -> Vec<WriteId> {
        let state = self.shared.lock();
        let stands = |write: &&WriteId| {
            let entry = state.ledger.get(*write);
            entry.is_some_and(|entry| entry.standing != Standing::Abandoned)
        };
        let mut standing: Vec<_> = writes.iter().filter(stands).copied().collect();
        standing.sort_unstable();
        standing.dedup();
        standing
    }

    pub(super) fn states_of(&self, key: &EntityKey, limit: usize) -> Vec<Option<Record>> {
        let state = self.shared.lock();
        let changes = state.ledger.values().flat_map(|entry| &entry.changes);
        let mut changes: Vec<_> = changes.filter(|change| change.key == *key).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.version));
        let states = changes.into_iter().take(limit);
        states.map(|change| change.state.clone()).collect()
    }

    pub(super) fn history_of(&self, key: &EntityKey, limit: usize) -> KeyHistory {
        let state = self.shared.lock();
        let entries = state.ledger.values().flat_map(|entry| entry.changes.iter().map(move |change| (entry, change)));
        let of_key = entries.filter(|(_, change)| change.key == *key);
        let mut states: Vec<_> = of_key
            .map(|(entry, change)| PastState {
                version: change.version,
                write: change.write,
                at: entry.written_at,
                state: change.state.clone(),
            })
            .collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.version));
        states.truncate(limit);
        KeyHistory { states, recorded: state.versions.get(key).map(|recorded| recorded.version) }
    }

    pub(super) fn under(&self, key: &IdempotencyKey) -> Option<Keyed> {
        let state = self.shared.lock();
        state.ledger.iter().find_map(|(write, entry)| {
            let (_, fingerprint) = entry.idempotency.as_ref().filter(|(known, _)| known == key)?;
            Some(Keyed { write: *write, fingerprint: fingerprint.clone() })
        })
    }

    pub(super) fn drop_old(&self, old: &Forget) -> u64 {
        let mut state = self.shared.lock();
        let day = Duration::from_secs(24 * 60 * 60);
        let forgotten = |entry: &Entry| {
            let needed = entry.idempotency.as_ref().is_some_and(|(key, _)| old.sagas.need(key));
            let kept = match entry.standing {
                Standing::Unsettled => return false,
                Standing::Settled => old.retention,
                // A first attempt that is under way must still meet it.
                Standing::Abandoned => old.retention.max(day),
            };
            entry.created_at.elapsed() > kept && !needed
        };
        let gone = state.ledger.iter().filter(|(_, entry)| forgotten(entry));
        let gone: Vec<WriteId> = gone.map(|(write, _)| *write).take(old.limit).collect();
        for write in &gone {
            state.ledger.remove(write);
        }
        gone.len() as u64
    }
}
