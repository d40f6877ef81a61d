//! What a call of a track takes these days, and whether one more could be answered in time.
//!
//! A rough figure is enough: it only decides who waits, and never keeps a call from a session that is free. So it is
//! corrected by the next calls, however wrong it has become.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A call comes to a session with at least so many times what calls take.
const ROOM: u32 = 2;

/// The time that calls of one track hold a session for.
#[derive(Debug, Default)]
pub(super) struct Pace {
    micros: AtomicU64,
}

impl Pace {
    /// Whether a call could be answered `within` so much time, behind `waiting` others that share `threads` sessions.
    pub(super) fn allows(&self, waiting: usize, threads: usize, within: Duration) -> bool {
        let usual = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        let turns = u32::try_from(waiting / threads.max(1)).unwrap_or(u32::MAX);
        usual.saturating_mul(turns.saturating_add(ROOM)) <= within
    }

    /// A call held its session for `time`. `ended`: it came to an end of its own, and was not cut off.
    pub(super) fn took(&self, time: Duration, ended: bool) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let usual = self.micros.load(Ordering::Relaxed);
        // What was cut off would have taken longer: how short its time was says nothing.
        let time = if ended { time } else { time.max(usual) };
        // Of two threads that come here at once one may not count, which does no harm.
        self.micros.store(usual - usual / 4 + time / 4, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pace(calls: usize, time: Duration) -> Pace {
        let pace = Pace::default();
        (0..calls).for_each(|_| pace.took(time, true));
        pace
    }

    #[test]
    fn as_many_may_wait_as_can_be_answered_in_time() {
        let pace = pace(100, 50 * MS);
        assert!(pace.allows(8 * 17, 8, 1_000 * MS));
        assert!(!pace.allows(8 * 19, 8, 1_000 * MS));
        assert!(pace.allows(0, 8, 100 * MS));
        assert!(!pace.allows(0, 8, 90 * MS));
    }

    #[test]
    fn who_has_no_figure_yet_allows_everything() {
        assert!(Pace::default().allows(256, 1, MS));
    }

    #[test]
    fn calls_that_are_cut_off_early_do_not_look_quick() {
        let pace = pace(100, 50 * MS);
        (0..100).for_each(|_| pace.took(MS, false));
        assert!(!pace.allows(0, 8, 90 * MS));
    }

    #[test]
    fn one_that_hung_keeps_nobody_out_and_a_few_quick_calls_make_up_for_many() {
        let pace = pace(100, 5 * MS);
        pace.took(5_000 * MS, false);
        assert!(pace.allows(1, 8, 5_000 * MS));
        (0..20).for_each(|_| pace.took(5_000 * MS, false));
        assert!(!pace.allows(1, 8, 5_000 * MS));
        (0..4).for_each(|_| pace.took(5 * MS, true));
        assert!(pace.allows(1, 8, 5_000 * MS));
    }
}
