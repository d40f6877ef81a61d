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

use model::store::{Bare, MAX_BATCH, Unsettled};
use model::{Applied, Change, Contract, EntityKey, PerSide, Recorded, Side, Store, StoreError, WriteId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::foreign::ForeignWrites;
use super::not_taken::NotTaken;
use super::numbering::Numbering;
use super::proof::Proof;
use crate::read::breaker::Breaker;
use crate::traces::{self, Here};

/// Batches under way at once. Two: one travels while the next is gathered.
const LANES: usize = 2;
/// Writes that may wait at a door. More wait only when the side hangs; then the relay is told at
/// once, and memory stays flat.
const MOST_WAITING: usize = 10_000;
/// How often a batch that gave way to another transaction is tried again.
const CONFLICT_RETRIES: u32 = 5;

/// Unsettled changes among which an older write of a key is looked for.
const MOST_LOOKED_AT: usize = 1_000;

/// What became of the changes of one write. The error is shared by all of a batch.
pub type Outcome = Result<Vec<Applied>, Arc<StoreError>>;

/// The door to one side.
pub struct Door {
    store: Arc<dyn Store>,
    numbering: Numbering,
    proof: Proof,
    not_taken: NotTaken,
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
    /// What is kept of a write without changes.
    bare: Option<Bare>,
    how: How,
    answer: oneshot::Sender<Outcome>,
    here: Here,
}

/// What a batch does: all that is in it the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Apply,
    /// What somebody else has made of a row is overwritten.
    Over,
    /// Ledger rows alone.
    Keep,
}

impl Pending {
    /// How many answers it has.
    fn size(&self) -> usize {
        self.changes.len() + usize::from(self.bare.is_some())
    }
}

impl Door {
    /// The doors to both sides; each batch may take `within`. None without the other: what is brought is proven by who
    /// the other side is, and what comes too late by its history. Each tells the other side the numbers that its own gave to what it was brought; and to
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
            let proof = Proof { primary: Arc::clone(stores.get(side.other())) };
            let (breaker, foreign) = (breaker(side), foreign.clone());
            let (not_taken, waiting) = (NotTaken::default(), Mutex::default());
            Arc::new(Self { store, numbering, proof, not_taken, breaker, within, foreign, waiting })
        })
    }

    /// Which side it leads to.
    pub fn side(&self) -> Side {
        self.store.side()
    }

    /// Applies the changes of one write (or of one page of a copy), at most [`MAX_BATCH`]. The future
    /// may be dropped: the changes are applied all the same. One answer per change, in their order.
    ///
    /// # Errors
    /// As [`Store::apply`]; `Unreachable` at once while the side's breaker is open or its queue full.
    pub async fn apply(self: &Arc<Self>, changes: Vec<Change>) -> Outcome {
        self.enter(changes, None, How::Apply).await
    }

    /// Brings a write that the relay or a drain has taken, whatever it left: its changes, or that it changed nothing, in
    /// one answer.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn bring(self: &Arc<Self>, write: Unsettled) -> Outcome {
        let how = if write.bare.is_some() { How::Keep } else { How::Apply };
        self.enter(write.changes, write.bare, how).await
    }

    /// The same, over what somebody else has made of the rows: see [`Store::apply_over`].
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_over(self: &Arc<Self>, changes: Vec<Change>) -> Outcome {
        self.enter(changes, None, How::Over).await
    }

    async fn enter(self: &Arc<Self>, changes: Vec<Change>, bare: Option<Bare>, how: How) -> Outcome {
        let untold = self.numbering.untold(self.side(), &changes);
        let (answer, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.queue.len() >= MOST_WAITING {
                let source = "too many writes wait for it".into();
                return Err(Arc::new(StoreError::Unreachable { side: self.side(), source }));
            }
            waiting.queue.push_back(Pending { changes, bare, how, answer, here: Here::now() });
            if waiting.under_way < LANES {
                waiting.under_way += 1;
                tokio::spawn(Arc::clone(self).run());
            }
        }
        let gone = |_| Err(Arc::new(StoreError::NoAnswer { side: self.side(), limit: self.within }));
        let applied = receiver.await.unwrap_or_else(gone)?;
        let barred = applied.iter().any(|applied| matches!(applied, Applied::Barred));
        if !barred {
            // Before the write counts as settled: what is left undone here is done again by the relay.
            self.numbering.tell(&*self.store, untold, self.within).await?;
        }
        Ok(applied)
    }

    async fn run(self: Arc<Self>) {
        let lane = Lane(&self);
        loop {
            // Writes that are ready now go along instead of one by one.
            tokio::task::yield_now().await;
            let Some(batch) = self.take() else {
                // It was given back with the look that found nothing.
                std::mem::forget(lane);
                return;
            };
            self.send(batch).await;
        }
    }

    /// The next batch: writes in order of arrival; a write that shares a key with one before it
    /// waits for a later batch, and so does one for which something else is to be done.
    fn take(&self) -> Option<Vec<Pending>> {
        let mut waiting = self.waiting.lock();
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        let mut keys: HashSet<EntityKey> = HashSet::new();
        let mut size = 0;
        let how = waiting.queue.front().map(|first| first.how);
        while let Some(next) = waiting.queue.pop_front() {
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
        waiting.queue = later;
        if batch.is_empty() {
            waiting.under_way -= 1;
            return None;
        }
        Some(batch)
    }

    async fn send(self: &Arc<Self>, batch: Vec<Pending>) {
        let span = traces::shared_call(&*self.store, "store.apply", batch.iter().map(|pending| &pending.here));
        match traces::within(span, self.try_all(&batch)).await {
            Ok(applied) => {
                let mut rest = applied.into_iter();
                for pending in batch {
                    let part = rest.by_ref().take(pending.size()).collect();
                    let outcome = self.met(&pending, part).await;
                    self.answer(pending, outcome);
                }
            }
            // One write that the side does not take must not hold up the others, whatever the reason: each on its own.
            // Where nothing answers there is no use in asking for each.
            Err(error) if batch.len() > 1 && !error.is_outage() => {
                for pending in batch {
                    let span = traces::shared_call(&*self.store, "store.apply", std::iter::once(&pending.here));
                    let alone = std::slice::from_ref(&pending);
                    let outcome = match traces::within(span, self.try_all(alone)).await {
                        Ok(applied) => self.met(&pending, applied).await,
                        Err(error) => Err(Arc::new(error)),
                    };
                    self.answer(pending, outcome);
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

    /// Answers for a write. What came too late is proven first, by a task of its own: the next batch does not wait for
    /// the primary.
    fn answer(self: &Arc<Self>, pending: Pending, outcome: Outcome) {
        let needed = |applied: &Vec<Applied>| Proof::is_needed(&pending.changes, applied);
        if !outcome.as_ref().is_ok_and(needed) {
            return self.say(pending, outcome);
        }
        let door = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = match outcome {
                Ok(applied) => door.prove(&pending.changes, applied).await,
                Err(error) => Err(error),
            };
            door.say(pending, outcome);
        });
    }

    async fn prove(&self, changes: &[Change], applied: Vec<Applied>) -> Outcome {
        self.proof.of(&*self.store, changes, applied, self.within).await.map_err(Arc::new)
    }

    fn say(&self, pending: Pending, outcome: Outcome) {
        match (&outcome, &pending.bare) {
            (Ok(applied), None) => self.not_taken.heard(self.side(), &pending.changes, applied),
            (Ok(applied), Some(bare)) => self.not_taken.heard_of_bare(self.side(), bare, applied),
            (Err(_), _) => {}
        }
        // Nobody waits any more when the answer budget was over; the write is settled all the same.
        let _ = pending.answer.send(outcome);
    }

    /// What comes of a write whose rows somebody else may have changed: it is overwritten where the primary wins, and
    /// told in any case.
    async fn met(&self, pending: &Pending, applied: Vec<Applied>) -> Outcome {
        let Some(foreign) = &self.foreign else { return Ok(applied) };
        // A copy at rest overwrites nothing, whoever wins.
        let copy = pending.changes.iter().any(|change| change.version.is_baseline());
        let met = !copy && applied.iter().any(|applied| matches!(applied, Applied::Foreign(_)));
        let applied = if met && foreign.overwrites(&pending.changes) {
            self.try_apply(&pending.changes, &[], How::Over).await.map_err(Arc::new)?
        } else {
            applied
        };
        if !copy {
            let told = self.in_order(&pending.changes, &applied).await;
            foreign.heard(self.side(), &pending.changes, &told);
        }
        Ok(applied)
    }

    /// What is to be told of foreign rows. A write that comes before an older one of its key finds a row that is not what
    /// it was made from: it waits, and nobody has to hear of it. The relay brings the oldest first.
    async fn in_order(&self, changes: &[Change], applied: &[Applied]) -> Vec<Applied> {
        let mut told = applied.to_vec();
        for (place, (change, applied)) in changes.iter().zip(applied).enumerate() {
            if matches!(applied, Applied::Foreign(_)) && self.an_older_one_waits(change).await {
                told[place] = Applied::Held;
            }
        }
        told
    }

    /// Whether an older write of the key is not here yet. Who cannot be asked says nothing: then it is told.
    async fn an_older_one_waits(&self, change: &Change) -> bool {
        let Some(base) = change.base else { return false };
        let recorded = self.store.recorded(std::slice::from_ref(&change.key), self.within).await;
        let behind = |recorded: &Option<Recorded>| recorded.is_none_or(|recorded| recorded.version < base.version);
        let Some(entity) = self.numbering.contract.entity(change.key.entity()) else { return false };
        if base.version.is_baseline() || !recorded.is_ok_and(|recorded| recorded.iter().all(behind)) {
            return false;
        }
        let unsettled = self.proof.primary.unsettled_keys(&entity.group, MOST_LOOKED_AT, self.within).await;
        let older = |(key, write): &(EntityKey, WriteId)| *key == change.key && *write < change.write;
        unsettled.is_ok_and(|unsettled| unsettled.iter().any(older))
    }

    /// Looks which life the primary lives by now, for this side to be asked by that; whether it is known. Just raised,
    /// it is known here before every replica has heard of it. That it is no news says nothing: the other lane may have
    /// looked since this side was asked.
    async fn looks_at_its_life(&self) -> bool {
        let look = self.proof.primary.life(&[], self.within).await;
        let Some(life) = look.ok().and_then(|look| look.life) else { return false };
        self.store.brings_from(life.brings());
        true
    }

    /// Does what is to be done for all of a batch.
    async fn try_all(&self, batch: &[Pending]) -> Result<Vec<Applied>, StoreError> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let changes: Vec<Change> = batch.iter().flat_map(|pending| pending.changes.iter().cloned()).collect();
        let bare: Vec<Bare> = batch.iter().filter_map(|pending| pending.bare.clone()).collect();
        self.try_apply(&changes, &bare, first.how).await
    }

    async fn try_apply(&self, changes: &[Change], bare: &[Bare], how: How) -> Result<Vec<Applied>, StoreError> {
        let asked = changes.len() + bare.len();
        let (mut retries, mut looked) = (0, false);
        loop {
            if !self.breaker.admits(Instant::now()) {
                let source = "its breaker is open after repeated outages".into();
                return Err(StoreError::Unreachable { side: self.side(), source });
            }
            let applied = match how {
                How::Over => self.store.apply_over(changes, self.within).await,
                How::Apply => self.store.apply(changes, self.within).await,
                How::Keep => self.store.keep(bare, self.within).await,
            };
            self.breaker.note(self.side(), applied.as_ref().err());
            match applied {
                Err(StoreError::Conflict { .. }) if retries < CONFLICT_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 8))).await;
                }
                Ok(applied) if !looked && applied.contains(&Applied::Barred) && self.looks_at_its_life().await => {
                    looked = true;
                }
                Ok(applied) if applied.len() != asked => {
                    let problem = format!("{} answers for {asked} changes", applied.len());
                    return Err(StoreError::Misfit { side: self.side(), problem, source: None });
                }
                answered => return answered,
            }
        }
    }
}

/// One of a door's lanes. Given back when its task ends in whichever way: two that were lost would close the door for
/// ever.
struct Lane<'a>(&'a Door);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.under_way -= 1;
        // Who waits for a lane that is gone is told so, rather than left waiting.
        if waiting.under_way == 0 {
            waiting.queue.clear();
        }
    }
}
