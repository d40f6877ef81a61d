//! Breakers: a side that answers nobody is left alone as a whole, and a route that gets no answers by itself.
//!
//! One locked table, one query without an index or one exhausted share of connections makes calls of *its* routes run
//! out of time. That says nothing of the side: whoever has been answered by it lately knows that it is well. So an
//! outage counts against the side only when nobody has heard from it since; each second a look at its life asks in any
//! case (`lives`). Against its own route it counts always.
//!
//! Promise: while a side answers anybody, only the routes that get no answers are kept away from it; when it answers
//! again, everybody may ask again.
//! Not here: what counts as an outage (`StoreError::is_out_of_reach`); shadow reads, which ask no breaker.

mod circuit;
mod route;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Side, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::circuit::Circuit;
use self::route::Route;
pub use self::route::RouteBreaker;

/// For how long after an answer a call that gets none says nothing of the side: longer than the pause between two looks
/// at its life.
const STILL_WELL: Duration = Duration::from_millis(1_500);

/// The same for a call that did not get through: with all of its connections taken for a while, a side that is well
/// looks so; one that is gone fails every call at once.
const STILL_THERE: Duration = Duration::from_millis(300);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Outages in a row that open it.
    pub failures: u32,
    /// How long it stays open before one call may try.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(1) }
    }
}

/// The breaker of a side.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    whole: Circuit,
    answered: Mutex<Option<Instant>>,
    routes: Mutex<HashMap<Box<str>, Arc<Route>>>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, whole: Circuit::new(settings), answered: Mutex::default(), routes: Mutex::default() }
    }

    /// The breaker of one route's calls to the side: one for each `name`, which is a word of the contract. Of its calls
    /// at most `room` are under way at once where they ask for a place.
    pub fn route(self: &Arc<Self>, name: &str, room: usize) -> RouteBreaker {
        let mut routes = self.routes.lock();
        let known = routes.get(name).cloned();
        let route = known.unwrap_or_else(|| {
            let route = Arc::new(Route::new(name, room, Circuit::new(self.settings)));
            routes.insert(name.into(), Arc::clone(&route));
            route
        });
        RouteBreaker::new(Arc::clone(self), route)
    }

    /// Whether a call may be made now. A `true` from an open breaker makes the caller the one that
    /// tries; it must report what came of it.
    pub fn admits(&self, now: Instant) -> bool {
        self.whole.admits(now)
    }

    /// As [`Self::admits`], for who has nobody else to ask: after a lull, waits until the one that tries has found out,
    /// but not beyond `deadline`, nor longer than a side is left alone.
    pub async fn admits_by(&self, deadline: Instant) -> bool {
        self.whole.admits_by(deadline).await
    }

    /// Whether calls to the side are being kept away, whatever the route.
    pub fn is_open(&self) -> bool {
        self.whole.is_open()
    }

    /// Takes in how a call to `side` ended, and says in the log when that changes who is asked.
    pub fn note(&self, side: Side, error: Option<&StoreError>) {
        match error {
            Some(error) => {
                telemetry::side_error(side, error);
                if error.is_out_of_reach() { self.missed(side, error) } else { self.answers(side) }
            }
            None => self.answers(side),
        }
    }

    /// The side has answered somebody, whatever it was.
    pub fn answers(&self, side: Side) {
        *self.answered.lock() = Some(Instant::now());
        if self.whole.succeeded() {
            tracing::info!(%side, "{side} answers again");
            // What kept them away may have been the same.
            self.routes.lock().values().for_each(|route| route.relents(side));
        }
        telemetry::breaker(side, self.is_open());
    }

    /// A call met an outage. Whether that opened the breaker.
    pub fn failed(&self, now: Instant) -> bool {
        self.whole.failed(now)
    }

    fn missed(&self, side: Side, error: &StoreError) {
        let now = Instant::now();
        let spell = if matches!(error, StoreError::NoAnswer { .. }) { STILL_WELL } else { STILL_THERE };
        let heard_lately = self.answered.lock().is_some_and(|answered| now.duration_since(answered) < spell);
        if !heard_lately && self.failed(now) {
            tracing::warn!(%side, %error, "{side} does not answer and is left alone; it is tried again from time to time");
        }
        telemetry::breaker(side, self.is_open());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings { failures: 3, pause: Duration::from_secs(1) };
    const SIDE: Side = Side::Legacy;

    fn out_of_time() -> StoreError {
        StoreError::NoAnswer { side: SIDE, limit: Duration::from_millis(400) }
    }

    fn unreachable() -> StoreError {
        StoreError::Unreachable { side: SIDE, source: "nobody listens".into() }
    }

    fn pair() -> (Arc<Breaker>, RouteBreaker, RouteBreaker) {
        let breaker = Arc::new(Breaker::new(SETTINGS));
        let (one, other) = (breaker.route("Query.one", 1), breaker.route("Query.other", 1));
        (breaker, one, other)
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_side_answers_anybody_only_the_route_without_answers_is_left_alone() {
        let (breaker, one, other) = pair();
        for error in [out_of_time, unreachable] {
            for _ in 0..3 {
                other.note(SIDE, None);
                tokio::time::advance(Duration::from_millis(200)).await;
                one.note(SIDE, Some(&error()));
            }
            assert!(!one.admits(Instant::now()), "{}", error());
            assert!(other.admits(Instant::now()) && !breaker.is_open() && !other.is_suspect());
            one.note(SIDE, None);
        }
        (0..3).for_each(|_| one.note(SIDE, Some(&out_of_time())));
        // A refusal is an answer, for the side and for the route.
        one.note(SIDE, Some(&StoreError::Fenced { side: SIDE }));
        assert!(one.admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_each_second_is_enough_to_know_that_the_side_is_well() {
        let (breaker, one, other) = pair();
        for _ in 0..20 {
            breaker.answers(SIDE);
            for _ in 0..4 {
                tokio::time::advance(Duration::from_millis(250)).await;
                one.note(SIDE, Some(&out_of_time()));
            }
            assert!(one.is_suspect() && !breaker.is_open() && other.admits(Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_answers_nobody_is_left_alone_by_all_until_somebody_is_answered() {
        for (error, spell) in [(out_of_time as fn() -> StoreError, STILL_WELL), (unreachable, STILL_THERE)] {
            let (breaker, one, other) = pair();
            other.note(SIDE, None);
            tokio::time::advance(spell).await;
            (0..3).for_each(|_| one.note(SIDE, Some(&error())));
            assert!(breaker.is_open() && !one.admits(Instant::now()) && !other.admits(Instant::now()));
            // The look at its life is answered: everybody may ask, at once.
            breaker.answers(SIDE);
            for route in [&one, &other] {
                assert!(route.admits(Instant::now()) && route.admits(Instant::now()), "{}", error());
            }
            assert!(one.is_suspect());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_has_no_more_places_than_room() {
        let (breaker, one, other) = pair();
        let soon = Instant::now() + Duration::from_millis(50);
        let held = one.place(soon).await;
        assert!(held.is_some() && breaker.route("Query.one", 9).place(soon).await.is_none());
        assert!(other.place(soon).await.is_some());
        drop(held);
        assert!(one.place(soon + Duration::from_secs(1)).await.is_some());
    }
}
