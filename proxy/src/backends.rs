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
use crate::contract::{self, Loaded};
use crate::desk::Desk;
use crate::rollout::Witness;
use crate::state_dir::StateDir;

/// What commands and replicas share: the contract, both sides and the control store.
pub struct Backends {
    /// The contract.
    pub loaded: Loaded,
    /// Both sides.
    pub sides: PerSide<Lanes>,
    /// Those of them that are an Oracle, for what only their threads can tell.
    pub oracles: Vec<OracleStore>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
}

impl Backends {
    /// Loads the contract and names the databases. Nothing is connected before it is needed.
    ///
    /// # Errors
    /// [`StartError`] when the contract or an address cannot be used.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let name = config.contract.display().to_string();
        let text = std::fs::read_to_string(&config.contract)
            .map_err(|error| StartError::NoContract { path: name.clone(), reason: crate::config::why(&error) })?;
        let loaded = contract::load(&text, &name)?;
        let groups = loaded.contract.groups();
        if let Some(name) = config.primary_wins.iter().find(|name| !groups.contains(name)) {
            return Err(StartError::NoGroup { key: "foreign_writes.primary_wins", name: name.clone() });
        }
        let mut oracles = Vec::new();
        let mut side = |side| open_side(side, &loaded.contract, config.sides.get(side), &mut oracles);
        let sides = PerSide { legacy: side(Side::Legacy)?, modern: side(Side::Modern)? };
        let control = PostgresControl::new(&ControlSettings {
            url: config.control_url.clone(),
            connections: NonZeroUsize::MIN.saturating_add(3),
            connect_timeout: Duration::from_secs(2),
            limit: Duration::from_secs(2),
        })?;
        Ok(Self { loaded, sides, oracles, control: Arc::new(control) })
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

fn open_side(
    side: Side,
    contract: &Arc<Contract>,
    settings: &SideSettings,
    oracles: &mut Vec<OracleStore>,
) -> Result<Lanes, StoreError> {
    match settings {
        SideSettings::Postgres(settings) => {
            PostgresStore::connect(side, Arc::clone(contract), settings).map(|store| store.lanes())
        }
        SideSettings::Oracle(settings) => {
            let store = OracleStore::connect(side, Arc::clone(contract), settings)?;
            oracles.push(store.clone());
            Ok(store.lanes())
        }
    }
}
