//! A breaker per side: after a run of outages a side is left alone for a while, then tried by one.
//!
//! Not here: what counts as an outage (`StoreError::is_outage`).

use std::time::Duration;

use model::{Side, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Whether a call may be made now. A `true` from an open breaker makes the caller the one that
    /// tries; it must report what came of it.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Closed { .. } => true,
            State::Open { until } | State::Trying { until } if now >= until => {
                *state = State::Trying { until: now + self.settings.pause };
                true
            }
            State::Open { .. } | State::Trying { .. } => false,
        }
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
        let was_closed = matches!(*state, State::Closed { .. });
        let open = State::Open { until: now + self.settings.pause };
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.settings.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::Trying { .. } => open,
            // A call that began before it opened: the pause is not prolonged.
            State::Open { until } => State::Open { until },
        };
        was_closed && matches!(*state, State::Open { .. })
    }

    /// Takes in how a call to `side` ended, and says in the log when that changes who is asked.
    pub fn note(&self, side: Side, error: Option<&StoreError>) {
        match error {
            Some(error) => {
                telemetry::side_error(side, error);
                if error.is_outage() && self.failed(Instant::now()) {
                    tracing::warn!(%side, %error, "{side} does not answer and is left alone; it is tried again from time to time");
                } else if !error.is_outage() {
                    self.answered(side);
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
}
