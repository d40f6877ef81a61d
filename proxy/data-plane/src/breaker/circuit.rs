//! A circuit: after a run of outages nobody is let through for a while, then one may try.
//!
//! While it is known to be broken, all but the one that tries are turned away at once: nobody waits for the dead. When
//! nobody has asked for a while, nothing is known; then whoever has nobody else to ask may wait for what the one finds
//! out ([`Circuit::admits_by`]), so that the first requests after an outage and a lull are not refused by a side that is
//! long back. Either way one call at a time reaches what may be down.
//!
//! Not here: what a circuit leads to, what counts as an outage (`super`).

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::BreakerSettings;

/// Stops calls to what is down.
#[derive(Debug)]
pub(super) struct Circuit {
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

impl Circuit {
    /// A closed one.
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Whether a call may be made now. A `true` from an open circuit makes the caller the one that
    /// tries; it must report what came of it.
    pub(super) fn admits(&self, now: Instant) -> bool {
        matches!(self.enter(now), Entry::Go)
    }

    /// As [`Self::admits`], for who has nobody else to ask: after a lull, waits until the one that tries has found out,
    /// but not beyond `deadline`, nor longer than a side is left alone.
    pub(super) async fn admits_by(&self, deadline: Instant) -> bool {
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
    pub(super) fn is_open(&self) -> bool {
        !matches!(*self.state.lock(), State::Closed { .. })
    }

    /// Whether the last call met an outage.
    pub(super) fn is_suspect(&self) -> bool {
        !matches!(*self.state.lock(), State::Closed { failures: 0 })
    }

    /// What it leads to may be well again: calls are let through, and the next outage opens it. Whether it was open.
    pub(super) fn relents(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = !matches!(*state, State::Closed { .. });
        if was_open {
            *state = State::Closed { failures: self.settings.failures.saturating_sub(1) };
        }
        was_open
    }

    /// A call was answered (a refusal is an answer). Whether that closed the circuit.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = !matches!(*state, State::Closed { .. });
        *state = State::Closed { failures: 0 };
        was_open
    }

    /// A call met an outage. Whether that opened the circuit.
    pub(super) fn failed(&self, now: Instant) -> bool {
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_of_outages_opens_it_and_one_call_finds_out() {
        let circuit = Circuit::new(BreakerSettings { failures: 2, pause: Duration::from_secs(1) });
        let start = Instant::now();
        circuit.failed(start);
        circuit.succeeded();
        circuit.failed(start);
        assert!(circuit.admits(start), "one outage after a success does not open it");
        circuit.failed(start);
        assert!(!circuit.admits(start));

        let later = start + Duration::from_secs(1);
        assert!(circuit.admits(later), "one call tries");
        assert!(!circuit.admits(later), "and only one");
        circuit.failed(later);
        assert!(!circuit.admits(later));

        let later = later + Duration::from_secs(1);
        assert!(circuit.admits(later));
        circuit.succeeded();
        assert!(circuit.admits(later) && !circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_relents_lets_all_through_until_the_next_outage() {
        let circuit = Circuit::new(BreakerSettings { failures: 3, pause: Duration::from_secs(1) });
        let now = Instant::now();
        assert_eq!([(); 3].map(|()| circuit.failed(now)), [false, false, true]);
        assert!(circuit.is_open() && circuit.is_suspect());
        assert!(circuit.relents());
        assert!(circuit.admits(now) && circuit.admits(now) && circuit.is_suspect());
        assert!(circuit.failed(now));
        assert!(!circuit.admits(now));
        circuit.succeeded();
        assert!(!circuit.is_suspect());
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_never_reports_does_not_lock_the_side_out() {
        let circuit = Circuit::new(BreakerSettings { failures: 1, pause: Duration::from_secs(1) });
        let start = Instant::now();
        circuit.failed(start);
        assert!(circuit.admits(start + Duration::from_secs(1)));
        assert!(circuit.admits(start + Duration::from_secs(2)));
    }
    const PAUSE: Duration = Duration::from_secs(1);

    /// Opened a minute ago; nobody has asked since.
    async fn after_a_lull() -> Arc<Circuit> {
        let circuit = Arc::new(Circuit::new(BreakerSettings { failures: 1, pause: PAUSE }));
        circuit.failed(Instant::now());
        tokio::time::sleep(Duration::from_secs(60)).await;
        circuit
    }

    /// Callers that may wait until `within` from now, and have begun to.
    async fn waiting(circuit: &Arc<Circuit>, within: Duration) -> Vec<tokio::task::JoinHandle<bool>> {
        let deadline = Instant::now() + within;
        let callers = (0..20).map(|_| {
            let circuit = Arc::clone(circuit);
            tokio::spawn(async move { circuit.admits_by(deadline).await })
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
        let circuit = after_a_lull().await;
        assert!(circuit.admits_by(Instant::now()).await, "one tries");
        let callers = waiting(&circuit, Duration::from_secs(5)).await;
        assert!(callers.iter().all(|caller| !caller.is_finished()), "and only one");
        assert!(!circuit.admits(Instant::now()), "who can ask somebody else does not wait");
        circuit.succeeded();
        let began = Instant::now();
        assert_eq!((admitted(callers).await, began.elapsed()), (20, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lull_none_of_the_others_reaches_a_side_that_is_still_down() {
        let circuit = after_a_lull().await;
        assert!(circuit.admits(Instant::now()));
        let callers = waiting(&circuit, Duration::from_secs(5)).await;
        circuit.failed(Instant::now());
        let began = Instant::now();
        assert_eq!((admitted(callers).await, began.elapsed()), (0, Duration::ZERO));
        // Now it is known to be down: the next that come while one tries are turned away at once.
        tokio::time::sleep(PAUSE).await;
        assert!(circuit.admits(Instant::now()));
        let began = Instant::now();
        assert!(!circuit.admits_by(began + PAUSE).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_a_deadline_or_for_a_try_that_never_reports() {
        for (deadline, waited) in [(Duration::from_millis(300), 300), (Duration::from_secs(5), 1_000)] {
            let circuit = after_a_lull().await;
            let began = Instant::now();
            assert!(circuit.admits(began));
            assert_eq!(admitted(waiting(&circuit, deadline).await).await, 0);
            assert_eq!(began.elapsed(), Duration::from_millis(waited));
        }
    }
}
