//! The watchdog: breaks calls off that outlive their limit, and gives up the threads that do not come back.
//!
//! The call timeout of the client library ends most calls before this is needed: it limits each round trip. What it
//! does not cover is a server that answers a little now and then, and a network that swallows everything.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use model::Side;
use oracle::Connection;
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::lanes::{Badge, Crew, Ticket};
use super::session::Session;

/// How long after its limit a call is left to the client library's own time-out.
const PATIENCE: Duration = Duration::from_millis(100);

/// Watches the calls of one store.
pub(super) struct Watchdog {
    grace: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    calls: HashMap<u64, Call>,
    /// When the watchdog looks by itself, while it sleeps.
    looks: Option<Instant>,
}

struct Call {
    deadline: Instant,
    broken: bool,
    connection: Arc<Connection>,
    crew: Arc<Crew>,
    badge: Arc<Badge>,
}

/// A call is watched for as long as this lives.
pub(super) struct Watched<'a> {
    watchdog: &'a Watchdog,
    number: u64,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watchdog.state.lock().calls.remove(&self.number);
    }
}

impl Watchdog {
    pub(super) fn start(side: Side, grace: Duration) -> Arc<Self> {
        let watchdog = Arc::new(Self { grace, state: Mutex::default(), changed: Condvar::new() });
        let watched = Arc::downgrade(&watchdog);
        let name = format!("oracle-{side}-watchdog");
        // Without it a stuck thread stays in its place; callers keep their limits all the same.
        if let Err(error) = thread::Builder::new().name(name).spawn(move || Self::keep(&watched)) {
            tracing::error!(%error, "the watchdog of {side}'s sessions could not be started");
        }
        watchdog
    }

    pub(super) fn watch<'a>(
        &'a self,
        crew: &Arc<Crew>,
        badge: &Arc<Badge>,
        session: &Session,
        ticket: &Ticket,
    ) -> Watched<'a> {
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        let call = Call {
            deadline: ticket.deadline + PATIENCE,
            broken: false,
            connection: Arc::clone(session.connection()),
            crew: Arc::clone(crew),
            badge: Arc::clone(badge),
        };
        // It is not woken for each call: only for one that it would look at too late by itself.
        if state.looks.is_some_and(|looks| call.deadline < looks) {
            self.changed.notify_one();
        }
        state.calls.insert(number, call);
        Watched { watchdog: self, number }
    }

    /// Looks whenever a call's time is over, as long as the store lives.
    fn keep(watched: &Weak<Self>) {
        const LOOK: Duration = Duration::from_millis(500);
        while let Some(watchdog) = watched.upgrade() {
            let mut state = watchdog.state.lock();
            let next = state.calls.values().map(|call| call.deadline).min();
            let wait = next.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()).min(LOOK));
            if !wait.is_zero() {
                state.looks = Some(Instant::now() + wait);
                watchdog.changed.wait_for(&mut state, wait);
                state.looks = None;
            }
            let overdue = watchdog.overdue(&mut state);
            drop(state);
            // Neither is done under the lock: breaking off talks to the network.
            overdue.broken.iter().for_each(break_off);
            overdue.lost.iter().for_each(|(crew, badge)| crew.abandon(badge));
        }
    }

    fn overdue(&self, state: &mut State) -> Overdue {
        let now = Instant::now();
        let mut overdue = Overdue::default();
        state.calls.retain(|_, call| {
            if call.deadline > now {
                return true;
            }
            if call.broken {
                overdue.lost.push((Arc::clone(&call.crew), Arc::clone(&call.badge)));
                return false;
            }
            call.broken = true;
            call.deadline = now + self.grace;
            overdue.broken.push(Arc::clone(&call.connection));
            true
        });
        overdue
    }
}

#[derive(Default)]
struct Overdue {
    broken: Vec<Arc<Connection>>,
    lost: Vec<(Arc<Crew>, Arc<Badge>)>,
}

fn break_off(connection: &Arc<Connection>) {
    if let Err(error) = connection.break_execution() {
        tracing::warn!(code = error.oci_code(), "a call beyond its limit could not be broken off");
    }
}
