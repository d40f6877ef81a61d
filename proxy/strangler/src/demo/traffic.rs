//! Storefront traffic with a memory: what was acknowledged, so that it can be looked up later.
//!
//! Each worker changes stock levels and products of its own, so it knows what every one of them must
//! be; it reads back what it wrote at once, as a customer does, and counts an older answer as an
//! error of ours. Refusals that a customer earns (no stock left) are not errors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use super::storefront::{Reply, Storefront, StorefrontError};

/// Refusals that a customer earns.
const EARNED: [&str; 2] = ["INSUFFICIENT_STOCK", "NOT_FOUND"];

/// What the storefronts have seen until now.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests sent.
    pub requests: AtomicU64,
    /// Answers that a customer would call an error: failed requests, and reads older than the
    /// customer's own last write.
    pub client_errors: AtomicU64,
    /// Acknowledged mutations.
    pub acknowledged: AtomicU64,
    /// What the acknowledged writes must have left behind.
    pub expected: Mutex<Expected>,
    /// The first few errors in words, for the story.
    pub complaints: Mutex<Vec<String>>,
}

/// What must stand on both sides, because it was acknowledged.
#[derive(Debug, Default, Clone)]
pub struct Expected {
    /// Ids of stock movements.
    pub movements: Vec<String>,
    /// Last acknowledged quantity by article number and location; `None`: an error left it open.
    pub levels: BTreeMap<(String, String), Option<i64>>,
    /// Last acknowledged price by article number; `None`: an error left it open.
    pub prices: BTreeMap<String, Option<String>>,
}

/// A stock level that a worker may change.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Article number.
    pub sku: String,
    /// Location code.
    pub location: String,
}

/// What one worker may touch.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// Shelves that only this worker changes.
    pub own: Vec<Shelf>,
    /// Shelves that nobody changes; everybody looks at them.
    pub window: Arc<[Shelf]>,
}

/// Workers that buy, count, move and look.
#[derive(Debug)]
pub struct Traffic {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts a worker for each patch, with a pause between two customers.
    pub fn start(storefront: &Storefront, patches: Vec<Patch>, seed: u64, pause: Duration) -> Self {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let busy = patches.into_iter().enumerate().filter(|(_, patch)| !patch.own.is_empty());
        let workers = busy.map(|(number, patch)| {
            let worker = Worker {
                storefront: storefront.clone(),
                tally: Arc::clone(&tally),
                patch,
                random: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
            };
            tokio::spawn(worker.run(Arc::clone(&stop), pause))
        });
        let workers = workers.collect();
        Self { tally, stop, workers }
    }

    /// What has been seen until now.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Lets every worker finish its customer and go home.
    pub async fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            // A worker that panicked is seen in its missing requests and in the log.
            let _ = worker.await;
        }
        self.tally
    }
}

struct Worker {
    storefront: Storefront,
    tally: Arc<Tally>,
    patch: Patch,
    random: StdRng,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>, pause: Duration) {
        while !stop.load(Ordering::Relaxed) {
            let shelf = self.pick_own();
            match self.random.random_range(0..100) {
                0..20 => self.adjust(&shelf).await,
                20..24 => self.count(&shelf).await,
                24..27 => self.transfer(&shelf).await,
                27..30 => self.price(&shelf).await,
                30..65 => {
                    let shelf = self.pick_any();
                    self.look_at_product(&shelf).await;
                }
                65..85 => {
                    let shelf = self.pick_any();
                    self.look_at_shelf(&shelf).await;
                }
                85..93 => {
                    let shelf = self.pick_any();
                    self.browse(&shelf).await;
                }
                _ => self.look_at_shortages(&shelf).await,
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn pick_own(&mut self) -> Shelf {
        self.patch.own[self.random.random_range(0..self.patch.own.len())].clone()
    }

    /// Mostly from the window, where everybody looks.
    fn pick_any(&mut self) -> Shelf {
        if self.patch.window.is_empty() || self.random.random_ratio(1, 4) {
            return self.pick_own();
        }
        self.patch.window[self.random.random_range(0..self.patch.window.len())].clone()
    }

    async fn adjust(&mut self, shelf: &Shelf) {
        let delta = self.random.random_range(-3..=3);
        let query = "mutation($s: ID!, $l: ID!, $d: Int!) { adjustStock(sku: $s, location: $l, delta: $d, reason: \"demo\") { onHand } }";
        let variables = json!({ "s": shelf.sku, "l": shelf.location, "d": delta });
        let Some(reply) = self.change(query, &variables, shelf).await else { return };
        self.expect_movement(&reply, &[""]);
        self.read_back(shelf, &reply.data["adjustStock"]["onHand"]).await;
    }

    async fn count(&mut self, shelf: &Shelf) {
        let on_hand = self.random.random_range(0..500);
        let query = "mutation($s: ID!, $l: ID!, $n: Int!) { setStock(sku: $s, location: $l, onHand: $n) { onHand } }";
        let variables = json!({ "s": shelf.sku, "l": shelf.location, "n": on_hand });
        let Some(reply) = self.change(query, &variables, shelf).await else { return };
        self.expect_movement(&reply, &[""]);
        self.read_back(shelf, &reply.data["setStock"]["onHand"]).await;
    }

    async fn transfer(&mut self, from: &Shelf) {
        let same = |shelf: &&Shelf| shelf.sku == from.sku && shelf.location != from.location;
        let Some(to) = self.patch.own.iter().find(same).cloned() else { return };
        let query =
            "mutation($s: ID!, $f: ID!, $t: ID!) { transferStock(sku: $s, from: $f, to: $t, quantity: 1) { onHand } }";
        let variables = json!({ "s": from.sku, "f": from.location, "t": to.location });
        let Some(reply) = self.change(query, &variables, from).await else {
            // Both ends are open when the outcome is.
            if self.is_open(from) {
                self.open(&to);
            }
            return;
        };
        self.expect_movement(&reply, &["-out", "-in"]);
        let levels = &reply.data["transferStock"];
        self.read_back(from, &levels[0]["onHand"]).await;
        self.read_back(&to, &levels[1]["onHand"]).await;
    }

    async fn price(&mut self, shelf: &Shelf) {
        let price = format!("{}.{:02}", self.random.random_range(1..200), self.random.random_range(0..100));
        let query = "mutation($s: ID!, $p: Decimal!) { upsertProduct(input: { sku: $s, name: \"Demo article\", unitPrice: $p }) { unitPrice } }";
        let variables = json!({ "s": shelf.sku, "p": price });
        let reply = self.ask(query, &variables).await;
        let acknowledged = reply.as_ref().filter(|reply| reply.errors.is_empty()).map(|_| price);
        if acknowledged.is_some() {
            self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            self.complain("a price was not taken");
        }
        self.tally.expected.lock().prices.insert(shelf.sku.clone(), acknowledged);
    }

    async fn look_at_product(&self, shelf: &Shelf) {
        let query = "query($s: ID!) { product(sku: $s) { sku name description unit unitPrice weight active soldUntil updatedAt } }";
        self.look(query, &json!({ "s": shelf.sku })).await;
    }

    async fn look_at_shelf(&self, shelf: &Shelf) {
        let query = "query($k: [StockLevelKey!]!) { stockLevels(keys: $k) { sku location onHand reserved reorderPoint blocked updatedAt product { name unitPrice } } }";
        self.look(query, &json!({ "k": [{ "sku": shelf.sku, "location": shelf.location }] })).await;
    }

    async fn browse(&self, shelf: &Shelf) {
        let query = "query($s: ID!) { movementsOfProduct(sku: $s, first: 10) { id kind quantity bookedAt reason } product(sku: $s) { name stockLevels { location onHand } } }";
        self.look(query, &json!({ "s": shelf.sku })).await;
    }

    async fn look_at_shortages(&self, shelf: &Shelf) {
        let query = "query($l: ID!) { lowStock(location: $l, below: 5, first: 10) { sku onHand product { name } } }";
        self.look(query, &json!({ "l": shelf.location })).await;
    }

    async fn look(&self, query: &str, variables: &Json) {
        if let Some(reply) = self.ask(query, variables).await
            && !reply.errors.is_empty()
        {
            self.complain(&format!("a read failed: {}", reply.code().unwrap_or("no code")));
        }
    }

    /// Sends a mutation of `shelf`; the reply if it was acknowledged.
    async fn change(&self, query: &str, variables: &Json, shelf: &Shelf) -> Option<Reply> {
        let reply = self.ask(query, variables).await;
        match reply {
            Some(reply) if reply.errors.is_empty() => {
                self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(reply)
            }
            Some(reply) if reply.code().is_some_and(|code| EARNED.contains(&code)) => None,
            Some(reply) => {
                self.complain(&format!("a write failed: {}", reply.code().unwrap_or("no code")));
                self.open(shelf);
                None
            }
            None => {
                self.open(shelf);
                None
            }
        }
    }

    async fn ask(&self, query: &str, variables: &Json) -> Option<Reply> {
        self.tally.requests.fetch_add(1, Ordering::Relaxed);
        match self.storefront.ask(query, variables).await {
            Ok(reply) => Some(reply),
            Err(error @ (StorefrontError::NoAnswer { .. } | StorefrontError::NotJson { .. })) => {
                self.complain(&error.to_string());
                None
            }
        }
    }

    /// A customer looks again and must see what was just acknowledged.
    async fn read_back(&self, shelf: &Shelf, acknowledged: &Json) {
        let place = (shelf.sku.clone(), shelf.location.clone());
        self.tally.expected.lock().levels.insert(place, acknowledged.as_i64());
        let query = "query($s: ID!, $l: ID!) { stockLevel(sku: $s, location: $l) { onHand } }";
        let Some(reply) = self.ask(query, &json!({ "s": shelf.sku, "l": shelf.location })).await else { return };
        if reply.data["stockLevel"]["onHand"] != *acknowledged {
            self.complain("a customer did not see the own last write");
        }
    }

    fn expect_movement(&self, reply: &Reply, suffixes: &[&str]) {
        let write = reply.token.as_deref().unwrap_or_default();
        if write.is_empty() {
            self.complain("a write was acknowledged without a version token");
        }
        let ids = suffixes.iter().map(|suffix| format!("{write}{suffix}"));
        self.tally.expected.lock().movements.extend(ids);
    }

    fn open(&self, shelf: &Shelf) {
        self.tally.expected.lock().levels.insert((shelf.sku.clone(), shelf.location.clone()), None);
    }

    fn is_open(&self, shelf: &Shelf) -> bool {
        let place = (shelf.sku.clone(), shelf.location.clone());
        self.tally.expected.lock().levels.get(&place) == Some(&None)
    }

    fn complain(&self, what: &str) {
        self.tally.client_errors.fetch_add(1, Ordering::Relaxed);
        let mut complaints = self.tally.complaints.lock();
        if complaints.len() < 20 {
            complaints.push(what.to_owned());
        }
    }
}
