//! How many connections a pool may open: as many as it was given, or as many as the server has for it.
//!
//! A server that refuses one more (`max_connections`, or a limit of the role or the database) takes a place away. Who
//! asked waits, in turn, for one of those that are there, instead of failing. From time to time a place is given back, to
//! see whether there is room again; after each that was opened the next is tried at once.
//!
//! While a server is short nobody keeps a connection for long: other replicas and commands wait for it as well, and would
//! never come in.
//!
//! Invariant: places and those withheld are the limit, and at least one place is left: somebody must go on asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long after a refusal one more connection is tried.
const PAUSE: Duration = Duration::from_secs(1);
/// The same for who has none at all.
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// How long after a refusal the server is taken for short of connections.
const SHORT: Duration = Duration::from_secs(30);
/// How old a connection may become while the server is short.
pub(super) const KEPT: Duration = Duration::from_secs(3);

/// What all pools of one server know of it.
#[derive(Debug)]
pub(super) struct Server {
    /// Whose it is, for the log.
    whose: &'static str,
    refused: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Server {
    pub(super) fn new(whose: &'static str) -> Arc<Self> {
        Arc::new(Self { whose, refused: AtomicU64::default(), last: Mutex::default() })
    }

    /// How many connections it has refused for want of room.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether it has refused one lately.
    pub(super) fn is_short(&self) -> bool {
        self.last.lock().is_some_and(|last| last.elapsed() < SHORT)
    }

    fn refuses(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let last = self.last.lock().replace(Instant::now());
        if last.is_none_or(|last| last.elapsed() >= SHORT) {
            let whose = self.whose;
            tracing::warn!(
                "{whose} has no more connections for us (max_connections, or a limit of the role or the database): calls share \
                 those that are there, and wait for them; `strangler check` adds up how many are needed"
            );
        }
    }
}

/// How many connections one pool may open.
#[derive(Debug)]
pub(super) struct Room {
    server: Arc<Server>,
    places: Arc<Semaphore>,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    withheld: usize,
    try_at: Instant,
    /// Another pool of the process has none, and gets one of ours.
    owes: bool,
    /// Somebody closes what nobody uses.
    tidying: bool,
}

/// A place in the room: its holder has a connection, or may open one.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(server: Arc<Server>, limit: usize) -> Arc<Self> {
        let state = State { withheld: 0, try_at: Instant::now(), owes: false, tidying: false };
        Arc::new(Self { server, places: Arc::new(Semaphore::new(limit)), limit, state: Mutex::new(state) })
    }

    /// Waits for a place, in turn.
    pub(super) async fn enter(self: &Arc<Self>, deadline: Instant) -> Option<Place> {
        let mut turn = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            let look = self.grow().unwrap_or(deadline).min(deadline);
            tokio::select! {
                biased;
                permit = &mut turn => {
                    let permit = permit.expect("nobody closes the room");
                    return Some(Place { room: Arc::clone(self), permit });
                }
                () = sleep_until(look) => {}
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
    }

    /// Gives a place back when it is time for another try; when the next one is.
    fn grow(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.withheld > 0 && now >= state.try_at {
            state.withheld -= 1;
            state.try_at = now + PAUSE;
            self.places.add_permits(1);
        }
        (state.withheld > 0).then_some(state.try_at)
    }

    /// A connection was opened: there may be room for more.
    pub(super) fn opened(&self) {
        self.state.lock().try_at = Instant::now();
    }

    /// Whether one that is given back, `age` old, is closed instead.
    pub(super) fn must_go(&self, age: Duration) -> bool {
        let mut state = self.state.lock();
        std::mem::take(&mut state.owes) || (age >= KEPT && self.server.is_short())
    }

    /// From now on the next connection that is given back is closed, for one that has none.
    pub(super) fn owes(&self) {
        self.state.lock().owes = true;
    }

    /// Whether the caller is to close what nobody uses; there is one at a time.
    pub(super) fn begins_to_tidy(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().tidying, true)
    }

    /// Waits until it is time to look again; whether to look.
    pub(super) async fn goes_on_tidying(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        let mut state = self.state.lock();
        state.tidying = self.server.is_short();
        state.tidying
    }

    fn withhold(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let mut state = self.state.lock();
        state.try_at = Instant::now() + PAUSE;
        if state.withheld + 1 >= self.limit {
            return Some(permit);
        }
        state.withheld += 1;
        permit.forget();
        None
    }
}

impl Place {
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// The server had no connection for it. `None`: wait in turn. Else it is the last one: its holder goes on asking,
    /// after a pause.
    pub(super) async fn refused(self, deadline: Instant) -> Option<Self> {
        self.room.server.refuses();
        let Self { room, permit } = self;
        let permit = room.withhold(permit)?;
        // The deadline is seen by whoever goes on.
        let _ = timeout_at(deadline, tokio::time::sleep(LAST_PAUSE)).await;
        Some(Self { room, permit })
    }

    /// Its connection was closed for others, who shall have the time to come in.
    pub(super) fn closed(self) {
        let Self { room, permit } = self;
        if let Some(last) = room.withhold(permit)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                tokio::time::sleep(2 * LAST_PAUSE).await;
                drop(last);
            });
        }
    }
}

#[cfg(test)]
mod tests;
