//! The one door through which a store is changed to a state: dual write, relay, baseline and repair
//! all come through here, and all under the rule that newer wins.
//!
//! Writes of concurrent requests go out together in one statement. All changes of one write stay
//! together, so that a transfer is never seen half done; two changes of one key never share a
//! batch, so each batch has at most one change per key.
//!
//! Not here: who is secondary, what happens to a write that cannot be applied (`road`, `relay`), who hears of rows that
//! somebody else has changed (`foreign`).

use std::sync::Arc;
use std::time::Duration;

use model::store::{Bare, Unsettled};
use model::{Applied, Change, Contract, EntityKey, EntityName, PerSide, Recorded, Side, Store, StoreError, WriteId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::foreign::ForeignWrites;
use super::not_taken::NotTaken;
use super::numbering::Numbering;
use super::proof::Proof;
use super::queue::{Class, How, Pending, Queues, types};
use crate::breaker::{Breaker, RouteBreaker};
use telemetry::traces::{self, Here};

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
    waiting: Mutex<Queues>,
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

    /// Applies the changes of one write (or of one page of a copy), at most [`MAX_BATCH`](model::store::MAX_BATCH). The
    /// future may be dropped: the changes are applied all the same. One answer per change, in their order.
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
        if self.waiting.lock().is_full() {
            let source = "too many writes wait for it".into();
            return Err(Arc::new(StoreError::Unreachable { side: self.side(), source }));
        }
        self.queue(Pending { changes, bare, how, answer, here: Here::now() });
        let gone = |_| Err(Arc::new(StoreError::NoAnswer { side: self.side(), limit: self.within }));
        let applied = receiver.await.unwrap_or_else(gone)?;
        let barred = applied.iter().any(|applied| matches!(applied, Applied::Barred));
        if !barred {
            // Before the write counts as settled: what is left undone here is done again by the relay.
            self.numbering.tell(&*self.store, untold, self.within).await?;
        }
        Ok(applied)
    }

    fn queue(self: &Arc<Self>, write: Pending) {
        let class = Class::of(&write.changes, |entity| self.of_type(entity).is_suspect());
        if self.waiting.lock().push(class.clone(), write) {
            tokio::spawn(Arc::clone(self).run(class));
        }
    }

    /// The breaker of the writes that are brought to one type.
    fn of_type(&self, entity: &EntityName) -> RouteBreaker {
        self.breaker.route(entity.as_str(), usize::MAX)
    }

    /// One lane: sends batches until nothing waits in its queue.
    async fn run(self: Arc<Self>, class: Class) {
        let lane = Lane(&self, &class);
        loop {
            // Writes that are ready now go along instead of one by one.
            tokio::task::yield_now().await;
            let batch = self.waiting.lock().take(&class);
            let Some(batch) = batch else {
                // It was given back with the look that found nothing.
                std::mem::forget(lane);
                return;
            };
            let answered = self.send(batch).await;
            if !answered && class.is_usual() {
                // Whoever does not touch what gave no answer does not wait for it.
                let writes = self.waiting.lock().unsort();
                writes.into_iter().for_each(|write| self.queue(write));
            }
        }
    }

    /// Whether the side has answered.
    async fn send(self: &Arc<Self>, batch: Vec<Pending>) -> bool {
        let span = traces::shared_call(&*self.store, "store.apply", batch.iter().map(|pending| &pending.here));
        match traces::within(span, self.try_all(&batch)).await {
            Ok(applied) => {
                let mut rest = applied.into_iter();
                for pending in batch {
                    let part = rest.by_ref().take(pending.size()).collect();
                    let outcome = self.met(&pending, part).await;
                    self.answer(pending, outcome);
                }
                true
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
                true
            }
            Err(error) => {
                let answered = !error.is_outage();
                let error = Arc::new(error);
                for pending in batch {
                    let _ = pending.answer.send(Err(Arc::clone(&error)));
                }
                answered
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
        let types: Vec<_> = types(changes).iter().map(|entity| self.of_type(entity)).collect();
        let admitted = || {
            let now = Instant::now();
            types.iter().all(|of_type| of_type.itself_admits(now)) && self.breaker.admits(now)
        };
        let (mut retries, mut looked) = (0, false);
        loop {
            if !admitted() {
                let source = "its breaker is open after repeated outages".into();
                return Err(StoreError::Unreachable { side: self.side(), source });
            }
            let applied = match how {
                How::Over => self.store.apply_over(changes, self.within).await,
                How::Apply => self.store.apply(changes, self.within).await,
                How::Keep => self.store.keep(bare, self.within).await,
            };
            self.breaker.note(self.side(), applied.as_ref().err());
            types.iter().for_each(|of_type| of_type.takes_in(self.side(), applied.as_ref().err()));
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
struct Lane<'a>(&'a Door, &'a Class);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().lane_ends(self.1);
    }
}
