//! What the write road needs of one side, and who may begin a write there.

use std::sync::Arc;

use model::{Root, Side, Store, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::apply::Door;
use super::settle::Settler;
use crate::breaker::{Breaker, RouteBreaker};
use request::error::InternalError;

/// What the write road needs of one side.
pub struct WriteSide {
    /// The store, in its lane for client writes.
    pub store: Arc<dyn Store>,
    /// The door through which the side is changed as secondary.
    pub door: Arc<Door>,
    /// Marks writes in the side's ledger when it is primary.
    pub settler: Settler,
    /// The side's breaker.
    pub breaker: Arc<Breaker>,
    /// How many writes of one route may be under way there at once.
    pub room: usize,
}

/// A write that may begin; it tells how it ended.
pub(super) struct Admitted {
    breaker: RouteBreaker,
    place: OwnedSemaphorePermit,
}

impl WriteSide {
    /// Lets a write of `root` begin, by `deadline`.
    ///
    /// # Errors
    /// `UNAVAILABLE`: nothing was sent.
    pub(super) async fn admits(&self, root: &Root, deadline: Instant) -> Result<Admitted, InternalError> {
        let side = self.store.side();
        let breaker = self.breaker.route(root.route.as_str(), self.room);
        if !breaker.admits_by(deadline).await {
            return Err(InternalError::Unavailable(format!("{side} does not answer {}", root.route)));
        }
        let full = || format!("all writes of {} that {side} is given at once are under way", root.route);
        let place = breaker.place(deadline).await.ok_or_else(|| InternalError::Unavailable(full()))?;
        Ok(Admitted { breaker, place })
    }
}

impl Admitted {
    /// How the write on `side` ended.
    pub(super) fn ended(self, side: Side, error: Option<&StoreError>) {
        drop(self.place);
        self.breaker.note(side, error);
    }
}
