//! How bad a rate may be, given what was counted: the upper end of an interval of confidence. Pure.

/// Upper bound of a rate at 95 % confidence, after `events` in `trials`; 1 without trials.
///
/// Exact for rare events (Poisson): it solves P(at most `events`) = 5 % for the expected count. Without any event
/// it is the rule of three: 3.0 / trials. So 0 mismatches in 50 comparisons are not 0 %.
pub fn upper(events: u64, trials: u64) -> f64 {
    if trials == 0 {
        return 1.0;
    }
    let (events, trials) = (as_f64(events), as_f64(trials));
    // The bound lies below events + 2·√events·… + a few; doubled until it certainly does.
    let (mut low, mut high) = (events, events + 10.0);
    while tail(events, high) > 0.05 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if tail(events, middle) > 0.05 { low = middle } else { high = middle }
    }
    (high / trials).min(1.0)
}

/// How many trials without any event show that the rate is at most `rate`, at 95 % confidence.
pub fn trials_needed(rate: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    let needed = (-(0.05_f64.ln()) / rate).ceil() as u64;
    needed
}

/// P(X ≤ events) of a Poisson with expectation `mean`.
fn tail(events: f64, mean: f64) -> f64 {
    if events > 1_000.0 {
        // Wilson and Hilferty's cube root: within a thousandth there, and quick.
        let shape = events + 1.0;
        let z = ((mean / shape).cbrt() - (1.0 - 1.0 / (9.0 * shape))) * (9.0 * shape).sqrt();
        return normal_above(z);
    }
    let (mut term, mut sum, mut k) = ((-mean).exp(), 0.0, 0.0);
    if term == 0.0 {
        return 0.0;
    }
    while k <= events {
        sum += term;
        k += 1.0;
        term *= mean / k;
    }
    sum
}

/// P(Z > z) of the normal distribution, to seven digits (Abramowitz and Stegun 26.2.17).
pub fn normal_above(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_above(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 comparisons")]
    let count = count as f64;
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_is_that_of_the_tables() {
        // Exact Poisson limits: 2.996, 4.744, 6.296, 16.962 for 0, 1, 2, 10 events.
        for (events, expected) in [(0, 2.996), (1, 4.744), (2, 6.296), (10, 16.962)] {
            let bound = upper(events, 1_000_000) * 1e6;
            assert!((bound - expected).abs() < 0.001, "{events}: {bound}");
        }
        assert_eq!(trials_needed(0.000_1), 29_958);
        assert!(upper(0, 29_958) <= 0.000_1 && upper(0, 29_900) > 0.000_1);
        assert!((upper(0, 50) - 0.0599).abs() < 0.0001);
        assert!((upper(0, 0) - 1.0).abs() < 1e-9);
        let many = upper(5_000, 1_000_000) * 1e6;
        assert!((many - 5_117.6).abs() < 2.0, "{many}");
    }

    proptest! {
        #[test]
        fn it_lies_above_what_was_seen_and_falls_with_more_trials(events in 0u64..20_000, more in 0u64..1_000_000) {
            let trials = events * 2 + 1;
            let seen = as_f64(events) / as_f64(trials);
            prop_assert!(upper(events, trials) >= seen);
            prop_assert!(upper(events, trials + more) <= upper(events, trials) + 1e-12);
            prop_assert!(upper(events + 1, trials + more) >= upper(events, trials + more) - 1e-12);
        }
    }
}
