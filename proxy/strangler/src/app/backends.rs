//! What commands and replicas share: the contract, both sides and the control store.
//!
//! Not here: roads, ports and tasks, which only a replica has (`app`).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::OracleStore;
use adapters::postgres::PostgresStore;
use adapters::postgres::control::{ControlSettings, PostgresControl};
use adapters::{Lane, Lanes};
use model::control::ControlStore;
use model::{Contract, Instant, PerSide, Side, Store, StoreError};

use crate::app::StartError;
use crate::config::{Config, SideSettings};
use contract::Loaded;
use control_plane::desk::Desk;
use control_plane::rollout::Witness;
use data_plane::state_dir::StateDir;

/// Connections of one replica for calls to the control database; one more listens.
pub const CONTROL_CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// What commands and replicas share: the contract, both sides and the control store.
pub struct Backends {
    /// The contract.
    pub loaded: Loaded,
    /// Both sides.
    pub sides: PerSide<Lanes>,
    /// Those of them that are an Oracle, for what only their threads can tell.
    pub oracles: Vec<OracleStore>,
    /// Those of them that are a PostgreSQL, for what only their servers can tell.
    pub postgres: PerSide<Option<PostgresStore>>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// The same, for what only its server can tell.
    pub control_server: Arc<PostgresControl>,
}

impl Backends {
    /// Loads the contract and names the databases. Nothing is connected before it is needed.
    ///
    /// # Errors
    /// [`StartError`] when the contract or an address cannot be used.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let name = config.contract.display().to_string();
        let text = std::fs::read_to_string(&config.contract)
            .map_err(|error| StartError::NoContract { path: name.clone(), reason: net::watched::why(&error) })?;
        let loaded = contract::load(&text, &name)?;
        let groups = loaded.contract.groups();
        if let Some(name) = config.primary_wins.iter().find(|name| !groups.contains(name)) {
            return Err(StartError::NoGroup { key: "foreign_writes.primary_wins", name: name.clone() });
        }
        let side = |side| Engine::open(side, &loaded.contract, config.sides.get(side));
        let engines = PerSide { legacy: side(Side::Legacy)?, modern: side(Side::Modern)? };
        let control = Arc::new(PostgresControl::new(&ControlSettings {
            url: config.control_url.clone(),
            tls: config.control_tls.clone(),
            connections: CONTROL_CONNECTIONS,
            connect_timeout: Duration::from_secs(2),
            limit: Duration::from_secs(2),
        })?);
        Ok(Self {
            loaded,
            sides: engines.clone().map(|_, engine| engine.lanes()),
            oracles: Side::BOTH.into_iter().filter_map(|side| engines.get(side).oracle()).collect(),
            postgres: engines.map(|_, engine| engine.postgres()),
            control: Arc::clone(&control) as Arc<dyn ControlStore>,
            control_server: control,
        })
    }

    /// Both sides on connections that are kept for `lane`.
    pub fn lane(&self, lane: Lane) -> PerSide<Arc<dyn Store>> {
        self.sides.clone().map(|_, lanes| Arc::clone(lanes.get(lane)))
    }

    /// What operators can ask and order.
    pub fn desk(&self, config: &Config) -> Desk {
        Desk {
            contract: Arc::clone(&self.loaded.contract),
            control: Arc::clone(&self.control),
            sides: self.sides.clone(),
            witness: self.witness(),
            approvals: config.approvals.clone(),
            promotions: config.promotion.clone(),
            reconcile: config.reconcile.clone(),
            handover: config.handover,
            breakeven: config.breakeven.clone(),
            secret: config.evidence.secret.clone(),
            fleet: Arc::new(config.fleet.clone()),
            state: StateDir::open(&config.state_dir).ok(),
            here: None,
            guard: None,
            notices: Default::default(),
            clock: || Instant::new(chrono::Utc::now()),
        }
    }

    /// Sees what is known at the moment of a change.
    pub fn witness(&self) -> Witness {
        Witness {
            control: Arc::clone(&self.control),
            contract: Arc::clone(&self.loaded.contract),
            sides: Some(self.lane(Lane::Admin)),
        }
    }
}

/// A side as the engine that it is.
#[derive(Clone)]
enum Engine {
    Postgres(PostgresStore),
    Oracle(OracleStore),
}

impl Engine {
    fn open(side: Side, contract: &Arc<Contract>, settings: &SideSettings) -> Result<Self, StoreError> {
        let contract = Arc::clone(contract);
        match settings {
            SideSettings::Postgres(settings) => PostgresStore::connect(side, contract, settings).map(Self::Postgres),
            SideSettings::Oracle(settings) => OracleStore::connect(side, contract, settings).map(Self::Oracle),
        }
    }

    fn lanes(&self) -> Lanes {
        match self {
            Self::Postgres(store) => store.lanes(),
            Self::Oracle(store) => store.lanes(),
        }
    }

    fn oracle(&self) -> Option<OracleStore> {
        match self {
            Self::Postgres(_) => None,
            Self::Oracle(store) => Some(store.clone()),
        }
    }

    fn postgres(self) -> Option<PostgresStore> {
        match self {
            Self::Postgres(store) => Some(store),
            Self::Oracle(_) => None,
        }
    }
}
