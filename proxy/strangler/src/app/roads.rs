//! The roads of a replica, put together: reads, writes, shadow reads, catch-up.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use adapters::{Lane, oracle, postgres};
use model::{Contract, EntityName, PerSide, Rollout, Side, Store};
use parking_lot::Mutex;
use shadow_compare::redact::Redactor;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{Backends, now};
use crate::config::{Config, SideSettings};
use data_plane::breaker::Breaker;
use data_plane::catchup::relay::Relay;
use data_plane::catchup::retention::{self, Retention};
use data_plane::catchup::watch::Watch;
use data_plane::compared::Compared;
use data_plane::evidence::Aggregator;
use data_plane::excuses::AcceptedExcuses;
use data_plane::fences::Fences;
use data_plane::figures::Recorder;
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
use telemetry::tasks::Tasks;

/// Longest look of a token's writes on the secondary.
const SEEN_WITHIN: Duration = Duration::from_millis(500);

/// What the roads are made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) backends: &'a Backends,
    pub(super) breakers: &'a PerSide<Arc<Breaker>>,
    pub(super) unsettled: &'a Arc<UnsettledKeys>,
    pub(super) newest: &'a Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
    pub(super) fences: &'a Arc<Fences>,
    pub(super) compared: Arc<Compared>,
    pub(super) figures: Recorder,
}

impl Parts<'_> {
    fn contract(&self) -> &Contract {
        &self.backends.loaded.contract
    }

    /// How many calls of one route a side is given at once: all but a quarter of the connections that it has for them, so
    /// that a route whose calls all wait leaves some to the others.
    fn room(
        &self,
        side: Side,
        postgres: impl Fn(&postgres::Settings) -> NonZeroUsize,
        oracle: impl Fn(&oracle::Settings) -> NonZeroUsize,
    ) -> usize {
        let connections = match self.config.sides.get(side) {
            SideSettings::Postgres(settings) => postgres(settings),
            SideSettings::Oracle(settings) => oracle(settings),
        };
        (connections.get() * 3 / 4).max(1)
    }

    pub(super) fn read_road(&self, shadow: Shadow) -> ReadRoad {
        let stores = self.backends.lane(Lane::Client);
        let side = |side| ReadSide {
            store: Arc::clone(stores.get(side)),
            breaker: Arc::clone(self.breakers.get(side)),
            room: self.room(side, |settings| settings.reads, |settings| settings.reads),
            batches: batches(self.contract(), stores.get(side)),
        };
        ReadRoad {
            sides: PerSide { legacy: side(Side::Legacy), modern: side(Side::Modern) },
            unsettled: Arc::clone(self.unsettled),
            seen: stores.clone().map(|side, store| Seen::new(store, Arc::clone(self.breakers.get(side)), SEEN_WITHIN)),
            shadow,
            figures: self.figures.clone(),
            settings: ReadSettings {
                share: self.config.reads.modern_share,
                answer_budget: self.config.writes.answer_budget,
            },
        }
    }

    pub(super) fn write_road(
        &self,
        rehearsals: Rehearsals,
        evidence: Aggregator,
        secret: &[u8],
    ) -> (Arc<WriteRoad>, PerSide<Arc<Door>>) {
        let stores = self.backends.lane(Lane::Client);
        let admin = self.backends.lane(Lane::Admin);
        let writes = self.config.writes;
        let foreign = Arc::new(ForeignWrites::new(
            Arc::clone(&self.backends.loaded.contract),
            self.config.primary_wins.clone(),
            Redactor::new(secret),
            Arc::new(move |observation| evidence.observe(&observation)),
            || chrono::Utc::now().date_naive(),
        ));
        let breaker = |side| Arc::clone(self.breakers.get(side));
        let contract = &self.backends.loaded.contract;
        let doors = Door::both(contract, &stores, breaker, writes.apply_timeout, Some(foreign));
        let side = |side| WriteSide {
            store: Arc::clone(stores.get(side)),
            door: Arc::clone(doors.get(side)),
            settler: Settler::start(Arc::clone(admin.get(side)), writes.apply_timeout),
            breaker: Arc::clone(self.breakers.get(side)),
            room: self.room(side, |settings| settings.writes, |settings| settings.writes),
        };
        let road = WriteRoad {
            sides: PerSide { legacy: side(Side::Legacy), modern: side(Side::Modern) },
            rollout: Arc::clone(self.newest),
            fences: Arc::clone(self.fences),
            compared: Arc::clone(&self.compared),
            unsettled: Arc::clone(self.unsettled),
            figures: self.figures.clone(),
            clock: now,
            rehearsals,
            spare: Spare::default(),
            used_up: UsedUp::new(writes.refused_numbers),
            settings: WriteSettings { answer_budget: writes.answer_budget, claim_within: writes.claim_timeout },
            tasks: TaskTracker::new(),
        };
        (Arc::new(road), doors)
    }

    pub(super) fn sagas(&self, writes: &Arc<WriteRoad>, background: &Tasks) -> Arc<SagaRoad> {
        let road = Arc::new(SagaRoad {
            writes: Arc::clone(writes),
            contract: Arc::clone(&self.backends.loaded.contract),
            settings: self.config.sagas,
            left: Mutex::default(),
            copied: data_plane::saga::Copied::default(),
        });
        let resumed = Arc::clone(&road);
        background.keep("sagas", move |stop| Arc::clone(&resumed).resume(stop));
        road
    }

    /// What compares: shadow reads, and rehearsals of writes.
    pub(super) fn shadow(&self, evidence: Aggregator, secret: &[u8], background: &Tasks) -> (Shadow, Rehearsals) {
        let (shadow, jobs) = Shadow::queue(&self.config.shadow, self.figures.clone());
        let excuses = AcceptedExcuses::default();
        let (control, followed) = (Arc::clone(&self.backends.control), excuses.clone());
        background.keep("excuses", move |stop| followed.clone().follow(Arc::clone(&control), stop));
        let observe = Arc::new(move |observation| evidence.observe(&observation));
        let today = || chrono::Utc::now().date_naive();
        let settings = self.config.writes.rehearsals;
        let rehearsals = Rehearsals {
            redactor: Redactor::new(secret),
            observe: observe.clone(),
            figures: self.figures.clone(),
            today,
            excuses: excuses.clone(),
            limit: Semaphore::new(settings.at_once),
            within: settings.within,
            told: Mutex::default(),
        };
        let stores = self.backends.lane(Lane::Shadow);
        let worker = Arc::new(ShadowWorker {
            rollout: Arc::clone(self.newest),
            batches: stores.clone().map(|_, store| batches(self.contract(), &store)),
            stores,
            unsettled: Arc::clone(self.unsettled),
            redactor: Redactor::new(secret),
            observe,
            figures: self.figures.clone(),
            today,
            excuses,
            limits: self.config.shadow.per_side.map(|_, limit| Semaphore::new(limit)),
            settings: self.config.shadow,
        });
        let stop = background.stop().clone();
        background.once("shadow", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = worker.run(jobs) => {}
            }
        });
        (shadow, rehearsals)
    }

    pub(super) fn catch_up(&self, doors: PerSide<Arc<Door>>, background: &Tasks) {
        let stores = self.backends.lane(Lane::Admin);
        let relay = Arc::new(Relay {
            stores: stores.clone(),
            doors,
            contract: Arc::clone(&self.backends.loaded.contract),
            rollout: Arc::clone(self.newest),
            figures: self.figures.clone(),
            settings: self.config.writes.relay,
            failing: Mutex::default(),
        });
        background.keep("relay", move |stop| Arc::clone(&relay).run(stop));
        let retention = Arc::new(Retention {
            stores: stores.clone(),
            keep: self.config.writes.retention,
            portion: retention::PORTION,
            within: self.config.writes.relay.within,
        });
        background.keep("retention", move |stop| Arc::clone(&retention).run(stop));
        let watch = Arc::new(Watch {
            most_unsettled: self.config.writes.unsettled_limit,
            stores,
            clients: self.backends.lane(Lane::Client),
            rollout: Arc::clone(self.newest),
            unsettled: Arc::clone(self.unsettled),
            figures: self.figures.clone(),
            within: self.config.writes.relay.within,
            doubted: Mutex::default(),
        });
        background.keep("unsettled", move |stop| Arc::clone(&watch).run(stop));
    }
}

fn batches(contract: &Contract, store: &Arc<dyn Store>) -> HashMap<EntityName, Arc<Batch>> {
    let batch = |(name, entity): (&EntityName, _)| (name.clone(), Batch::new(Arc::clone(store), Arc::clone(entity)));
    contract.entities.iter().map(batch).collect()
}
