//! Under which rules a pair of different values would agree.
//!
//! Asked for each difference when it becomes evidence, so that *all* differences of a field are counted by rule,
//! not only those that are kept as samples. A rule says nothing about which side is right.
//!
//! Promise: `explains(rule, a, b)` exactly for the rules in `explanations(a, b)`; equal values have none.
//! Not here: choosing what to propose (`propose`).

use bigdecimal::RoundingMode;
use chrono::TimeDelta;
use model::{Decimal, Instant, Rule, Side, Value};

use crate::canon::{fold_case, whole_seconds};

/// Every rule under which `legacy` and `modern`, which differ, would be the same.
pub fn explanations(legacy: &Value, modern: &Value) -> Vec<Rule> {
    if legacy == modern {
        return Vec::new();
    }
    match (legacy, modern) {
        (Value::Decimal(one), Value::Decimal(other)) => of_decimals(one, other),
        (Value::Instant(one), Value::Instant(other)) => of_instants(*one, *other),
        (Value::Text(one), Value::Text(other)) => of_texts(one, other),
        (Value::Text(text), Value::Null) if text.is_empty() => vec![Rule::EmptyIsNull(Side::Legacy)],
        (Value::Null, Value::Text(text)) if text.is_empty() => vec![Rule::EmptyIsNull(Side::Modern)],
        (
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Instant(_)
            | Value::List(_),
            _,
        ) => Vec::new(),
    }
}

/// Whether the pair, which differs, would be the same under `rule`.
pub fn explains(rule: Rule, legacy: &Value, modern: &Value) -> bool {
    explanations(legacy, modern).contains(&rule)
}

fn of_decimals(one: &Decimal, other: &Decimal) -> Vec<Rule> {
    let longest = one.scale().max(other.scale());
    let cut = |number: &Decimal, digits: u8| {
        Decimal::new(number.as_big().with_scale_round(i64::from(digits), RoundingMode::Down))
    };
    // Rounded to none of its digits a number is only its size: 0.4 and 0.1 agree under `scale: 0`, and prove
    // nothing. One digit of the shorter number must be left, so that there is something to agree on.
    let shortest = one.scale().min(other.scale());
    let digits = (0..=Rule::MAX_DIGITS).filter(|digits| {
        let digits = u32::from(*digits);
        digits < longest && (digits >= shortest || digits > 0)
    });
    digits
        .flat_map(|digits| {
            let scale = one.round(u32::from(digits)) == other.round(u32::from(digits));
            let cut = cut(one, digits) == cut(other, digits);
            [scale.then_some(Rule::Scale(digits)), cut.then_some(Rule::Cut(digits))]
        })
        .flatten()
        .collect()
}

fn of_instants(one: Instant, other: Instant) -> Vec<Rule> {
    let (from, to) = (whole_seconds(one), whole_seconds(other));
    if from == to {
        return vec![Rule::ToSeconds];
    }
    let has_fraction = |instant: Instant| whole_seconds(instant) != instant;
    let both = has_fraction(one) && has_fraction(other);
    let apart = if both { other.to_utc() - one.to_utc() } else { to.to_utc() - from.to_utc() };
    // All zones in use are whole quarter hours apart.
    let minutes = i16::try_from(apart.num_minutes()).unwrap_or(i16::MAX);
    let whole = apart == TimeDelta::minutes(i64::from(minutes)) && minutes % 15 == 0;
    let possible = whole && minutes.saturating_abs() <= Rule::MAX_OFFSET;
    possible.then_some(Rule::Offset(minutes)).into_iter().collect()
}

fn of_texts(one: &str, other: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    if fold_case(one) == fold_case(other) {
        rules.push(Rule::IgnoreCase);
    }
    if one.trim() == other.trim() {
        rules.push(Rule::Trim);
    }
    rules
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canon::same;
    use crate::judge::samples::values;
    use model::contract::Compare;

    fn explained(legacy: Value, modern: Value) -> String {
        let rules = explanations(&legacy, &modern).into_iter().map(|rule| rule.to_string());
        rules.collect::<Vec<_>>().join(", ")
    }

    fn decimals(legacy: &str, modern: &str) -> String {
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        explained(decimal(legacy), decimal(modern))
    }

    fn instants(legacy: &str, modern: &str) -> String {
        let instant = |text: &str| Value::Instant(Instant::parse(text).unwrap());
        explained(instant(legacy), instant(modern))
    }

    #[test]
    fn each_pair_is_explained_by_the_rules_that_make_it_one() {
        assert_eq!(decimals("12.35", "12.345"), "cut: 1, scale: 2");
        assert_eq!(decimals("12.34", "12.345"), "scale: 1, cut: 1, cut: 2");
        assert_eq!(decimals("-1.23", "-1.239"), "scale: 1, cut: 1, cut: 2");
        assert_eq!(decimals("12", "12.3"), "scale: 0, cut: 0");
        assert_eq!(decimals("12.1", "12.2"), "");
        assert_eq!(decimals("12.34", "99.345"), "");
        assert_eq!(decimals("12", "13"), "");
        assert_eq!(instants("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.25Z"), "toSeconds");
        assert_eq!(instants("2026-01-31T08:00:00Z", "2026-01-31T07:00:00.25Z"), "offset: -60");
        assert_eq!(instants("2026-01-31T08:00:00Z", "2026-01-31T13:45:00Z"), "offset: +345");
        assert_eq!(instants("2026-01-31T08:00:00Z", "2026-01-31T08:07:00Z"), "");
        assert_eq!(instants("2026-01-31T08:00:00Z", "2026-02-02T08:00:00Z"), "");
        assert_eq!(instants("2026-01-31T08:00:00Z", "9999-12-31T08:00:00Z"), "");
        assert_eq!(explained("Bolt".into(), "BOLT".into()), "ignoreCase");
        assert_eq!(explained("bolt ".into(), "bolt".into()), "trim");
        assert_eq!(explained("".into(), Value::Null), "emptyIsNull: legacy");
        assert_eq!(explained(Value::Null, "".into()), "emptyIsNull: modern");
        assert_eq!(explained(Value::Null, " ".into()), "");
        assert_eq!(explained(1.into(), 2.into()), "");
    }

    proptest! {
        #[test]
        fn a_rule_that_the_contract_knows_explains_what_it_would_forgive(one in values(), other in values()) {
            for rule in explanations(&one, &other) {
                let compare = match rule {
                    Rule::Scale(digits) => Compare { scale: Some(digits.into()), ..Compare::default() },
                    Rule::IgnoreCase => Compare { ignore_case: true, ..Compare::default() },
                    Rule::ToSeconds => Compare { to_seconds: true, ..Compare::default() },
                    Rule::Cut(_) | Rule::Offset(_) | Rule::Trim | Rule::EmptyIsNull(_) => continue,
                };
                prop_assert!(same(&one, &other, &compare));
            }
            prop_assert!(explanations(&one, &one).is_empty());
        }

        #[test]
        fn a_number_and_its_rounding_are_always_explained(units in any::<i64>(), scale in 3_u32..8, digits in 1_u8..3) {
            let exact: Decimal = format!("{units}e-{scale}").parse().unwrap();
            let rounded = exact.round(digits.into());
            if rounded != exact {
                prop_assert!(explains(Rule::Scale(digits), &Value::Decimal(rounded), &Value::Decimal(exact)));
            }
        }
    }
}
