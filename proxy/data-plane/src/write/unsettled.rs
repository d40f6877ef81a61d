//! Which keys have a write that the secondary does not have yet: read-your-writes rests on this.
//!
//! Two sources. *Own* writes enter before the primary is asked and leave when the secondary has
//! them, so the replica that wrote knows at once. *Seen* ones are read from the primary's ledger
//! by `catchup::watch` every few hundred milliseconds, which covers the other replicas' writes.
//!
//! Promise: when in doubt a key counts as unsettled; then it is answered by the primary, which is
//! never wrong. A look that is older than [`FRESH`] leaves everything in doubt, unless the primary cannot be reached at
//! all: then nobody could answer instead, and no write of whoever shares our view of it was acknowledged since.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{EntityKey, GroupName, WriteId};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;

/// For how long a look says which keys are unsettled: within this time every replica knows of the others' writes.
pub const FRESH: Duration = Duration::from_secs(1);

/// The keys with an unsettled write, by group.
#[derive(Debug, Default)]
pub struct UnsettledKeys {
    groups: RwLock<HashMap<GroupName, Group>>,
    /// Groups whose secondary has gone back: every key counts until it was raised.
    unproven: RwLock<HashSet<GroupName>>,
    /// Groups with as many unsettled writes as may wait.
    full: RwLock<HashSet<GroupName>>,
    /// Told of every look.
    looks: Notify,
}

#[derive(Debug, Default)]
struct Group {
    own: HashMap<WriteId, Own>,
    /// How many own writes hold each key.
    held: HashMap<EntityKey, usize>,
    /// Keys that the last look showed, with the look that showed them first.
    seen: Arc<HashMap<EntityKey, Instant>>,
    /// The oldest of these looks.
    oldest: Option<Instant>,
    /// Writes that the last look showed.
    shown: HashSet<WriteId>,
    /// When the last look began. `None`: nobody looks, so nothing is known and every key counts.
    looked: Option<Instant>,
    /// Until when that look holds.
    holds_until: Option<Instant>,
    /// The ledger has more unsettled keys than were read: then every key counts.
    overflow: bool,
}

#[derive(Debug)]
struct Own {
    keys: Vec<EntityKey>,
    /// Stands on the primary since then; before that nobody has been told of it.
    stands: Option<Instant>,
    /// Left to the relay since then: it leaves when a later look at the ledger does not show it.
    left: Option<Instant>,
}

/// What a look at the primary's ledger found.
#[derive(Debug)]
pub struct Look {
    /// When it began.
    pub began: Instant,
    /// The unsettled keys with their writes.
    pub keys: Vec<(EntityKey, WriteId)>,
    /// Whether there are more than these.
    pub overflow: bool,
}

impl UnsettledKeys {
    /// A write is about to be sent to the primary.
    pub fn begin(&self, group: &GroupName, write: WriteId, keys: &[EntityKey]) {
        let mut groups = self.groups.write();
        let group = groups.entry(group.clone()).or_default();
        for key in keys {
            *group.held.entry(key.clone()).or_default() += 1;
        }
        group.own.insert(write, Own { keys: keys.to_vec(), stands: None, left: None });
    }

    /// A write stands on the primary.
    pub fn stands(&self, group: &GroupName, write: WriteId, now: Instant) {
        let mut groups = self.groups.write();
        if let Some(own) = groups.get_mut(group).and_then(|group| group.own.get_mut(&write)) {
            own.stands = Some(now);
        }
    }

    /// A write is on both sides, or it never came to be.
    pub fn end(&self, group: &GroupName, write: WriteId) {
        if let Some(group) = self.groups.write().get_mut(group) {
            group.release(write);
        }
    }

    /// A write stands on the primary and is left to the relay.
    pub fn leave(&self, group: &GroupName, write: WriteId, now: Instant) {
        let mut groups = self.groups.write();
        if let Some(own) = groups.get_mut(group).and_then(|group| group.own.get_mut(&write)) {
            own.left = Some(now);
        }
    }

    /// Takes in a look at the primary's ledger.
    pub fn saw(&self, group: &GroupName, look: Look) {
        // Made before anybody has to wait: there may be very many.
        let known = self.groups.read().get(group).map(|group| Arc::clone(&group.seen)).unwrap_or_default();
        let mut shown: HashSet<WriteId> = look.keys.iter().map(|(_, write)| *write).collect();
        let mut seen = HashMap::with_capacity(look.keys.len());
        for (key, _) in look.keys {
            let since = known.get(&key).copied().unwrap_or(look.began);
            seen.insert(key, since);
        }
        let (oldest, mut seen) = (seen.values().min().copied(), Arc::new(seen));
        let mut groups = self.groups.write();
        let group = groups.entry(group.clone()).or_default();
        if !look.overflow {
            // Left before the look began and not shown by it: settled by somebody's relay.
            let settled =
                |write: &WriteId, own: &Own| own.left.is_some_and(|left| left < look.began) && !shown.contains(write);
            let settled: Vec<_> =
                group.own.iter().filter(|(write, own)| settled(write, own)).map(|(write, _)| *write).collect();
            for write in settled {
                group.release(write);
            }
        }
        // What was known before is let go when nobody waits any more.
        std::mem::swap(&mut group.seen, &mut seen);
        std::mem::swap(&mut group.shown, &mut shown);
        group.oldest = oldest;
        group.looked = Some(look.began);
        group.holds_until = Some(Instant::now() + FRESH);
        group.overflow = look.overflow;
        drop(groups);
        self.looks.notify_waiters();
    }

    /// Waits for a look at `group` that began after now; `false` when there was none `within` this time. What it does
    /// not show was settled, or never was a write of this group.
    pub async fn looked(&self, group: &GroupName, within: Duration) -> bool {
        let asked = Instant::now();
        loop {
            let mut next = std::pin::pin!(self.looks.notified());
            next.as_mut().enable();
            if self.groups.read().get(group).and_then(|group| group.looked).is_some_and(|looked| looked >= asked) {
                return true;
            }
            if tokio::time::timeout_at(asked + within, next).await.is_err() {
                return false;
            }
        }
    }

    /// Whether one of `writes` is known to be unsettled in `group`, or nobody knows.
    pub fn any_of(&self, group: &GroupName, writes: &[WriteId]) -> bool {
        self.groups.read().get(group).is_none_or(|group| {
            let holds = |write: &WriteId| group.own.contains_key(write) || group.shown.contains(write);
            group.overflow || writes.iter().any(holds)
        })
    }

    /// The primary cannot be reached by anybody here: what was known last goes on to hold for a while.
    pub fn hold(&self, group: &GroupName) {
        if let Some(group) = self.groups.write().get_mut(group).filter(|group| group.looked.is_some()) {
            group.holds_until = Some(Instant::now() + FRESH);
        }
    }

    /// For how long the last look at `group` has not been renewed; `None` when there was none.
    pub fn look_age(&self, group: &GroupName) -> Option<Duration> {
        self.groups.read().get(group)?.looked.map(|looked| looked.elapsed())
    }

    /// Whether every key of `group` counts as unsettled, since nobody knows.
    pub fn is_in_doubt(&self, group: &GroupName) -> bool {
        self.groups.read().get(group).is_none_or(Group::is_in_doubt)
    }

    /// Nobody looks any more, since the group is not written to both sides: what is left to a relay
    /// stays so, and every key counts until the next look.
    pub fn unwatch(&self, group: &GroupName) {
        let mut groups = self.groups.write();
        let Some(group) = groups.get_mut(group) else { return };
        let left: Vec<_> = group.own.iter().filter(|(_, own)| own.left.is_some()).map(|(write, _)| *write).collect();
        left.into_iter().for_each(|write| group.release(write));
        group.seen = Arc::default();
        group.oldest = None;
        group.shown.clear();
        group.looked = None;
    }

    /// Says whether the group's secondary has gone back, so that what it shows may be old.
    pub fn set_unproven(&self, group: &GroupName, unproven: bool) {
        if self.unproven.read().contains(group) == unproven {
            return;
        }
        let mut groups = self.unproven.write();
        if unproven {
            groups.insert(group.clone());
        } else {
            groups.remove(group);
        }
    }

    /// Says whether as many writes of `group` wait as may; whether that is news.
    pub fn set_full(&self, group: &GroupName, is_full: bool) -> bool {
        if self.is_full(group) == is_full {
            return false;
        }
        let mut full = self.full.write();
        if is_full { full.insert(group.clone()) } else { full.remove(group) }
    }

    /// Whether as many writes of `group` wait as may.
    pub fn is_full(&self, group: &GroupName) -> bool {
        self.full.read().contains(group)
    }

    /// Whether `key` may have a write that the secondary does not have.
    pub fn contains(&self, group: &GroupName, key: &EntityKey) -> bool {
        if self.unproven.read().contains(group) {
            return true;
        }
        self.groups
            .read()
            .get(group)
            .is_none_or(|group| group.is_in_doubt() || group.held.contains_key(key) || group.seen.contains_key(key))
    }

    /// Whether another write of this replica stands on the primary, holds one of `keys` and is not known to be settled.
    pub fn another_stands(&self, group: &GroupName, write: WriteId, keys: &[EntityKey]) -> bool {
        let groups = self.groups.read();
        let Some(group) = groups.get(group) else { return false };
        // Nearly always each key is held once, by the write that asks.
        let held_twice: Vec<_> =
            keys.iter().filter(|key| group.held.get(key).is_some_and(|count| *count > 1)).collect();
        let holds = |own: &Own| own.stands.is_some() && own.keys.iter().any(|key| held_twice.contains(&key));
        !held_twice.is_empty() && group.own.iter().any(|(other, own)| *other != write && holds(own))
    }

    /// Every key of `group` that may have an unsettled write; `None`: too many, or nobody knows.
    pub fn all(&self, group: &GroupName) -> Option<Vec<EntityKey>> {
        let groups = self.groups.read();
        let group = groups.get(group)?;
        let keys = group.held.keys().chain(group.seen.keys()).cloned();
        (!group.is_in_doubt()).then(|| keys.collect())
    }

    /// Whether the group has an unsettled write that is older than `age`: then lists, which may show
    /// any key, are answered by the primary.
    ///
    /// What a look shows once was on its way at that moment, as some write always is; it counts as
    /// old when a later look shows it still.
    pub fn any_older_than(&self, group: &GroupName, age: Duration, now: Instant) -> bool {
        if self.unproven.read().contains(group) {
            return true;
        }
        self.groups.read().get(group).is_none_or(|group| {
            let own_is_old = |own: &Own| own.stands.is_some_and(|since| now.duration_since(since) >= age);
            let seen_is_old = |first: &Instant| {
                group.looked.is_some_and(|looked| looked > *first && looked.duration_since(*first) >= age)
            };
            group.is_in_doubt() || group.own.values().any(own_is_old) || group.oldest.as_ref().is_some_and(seen_is_old)
        })
    }
}

impl Group {
    fn is_in_doubt(&self) -> bool {
        self.overflow || self.looked.is_none() || self.holds_until.is_none_or(|until| Instant::now() >= until)
    }

    fn release(&mut self, write: WriteId) {
        let Some(own) = self.own.remove(&write) else {
            return;
        };
        for key in own.keys {
            if let Some(count) = self.held.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.held.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
