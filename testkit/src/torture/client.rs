//! One client: asks one thing after the other over HTTP, tries again as a good client does, and writes down what it saw.
//!
//! What it asks is drawn from seed, client and number alone; to whom a repeat goes and what it expects of a read depends on
//! what happened. A repeat carries the same `Idempotency-Key`, to the next replica. One in four is impatient and does not repeat; most
//! of those have no key, so that a write which the fleet itself tries twice would be seen twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout};

use super::journal::{Action, Failure, Operation, Outcome, Own, Promise, Shelf, Trouble, mark};
use super::plan::REPLICAS;

/// A client waits no longer: more than the fleet's own deadline and the claim behind it.
const PATIENCE: Duration = Duration::from_secs(9);
/// After so long a client does not try again.
pub(super) const GIVE_UP: Duration = Duration::from_secs(20);
/// The header of version tokens.
const VERSION: &str = "x-strangler-version";

const ADJUST: &str = "mutation($s: ID!, $l: ID!, $d: Int!, $m: String!) { adjustStock(sku: $s, location: $l, delta: $d, reason: \"torture\", bookedBy: $m) { onHand } }";
const COUNT: &str = "mutation($s: ID!, $l: ID!, $n: Int!, $m: String!) { setStock(sku: $s, location: $l, onHand: $n, bookedBy: $m) { onHand } }";
const TRANSFER: &str = "mutation($s: ID!, $f: ID!, $t: ID!, $n: Int!, $m: String!) { transferStock(sku: $s, from: $f, to: $t, quantity: $n, bookedBy: $m) { onHand } }";
const LOOK: &str = "query($s: ID!, $l: ID!) { stockLevel(sku: $s, location: $l) { onHand } }";

/// What all clients share.
#[derive(Debug)]
pub struct Ground {
    /// Where the replicas are asked.
    pub urls: Vec<String>,
    /// How often each replica has been killed.
    pub lives: [AtomicU64; REPLICAS],
    /// What clients change and look at: at each place an article's two shelves.
    pub shelves: Vec<[Shelf; 2]>,
    /// The seed.
    pub seed: u64,
    /// When time began.
    pub epoch: Instant,
    /// No more operations.
    pub stop: AtomicBool,
    /// Between two operations of one client.
    pub pause: Duration,
    /// Held by each operation; whoever holds it alone has stopped the load.
    pub load: tokio::sync::RwLock<()>,
}

/// The client's own last write to a shelf.
#[derive(Debug, Clone)]
struct Known {
    own: Own,
    token: String,
    replica: usize,
    life: u64,
}

/// A client.
pub struct Client {
    ground: Arc<Ground>,
    http: Http<HttpConnector, Full<Bytes>>,
    number: usize,
    known: BTreeMap<Shelf, Known>,
}

/// What is drawn for one operation.
struct Draw {
    action: Action,
    replica: usize,
    patient: bool,
    /// Whether a write carries an idempotency key; it must, if it is repeated.
    keyed: bool,
    /// Of a read: with the token, if there is one.
    token: bool,
}

/// An answer.
pub(super) struct Reply {
    /// What was asked for.
    pub(super) data: Json,
    /// Of the first error.
    pub(super) code: Option<String>,
    token: Option<String>,
}

impl Client {
    /// The client called `number`.
    pub fn new(ground: Arc<Ground>, number: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Http::builder(TokioExecutor::new()).build(connector);
        Self { ground, http, number, known: BTreeMap::new() }
    }

    /// Asks until it is told to stop; everything it did.
    pub async fn run(mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        while !self.ground.stop.load(Ordering::Relaxed) {
            let ground = Arc::clone(&self.ground);
            let load = ground.load.read().await;
            let draw = self.draw(operations.len());
            let mark = mark(self.number, operations.len());
            operations.push(match &draw.action {
                Action::Adjust { .. } | Action::Count { .. } | Action::Transfer { .. } => self.write(mark, draw).await,
                Action::Look { .. } => self.look(mark, draw).await,
                Action::Miss { shelf } => self.miss(mark, shelf.clone(), draw.replica).await,
            });
            drop(load);
            tokio::time::sleep(self.ground.pause).await;
        }
        operations
    }

    fn now(&self) -> Duration {
        self.ground.epoch.elapsed()
    }

    fn life(&self, replica: usize) -> u64 {
        self.ground.lives[replica].load(Ordering::SeqCst)
    }

    fn draw(&self, number: usize) -> Draw {
        let own = ((self.number as u64) << 48) | number as u64;
        let mut random = StdRng::seed_from_u64(self.ground.seed.rotate_left(17) ^ own);
        let article = &self.ground.shelves[random.random_range(0..self.ground.shelves.len())];
        let place = random.random_range(0..2);
        let (shelf, other) = (article[place].clone(), article[1 - place].clone());
        let action = match random.random_range(0..100) {
            0..32 => Action::Adjust { shelf, delta: random.random_range(-60..=50) },
            32..40 => Action::Count { shelf, on_hand: random.random_range(0..200) },
            40..52 => Action::Transfer { from: shelf, to: other, quantity: random.random_range(1..40) },
            52..56 => Action::Miss { shelf: Shelf { sku: format!("NONE-{}", random.random_range(0..1_000)), ..shelf } },
            _ => Action::Look { shelf, promise: Promise::Existed },
        };
        let patient = random.random_ratio(3, 4);
        Draw {
            action,
            replica: random.random_range(0..REPLICAS),
            patient,
            keyed: patient || random.random_ratio(1, 3),
            token: random.random_ratio(2, 3),
        }
    }

    async fn write(&mut self, mark: String, draw: Draw) -> Operation {
        let began = self.now();
        let (query, variables) = asked(&draw.action, &mark);
        let key = draw.keyed.then_some(("idempotency-key", mark.as_str()));
        let mut failures = Vec::new();
        let mut replica = draw.replica;
        let mut by = None;
        let outcome = loop {
            let (sent, life) = (self.now(), self.life(replica));
            let trouble = match self.ask(replica, query, &variables, key.as_slice()).await {
                Ok(Reply { code: None, data, token }) => match acknowledged(&draw.action, &data, token) {
                    Some(outcome) => {
                        by = Some((replica, life));
                        break outcome;
                    }
                    None => Trouble::Code("WRONG_ANSWER".into()),
                },
                Ok(Reply { code: Some(code), .. }) if code == "INSUFFICIENT_STOCK" => {
                    // An attempt in doubt may still be on its way, and find enough.
                    let doubt = failures.iter().any(|failure: &Failure| failure.trouble.leaves_doubt());
                    break if doubt { Outcome::Unknown } else { Outcome::Refused };
                }
                Ok(Reply { code: Some(code), .. }) => Trouble::Code(code),
                Err(trouble) => trouble,
            };
            let passes = trouble.passes();
            failures.push(Failure { replica, began: sent, ended: self.now(), trouble });
            if !passes || !draw.patient || self.now() - began > GIVE_UP {
                let doubt = failures.iter().any(|failure| failure.trouble.leaves_doubt());
                break if doubt { Outcome::Unknown } else { Outcome::Failed };
            }
            replica = (replica + 1) % REPLICAS;
            tokio::time::sleep(Duration::from_millis(100) * u32::try_from(failures.len().min(8)).unwrap_or(8)).await;
        };
        let operation = Operation { mark, action: draw.action, replica, began, ended: self.now(), failures, outcome };
        if let Some((replica, life)) = by {
            self.learn(&operation, replica, life);
        }
        operation
    }

    /// From now on the client expects to see what it wrote.
    fn learn(&mut self, operation: &Operation, replica: usize, life: u64) {
        let Outcome::Acknowledged { write, .. } = &operation.outcome else { return };
        let own = Own { mark: operation.mark.clone(), began: operation.began };
        let known = Known { own, token: write.clone(), replica, life };
        for shelf in operation.action.shelves() {
            self.known.insert(shelf.clone(), known.clone());
        }
    }

    async fn look(&mut self, mark: String, draw: Draw) -> Operation {
        let Action::Look { mut shelf, .. } = draw.action else { unreachable!("only reads come here") };
        // Most look at what they have changed.
        if draw.patient
            && let Some((own, _)) = self.known.iter().max_by_key(|(_, known)| known.own.began)
        {
            shelf = own.clone();
        }
        let known = self.known.get(&shelf).cloned();
        let (mut promise, replica) = match &known {
            Some(known) if draw.token => (Promise::Token(known.own.clone()), draw.replica),
            Some(known) => (Promise::SameReplica(known.own.clone()), known.replica),
            None => (Promise::Existed, draw.replica),
        };
        let token = known.as_ref().filter(|_| draw.token).map(|known| (VERSION, known.token.as_str()));
        let variables = json!({ "s": shelf.sku, "l": shelf.location });
        let began = self.now();
        let reply = self.ask(replica, LOOK, &variables, token.as_slice()).await;
        let ended = self.now();
        // A replica that was killed meanwhile has forgotten, and must not be held to it.
        if matches!(promise, Promise::SameReplica(_)) && known.is_some_and(|it| it.life != self.life(replica)) {
            promise = Promise::Existed;
        }
        let trouble = match reply {
            Ok(Reply { code: None, data, .. }) => match data["stockLevel"]["onHand"].as_i64() {
                Some(on_hand) => Ok(on_hand),
                None => Err(Trouble::Code("WRONG_ANSWER".into())),
            },
            Ok(Reply { code: Some(code), .. }) => Err(Trouble::Code(code)),
            Err(trouble) => Err(trouble),
        };
        let (failures, outcome) = match trouble {
            Ok(on_hand) => (Vec::new(), Outcome::Read(on_hand)),
            Err(trouble) => (vec![Failure { replica, began, ended, trouble }], Outcome::Failed),
        };
        Operation { mark, action: Action::Look { shelf, promise }, replica, began, ended, failures, outcome }
    }

    /// Looks for what nobody has: the answer is that there is nothing, and no error.
    async fn miss(&self, mark: String, shelf: Shelf, replica: usize) -> Operation {
        let variables = json!({ "s": shelf.sku, "l": shelf.location });
        let began = self.now();
        let trouble = match self.ask(replica, LOOK, &variables, &[]).await {
            Ok(Reply { code: None, data, .. }) if data.get("stockLevel") == Some(&Json::Null) => None,
            Ok(Reply { code, .. }) => Some(Trouble::Code(code.unwrap_or_else(|| "WRONG_ANSWER".into()))),
            Err(trouble) => Some(trouble),
        };
        let ended = self.now();
        let outcome = if trouble.is_none() { Outcome::Nothing } else { Outcome::Failed };
        let failures = trouble.into_iter().map(|trouble| Failure { replica, began, ended, trouble }).collect();
        Operation { mark, action: Action::Miss { shelf }, replica, began, ended, failures, outcome }
    }

    /// Asks a replica.
    pub(super) async fn ask(
        &self,
        replica: usize,
        query: &str,
        variables: &Json,
        headers: &[(&str, &str)],
    ) -> Result<Reply, Trouble> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let mut request = Request::post(&self.ground.urls[replica]).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request of ours is well formed");
        let answered = async {
            let response = self.http.request(request).await.ok()?;
            let token = response.headers().get(VERSION).and_then(|token| token.to_str().ok()).map(str::to_owned);
            let body = response.into_body().collect().await.ok()?.to_bytes();
            let mut json: Json = serde_json::from_slice(&body).ok()?;
            let error = json["errors"].get(0);
            let code = error.map(|error| error["extensions"]["code"].as_str().unwrap_or("no code").to_owned());
            Some(Reply { data: json["data"].take(), code, token })
        };
        timeout(PATIENCE, answered).await.ok().flatten().ok_or(Trouble::NoAnswer)
    }
}

fn asked(action: &Action, mark: &str) -> (&'static str, Json) {
    match action {
        Action::Adjust { shelf, delta } => {
            (ADJUST, json!({ "s": shelf.sku, "l": shelf.location, "d": delta, "m": mark }))
        }
        Action::Count { shelf, on_hand } => {
            (COUNT, json!({ "s": shelf.sku, "l": shelf.location, "n": on_hand, "m": mark }))
        }
        Action::Transfer { from, to, quantity } => {
            (TRANSFER, json!({ "s": from.sku, "f": from.location, "t": to.location, "n": quantity, "m": mark }))
        }
        Action::Look { shelf, .. } | Action::Miss { shelf } => (LOOK, json!({ "s": shelf.sku, "l": shelf.location })),
    }
}

/// `None`: that is no answer to this.
fn acknowledged(action: &Action, data: &Json, token: Option<String>) -> Option<Outcome> {
    let left = match action {
        Action::Adjust { .. } => vec![data["adjustStock"]["onHand"].as_i64()?],
        Action::Count { on_hand, .. } => vec![data["setStock"]["onHand"].as_i64().filter(|left| left == on_hand)?],
        Action::Transfer { .. } => {
            let levels = &data["transferStock"];
            vec![levels[0]["onHand"].as_i64()?, levels[1]["onHand"].as_i64()?]
        }
        Action::Miss { .. } | Action::Look { .. } => return None,
    };
    Some(Outcome::Acknowledged { write: token?, left })
}
