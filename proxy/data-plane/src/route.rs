//! Who answers? Pure: everything that matters comes in as an argument.
//!
//! Promise: a key sticks to its side, and raising a percentage only ever adds keys.
//! Not here: asking anybody (`read`), percentages themselves (`model::policy`).

use model::{Bucket, Policy, Side};

/// Who answers one key (or one list), and what else happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Who is asked.
    pub side: Side,
    /// Who is asked when that side fails: the primary, and only if it was not asked already. A
    /// secondary never stands in for the primary, it may not have the last write.
    pub fallback: Option<Side>,
    /// Whether the other side is asked the same, later, to compare.
    pub shadow: bool,
}

/// Decides for one key or list.
///
/// `pinned`: the other side may not have the last write that this client must see. `draw`: a bucket
/// drawn afresh for each read, or the shadow sample would watch the same keys for ever.
pub fn decide(policy: &Policy, place: Bucket, pinned: bool, draw: Bucket) -> Decision {
    let primary = policy.primary();
    if pinned {
        return Decision { side: primary, fallback: None, shadow: false };
    }
    let side = if policy.reads().covers(place) { Side::Modern } else { Side::Legacy };
    Decision {
        side,
        fallback: (side != primary).then_some(primary),
        shadow: policy.stage().shadows() && policy.shadow().covers(draw),
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, Percentage, Stage};
    use proptest::prelude::*;

    use super::*;

    fn shift(reads: f64, shadow: f64) -> Policy {
        let share = |percent: f64| Percentage::try_from(percent).unwrap();
        Policy::new(Stage::Shift, share(reads), share(shadow), Epoch(1)).unwrap()
    }

    fn bucket(place: u16) -> Bucket {
        Bucket::at(place).unwrap()
    }

    proptest! {
        #[test]
        fn raising_the_percentage_never_takes_a_key_back(place in 0..10_000u16, low in 0..=10_000u16, high in 0..=10_000u16, draw in 0..10_000u16) {
            let (low, high) = (low.min(high), low.max(high));
            let at = |points: u16| decide(&shift(f64::from(points) / 100.0, 0.0), bucket(place), false, bucket(draw)).side;
            prop_assert!(at(low) == Side::Legacy || at(high) == Side::Modern);
        }

        #[test]
        fn a_key_sticks_to_its_side_whatever_is_drawn(place in 0..10_000u16, points in 0..=10_000u16, a in 0..10_000u16, b in 0..10_000u16) {
            let policy = shift(f64::from(points) / 100.0, 50.0);
            let side = |draw| decide(&policy, bucket(place), false, bucket(draw)).side;
            prop_assert_eq!(side(a), side(b));
        }
    }

    #[test]
    fn a_pinned_key_is_answered_by_the_primary_at_any_percentage() {
        let decision = decide(&shift(100.0, 100.0), bucket(0), true, bucket(0));
        assert_eq!(decision, Decision { side: Side::Legacy, fallback: None, shadow: false });
    }

    #[test]
    fn only_the_primary_stands_in_for_the_other_side() {
        assert_eq!(decide(&shift(100.0, 0.0), bucket(9_999), false, bucket(0)).fallback, Some(Side::Legacy));
        assert_eq!(decide(&shift(0.0, 0.0), bucket(0), false, bucket(0)).fallback, None);
        let reverse = Policy::new(Stage::Reverse, Percentage::FULL, Percentage::ZERO, Epoch(2)).unwrap();
        let decision = decide(&reverse, bucket(0), false, bucket(0));
        assert_eq!((decision.side, decision.fallback), (Side::Modern, None));
    }

    #[test]
    fn shadows_are_a_sample_of_the_stages_that_have_them() {
        assert!(decide(&shift(0.0, 10.0), bucket(5), false, bucket(999)).shadow);
        assert!(!decide(&shift(0.0, 10.0), bucket(5), false, bucket(1_000)).shadow);
        assert!(!decide(&Policy::initial(), bucket(5), false, bucket(0)).shadow);
    }
}
