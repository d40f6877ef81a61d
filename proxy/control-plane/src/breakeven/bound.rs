//! How large a probability may be when it was met so many times in so many trials.

/// Beyond so many hits the sum gets long, and the approximation differs by less than one part in a hundred.
const SUMMED: u64 = 10_000;
/// The other 5 %: chance that the true probability lies above the bound.
const RISK: f64 = 0.05;

/// The one-sided upper bound of Clopper and Pearson at 95 %: the largest probability under which `hits` or fewer
/// in `trials` still happen once in twenty. For no hits it is about 3 / `trials` (the rule of three).
pub fn upper_bound(hits: u64, trials: u64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    if hits > SUMMED {
        return wilson(hits, trials);
    }
    let (mut low, mut high) = (hits as f64 / trials as f64, 1.0);
    // Halved until a float cannot tell both ends apart.
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if at_most(hits, trials, middle) > RISK {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Probability of at most `hits` in `trials` when each hits with probability `p`. Summed as logarithms: the first
/// terms of a long series are smaller than any float.
fn at_most(hits: u64, trials: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    let (odds, trials) = ((p / (1.0 - p)).ln(), trials as f64);
    let mut term = trials * (-p).ln_1p();
    let mut terms = vec![term];
    for hit in 0..hits {
        let hit = hit as f64;
        term += ((trials - hit) / (hit + 1.0)).ln() + odds;
        terms.push(term);
    }
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    terms.iter().map(|term| (term - largest).exp()).sum::<f64>() * largest.exp()
}

/// Wilson's upper bound, one-sided at 95 %.
fn wilson(hits: u64, trials: u64) -> f64 {
    /// The standard normal distribution has 5 % beyond it.
    const Z: f64 = 1.644_853_626_951_472_2;
    let (n, p) = (trials as f64, hits as f64 / trials as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre + spread) / (1.0 + Z * Z / n)).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_is_that_of_the_books() {
        // Beta quantiles: 95 % of Beta(hits + 1, trials - hits).
        for (hits, trials, bound) in [
            (0, 50, 0.058_155),
            (0, 1, 0.95),
            (1, 10, 0.394_163),
            (5, 100, 0.102_253),
            (50, 1_000, 0.062_863),
            (0, 1_000_000, 2.995_727e-6),
            (7, 7, 1.0),
        ] {
            let found = upper_bound(hits, trials);
            assert!((found - bound).abs() < bound * 2e-3, "{hits} of {trials}: {found} and not {bound}");
        }
    }

    #[test]
    fn none_of_many_is_the_rule_of_three() {
        for trials in [100, 10_000, 100_000_000] {
            let by_three = 3.0 / trials as f64;
            assert!((upper_bound(0, trials) / by_three - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn both_ways_of_calculating_agree_where_they_meet() {
        for trials in [20_000, 1_000_000, 1_000_000_000] {
            let (summed, close) = (upper_bound(SUMMED, trials), wilson(SUMMED, trials));
            assert!((summed / close - 1.0).abs() < 1e-3, "{trials}: {summed} and {close}");
        }
    }

    proptest! {
        #[test]
        fn the_bound_lies_above_what_was_measured_and_more_trials_bring_it_down(
            hits in 0_u64..200, more in 1_u64..100_000,
        ) {
            let trials = hits + more;
            let bound = upper_bound(hits, trials);
            prop_assert!(bound > hits as f64 / trials as f64 && bound <= 1.0);
            prop_assert!(upper_bound(hits, trials * 2) < bound);
            prop_assert!(upper_bound(hits + 1, trials) >= bound);
        }
    }
}
