//! Are the writes that a client has seen acknowledged on this side already?
//!
//! A client that sends back its version token names its writes. They are looked up in the side's
//! own ledger, which is exact on every replica and needs nobody's clock. What stands, stands for
//! ever, so the answer is remembered.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{Store, WriteId};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::breaker::Breaker;

/// How many writes are remembered.
const REMEMBERED: usize = 10_000;

/// Knows which writes stand on one side.
pub struct Seen {
    store: Arc<dyn Store>,
    breaker: Arc<Breaker>,
    within: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    writes: HashSet<WriteId>,
    order: VecDeque<WriteId>,
}

impl Seen {
    /// Asks `store`, `within` each time, and not at all while its breaker keeps calls away.
    pub fn new(store: Arc<dyn Store>, breaker: Arc<Breaker>, within: Duration) -> Self {
        Self { store, breaker, within, known: Mutex::default() }
    }

    /// Whether every one of `writes` stands on this side. `false` when the side cannot say.
    pub async fn all_standing(&self, writes: &[WriteId]) -> bool {
        let unknown: Vec<WriteId> = {
            let known = self.known.lock();
            writes.iter().filter(|write| !known.writes.contains(*write)).copied().collect()
        };
        if unknown.is_empty() {
            return true;
        }
        if !self.breaker.admits(Instant::now()) {
            return false;
        }
        let standing = self.store.standing(&unknown, self.within).await;
        self.breaker.note(self.store.side(), standing.as_ref().err());
        let Ok(standing) = standing else { return false };
        let all = unknown.iter().all(|write| standing.contains(write));
        self.known.lock().remember(standing);
        all
    }
}

impl Known {
    fn remember(&mut self, writes: Vec<WriteId>) {
        for write in writes {
            if self.writes.insert(write) {
                self.order.push_back(write);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.writes.remove(&oldest);
            }
        }
    }
}
