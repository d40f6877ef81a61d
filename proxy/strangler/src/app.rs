//! All wiring on one page: from a checked configuration to a replica that serves, and back.

mod backends;
mod bookkeeping;
mod groups;
mod lanes;
mod lives;
mod roads;
mod servers;
mod statements;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use metrics_exporter_prometheus::PrometheusHandle;
use model::control::ControlError;
use model::{GroupName, Instant, PerSide, ReplicaId, StoreError};
use shadow_compare::Redactor;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use admin::serve::CannotOpen;
use admin::{Admin, Health};
pub use backends::{Backends, CONTROL_CONNECTIONS};
use contract::{ContractErrors, Loaded};
use control_plane::desk::Promoter;
use control_plane::desk::{Desk, Here};
use control_plane::desk::{orders, schedule};
use control_plane::guard;
use control_plane::handover::begin::Waiting;
use control_plane::handover::keeper::{Keeper, publish_unpublished};
use control_plane::openfeature;
use control_plane::rollout::{self, OpenError, RolloutHandle};
use control_plane::webhooks;
use data_plane::breaker::Breaker;
use data_plane::catchup::shapes::{CannotRunBeside, Shapes};
use data_plane::evidence::Aggregator;
use data_plane::fences::Fences;
use data_plane::figures::Recorder;
use data_plane::fork::Fork;
use data_plane::reconcile::{self, ReconcileSettings, Reconciler};
use data_plane::state_dir::{StateDir, StateDirError};
use data_plane::write::settle::Settler;
use data_plane::write::unsettled::UnsettledKeys;
use gateway::Gateway;
use net::tls::{Tls, TlsError};
use roads::Parts;
use server::Port;
use telemetry::tasks::Tasks;

/// How long shutdown waits for writes under way, after the last request was answered.
const LAST_WRITES: Duration = Duration::from_secs(5);

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
    /// A group that is named in the configuration is not in the contract.
    #[error("`{key}` names {name}, which is no group of the contract: correct it, or leave it out")]
    NoGroup {
        /// Which key.
        key: &'static str,
        /// The name.
        name: GroupName,
    },
    /// A side's address cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The control database's address cannot be used.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// Our own tables are not what this release needs.
    #[error("{0}")]
    Bookkeeping(String),
    /// No rollout is known.
    #[error("{0}")]
    Rollout(#[from] OpenError),
    /// Only a person can say who is primary of a group.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Waiting(Vec<Waiting>),
    /// A database is another side's.
    #[error("{0}")]
    NotMine(StoreError),
    /// The state directory cannot be used.
    #[error("{0}")]
    State(#[from] StateDirError),
    /// Another contract is registered, beside which this one cannot run.
    #[error("{0}")]
    Shapes(#[from] CannotRunBeside),
    /// A certificate cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The admin port cannot be opened.
    #[error("{0}")]
    Admin(#[from] CannotOpen),
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
    gateway: Tasks,
    writes: TaskTracker,
    settlers: PerSide<Settler>,
    background: Tasks,
    last: Tasks,
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
    let unasked = bookkeeping::look(&backends).await?;
    let door = admin::serve::Door::open(&config.admin, now)?;
    let graphql_tls = config.graphql_tls.clone().map(Tls::open).transpose()?;
    let shapes = Shapes::new(Arc::clone(&backends.loaded.contract), backends.lane(Lane::Admin));
    shapes.start().await?;
    let graphql = listen(config.listen, "gateway.listen").await?;
    let admin_port = listen(config.admin.listen, "admin.listen").await?;
    let (graphql_address, admin_address) =
        (address(&graphql, config.listen), address(&admin_port, config.admin.listen));

    let id = config.fleet.id.clone().map_or_else(|| state.replica_id(), |id| Ok(ReplicaId::new(id)))?;
    let advertised = config.fleet.admin_address.clone().unwrap_or_else(|| door.address(admin_address));
    groups::refuse_unclear(&backends).await?;
    let (rollout, follower) = rollout::open(backends.witness(), state.clone(), id.as_str(), advertised.clone()).await?;
    let follower = follower.remembering(rollout::fleet::Cache::new(state.clone()));
    let newest: gateway::RolloutSource = {
        let rollout = rollout.clone();
        Arc::new(move || rollout.current())
    };

    let breakers = PerSide { legacy: (), modern: () }.map(|_, ()| Arc::new(Breaker::new(config.reads.breaker)));
    let secret = config.evidence.secret.clone().map_or_else(|| state.hash_secret(), Ok)?;
    let evidence = Aggregator::new(now);
    let (background, last) = (Tasks::default(), Tasks::default());
    let (flushing, control) = (evidence.clone(), Arc::clone(&backends.control));
    let pause = config.evidence.flush;
    last.keep("evidence", move |stop| flushing.clone().run(Arc::clone(&control), pause, stop));
    // Held to the very end: no second replica may use the folder before this one is through.
    last.keep("rollout", move |stop| {
        let _held = &lock;
        follower.clone().run(stop)
    });

    telemetry::route_groups(&backends.loaded.contract);
    let figures = Recorder::new(&backends.loaded.contract, &id, now);
    let (control, handle) = (Arc::clone(&backends.control), rollout.clone());
    let (counted, version) = (figures.clone(), Arc::new(move || handle.version()));
    last.keep("figures", move |stop| counted.clone().run(Arc::clone(&control), version.clone(), stop));
    let guard = guard::Parts {
        replica: id.clone(),
        groups: backends.loaded.contract.groups(),
        control: Arc::clone(&backends.control),
        rollout: rollout.clone(),
        figures: figures.clone(),
        settings: config.guard.clone(),
        clock: now,
    };
    let guard = guard::start(guard, &last);
    let health = Arc::new(Health::new(breakers.clone()).with_guard(guard.clone()).with_shapes(Arc::clone(&shapes)));
    background.once("bookkeeping", unasked.follow(Arc::clone(&health), background.stop().clone()));
    let sides = backends.lane(Lane::Admin);
    background.once("statements", statements::follow(sides, Arc::clone(&health), background.stop().clone()));

    let unsettled = Arc::new(UnsettledKeys::default());
    let known = (&unsettled, &newest, &figures);
    let compared = lives::keep(&backends, state, &breakers, known, &background);
    let fences = keep_fences(config, &backends, &rollout, id.as_str(), &background);
    let parts = Parts {
        config,
        backends: &backends,
        breakers: &breakers,
        unsettled: &unsettled,
        newest: &newest,
        fences: &fences,
        compared,
        figures,
    };
    let (shadow, rehearsals) = parts.shadow(evidence.clone(), &secret, &background);
    let (writes, doors) = parts.write_road(rehearsals, evidence, &secret);
    parts.catch_up(doors, &background);
    let within = config.writes.relay.within;
    let known = Arc::clone(&newest);
    background.keep("shapes", move |stop| Arc::clone(&shapes).run(Arc::clone(&known), within, stop));
    let here = Here { id: id.clone(), address: advertised, rollout: rollout.clone() };
    let desk = Desk { here: Some(here), guard: Some(guard.clone()), ..backends.desk(config) };
    let promoter = Promoter { desk: desk.clone(), origin: id.to_string() };
    background.keep("promotions", move |stop| promoter.clone().run(stop));
    let honours = desk.clone();
    background.keep("rollbacks", move |stop| honours.clone().keep_rollbacks(stop));
    openfeature::start(config.flags.as_ref(), &desk, &id, &background);
    webhooks::start(&config.webhooks, &backends.control, &webhooks::holder(&id), now, &background);
    let reconciler = |pause| reconciler(config, &backends, &secret, pause);
    let pause = config.reconcile.as_ref().map_or(ReconcileSettings::default().pause, |schedule| schedule.pause);
    orders::start(&desk, &id, reconciler(pause), &background);
    schedule::start(&desk, &id, &background);
    let oracles = backends.oracles.clone();
    background.keep("lanes", move |stop| lanes::watch(oracles.clone(), stop));
    let servers = servers::Servers::of(&backends);
    background.keep("servers", move |stop| servers::watch(servers.clone(), stop));
    let (control, contract) = (Arc::clone(&backends.control), Arc::clone(&backends.loaded.contract));
    background.keep("drift", move |stop| reconcile::figures::watch(Arc::clone(&control), Arc::clone(&contract), stop));
    let tasks = writes.tasks.clone();
    let settlers = PerSide { legacy: writes.sides.legacy.settler.clone(), modern: writes.sides.modern.settler.clone() };
    let saga = parts.sagas(&writes, &background);
    let fork = Arc::new(Fork { read: parts.read_road(shadow), write: writes, saga });

    let groups = backends.loaded.contract.groups();
    let gateway = serve_graphql(config, backends.loaded, fork, newest, Port { listener: graphql, tls: graphql_tls });
    let admin = Admin {
        replica: id,
        groups,
        rollout: rollout.clone(),
        metrics: metrics.clone(),
        health: Arc::clone(&health),
        api: admin::schema::schema(desk),
        clock: now,
    };
    // Operators and probes are answered however busy the clients keep everybody else.
    let (admin_port, workers) = (unbound(admin_port, config.admin.listen)?, Handle::current());
    last.apart("admin", move |stop| door.serve(admin, admin_port, workers, stop));
    keep_metrics(metrics, &last);
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

fn serve_graphql(
    config: &Config,
    loaded: Loaded,
    fork: Arc<Fork>,
    newest: gateway::RolloutSource,
    port: Port,
) -> Tasks {
    let gateway = Gateway::new(loaded.client_schema, loaded.contract, fork, newest, config.gateway.clone());
    let router = gateway::router(Arc::clone(&gateway));
    let serving = Tasks::default();
    let stop = serving.stop().clone();
    if let Some(tls) = port.tls.clone() {
        serving.keep("certificate", move |stop| tls.clone().follow(stop));
    }
    serving.once("graphql", async move {
        gateway::serve(port, router, gateway, stop.cancelled()).await;
    });
    serving
}

/// Watches who has the authority, and tells the rollout.
fn keep_fences(
    config: &Config,
    backends: &Backends,
    rollout: &RolloutHandle,
    replica: &str,
    background: &Tasks,
) -> Arc<Fences> {
    let (hears, known) = (rollout.clone(), rollout.clone());
    let told = Arc::new(move |group: &GroupName, holder| hears.hear(group, holder));
    let fences = Fences::new(backends.lane(Lane::Admin), told, config.handover.within);
    let keeper = Arc::new(Keeper {
        fences: Arc::clone(&fences),
        published: Arc::new(move || known.known().base().clone()),
        publish: publish_unpublished(backends.witness(), replica.to_owned()),
        settings: config.handover,
    });
    background.keep("fences", move |stop| Arc::clone(&keeper).run(stop));
    fences
}

/// Compares rows at rest, in the lane of scans. A write may take as long as a client waits for it.
fn reconciler(config: &Config, backends: &Backends, secret: &[u8], pause: Duration) -> Reconciler {
    Reconciler {
        stores: backends.lane(Lane::Scan),
        control: Arc::clone(&backends.control),
        redactor: Redactor::new(secret),
        today: || chrono::Utc::now().date_naive(),
        settings: ReconcileSettings { pause, held_after: config.gateway.deadline, ..ReconcileSettings::default() },
    }
}

/// Tidies up the recorder from time to time.
fn keep_metrics(metrics: PrometheusHandle, last: &Tasks) {
    last.keep("metrics", move |stop| {
        let metrics = metrics.clone();
        async move {
            while stop.run_until_cancelled(tokio::time::sleep(telemetry::UPKEEP)).await.is_some() {
                metrics.run_upkeep();
            }
        }
    });
}

async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    let refused = |error: std::io::Error| StartError::Listen { address, key, reason: error.kind().to_string() };
    TcpListener::bind(address).await.map_err(refused)
}

/// The same port, to be served by another runtime.
fn unbound(listener: TcpListener, address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let refused =
        |error: std::io::Error| StartError::Listen { address, key: "admin.listen", reason: error.to_string() };
    listener.into_std().map_err(refused)
}

/// Where it really listens: port 0 asks for any free one.
fn address(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

fn now() -> Instant {
    Instant::new(chrono::Utc::now())
}
