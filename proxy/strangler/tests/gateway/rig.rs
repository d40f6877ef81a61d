//! Replicas put together from the real roads, over any two stores: what `app` wires, without ports.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use testkit::begin::Begin as _;

use axum::body::Body;
use axum::http::Request;
use contract::Loaded;
use control_plane::rollout::RolloutHandle;
use data_plane::breaker::Breaker;
use data_plane::catchup::relay::Relay;
use data_plane::catchup::watch::Watch;
use data_plane::compared::Compared;
use data_plane::fences::{Fences, Hearer};
use data_plane::figures::Recorder;
use data_plane::fork::Fork;
use data_plane::own_keys::Spare;
use data_plane::read::batch::Batch;
use data_plane::read::seen::Seen;
use data_plane::read::serve::{ReadRoad, ReadSettings, ReadSide};
use data_plane::read::shadow::{Shadow, ShadowWorker};
use data_plane::saga::SagaRoad;
use data_plane::write::apply::Door;
use data_plane::write::foreign::ForeignWrites;
use data_plane::write::rehearse::Rehearsals;
use data_plane::write::road::{WriteRoad, WriteSettings};
use data_plane::write::settle::Settler;
use data_plane::write::side::WriteSide;
use data_plane::write::unsettled::UnsettledKeys;
use data_plane::write::used_up::UsedUp;
use gateway::{Gateway, GatewayConfig};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use model::evidence::Observation;
use model::{
    EntityName, Epoch, GroupName, Instant, PerSide, Percentage, Policy, Role, Rollout, RolloutVersion, Side, Stage,
    Store,
};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use shadow_compare::redact::Redactor;
use testkit::faults::FaultyStore;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::fake::Reply;

mod pace;

pub(crate) use pace::Pace;

/// Limit of a call that no fault concerns.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// Calls of one route that a side is given at once: stores in memory have no connections that could run out.
const ROOM: usize = 1_000;

/// So much time passes that a side which has answered before is not known to be well any more.
pub(crate) async fn not_heard_of() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// What replicas share: the contract, the stores and the rollout.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) stores: PerSide<FaultyStore>,
    rollout: Arc<Mutex<Arc<Rollout>>>,
    follows: Option<RolloutHandle>,
}

impl Ground {
    /// Every group is at stage `dual-write`.
    pub(crate) fn new(loaded: Loaded, stores: PerSide<Arc<dyn Store>>) -> Self {
        let stores = stores.map(|_, store| FaultyStore::new(store));
        let rollout = Arc::new(Mutex::new(Arc::new(Rollout::initial(loaded.contract.groups()))));
        let ground = Self { loaded: Arc::new(loaded), stores, rollout, follows: None };
        ground.set(Stage::DualWrite, 0.0, 0.0);
        ground
    }

    /// The same stores and rollout, reached another way: faults planned here befall nobody else.
    pub(crate) fn with_faults_of_its_own(&self) -> Self {
        let stores = self.stores.clone().map(|_, store| FaultyStore::new(Arc::new(store)));
        Self { stores, ..self.clone() }
    }

    /// The same stores, by replicas that hear of nothing but by their own looks.
    pub(crate) fn with_a_rollout_of_its_own(&self) -> Self {
        let rollout = Arc::new(Mutex::new(Arc::clone(&self.rollout.lock())));
        Self { rollout, ..self.with_faults_of_its_own() }
    }

    /// The same stores and rollout, for replicas of another contract.
    pub(crate) fn under(&self, loaded: Loaded) -> Self {
        Self { loaded: Arc::new(loaded), ..self.clone() }
    }

    /// The same rollout, under another contract over stores of its own.
    pub(crate) fn over(&self, loaded: Loaded, stores: PerSide<Arc<dyn Store>>) -> Self {
        Self { stores: stores.map(|_, store| FaultyStore::new(store)), ..self.under(loaded) }
    }

    /// The same, under the rollout of a control store.
    pub(crate) fn following(&self, rollout: RolloutHandle) -> Self {
        Self { follows: Some(rollout), ..self.clone() }
    }

    /// Makes the bookkeeping: legacy is primary.
    pub(crate) async fn prepare(&self) {
        let groups = self.loaded.contract.groups();
        self.stores.legacy.begin_as(&groups, Role::Primary, WITHIN).await.unwrap();
        self.stores.modern.begin_as(&groups, Role::Secondary, WITHIN).await.unwrap();
    }

    /// The only group.
    pub(crate) fn group(&self) -> GroupName {
        self.loaded.contract.groups().remove(0)
    }

    /// Gives every group this policy, for all replicas at once.
    pub(crate) fn set(&self, stage: Stage, reads: f64, shadow: f64) {
        let share = |percent: f64| Percentage::try_from(percent).unwrap();
        let policy = Policy::new(stage, share(reads), share(shadow), Epoch(1)).unwrap();
        let mut rollout = self.rollout.lock();
        let policies = rollout.policies.keys().map(|group| (group.clone(), policy)).collect();
        *rollout = Arc::new(Rollout { version: RolloutVersion(rollout.version.0 + 1), policies });
    }

    /// Another share of reads under the policies that stand.
    pub(crate) fn reads(&self, percent: f64) {
        let share = Percentage::try_from(percent).unwrap();
        let mut rollout = self.rollout.lock();
        let policy = |policy: &Policy| Policy::new(policy.stage(), share, Percentage::ZERO, policy.epoch()).unwrap();
        let policies = rollout.policies.iter().map(|(group, old)| (group.clone(), policy(old))).collect();
        *rollout = Arc::new(Rollout { version: RolloutVersion(rollout.version.0 + 1), policies });
    }

    /// How many writes wait to be settled.
    pub(crate) async fn backlog(&self) -> u64 {
        self.stores.legacy.backlog(&self.group(), WITHIN).await.unwrap().writes
    }

    /// Waits until every write is settled.
    pub(crate) async fn settled(&self) {
        until("every write is settled", async || self.backlog().await == 0).await;
    }

    /// Hears of handovers for every replica that does not follow a control store.
    pub(crate) fn hearer(&self) -> Hearer {
        let (rollout, follows) = (Arc::clone(&self.rollout), self.follows.clone());
        Arc::new(move |group, holder| match &follows {
            Some(handle) => handle.hear(group, holder),
            None => {
                let mut rollout = rollout.lock();
                let mut next = Rollout::clone(&rollout);
                if let Some(policy) = next.policies.get_mut(group).filter(|policy| policy.epoch() < holder.epoch) {
                    *policy = policy.following(holder);
                    *rollout = Arc::new(next);
                }
            }
        })
    }

    pub(crate) fn newest(&self) -> Arc<dyn Fn() -> Arc<Rollout> + Send + Sync> {
        let rollout = Arc::clone(&self.rollout);
        match self.follows.clone() {
            Some(handle) => Arc::new(move || handle.current()),
            None => Arc::new(move || Arc::clone(&rollout.lock())),
        }
    }
}

/// Waits until `question` is answered with yes, by whichever clock the test has.
pub(crate) async fn until(what: &str, question: impl AsyncFn() -> bool) {
    let began = tokio::time::Instant::now();
    while !question().await {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a life on a runtime of its own with paused time; all its tasks end with it.
pub(crate) fn process<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(life)
}

/// The wall clock, which leaps with tokio's where a test has paused that.
pub(crate) fn leaping_clock() -> Instant {
    static BEGAN: LazyLock<(tokio::time::Instant, chrono::DateTime<chrono::Utc>)> =
        LazyLock::new(|| (tokio::time::Instant::now(), chrono::Utc::now()));
    let (began, then) = *BEGAN;
    Instant::new(then + tokio::time::Instant::now().saturating_duration_since(began))
}

/// One replica. Its background tasks end with it.
pub(crate) struct Replica {
    gateway: Arc<Gateway>,
    pub(crate) unsettled: Arc<UnsettledKeys>,
    pub(crate) breakers: PerSide<Arc<Breaker>>,
    pub(crate) doors: PerSide<Arc<Door>>,
    /// What shadow reads and rehearsals have found.
    pub(crate) observed: Arc<Mutex<Vec<Observation>>>,
    /// What it has counted.
    pub(crate) figures: Recorder,
    _stop: DropGuard,
}

impl Replica {
    /// Starts one on this runtime.
    pub(crate) fn start(ground: &Ground, pace: &Pace) -> Self {
        let stores = ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>);
        let stop = CancellationToken::new();
        let unsettled = Arc::new(UnsettledKeys::default());
        let breakers = PerSide { legacy: (), modern: () }.map(|_, ()| Arc::new(Breaker::new(pace.breaker)));
        let breaker = |side| Arc::clone(breakers.get(side));
        let observed: Arc<Mutex<Vec<Observation>>> = Arc::default();
        let foreign = foreign(ground, pace, &observed);
        let doors = Door::both(&ground.loaded.contract, &stores, breaker, pace.apply_within, Some(foreign));
        let figures = Recorder::new(&ground.loaded.contract, &pace.name.into(), leaping_clock);
        let shadow = shadow(ground, pace, &stores, &unsettled, (&observed, &figures));
        let read = ReadRoad {
            sides: stores.clone().map(|side, store| ReadSide {
                batches: batches(ground, &store),
                store,
                breaker: Arc::clone(breakers.get(side)),
                room: ROOM,
            }),
            unsettled: Arc::clone(&unsettled),
            seen: stores
                .clone()
                .map(|side, store| Seen::new(store, Arc::clone(breakers.get(side)), Duration::from_millis(500))),
            shadow,
            figures: figures.clone(),
            settings: ReadSettings { share: 0.5, answer_budget: pace.answer_budget },
        };
        let compared = Arc::new(Compared::default());
        Side::BOTH.into_iter().for_each(|side| compared.heard(side, pace.remembers));
        let write = Arc::new(WriteRoad {
            sides: stores.clone().map(|side, store| WriteSide {
                settler: Settler::start(Arc::clone(&store), pace.apply_within),
                store,
                door: Arc::clone(doors.get(side)),
                breaker: Arc::clone(breakers.get(side)),
                room: ROOM,
            }),
            rollout: ground.newest(),
            fences: Fences::new(stores.clone(), ground.hearer(), Duration::from_secs(2)),
            compared: Arc::clone(&compared),
            unsettled: Arc::clone(&unsettled),
            figures: figures.clone(),
            clock: leaping_clock,
            rehearsals: rehearsals(pace, &observed, &figures),
            spare: Spare::default(),
            used_up: UsedUp::new(pace.refused_numbers),
            settings: WriteSettings { answer_budget: pace.answer_budget, claim_within: Duration::from_secs(2) },
            tasks: TaskTracker::new(),
        });
        catch_up(ground, pace, &stores, &doors, (&unsettled, &figures), &stop);
        let config = GatewayConfig { deadline: pace.deadline, ..GatewayConfig::default() };
        let loaded = Loaded::clone(&ground.loaded);
        let saga = Arc::new(SagaRoad {
            writes: Arc::clone(&write),
            contract: Arc::clone(&ground.loaded.contract),
            settings: pace.sagas,
            left: Mutex::default(),
            copied: data_plane::saga::Copied::default(),
        });
        if pace.resumes {
            tokio::spawn(Arc::clone(&saga).resume(stop.clone()));
        }
        let fork = Arc::new(Fork { read, write, saga });
        let gateway = Gateway::new(loaded.client_schema, loaded.contract, fork, ground.newest(), config);
        Self { gateway, unsettled, breakers, doors, observed, figures, _stop: stop.drop_guard() }
    }

    /// Starts one and waits until it has looked at the ledger: before that it trusts the primary alone.
    pub(crate) async fn ready(ground: &Ground, pace: &Pace) -> Self {
        let replica = Self::start(ground, pace);
        until("the ledger was looked at", async || replica.unsettled.all(&ground.group()).is_some()).await;
        replica
    }

    /// Sends one operation through the gateway's door.
    pub(crate) async fn ask(&self, query: &str) -> Reply {
        self.ask_with(query, &json!({}), &[]).await
    }

    /// The same with variables and headers.
    pub(crate) async fn ask_with(&self, query: &str, variables: &Json, headers: &[(&str, &str)]) -> Reply {
        self.post(json!({ "query": query, "variables": variables }).to_string(), headers).await
    }

    /// Sends any body.
    pub(crate) async fn post(&self, body: String, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let router = gateway::router(Arc::clone(&self.gateway));
        let answer = TowerToHyperService::new(router).call(request.body(Body::from(body)).unwrap()).await;
        Reply::of(answer.unwrap()).await
    }
}

fn batches(ground: &Ground, store: &Arc<dyn Store>) -> HashMap<EntityName, Arc<Batch>> {
    let entities = ground.loaded.contract.entities.iter();
    entities.map(|(name, entity)| (name.clone(), Batch::new(Arc::clone(store), Arc::clone(entity)))).collect()
}

fn foreign(ground: &Ground, pace: &Pace, observed: &Arc<Mutex<Vec<Observation>>>) -> Arc<ForeignWrites> {
    let (contract, observed) = (Arc::new(ground.loaded.contract.as_ref().clone()), Arc::clone(observed));
    let wins = if pace.primary_wins { ground.loaded.contract.groups().into_iter().collect() } else { BTreeSet::new() };
    let observe = Arc::new(move |observation| observed.lock().push(observation));
    let redactor = Redactor::new(b"a secret of the tests");
    Arc::new(ForeignWrites::new(contract, wins, redactor, observe, || chrono::Utc::now().date_naive()))
}

fn shadow(
    ground: &Ground,
    pace: &Pace,
    stores: &PerSide<Arc<dyn Store>>,
    unsettled: &Arc<UnsettledKeys>,
    (observed, figures): (&Arc<Mutex<Vec<Observation>>>, &Recorder),
) -> Shadow {
    let (shadow, jobs) = Shadow::queue(&pace.shadow, figures.clone());
    let observed = Arc::clone(observed);
    let worker = Arc::new(ShadowWorker {
        rollout: ground.newest(),
        batches: stores.clone().map(|_, store| batches(ground, &store)),
        stores: stores.clone(),
        unsettled: Arc::clone(unsettled),
        redactor: Redactor::new(b"a secret of the tests"),
        observe: Arc::new(move |observation| observed.lock().push(observation)),
        figures: figures.clone(),
        today: || chrono::Utc::now().date_naive(),
        excuses: pace.excuses.clone(),
        limits: pace.shadow.per_side.map(|_, limit| Semaphore::new(limit)),
        settings: pace.shadow,
    });
    // Ends when the replica, and with it the other end of the queue, is gone.
    tokio::spawn(worker.run(jobs));
    shadow
}

fn rehearsals(pace: &Pace, observed: &Arc<Mutex<Vec<Observation>>>, figures: &Recorder) -> Rehearsals {
    let observed = Arc::clone(observed);
    Rehearsals {
        redactor: Redactor::new(b"a secret of the tests"),
        observe: Arc::new(move |observation| observed.lock().push(observation)),
        figures: figures.clone(),
        today: || chrono::Utc::now().date_naive(),
        excuses: pace.excuses.clone(),
        limit: Semaphore::new(pace.rehearsals.at_once),
        within: pace.rehearsals.within,
        told: Mutex::default(),
    }
}

fn catch_up(
    ground: &Ground,
    pace: &Pace,
    stores: &PerSide<Arc<dyn Store>>,
    doors: &PerSide<Arc<Door>>,
    (unsettled, figures): (&Arc<UnsettledKeys>, &Recorder),
    stop: &CancellationToken,
) {
    if let Some(settings) = pace.relay {
        let (stores, doors, figures) = (stores.clone(), doors.clone(), figures.clone());
        let contract = Arc::clone(&ground.loaded.contract);
        let (rollout, failing) = (ground.newest(), Mutex::default());
        let relay = Relay { stores, doors, contract, rollout, figures, settings, failing };
        tokio::spawn(Arc::new(relay).run(stop.clone()));
    }
    let watch = Watch {
        most_unsettled: pace.most_unsettled,
        stores: stores.clone(),
        clients: stores.clone(),
        rollout: ground.newest(),
        unsettled: Arc::clone(unsettled),
        figures: figures.clone(),
        within: Duration::from_secs(2),
        doubted: Mutex::default(),
    };
    tokio::spawn(Arc::new(watch).run(stop.clone()));
}
