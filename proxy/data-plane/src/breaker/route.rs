//! The breaker of one route's calls to a side, and how many of them may be under way at once.

use std::sync::Arc;

use model::{Side, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Breaker;
use super::circuit::Circuit;

/// One route's way to a side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RouteBreaker {
    side: Arc<Breaker>,
    route: Arc<Route>,
}

/// What is known of a route.
#[derive(Debug)]
pub(super) struct Route {
    name: Box<str>,
    circuit: Circuit,
    places: Arc<Semaphore>,
}

impl Route {
    pub(super) fn new(name: &str, room: usize, circuit: Circuit) -> Self {
        Self { name: name.into(), circuit, places: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))) }
    }

    /// The side has answered after an outage: what kept the route away from it may have been the same.
    pub(super) fn relents(&self, side: Side) {
        if self.circuit.relents() {
            telemetry::route_breaker(side, &self.name, false);
        }
    }
}

impl RouteBreaker {
    pub(super) fn new(side: Arc<Breaker>, route: Arc<Route>) -> Self {
        Self { side, route }
    }

    /// As [`Breaker::admits`], for this route.
    pub fn admits(&self, now: Instant) -> bool {
        self.itself_admits(now) && self.side.admits(now)
    }

    /// The same, without asking the side's breaker: for one of several routes of a call.
    pub fn itself_admits(&self, now: Instant) -> bool {
        self.route.circuit.admits(now)
    }

    /// As [`Breaker::admits_by`], for this route.
    pub async fn admits_by(&self, deadline: Instant) -> bool {
        self.route.circuit.admits_by(deadline).await && self.side.admits_by(deadline).await
    }

    /// A place among the route's calls, held until it is dropped: a route whose calls all wait for a lock leaves some of
    /// the side's connections to the others. `None` when none is free by `deadline`.
    pub async fn place(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(deadline, Arc::clone(&self.route.places).acquire_owned()).await.ok()?.ok()
    }

    /// Whether the route's last call met an outage.
    pub fn is_suspect(&self) -> bool {
        self.route.circuit.is_suspect()
    }

    /// Takes in how a call ended, and says in the log when that changes who is asked.
    pub fn note(&self, side: Side, error: Option<&StoreError>) {
        self.side.note(side, error);
        self.takes_in(side, error);
    }

    /// The same, for one of several routes of a call, of which the side's breaker has heard.
    pub fn takes_in(&self, side: Side, error: Option<&StoreError>) {
        let (name, circuit) = (&self.route.name, &self.route.circuit);
        if let Some(error) = error.filter(|error| error.is_out_of_reach()) {
            if circuit.failed(Instant::now()) {
                telemetry::route_breaker(side, name, true);
                // Of a side that is left alone as a whole that was said.
                if !self.side.is_open() {
                    tracing::warn!(
                        %side, route = %name, %error,
                        "{side} answers others, but not {name}, which is left alone there and tried each second: look for locks and slow statements in that database"
                    );
                }
            }
        } else if circuit.succeeded() {
            telemetry::route_breaker(side, name, false);
            tracing::info!(%side, route = %name, "{side} answers {name} again");
        }
    }
}
