//! What is told or asked once: which questions are put to both sides for their times, each once in ten seconds and not more
//! than so many; which rows are known to be changed past us.
//!
//! Modern answers a client and a shadow asks legacy; for the time modern is asked once more, in the same lane. That costs
//! modern a read, and legacy none. Not here: asking (`read::shadow`), what the times mean (`guard`).

use std::collections::HashSet;

use model::Instant;
use model::control::{Mark, Slot};
use parking_lot::Mutex;

/// Pairs of one group on one replica within ten seconds.
const MOST: usize = 200;

/// The questions of the present slot.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<(Option<Instant>, HashSet<Mark>)>);

impl Pairs {
    /// Whether `question` is to be put to both sides; at most once in a slot.
    pub(super) fn wants(&self, question: Mark, now: Instant) -> bool {
        let mut asked = self.0.lock();
        let slot = Some(Slot::start(now));
        if asked.0 != slot {
            *asked = (slot, HashSet::new());
        }
        asked.1.len() < MOST && asked.1.insert(question)
    }
}

/// Foreign rows that are remembered; of more, some are told again.
const MOST_FOREIGN: usize = 10_000;

/// The rows that are known to be changed past us.
#[derive(Debug, Default)]
pub(super) struct Foreign(Mutex<HashSet<Mark>>);

impl Foreign {
    /// Whether nobody was told of `record` yet.
    pub(super) fn is_news(&self, record: Mark) -> bool {
        let mut known = self.0.lock();
        if known.len() >= MOST_FOREIGN {
            known.clear();
        }
        known.insert(record)
    }
}
