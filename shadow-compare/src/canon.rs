//! The canonical form of a value under a field's `@compare`: what both sides are brought to before
//! they are compared.
//!
//! Adapters have already undone what is a side's own way of storing: padding, flags, local time,
//! sentinels, and `''` where the home says `empty_is_null`. What is left here is what the contract
//! declares as *meaning the same*. So `''` beside null is a difference in this form: nobody has
//! declared it.
//!
//! Promises: total (every value has a form, a rule that does not fit a value leaves it alone) and
//! idempotent (`canonical(canonical(v)) == canonical(v)`).

use std::borrow::Cow;

use chrono::SubsecRound;
use model::contract::Compare;
use model::{Instant, Value};

/// The form in which `value` is compared.
pub fn canonical<'a>(value: &'a Value, compare: &Compare) -> Cow<'a, Value> {
    match (value, compare.scale) {
        (Value::Decimal(number), Some(scale)) if number.scale() > scale => {
            Cow::Owned(Value::Decimal(number.round(scale)))
        }
        (Value::Instant(instant), _) if compare.to_seconds => Cow::Owned(Value::Instant(whole_seconds(*instant))),
        (Value::Text(text), _) if compare.ignore_case => Cow::Owned(Value::Text(fold_case(text))),
        (Value::List(values), _) => {
            let values = values.iter().map(|v| canonical(v, compare).into_owned());
            Cow::Owned(Value::List(values.collect()))
        }
        (Value::Null | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) | Value::Text(_) | Value::Instant(_), _) => {
            Cow::Borrowed(value)
        }
    }
}

/// Whether two values are the same under `compare`.
pub fn same(one: &Value, other: &Value, compare: &Compare) -> bool {
    // Most answers are equal as they stand; that costs no allocation.
    one == other || canonical(one, compare) == canonical(other, compare)
}

/// The instant without its fraction of a second, cut and not rounded: what Oracle's DATE keeps.
pub(crate) fn whole_seconds(instant: Instant) -> Instant {
    Instant::new(instant.to_utc().trunc_subsecs(0))
}

/// Text without upper and lower case. Down, up and down again, letter by letter: so letters with two
/// small forms (`σ`, `ς`), and great letters whose small form grows to two letters (`ẞ`), meet too.
pub(crate) fn fold_case(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    let upper = lower.flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::samples::{compares, values};
    use proptest::prelude::*;

    #[test]
    fn folding_every_letter_twice_is_folding_it_once() {
        // Folding works letter by letter, so this is a proof for all texts.
        for letter in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let once = fold_case(&letter.to_string());
            assert_eq!(fold_case(&once), once, "{letter:?}");
        }
        assert_eq!(fold_case("ΟΔΟΣ"), fold_case("οδος"));
        assert_eq!(fold_case("STRASSE"), fold_case("straße"));
    }

    #[test]
    fn each_rule_forgives_what_it_says_and_nothing_else() {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        let instant = |text: &str| Value::Instant(Instant::parse(text).unwrap());
        let none = Compare::default();
        let scale = Compare { scale: Some(2), ..Compare::default() };
        let case = Compare { ignore_case: true, ..Compare::default() };
        let seconds = Compare { to_seconds: true, ..Compare::default() };

        assert!(same(&decimal("1.50"), &decimal("1.5"), &none));
        assert!(!same(&decimal("2.345"), &decimal("2.35"), &none));
        assert!(same(&decimal("2.345"), &decimal("2.35"), &scale));
        assert!(same(&decimal("-2.345"), &decimal("-2.35"), &scale));
        assert!(!same(&decimal("2.3449"), &decimal("2.35"), &scale));
        assert!(!same(&"Bolt".into(), &"BOLT".into(), &none));
        assert!(same(&"Bolt".into(), &"BOLT".into(), &case));
        let (whole, fraction) = (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T08:00:00.9Z"));
        assert!(!same(&whole, &fraction, &none));
        assert!(same(&whole, &fraction, &seconds));
        for compare in [none, scale, case, seconds] {
            assert!(!same(&Value::Null, &"".into(), &compare));
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(value in values(), compare in compares()) {
            let once = canonical(&value, &compare).into_owned();
            prop_assert_eq!(canonical(&once, &compare).into_owned(), once);
        }

        #[test]
        fn a_value_is_the_same_as_itself_and_as_its_canonical_form(
            value in values(),
            compare in compares(),
        ) {
            prop_assert!(same(&value, &value, &compare));
            prop_assert!(same(&value, &canonical(&value, &compare), &compare));
        }
    }
}
