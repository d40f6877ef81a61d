//! Key look-ups of one request and of concurrent requests become one round trip per entity and side.
//!
//! Nobody waits for a timer: the first look-up goes out at once, and what arrives while
//! [`LANES`] round trips are under way goes out together as soon as one of them is back.
//!
//! A round trip that fails, though the side answers, is halved until the look-up that it fails for is alone.
//!
//! Promise: a look-up is never answered by a round trip that began before it was asked, so a
//! client that has just written never sees an older state through another client's look-up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::store::MAX_BATCH;
use model::{EntityKey, EntityType, FieldSet, Record, Side, Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use telemetry::traces::{self, Here};

/// Round trips under way at once per entity and side. More lowers the size of batches, fewer leaves
/// a side idle while an answer travels.
pub const LANES: usize = 2;

/// What a look-up gives: one slot per key, in order. The error is shared by all of a round trip.
pub type Looked = Result<Vec<Option<Record>>, Arc<StoreError>>;

/// Batches look-ups of one entity type on one side.
pub struct Batch {
    store: Arc<dyn Store>,
    entity: Arc<EntityType>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    lookups: Vec<Lookup>,
    under_way: usize,
}

struct Lookup {
    keys: Vec<EntityKey>,
    fields: FieldSet,
    within: Duration,
    here: Here,
    answer: oneshot::Sender<Looked>,
}

impl Batch {
    /// A batcher in front of `store`.
    pub fn new(store: Arc<dyn Store>, entity: Arc<EntityType>) -> Arc<Self> {
        Arc::new(Self { store, entity, waiting: Mutex::default() })
    }

    /// Which side it asks.
    pub fn side(&self) -> Side {
        self.store.side()
    }

    /// Looks `keys` up; as `Store::fetch`, but any number of keys.
    ///
    /// # Errors
    /// As `Store::fetch`.
    pub async fn fetch(self: &Arc<Self>, keys: Vec<EntityKey>, fields: FieldSet, within: Duration) -> Looked {
        let deadline = tokio::time::Instant::now() + within;
        let mut found = Vec::with_capacity(keys.len());
        let mut parts = Vec::new();
        for part in keys.chunks(MAX_BATCH) {
            parts.push(self.ask(part.to_vec(), fields, within));
        }
        for part in parts {
            let no_answer = |_| Err(Arc::new(StoreError::NoAnswer { side: self.side(), limit: within }));
            let looked = match tokio::time::timeout_at(deadline, part).await {
                Ok(answer) => answer.unwrap_or_else(no_answer),
                Err(_) => Err(Arc::new(StoreError::NoAnswer { side: self.side(), limit: within })),
            };
            found.extend(looked?);
        }
        Ok(found)
    }

    fn ask(self: &Arc<Self>, keys: Vec<EntityKey>, fields: FieldSet, within: Duration) -> oneshot::Receiver<Looked> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.lookups.push(Lookup { keys, fields, within, here: Here::now(), answer });
        if waiting.under_way < LANES {
            waiting.under_way += 1;
            tokio::spawn(Arc::clone(self).run());
        }
        receiver
    }

    /// One lane: sends round trips until nothing waits.
    async fn run(self: Arc<Self>) {
        let lane = Lane(&self);
        loop {
            // Requests that are ready now get their look-ups in: they go along instead of one by one.
            tokio::task::yield_now().await;
            let Some(lookups) = self.take() else {
                // It was given back with the look that found nothing.
                std::mem::forget(lane);
                return;
            };
            self.round_trip(lookups).await;
        }
    }

    fn take(&self) -> Option<Vec<Lookup>> {
        let mut waiting = self.waiting.lock();
        let mut size = 0;
        let mut fits = |lookup: &Lookup| {
            size += lookup.keys.len();
            size <= MAX_BATCH
        };
        let count = waiting.lookups.iter().map_while(|lookup| fits(lookup).then_some(())).count();
        let lookups: Vec<_> = waiting.lookups.drain(..count).collect();
        if lookups.is_empty() {
            waiting.under_way -= 1;
            return None;
        }
        Some(lookups)
    }

    async fn round_trip(&self, mut lookups: Vec<Lookup>) {
        // Whoever gave up meanwhile is not asked for.
        lookups.retain(|lookup| !lookup.answer.is_closed());
        let fields = lookups.iter().fold(FieldSet::default(), |all, lookup| all.union(lookup.fields));
        let within = lookups.iter().map(|lookup| lookup.within).max().unwrap_or_default();
        let mut places: HashMap<EntityKey, usize> = HashMap::new();
        let mut keys = Vec::new();
        for key in lookups.iter().flat_map(|lookup| &lookup.keys) {
            places.entry(key.clone()).or_insert_with(|| {
                keys.push(key.clone());
                keys.len() - 1
            });
        }
        if keys.is_empty() {
            for lookup in lookups {
                let _ = lookup.answer.send(Ok(Vec::new()));
            }
            return;
        }
        let span = traces::shared_call(&*self.store, "store.fetch", lookups.iter().map(|lookup| &lookup.here));
        let looked =
            traces::within(span, self.store.fetch(&self.entity, &keys, fields, within)).await.map_err(Arc::new);
        if looked.as_ref().is_err_and(|error| lookups.len() > 1 && !error.is_out_of_reach()) {
            // A key or a row that cannot be read is the trouble of those who ask for it, and of nobody else.
            let other_half = lookups.split_off(lookups.len() / 2);
            let halves = (Box::pin(self.round_trip(lookups)), Box::pin(self.round_trip(other_half)));
            futures::join!(halves.0, halves.1);
            return;
        }
        for lookup in lookups {
            let part = match &looked {
                Ok(records) => self.part(&lookup, records, &places),
                Err(error) => Err(Arc::clone(error)),
            };
            // A receiver that is gone has given up; nobody is left to tell.
            let _ = lookup.answer.send(part);
        }
    }

    /// The records of one look-up. A store that answers for fewer keys than it was asked for has said nothing.
    fn part(&self, lookup: &Lookup, records: &[Option<Record>], places: &HashMap<EntityKey, usize>) -> Looked {
        let record = |key: &EntityKey| places.get(key).and_then(|place| records.get(*place)).cloned();
        let part: Option<Vec<_>> = lookup.keys.iter().map(record).collect();
        part.filter(|_| records.len() == places.len()).ok_or_else(|| {
            let problem = format!("not every one of {} keys was answered", lookup.keys.len());
            Arc::new(StoreError::Misfit { side: self.side(), problem, source: None })
        })
    }
}

/// One lane of round trips. Given back when its task ends in whichever way: two that were lost would leave every look-up
/// waiting.
struct Lane<'a>(&'a Batch);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.under_way -= 1;
        // Who waits for a lane that is gone is told so, rather than left waiting.
        if waiting.under_way == 0 {
            waiting.lookups.clear();
        }
    }
}
