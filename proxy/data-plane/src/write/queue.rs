//! What waits at a door: writes in the order of their arrival, those of types that get no answers apart from the others.
//!
//! A table that somebody has locked makes every statement that touches it wait until its time is over. Writes of other
//! types must not wait behind these, so from the first outage on the writes of a type wait in a queue of their own, until
//! one is answered again.

use std::collections::{HashMap, HashSet, VecDeque};

use model::store::{Bare, MAX_BATCH};
use model::{Change, EntityKey, EntityName};
use tokio::sync::oneshot;

use super::apply::Outcome;
use telemetry::traces::Here;

/// Batches under way at once, of one queue. Two: one travels while the next is gathered.
const LANES: usize = 2;
/// Writes that may wait at a door. More wait only when the side hangs; then the relay is told at
/// once, and memory stays flat.
const MOST_WAITING: usize = 10_000;

/// A write that waits.
pub(super) struct Pending {
    pub(super) changes: Vec<Change>,
    /// What is kept of a write without changes.
    pub(super) bare: Option<Bare>,
    pub(super) how: How,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) here: Here,
}

/// What a batch does: all that is in it the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Apply,
    /// What somebody else has made of a row is overwritten.
    Over,
    /// Ledger rows alone.
    Keep,
}

impl Pending {
    /// How many answers it has.
    pub(super) fn size(&self) -> usize {
        self.changes.len() + usize::from(self.bare.is_some())
    }
}

/// Which queue: the one that most use, or that of the writes which touch just these types.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Class(Vec<EntityName>);

impl Class {
    /// The class of a write: the usual one, unless it touches a type that is `suspect`.
    pub(super) fn of(changes: &[Change], suspect: impl Fn(&EntityName) -> bool) -> Self {
        let types = types(changes);
        if types.iter().any(suspect) { Self(types) } else { Self::default() }
    }

    /// Whether it is the one that most use.
    pub(super) fn is_usual(&self) -> bool {
        self.0.is_empty()
    }
}

/// The types of `changes`, each once, in order.
pub(super) fn types(changes: &[Change]) -> Vec<EntityName> {
    let mut types: Vec<_> = changes.iter().map(|change| change.key.entity().clone()).collect();
    types.sort();
    types.dedup();
    types
}

/// All queues of a door.
#[derive(Default)]
pub(super) struct Queues {
    of: HashMap<Class, Queue>,
    size: usize,
}

#[derive(Default)]
struct Queue {
    writes: VecDeque<Pending>,
    lanes: usize,
}

impl Queues {
    /// Whether no more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.size >= MOST_WAITING
    }

    /// Puts a write at the end of its queue. Whether a lane is to be begun for it.
    pub(super) fn push(&mut self, class: Class, write: Pending) -> bool {
        let queue = self.of.entry(class).or_default();
        queue.writes.push_back(write);
        self.size += 1;
        let begins = queue.lanes < LANES;
        queue.lanes += usize::from(begins);
        begins
    }

    /// The next batch: writes in order of arrival; a write that shares a key with one before it
    /// waits for a later batch, and so does one for which something else is to be done. `None` gives the lane back.
    pub(super) fn take(&mut self, class: &Class) -> Option<Vec<Pending>> {
        let queue = self.of.get_mut(class)?;
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        let mut keys: HashSet<EntityKey> = HashSet::new();
        let mut size = 0;
        let how = queue.writes.front().map(|first| first.how);
        while let Some(next) = queue.writes.pop_front() {
            let fits = Some(next.how) == how && (batch.is_empty() || size + next.size() <= MAX_BATCH);
            if !fits || next.changes.iter().any(|change| keys.contains(&change.key)) {
                keys.extend(next.changes.iter().map(|change| change.key.clone()));
                later.push_back(next);
                continue;
            }
            size += next.size();
            keys.extend(next.changes.iter().map(|change| change.key.clone()));
            batch.push(next);
        }
        queue.writes = later;
        self.size -= batch.len();
        if batch.is_empty() {
            self.lane_ends(class);
            return None;
        }
        Some(batch)
    }

    /// Takes what waits in the usual queue out of it, to be put where it belongs now.
    pub(super) fn unsort(&mut self) -> VecDeque<Pending> {
        let usual = self.of.get_mut(&Class::default());
        let writes = usual.map(|queue| std::mem::take(&mut queue.writes)).unwrap_or_default();
        self.size -= writes.len();
        writes
    }

    /// A lane was given back, or is lost. Who waits for one that is gone is told so, rather than left waiting.
    pub(super) fn lane_ends(&mut self, class: &Class) {
        let Some(queue) = self.of.get_mut(class) else { return };
        queue.lanes -= 1;
        if queue.lanes == 0 {
            self.size -= queue.writes.len();
            self.of.remove(class);
        }
    }
}
