//! Is this out of the ordinary? Pure arithmetic; nothing here divides by zero or returns NaN.
//!
//! Each test has a floor under its standard deviation. Without it a baseline in which nothing ever
//! happened would make a breach of the first event.

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// The events.
    pub events: u64,
    /// Of all these.
    pub of: u64,
}

/// What was usual, and how far it scatters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    /// What was usual.
    pub(super) mean: f64,
    /// The standard deviation, floors included. Above 0.
    pub(super) sigma: f64,
}

impl Part {
    /// As a share from 0 to 1; nothing of nothing is 0.
    pub fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { as_f64(self.events) / as_f64(self.of) }
    }
}

impl Usual {
    /// Whether `value` lies more than `sigmas` standard deviations above what was usual.
    pub(super) fn is_exceeded_by(&self, value: f64, sigmas: f64) -> bool {
        value - self.mean > sigmas * self.sigma
    }
}

/// The usual share of events among `of`, from the windows of a baseline; `None` without windows.
///
/// The standard deviation is the largest of: how the baseline's windows scatter (bursts that are usual
/// do not alarm), how a sample of this size scatters by chance, and `floor`.
pub(super) fn usual_share(past: &[Part], of: u64, floor: f64) -> Option<Usual> {
    let sum = past.iter().fold(Part::default(), |sum, part| Part {
        events: sum.events.saturating_add(part.events),
        of: sum.of.saturating_add(part.of),
    });
    if sum.of == 0 || of == 0 {
        return None;
    }
    let shares: Vec<f64> = past.iter().map(|part| part.share()).collect();
    // One event and one other more than were seen: what never happened is not impossible.
    let likely = (as_f64(sum.events) + 1.0) / (as_f64(sum.of) + 2.0);
    let chance = (likely * (1.0 - likely).max(0.0) / as_f64(of)).sqrt();
    let mean = sum.share();
    Some(Usual { mean, sigma: scatter(&shares, mean).max(chance).max(floor) })
}

/// What was usual of a value, from the windows of a baseline; `None` without windows.
pub(super) fn usual_value(past: &[f64], floor: f64) -> Option<Usual> {
    if past.is_empty() {
        return None;
    }
    let mean = past.iter().sum::<f64>() / count(past);
    Some(Usual { mean, sigma: scatter(past, mean).max(floor) })
}

/// The sample standard deviation of `values` around `mean`; of fewer than two it is 0.
fn scatter(values: &[f64], mean: f64) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count(values) - 1.0)).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "no baseline has 2^53 windows")]
fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 events")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(events: u64, of: u64) -> Part {
        Part { events: events.min(of), of }
    }

    proptest! {
        #[test]
        fn nothing_is_ever_not_a_number(
            past in prop::collection::vec((any::<u64>(), any::<u64>()), 0..6), of in any::<u64>(), floor in 0.0..1.0f64,
        ) {
            let past: Vec<Part> = past.into_iter().map(|(events, of)| part(events, of)).collect();
            if let Some(usual) = usual_share(&past, of, floor) {
                prop_assert!(usual.mean.is_finite() && usual.sigma.is_finite() && usual.sigma >= floor);
                prop_assert!((0.0..=1.0).contains(&usual.mean));
            }
            let shares: Vec<f64> = past.iter().map(|part| part.share()).collect();
            if let Some(usual) = usual_value(&shares, floor) {
                prop_assert!(usual.mean.is_finite() && usual.sigma.is_finite());
            }
        }
    }

    #[test]
    fn a_quiet_baseline_does_not_trip_on_one_event() {
        let quiet = [part(0, 1_000); 30];
        let usual = usual_share(&quiet, 1_000, 0.0).unwrap();
        assert!(!usual.is_exceeded_by(part(0, 1_000).share(), 3.0));
        let usual = usual_share(&quiet, 1_000, 0.000_4).unwrap();
        assert!(!usual.is_exceeded_by(part(1, 1_000).share(), 3.0));
        assert!(usual.is_exceeded_by(part(10, 1_000).share(), 3.0));
    }

    #[test]
    fn bursts_that_are_usual_are_no_news() {
        let calm = [part(5, 1_000); 30];
        let mut bursts = calm;
        bursts.iter_mut().step_by(6).for_each(|window| window.events = 30);
        let now = part(25, 1_000).share();
        assert!(usual_share(&calm, 1_000, 0.0).unwrap().is_exceeded_by(now, 3.0));
        assert!(!usual_share(&bursts, 1_000, 0.0).unwrap().is_exceeded_by(now, 3.0));
    }

    #[test]
    fn no_windows_are_no_baseline() {
        assert_eq!(usual_share(&[], 100, 0.1), None);
        assert_eq!(usual_share(&[part(0, 0)], 100, 0.1), None);
        assert_eq!(usual_value(&[], 0.1), None);
    }
}
