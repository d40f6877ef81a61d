//! The numbers of one group that are counted up on the way of a read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::PerSide;
use model::control::figures::{SideFigures, UnsettledPeak};
use model::control::histogram::{Histogram, STEPS, micros, step};
use model::control::records::BITS_OF_A_SLOT;
use model::control::{Found, GroupFigures, Print};
use parking_lot::Mutex;

use super::pairs::{Foreign, Pairs};

/// A number that is counted up by many and emptied by one.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A histogram that is counted up by many. Emptied in between, a time's count and its share of the sum may
/// come one second apart, which evens out.
#[derive(Debug, Default)]
pub(super) struct Times {
    counts: [Count; STEPS],
    sum_micros: Count,
}

impl Times {
    pub(super) fn count(&self, time: Duration) {
        self.counts[step(time)].add(1);
        self.sum_micros.add(micros(time));
    }

    fn take(&self) -> Histogram {
        Histogram { counts: self.counts.each_ref().map(Count::take), sum_micros: self.sum_micros.take() }
    }
}

/// What is counted of one side.
#[derive(Debug, Default)]
pub(super) struct SideCounters {
    pub(super) answered: Times,
    pub(super) errors: Count,
    pub(super) shadowed: Times,
}

/// What is counted of one group.
#[derive(Debug)]
pub(super) struct Counters {
    /// What it is compared by.
    pub(super) print: Print,
    pub(super) sides: PerSide<SideCounters>,
    /// Told by comparisons, never by a client's read.
    pub(super) found: Mutex<Found>,
    pub(super) pairs: Pairs,
    pub(super) foreign: Foreign,
    pub(super) shadow_dropped: Count,
    pub(super) settle: Times,
    /// Told a few times a second at most, and never by a read.
    worst: Mutex<GroupFigures>,
}

impl Counters {
    /// Nothing yet, of a group that is compared by `print`.
    pub(super) fn new(print: Print) -> Self {
        Self {
            print,
            sides: PerSide::default(),
            found: Mutex::new(Found::of_bits(BITS_OF_A_SLOT)),
            pairs: Pairs::default(),
            foreign: Foreign::default(),
            shadow_dropped: Count::default(),
            settle: Times::default(),
            worst: Mutex::default(),
        }
    }

    pub(super) fn unsettled(&self, now: UnsettledPeak) {
        self.worst.lock().merge(&GroupFigures { unsettled: Some(now), ..GroupFigures::default() });
    }

    pub(super) fn lagged(&self, source: &str, lag: Duration) {
        self.worst.lock().lag.entry(source.to_owned()).and_modify(|worst| *worst = (*worst).max(lag)).or_insert(lag);
    }

    /// What was counted since the last time, by what is compared now.
    pub(super) fn take(&self, print: &Print) -> GroupFigures {
        // Verdicts and records are taken at once: a verdict without its record would be one of an older release.
        let found = std::mem::replace(&mut *self.found.lock(), Found::of_bits(BITS_OF_A_SLOT));
        let side = |counters: &SideCounters| SideFigures {
            answered: counters.answered.take(),
            errors: counters.errors.take(),
            shadowed: counters.shadowed.take(),
        };
        GroupFigures {
            sides: PerSide { legacy: side(&self.sides.legacy), modern: side(&self.sides.modern) },
            verdicts: found.verdicts,
            found: (!found.is_empty()).then(|| (print.clone(), found)).into_iter().collect(),
            shadow_dropped: self.shadow_dropped.take(),
            settle: self.settle.take(),
            ..std::mem::take(&mut *self.worst.lock())
        }
    }
}
