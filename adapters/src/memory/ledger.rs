//! The ledger in memory: what stands, what waits, what was given up.

use std::time::Duration;

use model::history::{KeyHistory, PastState};
use model::store::{Backlog, Unsettled};
use model::write::Claim;
use model::{EntityKey, GroupName, Record, WriteId};
use tokio::time::Instant;

use super::{Entry, MemoryStore, Standing, State};

/// Unsettled entries of any of `groups`, oldest first.
fn waiting<'a>(state: &'a mut State, groups: &[GroupName]) -> Vec<(&'a WriteId, &'a mut Entry)> {
    let open = |entry: &Entry| {
        let of_group = entry.group.as_ref().is_some_and(|group| groups.contains(group));
        of_group && entry.standing == Standing::Unsettled
    };
    let entries = state.ledger.iter_mut().filter(|(_, entry)| open(entry));
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(_, entry)| entry.sequence);
    entries
}

impl MemoryStore {
    pub(super) fn give_up(&self, write: WriteId) -> Claim {
        let mut state = self.shared.lock();
        match state.ledger.get(&write) {
            Some(entry) if entry.standing != Standing::Abandoned => {
                return Claim::Stands(entry.changes.clone());
            }
            Some(_) => return Claim::Abandoned,
            None => {}
        }
        state.position += 1;
        let entry = Entry {
            group: None,
            changes: Vec::new(),
            idempotency: None,
            standing: Standing::Abandoned,
            attempts: 0,
            next_attempt_at: Instant::now(),
            created_at: Instant::now(),
            written_at: super::wall_clock(),
            sequence: state.position,
        };
        state.ledger.insert(write, entry);
        Claim::Abandoned
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
        groups: &[GroupName],
        older_than: Duration,
        lease: Duration,
        limit: usize,
    ) -> Vec<Unsettled> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let due = |entry: &Entry| entry.next_attempt_at <= now && now.duration_since(entry.created_at) >= older_than;
        let waiting = waiting(&mut state, groups).into_iter();
        let waiting = waiting.filter(|(_, entry)| due(entry)).take(limit);
        let leased = waiting.map(|(_, entry)| {
            entry.next_attempt_at = now + lease;
            entry.attempts += 1;
            Unsettled { changes: entry.changes.clone(), attempts: entry.attempts - 1 }
        });
        leased.collect()
    }

    pub(super) fn waiting_keys(&self, group: &GroupName, limit: usize) -> Vec<(EntityKey, WriteId)> {
        let mut state = self.shared.lock();
        let waiting = waiting(&mut state, std::slice::from_ref(group)).into_iter();
        let keys = waiting.flat_map(|(write, entry)| {
            let keys = entry.changes.iter().map(|change| change.key.clone());
            keys.map(|key| (key, *write)).collect::<Vec<_>>()
        });
        keys.take(limit).collect()
    }

    pub(super) fn count_waiting(&self, group: &GroupName) -> Backlog {
        let mut state = self.shared.lock();
        let waiting = waiting(&mut state, std::slice::from_ref(group));
        Backlog {
            writes: waiting.len() as u64,
            oldest: waiting.first().map_or(Duration::ZERO, |(_, entry)| entry.created_at.elapsed()),
        }
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
        KeyHistory { states, recorded: state.versions.get(key).copied() }
    }

    pub(super) fn drop_old(&self, retention: Duration, limit: usize) -> u64 {
        let mut state = self.shared.lock();
        let old = |entry: &Entry| entry.standing != Standing::Unsettled && entry.created_at.elapsed() > retention;
        let old = state.ledger.iter().filter(|(_, entry)| old(entry));
        let old: Vec<WriteId> = old.map(|(write, _)| *write).take(limit).collect();
        for write in &old {
            state.ledger.remove(write);
        }
        old.len() as u64
    }
}
