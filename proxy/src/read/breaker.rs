//! A breaker per side: after a run of outages a side is left alone for a while, then tried by one.
//!
//! While a side is known to be down, all but the one that tries are turned away at once: nobody waits for the dead. When
//! nobody has asked for a while, nothing is known; then whoever has nobody else to ask may wait for what the one finds
//! out ([`Breaker::admits_by`]), so that the first requests after an outage and a lull are not refused by a side that is
//! long back. Either way one call at a time reaches a side that may be down.
//!
//! Not here: what counts as an outage (`StoreError::is_out_of_reach`); shadow reads, which ask no breaker and wait for none.

use std::time::Duration;

use model::{Side, StoreError};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::telemetry;

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

/// Stops calls to a side that is down.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is under way to find out; if it never reports, another may try after `until`.
    Trying {
        until: Instant,
        /// There after a lull: others may wait. Dropped with this state, which wakes them.
        found_out: Option<watch::Sender<()>>,
    },
}

/// What a call may do.
enum Entry {
    Go,
    Wait { until: Instant, found_out: watch::Receiver<()> },
    Stay,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Whether a call may be made now. A `true` from an open breaker makes the caller the one that
    /// tries; it must report what came of it.
    pub fn admits(&self, now: Instant) -> bool {
        matches!(self.enter(now), Entry::Go)
    }

    /// As [`Self::admits`], for who has nobody else to ask: after a lull, waits until the one that tries has found out,
    /// but not beyond `deadline`, nor longer than a side is left alone.
    pub async fn admits_by(&self, deadline: Instant) -> bool {
        loop {
            match self.enter(Instant::now()) {
                Entry::Go => return true,
                Entry::Stay => return false,
                Entry::Wait { until, mut found_out } => {
                    if timeout_at(until.min(deadline), found_out.changed()).await.is_err() {
                        return false;
                    }
                }
            }
        }
    }

    fn enter(&self, now: Instant) -> Entry {
        let mut state = self.state.lock();
        let lull = match &*state {
            State::Closed { .. } => return Entry::Go,
            // The last that is known of the side is older than two pauses.
            State::Open { until } if now >= *until => now >= *until + self.settings.pause,
            State::Trying { until, .. } if now >= *until => false,
            State::Trying { until, found_out: Some(found_out) } => {
                return Entry::Wait { until: *until, found_out: found_out.subscribe() };
            }
            State::Open { .. } | State::Trying { .. } => return Entry::Stay,
        };
        let found_out = lull.then(|| watch::Sender::new(()));
        *state = State::Trying { until: now + self.settings.pause, found_out };
        Entry::Go
    }

    /// Whether calls are being kept away.
    pub fn is_open(&self) -> bool {
        !matches!(*self.state.lock(), State::Closed { .. })
    }

    /// A call was answered (a refusal is an answer). Whether that closed the breaker.
    pub fn succeeded(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = !matches!(*state, State::Closed { .. });
        *state = State::Closed { failures: 0 };
        was_open
    }

    /// A call met an outage. Whether that opened the breaker.
    pub fn failed(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let open = State::Open { until: now + self.settings.pause };
        match &mut *state {
            State::Closed { failures } if *failures + 1 < self.settings.failures => {
                *failures += 1;
                false
            }
            State::Closed { .. } => {
                *state = open;
                true
            }
            State::Trying { .. } => {
                *state = open;
                false
            }
            // A call that began before it opened: the pause is not prolonged.
            State::Open { .. } => false,
        }
    }

    /// Takes in how a call to `side` ended, and says in the log when that changes who is asked.
    pub fn note(&self, side: Side, error: Option<&StoreError>) {
        match error {
            Some(error) => {
                telemetry::side_error(side, error);
                if !error.is_out_of_reach() {
                    self.answered(side);
                } else if self.failed(Instant::now()) {
                    tracing::warn!(%side, %error, "{side} does not answer and is left alone; it is tried again from time to time");
                }
            }
            None => self.answered(side),
        }
        telemetry::breaker(side, self.is_open());
    }

    fn answered(&self, side: Side) {
        if self.succeeded() {
            tracing::info!(%side, "{side} answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_of_outages_opens_it_and_one_call_finds_out() {
        let breaker = Breaker::new(BreakerSettings { failures: 2, pause: Duration::from_secs(1) });
        let start = Instant::now();
        breaker.failed(start);
        breaker.succeeded();
        breaker.failed(start);
        assert!(breaker.admits(start), "one outage after a success does not open it");
        breaker.failed(start);
        assert!(!breaker.admits(start));

        let later = start + Duration::from_secs(1);
        assert!(breaker.admits(later), "one call tries");
        assert!(!breaker.admits(later), "and only one");
        breaker.failed(later);
        assert!(!breaker.admits(later));

        let later = later + Duration::from_secs(1);
        assert!(breaker.admits(later));
        breaker.succeeded();
        assert!(breaker.admits(later) && !breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_never_reports_does_not_lock_the_side_out() {
        let breaker = Breaker::new(BreakerSettings { failures: 1, pause: Duration::from_secs(1) });
        let start = Instant::now();
        breaker.failed(start);
        assert!(breaker.admits(start + Duration::from_secs(1)));
        assert!(breaker.admits(start + Duration::from_secs(2)));
    }
    const PAUSE: Duration = Duration::from_secs(1);

    /// Opened a minute ago; nobody has asked since.
    async fn after_a_lull() -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(BreakerSettings { failures: 1, pause: PAUSE }));
        breaker.failed(Instant::now());
        tokio::time::sleep(Duration::from_secs(60)).await;
        breaker
    }

    /// Callers that may wait until `within` from now, and have begun to.
    async fn waiting(breaker: &Arc<Breaker>, within: Duration) -> Vec<tokio::task::JoinHandle<bool>> {
        let deadline = Instant::now() + within;
        let callers = (0..20).map(|_| {
            let breaker = Arc::clone(breaker);
            tokio::spawn(async move { breaker.admits_by(deadline).await })
        });
        let callers = callers.collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        callers
    }

    async fn admitted(callers: Vec<tokio::task::JoinHandle<bool>>) -> usize {
        let all = futures::future::join_all(callers).await;
        all.into_iter().filter(|admitted| *admitted.as_ref().unwrap()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lull_the_others_wait_for_the_one_that_tries_and_go_when_it_is_answered() {
        let breaker = after_a_lull().await;
        assert!(breaker.admits_by(Instant::now()).await, "one tries");
        let callers = waiting(&breaker, Duration::from_secs(5)).await;
        assert!(callers.iter().all(|caller| !caller.is_finished()), "and only one");
        assert!(!breaker.admits(Instant::now()), "who can ask somebody else does not wait");
        breaker.succeeded();
        let began = Instant::now();
        assert_eq!((admitted(callers).await, began.elapsed()), (20, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lull_none_of_the_others_reaches_a_side_that_is_still_down() {
        let breaker = after_a_lull().await;
        assert!(breaker.admits(Instant::now()));
        let callers = waiting(&breaker, Duration::from_secs(5)).await;
        breaker.failed(Instant::now());
        let began = Instant::now();
        assert_eq!((admitted(callers).await, began.elapsed()), (0, Duration::ZERO));
        // Now it is known to be down: the next that come while one tries are turned away at once.
        tokio::time::sleep(PAUSE).await;
        assert!(breaker.admits(Instant::now()));
        let began = Instant::now();
        assert!(!breaker.admits_by(began + PAUSE).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_a_deadline_or_for_a_try_that_never_reports() {
        for (deadline, waited) in [(Duration::from_millis(300), 300), (Duration::from_secs(5), 1_000)] {
            let breaker = after_a_lull().await;
            let began = Instant::now();
            assert!(breaker.admits(began));
            assert_eq!(admitted(waiting(&breaker, deadline).await).await, 0);
            assert_eq!(began.elapsed(), Duration::from_millis(waited));
        }
    }
}
