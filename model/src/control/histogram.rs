//! How long things took, counted in fixed steps: histograms of two replicas or two minutes add up.
//!
//! The steps are those of `/metrics` too. What is read back is an [`Estimate`], which says between
//! which bounds the truth lies. Not here: what is timed (`proxy::figures`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of all steps but the last, which has none: from a quarter millisecond to ten minutes.
pub const BOUNDS: [Duration; 19] = [
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(125),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// How many steps there are.
pub const STEPS: usize = BOUNDS.len() + 1;

/// The step in which `time` is counted: the first whose bound is not below it.
pub fn step(time: Duration) -> usize {
    BOUNDS.partition_point(|bound| *bound < time)
}

/// Counts by step, and the sum of all times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Times counted in each step.
    pub counts: [u64; STEPS],
    /// All times together, in microseconds.
    pub sum_micros: u64,
}

/// What a histogram tells of a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The most likely value, as if times were spread evenly within their step.
    pub value: Duration,
    /// The truth is above this; zero: or equal to it.
    pub above: Duration,
    /// The truth is not above this; `None`: nobody knows, it is beyond the last bound.
    pub at_most: Option<Duration>,
}

impl Histogram {
    /// Counts one time.
    pub fn count(&mut self, time: Duration) {
        self.counts[step(time)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros(time));
    }

    /// How many times were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many times lie in steps above the one that ends with `BOUNDS[bound]`.
    pub fn above(&self, bound: usize) -> u64 {
        self.counts.iter().skip(bound + 1).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The mean, exact to the microsecond; `None` when nothing was counted.
    pub fn mean(&self) -> Option<Duration> {
        self.sum_micros.checked_div(self.total()).map(Duration::from_micros)
    }

    /// The time that `share` (from 0 to 1) of all times do not exceed; `None` when nothing was counted.
    ///
    /// Off by less than the width of one step, which is about half of the value or less up
    /// to 500 ms, and at most four fifths up to ten minutes: [`Estimate`] has the step's bounds.
    pub fn quantile(&self, share: f64) -> Option<Estimate> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        // The rank of the time that is asked for; NaN becomes the first.
        let rank = (share.clamp(0.0, 1.0) * as_f64(total)).ceil().max(1.0);
        let mut before = 0.0;
        for (place, count) in self.counts.iter().enumerate() {
            let count = as_f64(*count);
            if before + count < rank {
                before += count;
                continue;
            }
            let above = place.checked_sub(1).map_or(Duration::ZERO, |place| BOUNDS[place]);
            let Some(bound) = BOUNDS.get(place).copied() else {
                return Some(Estimate { value: above, above, at_most: None });
            };
            let value = above + (bound - above).mul_f64((rank - before) / count);
            return Some(Estimate { value: value.min(bound), above, at_most: Some(bound) });
        }
        None
    }

    /// Adds the other's times to these.
    pub fn merge(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(other);
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 times; beyond, an estimate stays one")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|micros| histogram.count(Duration::from_micros(*micros)));
        histogram
    }

    proptest! {
        #[test]
        fn the_truth_lies_between_the_bounds_of_an_estimate(
            mut times in prop::collection::vec(0..20_000_000u64, 1..200), share in 0.0..=1.0f64,
        ) {
            let estimate = of(&times).quantile(share).unwrap();
            times.sort_unstable();
            let rank = ((share * times.len() as f64).ceil() as usize).max(1);
            let truth = Duration::from_micros(times[rank - 1]);
            prop_assert!(estimate.above < truth || truth.is_zero());
            prop_assert!(estimate.at_most.is_none_or(|bound| truth <= bound && estimate.value <= bound));
            prop_assert!(estimate.value >= estimate.above);
        }

        #[test]
        fn histograms_add_up(a in prop::collection::vec(0..90_000_000u64, 0..50), b in prop::collection::vec(0..90_000_000u64, 0..50)) {
            let mut sum = of(&a);
            sum.merge(&of(&b));
            prop_assert_eq!(sum, of(&[a, b].concat()));
        }
    }

    #[test]
    fn nothing_has_no_mean_and_no_quantile() {
        assert_eq!((of(&[]).mean(), of(&[]).quantile(0.5)), (None, None));
    }

    #[test]
    fn a_time_on_a_bound_belongs_to_the_step_that_ends_there() {
        assert_eq!(of(&[250]).quantile(1.0).unwrap().at_most, Some(BOUNDS[0]));
        assert_eq!(of(&[251]).quantile(1.0).unwrap().at_most, Some(BOUNDS[1]));
        let longest = of(&[3_600_000_000]).quantile(0.99).unwrap();
        assert_eq!((longest.value, longest.at_most), (BOUNDS[18], None));
    }

    #[test]
    fn no_step_is_wider_than_the_documentation_says() {
        for pair in BOUNDS.windows(2) {
            let width = (pair[1] - pair[0]).as_secs_f64() / pair[1].as_secs_f64();
            let most = if pair[1] <= Duration::from_millis(500) { 0.52 } else { 0.8 };
            assert!(width <= most, "{pair:?}: {width}");
        }
    }
}
