//! A replica, its configuration, and how it reaches the sides; and its processes: killed, started again, replaced.

use std::path::Path;
use std::time::Duration;

use adapters::local_server::{self, LocalServer};
use model::{PerSide, Side};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::releases::{GRACE_TO_END, Release};
use super::wire::Wire;
use super::world::{BACK_WITHIN, DATABASE, NAMES, World};
use crate::fleet::{Replica, Site, free_port};

/// One replica, its configuration, and how it reaches the sides.
pub(super) struct Place {
    pub(super) site: parking_lot::Mutex<Site>,
    pub(super) graphql: u16,
    pub(super) admin: u16,
    pub(super) wires: PerSide<Wire>,
    pub(super) replica: Mutex<Option<Replica>>,
    pub(super) clock: Clock,
}

impl World {
    /// Kills a replica.
    pub async fn kill(&self, replica: usize) {
        if let Some(mut killed) = self.places[replica].replica.lock().await.take() {
            killed.kill();
        }
    }

    /// Starts a replica and waits until it is ready; starts it again when it ends by itself, as an orchestrator
    /// would. How often that was; `None` when it does not come back.
    pub async fn revive(&self, replica: usize) -> Option<usize> {
        let place = &self.places[replica];
        let mut held = place.replica.lock().await;
        // A deploy has brought it back meanwhile.
        if held.is_some() {
            return Some(0);
        }
        self.start(replica, &mut held).await
    }

    async fn start(&self, replica: usize, held: &mut Option<Replica>) -> Option<usize> {
        let place = &self.places[replica];
        let began = Instant::now();
        for attempt in 0.. {
            let mut launched = place.site.lock().launch(NAMES[replica], place.graphql, place.admin);
            let ready = launched.ready().await;
            if ready {
                *held = Some(launched);
                return Some(attempt);
            }
            if began.elapsed() > BACK_WITHIN {
                break;
            }
            drop(launched);
            sleep(Duration::from_millis(500)).await;
        }
        None
    }

    /// Asks a replica to end, as a deploy does, and kills it when it does not.
    pub async fn end_replica(&self, replica: usize) {
        let mut held = self.places[replica].replica.lock().await;
        self.end_held(&mut held).await;
    }

    async fn end_held(&self, held: &mut Option<Replica>) {
        let Some(mut ending) = held.take() else { return };
        ending.signal(rustix::process::Signal::TERM);
        let began = Instant::now();
        while !ending.has_ended() && began.elapsed() < GRACE_TO_END {
            sleep(Duration::from_millis(20)).await;
        }
        ending.kill();
    }

    /// Replaces a replica by one with another release's contract; as [`World::revive`].
    pub async fn replace(&self, replica: usize, release: Release) -> Option<usize> {
        let place = &self.places[replica];
        // Held all the time: whoever kills it meanwhile must not start it beside the new one.
        let mut held = place.replica.lock().await;
        self.end_held(&mut held).await;
        place.site.lock().contract = release.contract(self.contracts.path());
        self.start(replica, &mut held).await
    }

    /// The release of a replica, also of one that is just away.
    pub fn release_of(&self, replica: usize) -> Release {
        let contract = self.places[replica].site.lock().contract.clone();
        if contract == Release::New.contract(self.contracts.path()) { Release::New } else { Release::Old }
    }

    /// Sends a replica a signal, if it lives.
    pub async fn signal(&self, replica: usize, signal: rustix::process::Signal) {
        if let Some(replica) = &*self.places[replica].replica.lock().await {
            replica.signal(signal);
        }
    }

    /// Replicas whose process is gone though nobody killed it.
    pub async fn ended_by_themselves(&self) -> usize {
        let mut ended = 0;
        for place in &self.places {
            ended += usize::from(place.replica.lock().await.as_mut().is_none_or(Replica::has_ended));
        }
        ended
    }
}

impl Place {
    pub(super) async fn new(
        binary: &Path,
        contract: &Path,
        servers: &PerSide<LocalServer>,
        clocks: Option<&Path>,
    ) -> Self {
        let wire = async |side: Side| Wire::to(servers.get(side).port()).await.unwrap();
        let wires = PerSide { legacy: wire(Side::Legacy).await, modern: wire(Side::Modern).await };
        let mut site = Site::new(binary, url(&wires.legacy), url(&wires.modern), contract);
        let clock = Clock::new(clocks);
        site.environment = clock.environment();
        // Sagas end in the time of a run, and wait for no person.
        site.more = "[sagas]\nlongest_pause_ms = 1000\nundo_attempts = 100\n".to_owned();
        let (site, replica) = (parking_lot::Mutex::new(site), Mutex::default());
        Self { site, graphql: free_port().await, admin: free_port().await, wires, replica, clock }
    }
}

/// The address of a database that a wire leads to.
pub(super) fn url(wire: &Wire) -> String {
    local_server::url(wire.port(), DATABASE)
}
