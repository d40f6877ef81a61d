//! Does this side lack a write that a client has seen acknowledged?
//!
//! A client that sends back its version token names its writes. They are looked up in the side's own ledger, which is
//! exact on every replica and needs nobody's clock. What stands, stands for ever, so the answer is remembered.
//!
//! A token is text that anybody can make up. So a write that does not stand here is not believed in: the read waits for
//! the next look at the primary's ledger (`catchup::watch`), which shows every acknowledged write that is unsettled. What
//! it does not show is settled, or is none. Whoever makes tokens up waits for his own reads, and sends none of them to
//! the primary.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use model::{GroupName, Store, WriteId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::write::unsettled::{FRESH, UnsettledKeys};

/// How many writes are remembered.
const REMEMBERED: usize = 10_000;

/// Knows which writes stand on one side.
pub struct Seen {
    store: Arc<dyn Store>,
    breaker: Arc<Breaker>,
    within: Duration,
    standing: Mutex<Known<WriteId>>,
    /// Not to be waited for any more: a look at the group did not show them.
    awaited: Mutex<Known<(GroupName, WriteId)>>,
}

struct Known<T> {
    all: HashSet<T>,
    order: VecDeque<T>,
}

impl Seen {
    /// Asks `store`, `within` each time, and not at all while its breaker keeps calls away.
    pub fn new(store: Arc<dyn Store>, breaker: Arc<Breaker>, within: Duration) -> Self {
        Self { store, breaker, within, standing: Mutex::default(), awaited: Mutex::default() }
    }

    /// Whether this side lacks one of `writes`, as far as they are writes of `group`. When nobody can say `within` this
    /// time, it does.
    pub async fn lacks(
        &self,
        writes: &[WriteId],
        group: &GroupName,
        unsettled: &UnsettledKeys,
        within: Duration,
    ) -> bool {
        let doubted = self.doubted(writes, group).await;
        let (lacks, outcome) = if doubted.is_empty() {
            (false, "standing")
        } else if unsettled.any_of(group, &doubted) {
            (true, "unsettled")
        } else if !unsettled.looked(group, FRESH.min(within)).await {
            (true, "late")
        } else if unsettled.any_of(group, &doubted) {
            (true, "unsettled")
        } else {
            self.awaited.lock().remember(doubted.into_iter().map(|write| (group.clone(), write)));
            (false, "awaited")
        };
        telemetry::version_token(outcome);
        lacks
    }

    /// Those of `writes` of which it is not known that there is nothing to wait for.
    async fn doubted(&self, writes: &[WriteId], group: &GroupName) -> Vec<WriteId> {
        let unknown: Vec<WriteId> = {
            let (standing, awaited) = (self.standing.lock(), self.awaited.lock());
            let known = |write: &WriteId| standing.has(write) || awaited.has(&(group.clone(), *write));
            writes.iter().filter(|write| !known(write)).copied().collect()
        };
        if unknown.is_empty() || !self.breaker.admits(Instant::now()) {
            return unknown;
        }
        let standing = self.store.standing(&unknown, self.within).await;
        self.breaker.note(self.store.side(), standing.as_ref().err());
        let Ok(standing) = standing else { return unknown };
        let doubted = unknown.into_iter().filter(|write| !standing.contains(write)).collect();
        self.standing.lock().remember(standing);
        doubted
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { all: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T: Hash + Eq + Clone> Known<T> {
    fn has(&self, one: &T) -> bool {
        self.all.contains(one)
    }

    fn remember(&mut self, more: impl IntoIterator<Item = T>) {
        for one in more {
            if self.all.insert(one.clone()) {
                self.order.push_back(one);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.all.remove(&oldest);
            }
        }
    }
}
