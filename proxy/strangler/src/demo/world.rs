//! The demo's world: two private databases, the inventory in the ERP, and one replica in front.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters::Lane;
use adapters::local_server::{LocalServer, LocalServerError, Options};
use metrics_exporter_prometheus::PrometheusHandle;
use model::control::{Author, ControlError, EvidenceFilter, OverrideId, Sums};
use model::{EntityType, GroupName, PerSide, Side, Store, StoreError};
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

use super::DemoArgs;
use super::narrator::Narrator;
use super::seed::{self, SeedReport};
use super::storefront::Storefront;
use super::traffic::Shelf;
use crate::app::{self, Backends, Running, StartError};
use crate::config::{Config, InvalidConfig};
use control_plane::handover::begin::begin;
use control_plane::rollout::publish::{self, Change, ChangeError};
use control_plane::rollout::{Override, SetPolicy, Witness};
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::baseline::{self, BaselineError, Copied};
use data_plane::write::apply::Door;

/// The contract of the demo is the one of the repository.
const CONTRACT: &str = include_str!("../../../../schema.graphql");
/// The group that the demo moves.
pub const GROUP: &str = "inventory";
/// Of the replica that the whole story is about.
const UNGUARDED: &str = "# The story breaks modern on purpose, and an operator rolls back.\n[guard]\nenabled = false\n";
/// Of the one that joins it for the night.
const GUARDED: &str = "# On a busy laptop both sides are slow at times, which is not what the story is about.\n\
    [guard]\nlatency_floor_ms = 5000\n";
/// Limit of a call that nobody waits for.
const WITHIN: Duration = Duration::from_secs(20);

/// Why the demo cannot go on.
#[derive(Debug, Error)]
pub enum DemoError {
    /// No database.
    #[error(transparent)]
    Server(#[from] LocalServerError),
    /// Somebody else listens there.
    #[error("port {port} cannot be used ({reason}): choose another with {option}, or 0 for any free one")]
    Port {
        /// How to choose another.
        option: &'static str,
        /// Which.
        port: u16,
        /// Why not.
        reason: std::io::ErrorKind,
    },
    /// The replica does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The demo's own configuration is wrong.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A side does not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The control store does not do its part.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A stage could not be set.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The copy stopped.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// The audit could not look.
    #[error(transparent)]
    Audit(#[from] super::audit::AuditError),
    /// Something that must happen did not happen in time.
    #[error("{0} did not happen within {1:?}")]
    Late(&'static str, Duration),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Everything that the story acts on.
pub struct World {
    /// The ERP's server.
    pub legacy: LocalServer,
    /// The new store's server.
    pub modern: LocalServer,
    /// Contract, stores and control store, apart from the replica's own.
    pub backends: Backends,
    /// The replica.
    pub running: Running,
    /// A customer's view.
    pub storefront: Storefront,
    /// What the ERP was seeded with.
    pub seeded: SeedReport,
    /// Where the configuration is, for the commands to try.
    pub config_file: std::path::PathBuf,
    guarded_file: std::path::PathBuf,
    metrics: PrometheusHandle,
}

impl World {
    /// Brings everything up.
    ///
    /// # Errors
    /// [`DemoError`]; nothing is left running.
    pub async fn build(arguments: &DemoArgs, narrator: &Arc<Narrator>) -> Result<Self, DemoError> {
        // Before anything is built: half a minute later is too late to hear of it.
        free("--graphql-port", arguments.graphql_port)?;
        free("--admin-port", arguments.admin_port)?;
        let server = || {
            let told = Arc::clone(narrator);
            LocalServer::start(Options {
                notice: Some(Arc::new(move |text: &str| told.say(text))),
                ..Options::default()
            })
        };
        let (legacy, modern) = futures::try_join!(server(), server())?;
        legacy.create_database("erp").await?;
        modern.create_database("shop").await?;
        narrator.say(&format!(
            "two PostgreSQL servers of our own: legacy on port {}, modern on port {}",
            legacy.port(),
            modern.port()
        ));
        narrator.say(arguments.erp.label());
        let seeded = seed_both(&legacy, &modern, arguments).await?;
        narrator.say(&format!("the ERP holds {seeded}"));

        // In the server's folder: it goes with the server, also after `kill -9`.
        let folder = legacy.folder().join("demo");
        let (config_file, guarded_file) = write_files(&folder, arguments, &legacy, &modern)?;
        let config = Config::load(&config_file)?;
        let backends = Backends::open(&config)?;
        let groups = backends.loaded.contract.groups();
        let sides = backends.lane(Lane::Admin);
        for store in [&sides.legacy, &sides.modern] {
            store.prepare(&groups, WITHIN).await?;
        }
        begin(&backends.loaded.contract, &sides, None, WITHIN)
            .await
            .map_err(|error| DemoError::Other(error.to_string()))?;
        backends.control.prepare().await?;
        let metrics = telemetry::install().map_err(|error| DemoError::Other(error.to_string()))?;
        let running = app::start(&config, metrics.clone()).await.map_err(|error| taken(arguments, error))?;
        let storefront = Storefront::new(format!("http://{}/graphql", running.graphql));
        Ok(Self { legacy, modern, backends, running, storefront, seeded, config_file, guarded_file, metrics })
    }

    /// A second replica, whose guard is on: it judges what the whole fleet has counted.
    ///
    /// # Errors
    /// [`DemoError::Start`].
    pub async fn guarded_replica(&self) -> Result<Running, DemoError> {
        let config = Config::load(&self.guarded_file)?;
        Ok(Box::pin(app::start(&config, self.metrics.clone())).await?)
    }

    /// Who has published the newest rollout of the group, and why.
    ///
    /// # Errors
    /// [`DemoError::Control`].
    pub async fn last_change(&self) -> Result<Option<Author>, DemoError> {
        let newest = self.backends.control.history(Some(&GROUP.into()), 1).await?;
        Ok(newest.into_iter().next().map(|record| record.author))
    }

    /// Both sides, for work that nobody waits for.
    pub fn stores(&self) -> PerSide<Arc<dyn Store>> {
        self.backends.lane(Lane::Scan)
    }

    /// Changes the policy as `strangler groups set` does, and waits until the replica works under it.
    ///
    /// # Errors
    /// [`DemoError::Change`], or [`DemoError::Late`] after five seconds.
    pub async fn set(&self, set: SetPolicy, why: &str) -> Result<Duration, DemoError> {
        let began = Instant::now();
        let author = Author { who: "demo".into(), origin: "demo".into(), reason: Some(why.into()) };
        let change = publish::publish_change(&self.witness(), &GROUP.into(), &set, &author).await?;
        let version = match change {
            Change::Published { record, .. } => record.rollout.version,
            Change::AlreadySo { version, .. } => version,
        };
        until("the replica's swap", Duration::from_secs(5), || async { Ok(self.running.rollout.version() >= version) })
            .await?;
        Ok(began.elapsed())
    }

    /// Rolls back as `strangler groups rollback` does: tells the replica, and the control store too.
    ///
    /// # Errors
    /// [`DemoError::Change`] when the control store refuses; the replica has rolled back all the same.
    pub async fn roll_back(&self) -> Result<(), DemoError> {
        let author = Author { who: "demo".into(), origin: "demo".into(), reason: None };
        let at = model::Instant::new(chrono::Utc::now());
        let told =
            Override { id: OverrideId(Uuid::new_v4()), group: GroupName::from(GROUP), author, at, idle_under: None };
        self.running.rollout.roll_back(told.clone()).await;
        publish::publish_rollback(&self.witness(), &told, None).await?;
        Ok(())
    }

    /// Copies the ERP's records of `types` to modern as the `run`th baseline.
    ///
    /// # Errors
    /// [`DemoError::Baseline`].
    pub async fn baseline(&self, run: u32, types: &[&str], narrator: &Narrator) -> Result<Copied, DemoError> {
        let stores = self.stores();
        let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
        let door = Door::both(&self.backends.loaded.contract, &stores, breaker, WITHIN, None).modern;
        let mut all = Copied::default();
        let named = |entity: &&Arc<EntityType>| types.contains(&entity.name.as_str());
        for entity in self.backends.loaded.contract.entities.values().filter(named) {
            let shown = |copied: Copied| narrator.progress(&format!("{}: {} rows", entity.name, copied.read));
            let legacy = stores.get(Side::Legacy);
            // Beyond the first there are defects on modern that we have planted ourselves.
            let copied = match run {
                1 => baseline::copy(legacy, &door, entity, run, WITHIN, shown).await?,
                _ => baseline::copy_over(legacy, &door, entity, run, WITHIN, shown).await?,
            };
            all.read += copied.read;
            all.filled += copied.filled;
            all.refused += copied.refused;
            if copied.not_taken > 0 {
                let why = format!("{} rows of {} were not taken by modern: see its log", copied.not_taken, entity.name);
                return Err(DemoError::Other(why));
            }
        }
        narrator.progress("");
        Ok(all)
    }

    /// What shadow reads have found until now.
    ///
    /// # Errors
    /// [`DemoError::Control`].
    pub async fn evidence(&self) -> Result<Sums, DemoError> {
        Ok(self.backends.control.evidence(&EvidenceFilter::default()).await?)
    }

    /// How many writes are not on both sides yet.
    ///
    /// # Errors
    /// [`DemoError::Store`].
    pub async fn unsettled(&self) -> Result<u64, DemoError> {
        Ok(self.backends.sides.legacy.get(Lane::Admin).backlog(&GROUP.into(), WITHIN).await?.writes)
    }

    /// Stock levels of articles all over the catalogue, asked for as a storefront does.
    ///
    /// # Errors
    /// [`DemoError::Other`] when the gateway does not answer.
    pub async fn shelves(&self, articles: usize) -> Result<Vec<Vec<Shelf>>, DemoError> {
        let query = "query($a: ID) { productList(first: 100, after: $a) { sku stockLevels { location } } }";
        let mut found = Vec::new();
        let mut after = serde_json::Value::Null;
        while found.len() < articles {
            let reply = self.storefront.ask(query, &serde_json::json!({ "a": after })).await;
            let reply = reply.map_err(|error| DemoError::Other(error.to_string()))?;
            let page = reply.data["productList"].as_array().cloned().unwrap_or_default();
            let Some(last) = page.last() else { break };
            after = last["sku"].clone();
            found.extend(page.iter().map(shelves_of).filter(|shelves| !shelves.is_empty()));
        }
        Ok(found)
    }

    fn witness(&self) -> Witness {
        self.backends.witness()
    }
}

/// In the words of the demo's options: there is no configuration that the reader could change.
fn taken(arguments: &DemoArgs, error: StartError) -> DemoError {
    let StartError::Listen { key, .. } = error else { return error.into() };
    let (option, port) = match key {
        "gateway.listen" => ("--graphql-port", arguments.graphql_port),
        _ => ("--admin-port", arguments.admin_port),
    };
    DemoError::Port { option, port, reason: std::io::ErrorKind::AddrInUse }
}

/// Whether `port` can be listened on.
fn free(option: &'static str, port: u16) -> Result<(), DemoError> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", port));
    bound.map(drop).map_err(|error| DemoError::Port { option, port, reason: error.kind() })
}

fn shelves_of(product: &serde_json::Value) -> Vec<Shelf> {
    let text = |json: &serde_json::Value| json.as_str().unwrap_or_default().to_owned();
    let levels = product["stockLevels"].as_array().map(Vec::as_slice).unwrap_or_default();
    levels.iter().map(|level| Shelf { sku: text(&product["sku"]), location: text(&level["location"]) }).collect()
}

async fn seed_both(legacy: &LocalServer, modern: &LocalServer, arguments: &DemoArgs) -> Result<SeedReport, DemoError> {
    legacy.run("erp", seed::ERP_TABLES).await?;
    modern.run("shop", seed::MODERN_TABLES).await?;
    legacy.run("erp", &seed::erp_seed_sql(arguments.seed, arguments.items)).await?;
    legacy.run("erp", "ANALYZE").await?;
    let rows = legacy.run("erp", seed::ERP_COUNTS).await?;
    let counts =
        rows.first().map(|row| row.iter().flatten().filter_map(|count| count.parse().ok()).collect::<Vec<i64>>());
    let counts: Option<[i64; 7]> = counts.and_then(|counts| counts.try_into().ok());
    let counts = counts.ok_or_else(|| DemoError::Other("the ERP cannot be counted".into()))?;
    Ok(SeedReport::from_counts(counts))
}

/// Writes contract and configuration, so that the commands printed at the end work as they are; and the configuration of
/// a second replica.
fn write_files(
    folder: &Path,
    arguments: &DemoArgs,
    legacy: &LocalServer,
    modern: &LocalServer,
) -> Result<(std::path::PathBuf, std::path::PathBuf), DemoError> {
    let failed = |error: std::io::Error| DemoError::Other(format!("the demo's files cannot be written: {error}"));
    let contract = folder.join("schema.graphql");
    std::fs::create_dir(folder).map_err(failed)?;
    std::fs::write(&contract, CONTRACT).map_err(failed)?;
    let erp = arguments.erp.section(legacy, arguments)?;
    let replica = |name: &str, (graphql, admin): (u16, u16), guard: &str| {
        let listen = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let file = folder.join(name).with_extension("toml");
        let text = format!(
            "contract = {contract:?}\nstate_dir = {:?}\n\
             {erp}[sides.modern]\nurl = {:?}\n\
             [gateway]\nlisten = \"{}\"\nintrospection = true\ndevelopment = true\n\
             [admin]\nlisten = \"{}\"\n\
             {guard}\
             # Made up: what a mid-sized shop might say.\n[breakeven]\ndaily_transactions = 120000\ncost_per_error = 18.0\n\
             licences_per_day = 2400.0\nmissed_revenue_per_day = 9000.0\nteam_per_day = 3600.0\n",
            folder.join(name),
            modern.url("shop"),
            listen(graphql),
            listen(admin),
        );
        std::fs::write(&file, text).map_err(failed).map(|()| file)
    };
    let ports = (arguments.graphql_port, arguments.admin_port);
    Ok((replica("strangler", ports, UNGUARDED)?, replica("guarded", (0, 0), GUARDED)?))
}

/// Waits until `what` is so.
///
/// # Errors
/// [`DemoError::Late`] when it is not within `limit`; any error of the question.
pub async fn until<F, Fut>(what: &'static str, limit: Duration, mut question: F) -> Result<(), DemoError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool, DemoError>>,
{
    let began = Instant::now();
    while !question().await? {
        if began.elapsed() > limit {
            return Err(DemoError::Late(what, limit));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
