//! All wiring on one page: from a checked configuration to a replica that serves, and back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use metrics_exporter_prometheus::PrometheusHandle;
use model::control::ControlError;
use model::{Contract, EntityName, Instant, PerSide, ReplicaId, Rollout, Side, Store, StoreError};
use shadow_compare::redact::Redactor;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::auth::{Identity, Role, Via};
use crate::admin::schema::{Here, schema};
use crate::admin::{self, Admin, Health};
pub use crate::backends::Backends;
use crate::catchup::relay::Relay;
use crate::catchup::watch::Watch;
use crate::config::Config;
use crate::contract::{ContractErrors, Loaded};
use crate::evidence::Aggregator;
use crate::fork::Fork;
use crate::gateway::{self, Gateway};
use crate::lanes;
use crate::promotion::Promoter;
use crate::read::batch::Batch;
use crate::read::breaker::Breaker;
use crate::read::seen::Seen;
use crate::read::serve::{ReadRoad, ReadSettings, ReadSide};
use crate::read::shadow::{Shadow, ShadowWorker};
use crate::rollout::{self, OpenError, RolloutHandle};
use crate::state_dir::{StateDir, StateDirError};
use crate::telemetry;
use crate::write::apply::Door;
use crate::write::road::{WriteRoad, WriteSettings, WriteSide};
use crate::write::settle::Settler;
use crate::write::unsettled::UnsettledKeys;

/// How long shutdown waits for writes under way, after the last request was answered.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// Longest look of a token's writes on the secondary.
const SEEN_WITHIN: Duration = Duration::from_millis(500);

/// Why a replica cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The contract cannot be read.
    #[error("the contract {path} cannot be read: {reason}; set `contract` to where schema.graphql is")]
    NoContract {
        /// Where it should be.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The contract has mistakes.
    #[error("the contract has mistakes:\n{0}")]
    Contract(#[from] ContractErrors),
    /// A side's address cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The control database's address cannot be used.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// No rollout is known.
    #[error("{0}")]
    Rollout(#[from] OpenError),
    /// The state directory cannot be used.
    #[error("{0}")]
    State(#[from] StateDirError),
    /// A port cannot be listened on.
    #[error("{address} cannot be listened on: {reason}; set `{key}` to a free address")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Which key sets it.
        key: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A replica that serves.
pub struct Running {
    /// Where clients come in.
    pub graphql: SocketAddr,
    /// Where the admin port is.
    pub admin: SocketAddr,
    /// Its rollout.
    pub rollout: RolloutHandle,
    health: Arc<Health>,
    gateway: Stoppable,
    writes: TaskTracker,
    settlers: PerSide<Settler>,
    background: Stoppable,
    last: Stoppable,
}

/// Tasks and how to stop them.
struct Stoppable {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stoppable {
    fn new() -> Self {
        Self { stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Running {
    /// Drains: not ready, no new request, those under way answered, their writes brought to an end,
    /// evidence handed over, the replica taken off the list.
    pub async fn stop(self) {
        self.health.drain();
        self.gateway.end().await;
        self.writes.close();
        if tokio::time::timeout(LAST_WRITES, self.writes.wait()).await.is_err() {
            tracing::warn!("{} writes are left to the relay of another replica", self.writes.len());
        }
        let marked = async { tokio::join!(self.settlers.legacy.flush(), self.settlers.modern.flush()) };
        if tokio::time::timeout(LAST_WRITES, marked).await.is_err() {
            tracing::warn!("some writes are on both sides and not marked so; a relay will find that out");
        }
        self.background.end().await;
        self.last.end().await;
    }
}

/// Starts a replica.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(config: &Config, metrics: PrometheusHandle) -> Result<Running, StartError> {
    let state = StateDir::open(&config.state_dir)?;
    let lock = state.lock()?;
    let backends = Backends::open(config)?;
    let graphql = listen(config.listen, "gateway.listen").await?;
    let admin_port = listen(config.admin, "admin.listen").await?;
    let (graphql_address, admin_address) = (address(&graphql, config.listen), address(&admin_port, config.admin));

    let id = config.fleet.id.clone().map_or_else(|| state.replica_id(), |id| Ok(ReplicaId::new(id)))?;
    let advertised = config.fleet.admin_address.clone().unwrap_or_else(|| admin_address.to_string());
    let (rollout, follower) = rollout::open(backends.witness(), state.clone(), id.as_str(), advertised).await?;
    let follower = follower.remembering(rollout::fleet::Cache::new(state.clone()));
    let newest: gateway::RolloutSource = {
        let rollout = rollout.clone();
        Arc::new(move || rollout.current())
    };

    let breakers = PerSide { legacy: (), modern: () }.map(|_, ()| Arc::new(Breaker::new(config.reads.breaker)));
    let health = Arc::new(Health::new(breakers.clone()));
    let secret = config.evidence.secret.clone().map_or_else(|| state.hash_secret(), Ok)?;
    let evidence = Aggregator::new(now);
    let (background, last) = (Stoppable::new(), Stoppable::new());
    let (flushing, control, stop) = (evidence.clone(), Arc::clone(&backends.control), last.stop.clone());
    let pause = config.evidence.flush;
    last.tasks.spawn(async move { flushing.run(control, pause, stop).await });
    // Held to the very end: no second replica may use the folder before this one is through.
    let follow = follower.run(last.stop.clone());
    last.tasks.spawn(async move {
        follow.await;
        drop(lock);
    });

    let unsettled = Arc::new(UnsettledKeys::default());
    let parts = Parts { config, backends: &backends, breakers: &breakers, unsettled: &unsettled, newest: &newest };
    let shadow = parts.shadow(evidence, &secret, &background);
    let (writes, doors) = parts.write_road();
    parts.catch_up(doors, &background);
    let desk = backends.desk(config);
    let schema = schema(desk.clone(), Some(Here { id: id.clone(), rollout: rollout.clone() }));
    let promoter = Promoter { desk, origin: id.to_string() };
    background.tasks.spawn(promoter.run(background.stop.clone()));
    background.tasks.spawn(lanes::watch(backends.oracles.clone(), background.stop.clone()));
    let tasks = writes.tasks.clone();
    let settlers = PerSide { legacy: writes.sides.legacy.settler.clone(), modern: writes.sides.modern.settler.clone() };
    let fork = Arc::new(Fork { read: parts.read_road(shadow), write: writes });

    let groups = backends.loaded.contract.groups();
    let gateway = serve_graphql(config, backends.loaded, fork, newest, graphql);
    let admin = Admin {
        replica: id,
        groups,
        rollout: rollout.clone(),
        metrics: metrics.clone(),
        health: Arc::clone(&health),
        clock: now,
        schema: Some(schema),
    };
    serve_admin(admin, admin_port, metrics, &last);
    Ok(Running {
        graphql: graphql_address,
        admin: admin_address,
        rollout,
        health,
        gateway,
        writes: tasks,
        settlers,
        background,
        last,
    })
}

/// What the roads are made of.
struct Parts<'a> {
    config: &'a Config,
    backends: &'a Backends,
    breakers: &'a PerSide<Arc<Breaker>>,
    unsettled: &'a Arc<UnsettledKeys>,
    newest: &'a Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
}

impl Parts<'_> {
    fn contract(&self) -> &Contract {
        &self.backends.loaded.contract
    }

    fn read_road(&self, shadow: Shadow) -> ReadRoad {
        let stores = self.backends.lane(Lane::Client);
        let side = |side| ReadSide {
            store: Arc::clone(stores.get(side)),
            breaker: Arc::clone(self.breakers.get(side)),
            batches: batches(self.contract(), stores.get(side)),
        };
        ReadRoad {
            sides: PerSide { legacy: side(Side::Legacy), modern: side(Side::Modern) },
            unsettled: Arc::clone(self.unsettled),
            seen: stores.clone().map(|side, store| Seen::new(store, Arc::clone(self.breakers.get(side)), SEEN_WITHIN)),
            shadow,
            settings: ReadSettings {
                share: self.config.reads.modern_share,
                answer_budget: self.config.writes.answer_budget,
            },
        }
    }

    fn write_road(&self) -> (Arc<WriteRoad>, PerSide<Arc<Door>>) {
        let stores = self.backends.lane(Lane::Client);
        let admin = self.backends.lane(Lane::Admin);
        let writes = self.config.writes;
        let door = |side: Side, store: Arc<dyn Store>| {
            Door::new(store, Arc::clone(self.breakers.get(side)), writes.apply_timeout)
        };
        let doors = stores.clone().map(door);
        let side = |side| WriteSide {
            store: Arc::clone(stores.get(side)),
            door: Arc::clone(doors.get(side)),
            settler: Settler::start(Arc::clone(admin.get(side)), writes.apply_timeout),
            breaker: Arc::clone(self.breakers.get(side)),
        };
        let road = WriteRoad {
            sides: PerSide { legacy: side(Side::Legacy), modern: side(Side::Modern) },
            rollout: Arc::clone(self.newest),
            unsettled: Arc::clone(self.unsettled),
            clock: now,
            settings: WriteSettings { answer_budget: writes.answer_budget, claim_within: writes.claim_timeout },
            tasks: TaskTracker::new(),
        };
        (Arc::new(road), doors)
    }

    fn shadow(&self, evidence: Aggregator, secret: &[u8], background: &Stoppable) -> Shadow {
        let (shadow, jobs) = Shadow::queue(&self.config.shadow);
        let stores = self.backends.lane(Lane::Shadow);
        let worker = Arc::new(ShadowWorker {
            batches: stores.clone().map(|_, store| batches(self.contract(), &store)),
            stores,
            unsettled: Arc::clone(self.unsettled),
            redactor: Redactor::new(secret),
            observe: Arc::new(move |observation| evidence.observe(&observation)),
            today: || chrono::Utc::now().date_naive(),
            limits: self.config.shadow.per_side.map(|_, limit| Semaphore::new(limit)),
            settings: self.config.shadow,
        });
        let stop = background.stop.clone();
        background.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = worker.run(jobs) => {}
            }
        });
        shadow
    }

    fn catch_up(&self, doors: PerSide<Arc<Door>>, background: &Stoppable) {
        let stores = self.backends.lane(Lane::Admin);
        let relay = Arc::new(Relay {
            stores: stores.clone(),
            doors,
            rollout: Arc::clone(self.newest),
            settings: self.config.writes.relay,
        });
        background.tasks.spawn(relay.run(background.stop.clone()));
        let watch = Arc::new(Watch {
            stores,
            rollout: Arc::clone(self.newest),
            unsettled: Arc::clone(self.unsettled),
            retention: self.config.writes.retention,
            within: self.config.writes.relay.within,
        });
        background.tasks.spawn(watch.run(background.stop.clone()));
    }
}

fn batches(contract: &Contract, store: &Arc<dyn Store>) -> HashMap<EntityName, Arc<Batch>> {
    let batch = |(name, entity): (&EntityName, _)| (name.clone(), Batch::new(Arc::clone(store), Arc::clone(entity)));
    contract.entities.iter().map(batch).collect()
}

fn serve_graphql(
    config: &Config,
    loaded: Loaded,
    fork: Arc<Fork>,
    newest: gateway::RolloutSource,
    listener: TcpListener,
) -> Stoppable {
    let gateway = Gateway::new(loaded.client_schema, loaded.contract, fork, newest, config.gateway.clone());
    let router = gateway::router(Arc::clone(&gateway));
    let serving = Stoppable::new();
    let stop = serving.stop.clone();
    serving.tasks.spawn(async move {
        gateway::serve(listener, router, gateway, stop.cancelled()).await;
    });
    serving
}

fn serve_admin(admin: Admin, listener: TcpListener, metrics: PrometheusHandle, last: &Stoppable) {
    let stop = last.stop.clone();
    last.tasks.spawn(async move {
        let router = on_loopback(admin::router(admin), &listener);
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin port is no longer served");
        }
    });
    let stop = last.stop.clone();
    last.tasks.spawn(async move {
        let upkeep = async {
            loop {
                tokio::time::sleep(telemetry::UPKEEP).await;
                metrics.run_upkeep();
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = upkeep => {}
        }
    });
}

/// Nobody is asked who they are yet: whoever reaches the port on this machine is an admin, elsewhere nobody.
fn on_loopback(router: axum::Router, listener: &TcpListener) -> axum::Router {
    if listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
        let local = Identity { who: "local".to_owned(), role: Role::Admin, via: Via::Loopback };
        router.layer(axum::Extension(local))
    } else {
        router
    }
}

async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    let refused = |error: std::io::Error| StartError::Listen { address, key, reason: error.kind().to_string() };
    TcpListener::bind(address).await.map_err(refused)
}

/// Where it really listens: port 0 asks for any free one.
fn address(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

fn now() -> Instant {
    Instant::new(chrono::Utc::now())
}
