//! What is remembered of a side's life, in three places: the other side, the control store, this replica's disk.

use std::sync::Arc;
use std::time::Duration;

use model::control::ControlStore;
use model::life::Memory;
use model::{PerSide, Side, Store, StoreError};

use crate::state_dir::StateDir;

/// The three places.
#[derive(Clone)]
pub struct Memories {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// This replica's folder; commands may have none.
    pub state: Option<StateDir>,
    /// Limit of one call.
    pub within: Duration,
}

impl Memories {
    /// What each place that answers remembers of `side`; `None` when no place answers.
    pub async fn of(&self, side: Side) -> Option<Vec<Memory>> {
        let other = self.stores.get(side.other());
        let (there, control) = tokio::join!(other.remembered(side, self.within), self.control.remembered(side));
        let own = self.own(side);
        if there.is_err() && control.is_err() && own.is_none() {
            return None;
        }
        Some([own, there.ok().flatten(), control.ok().flatten()].into_iter().flatten().collect())
    }

    /// What this replica's disk remembers.
    pub fn own(&self, side: Side) -> Option<Memory> {
        let read = self.state.as_ref()?.read(file(side));
        let bytes = match read {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(%side, %error, "what is remembered of {side} cannot be read: {error}");
                return None;
            }
        };
        let memory = serde_json::from_slice(&bytes);
        memory.inspect_err(|error| tracing::warn!(%side, %error, "what is remembered of {side} is damaged")).ok()
    }

    /// Remembers on this replica's disk.
    pub fn keep(&self, side: Side, memory: Memory) {
        let Some(state) = &self.state else { return };
        let bytes = serde_json::to_vec(&memory).expect("numbers can be written as JSON");
        if let Err(error) = state.write(file(side), &bytes) {
            tracing::warn!(%side, %error, "what is seen of {side} cannot be remembered: {error}");
        }
    }

    /// Tells the other places. One that does not answer remembers something older, which accuses nobody.
    pub async fn tell(&self, side: Side, memory: Memory) {
        if let Err(error) = self.tell_first(side, memory).await {
            tracing::debug!(%side, %error, "the other side did not take a mark of {side}");
        }
    }

    /// The same; without the other side's word nothing else may follow.
    ///
    /// # Errors
    /// When the other side does not take it.
    pub async fn tell_first(&self, side: Side, memory: Memory) -> Result<(), StoreError> {
        let other = self.stores.get(side.other());
        let (there, control) =
            tokio::join!(other.remember(side, memory, self.within), self.control.remember(side, memory));
        if let Err(error) = control {
            tracing::debug!(%side, %error, "the control store did not take a mark of {side}");
        }
        there
    }
}

fn file(side: Side) -> &'static str {
    match side {
        Side::Legacy => "life-legacy.json",
        Side::Modern => "life-modern.json",
    }
}
