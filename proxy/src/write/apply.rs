//! The one door through which a store is changed to a state: dual write, relay, baseline and repair
//! all come through here, and all under the rule that newer wins.
//!
//! Writes of concurrent requests go out together in one statement. All changes of one write stay
//! together, so that a transfer is never seen half done; two changes of one key never share a
//! batch, so each batch has at most one change per key.
//!
//! Not here: who is secondary, what happens to a write that cannot be applied (`road`, `relay`), who hears of rows that
//! somebody else has changed (`foreign`).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::store::MAX_BATCH;
use model::{Applied, Change, Contract, EntityKey, PerSide, Side, Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::foreign::ForeignWrites;
use super::numbering::Numbering;
use crate::read::breaker::Breaker;
use crate::traces::{self, Here};

/// Batches under way at once. Two: one travels while the next is gathered.
const LANES: usize = 2;
/// Writes that may wait at a door. More wait only when the side hangs; then the relay is told at
/// once, and memory stays flat.
const MOST_WAITING: usize = 10_000;
/// How often a batch that gave way to another transaction is tried again.
const CONFLICT_RETRIES: u32 = 5;

/// What became of the changes of one write. The error is shared by all of a batch.
pub type Outcome = Result<Vec<Applied>, Arc<StoreError>>;

/// The door to one side.
pub struct Door {
    store: Arc<dyn Store>,
    numbering: Option<Numbering>,
    breaker: Arc<Breaker>,
    within: Duration,
    foreign: Option<Arc<ForeignWrites>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Pending>,
    under_way: usize,
}

struct Pending {
    changes: Vec<Change>,
    /// What somebody else has made of a row is overwritten.
    over: bool,
    answer: oneshot::Sender<Outcome>,
    here: Here,
}

impl Door {
    /// A door to `store`; each batch may take `within`.
    pub fn new(store: Arc<dyn Store>, breaker: Arc<Breaker>, within: Duration) -> Arc<Self> {
        Arc::new(Self { store, numbering: None, breaker, within, foreign: None, waiting: Mutex::default() })
    }

    /// The doors to both sides. Each tells the other side the numbers that its own gave to what it was brought; and to
    /// `foreign`, if there is one, of rows that somebody else has changed.
    pub fn both(
        contract: &Arc<Contract>,
        stores: &PerSide<Arc<dyn Store>>,
        breaker: impl Fn(Side) -> Arc<Breaker>,
        within: Duration,
        foreign: Option<Arc<ForeignWrites>>,
    ) -> PerSide<Arc<Self>> {
        stores.clone().map(|side, store| {
            let numbering = Numbering { contract: Arc::clone(contract), other: Arc::clone(stores.get(side.other())) };
            let (numbering, breaker, foreign) = (Some(numbering), breaker(side), foreign.clone());
            Arc::new(Self { store, numbering, breaker, within, foreign, waiting: Mutex::default() })
        })
    }

    /// Which side it leads to.
    pub fn side(&self) -> Side {
        self.store.side()
    }

    /// Applies the changes of one write (or of one page of a copy), at most [`MAX_BATCH`]. The future
    /// may be dropped: the changes are applied all the same.
    ///
    /// # Errors
    /// As [`Store::apply`]; `Unreachable` at once while the side's breaker is open or its queue full.
    pub async fn apply(self: &Arc<Self>, changes: Vec<Change>) -> Outcome {
        self.enter(changes, false).await
    }

    /// The same, over what somebody else has made of the rows: see [`Store::apply_over`].
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_over(self: &Arc<Self>, changes: Vec<Change>) -> Outcome {
        self.enter(changes, true).await
    }

    async fn enter(self: &Arc<Self>, changes: Vec<Change>, over: bool) -> Outcome {
        let untold = self.numbering.as_ref().map(|numbering| numbering.untold(self.side(), &changes));
        let (answer, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.queue.len() >= MOST_WAITING {
                let source = "too many writes wait for it".into();
                return Err(Arc::new(StoreError::Unreachable { side: self.side(), source }));
            }
            waiting.queue.push_back(Pending { changes, over, answer, here: Here::now() });
            if waiting.under_way < LANES {
                waiting.under_way += 1;
                tokio::spawn(Arc::clone(self).run());
            }
        }
        let gone = |_| Err(Arc::new(StoreError::NoAnswer { side: self.side(), limit: self.within }));
        let applied = receiver.await.unwrap_or_else(gone)?;
        if let (Some(numbering), Some(untold)) = (&self.numbering, untold) {
            // Before the write counts as settled: what is left undone here is done again by the relay.
            numbering.tell(&*self.store, untold, self.within).await?;
        }
        Ok(applied)
    }

    async fn run(self: Arc<Self>) {
        loop {
            // Writes that are ready now go along instead of one by one.
            tokio::task::yield_now().await;
            let Some(batch) = self.take() else { return };
            self.send(batch).await;
        }
    }

    /// The next batch: writes in order of arrival; a write that shares a key with one before it
    /// waits for a later batch, and so does one that overwrites where the others do not.
    fn take(&self) -> Option<Vec<Pending>> {
        let mut waiting = self.waiting.lock();
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        let mut keys: HashSet<EntityKey> = HashSet::new();
        let mut size = 0;
        let over = waiting.queue.front().is_some_and(|first| first.over);
        while let Some(next) = waiting.queue.pop_front() {
            let fits = next.over == over && (batch.is_empty() || size + next.changes.len() <= MAX_BATCH);
            if !fits || next.changes.iter().any(|change| keys.contains(&change.key)) {
                keys.extend(next.changes.iter().map(|change| change.key.clone()));
                later.push_back(next);
                continue;
            }
            size += next.changes.len();
            keys.extend(next.changes.iter().map(|change| change.key.clone()));
            batch.push(next);
        }
        waiting.queue = later;
        if batch.is_empty() {
            waiting.under_way -= 1;
            return None;
        }
        Some(batch)
    }

    async fn send(&self, batch: Vec<Pending>) {
        let all: Vec<Change> = batch.iter().flat_map(|pending| pending.changes.iter().cloned()).collect();
        let over = batch.first().is_some_and(|first| first.over);
        let span = traces::shared_call(&*self.store, "store.apply", batch.iter().map(|pending| &pending.here));
        match traces::within(span, self.try_apply(&all, over)).await {
            Ok(applied) => {
                let mut rest = applied.into_iter();
                for pending in batch {
                    let part = rest.by_ref().take(pending.changes.len()).collect();
                    let outcome = self.met(&pending, part).await;
                    // Nobody waits any more when the answer budget was over; the write is settled all the same.
                    let _ = pending.answer.send(outcome);
                }
            }
            // One write that the side refuses must not hold up the others: each on its own.
            Err(StoreError::Refused { .. }) if batch.len() > 1 => {
                for pending in batch {
                    let span = traces::shared_call(&*self.store, "store.apply", std::iter::once(&pending.here));
                    let outcome = match traces::within(span, self.try_apply(&pending.changes, over)).await {
                        Ok(applied) => self.met(&pending, applied).await,
                        Err(error) => Err(Arc::new(error)),
                    };
                    let _ = pending.answer.send(outcome);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for pending in batch {
                    let _ = pending.answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }

    /// What comes of a write whose rows somebody else may have changed: it is overwritten where the primary wins, and
    /// told in any case.
    async fn met(&self, pending: &Pending, applied: Vec<Applied>) -> Outcome {
        let Some(foreign) = &self.foreign else { return Ok(applied) };
        let met = applied.iter().any(|applied| !applied.is_done());
        let applied = if met && foreign.overwrites(&pending.changes) {
            self.try_apply(&pending.changes, true).await.map_err(Arc::new)?
        } else {
            applied
        };
        foreign.heard(self.side(), &pending.changes, &applied);
        Ok(applied)
    }

    async fn try_apply(&self, changes: &[Change], over: bool) -> Result<Vec<Applied>, StoreError> {
        let mut retries = 0;
        loop {
            if !self.breaker.admits(Instant::now()) {
                let source = "its breaker is open after repeated outages".into();
                return Err(StoreError::Unreachable { side: self.side(), source });
            }
            let applied = match over {
                true => self.store.apply_over(changes, self.within).await,
                false => self.store.apply(changes, self.within).await,
            };
            self.breaker.note(self.side(), applied.as_ref().err());
            match applied {
                Err(StoreError::Conflict { .. }) if retries < CONFLICT_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 8))).await;
                }
                answered => return answered,
            }
        }
    }
}
