use proptest::prelude::*;

use super::*;
use crate::judge::samples::{level, record, stock_level, text_instants};

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

fn instant(text: &str) -> Value {
    Value::Instant(Instant::parse(text).unwrap())
}

/// Every pair has the cause, whichever side holds which value.
fn expect(cause: Cause, pairs: &[(Value, Value)]) {
    for (one, other) in pairs {
        assert_eq!(of_values(one, other), cause, "{one:?} beside {other:?}");
        assert_eq!(of_values(other, one), cause, "{other:?} beside {one:?}");
    }
}

fn decimals(pairs: &[(&str, &str)]) -> Vec<(Value, Value)> {
    pairs.iter().map(|(one, other)| (decimal(one), decimal(other))).collect()
}

/// Times of day on 2026-01-31, or a day and time in January 2026.
fn instants(pairs: &[(&str, &str)]) -> Vec<(Value, Value)> {
    let at = |text: &str| match text.split_once('T') {
        Some((day, time)) => instant(&format!("2026-01-{day}T{time}Z")),
        None => instant(&format!("2026-01-31T{text}Z")),
    };
    pairs.iter().map(|(one, other)| (at(one), at(other))).collect()
}

fn texts(pairs: &[(&str, &str)]) -> Vec<(Value, Value)> {
    pairs.iter().map(|(one, other)| ((*one).into(), (*other).into())).collect()
}

#[test]
fn numbers_with_digits_dropped_are_rounding_in_whichever_direction() {
    let rounded = [
        ("12.345", "12.35"),
        ("12.345", "12.34"),
        ("12.34", "12.35"),
        ("12.7", "12"),
        ("-0.4", "0"),
        ("123456.789", "123456.7890625"),
    ];
    expect(Cause::Rounding, &decimals(&rounded));
    let different = [("12", "13"), ("12.60", "13.40"), ("12.31", "12.34"), ("100", "200")];
    expect(Cause::Different, &decimals(&different));
    expect(Cause::Different, &[(Value::Int(12), Value::Int(13))]);
}

#[test]
fn instants_a_zone_apart_are_time_zone_and_a_lost_fraction_is_rounding() {
    let zones = [
        ("08:00:00", "07:00:00"),
        ("08:00:00", "13:45:00"),
        ("08:00:00", "10:00:00.25"),
        ("08:00:00.25", "10:00:00.25"),
        ("30T08:00:00", "31T10:00:00"),
    ];
    expect(Cause::TimeZone, &instants(&zones));
    expect(Cause::Rounding, &instants(&[("08:00:00", "08:00:00.25"), ("08:00:00.12", "08:00:00.123")]));
    let different = [
        ("30T08:00:00", "31T10:15:00"),
        ("08:00:00", "08:00:01"),
        ("08:00:00", "08:10:00"),
        ("08:00:00.25", "10:00:00.5"),
    ];
    expect(Cause::Different, &instants(&different));
}

#[test]
fn texts_that_differ_in_blanks_case_or_length_have_a_cause_each() {
    expect(Cause::NullEmpty, &[(Value::Null, "".into()), (Value::Null, "  ".into())]);
    expect(Cause::Padding, &texts(&[("", "   "), ("BER", "BER   "), (" BER", "BER")]));
    expect(Cause::Case, &texts(&[("Bolt M8", "BOLT M8")]));
    expect(Cause::Truncation, &texts(&[("Hexagon bolt", "Hexagon b")]));
    expect(Cause::Different, &texts(&[("", "Hexagon bolt"), ("Bolt", "Nut")]));
    let unlike = [(Value::Null, Value::Int(0)), (Value::Null, "x".into()), (Value::Bool(true), "Y".into())];
    expect(Cause::Different, &unlike);
}

fn pair(legacy: Option<&Record>, modern: Option<&Record>) -> PerSide<Option<Record>> {
    PerSide { legacy: legacy.cloned(), modern: modern.cloned() }
}

fn past(legacy: &[Option<&Record>], modern: &[Option<&Record>]) -> PerSide<Vec<Option<Record>>> {
    let states = |states: &[Option<&Record>]| states.iter().map(|state| state.cloned()).collect();
    PerSide { legacy: states(legacy), modern: states(modern) }
}

#[test]
fn a_side_that_holds_what_the_other_held_before_is_stale() {
    let entity = stock_level();
    let stale = |pair, past| is_stale(&entity, entity.all_fields(), &pair, &past);
    let (old, new) = (&level("SKU-1", 4, "1.5"), &level("SKU-1", 9, "1.5"));
    let behind = || pair(Some(new), Some(old));
    assert!(stale(behind(), past(&[Some(new), Some(old)], &[])));
    assert!(!stale(behind(), past(&[Some(new), None], &[])));
    assert!(!stale(behind(), past(&[], &[])));
    // In the other direction: what modern remembers tells that legacy is behind.
    assert!(stale(pair(Some(old), Some(new)), past(&[], &[Some(new), Some(old)])));
    // A deletion that modern has not seen, and a return that it has not seen.
    assert!(stale(pair(None, Some(old)), past(&[None, Some(old)], &[])));
    assert!(stale(pair(Some(new), None), past(&[Some(new), None], &[])));
}

#[test]
fn a_row_that_was_spoilt_behind_the_ledger_is_not_stale() {
    let entity = stock_level();
    let stale = |pair, past| is_stale(&entity, entity.all_fields(), &pair, &past);
    let (old, new, spoilt) = (&level("A", 4, "1.25"), &level("A", 9, "1.25"), &level("A", 9, "1.2"));
    // Both ledgers hold what was written; legacy still has it, modern's row was changed since.
    let both = || past(&[Some(new), Some(old)], &[Some(new), Some(old)]);
    assert!(!stale(pair(Some(new), Some(spoilt)), both()));
    assert!(!stale(pair(Some(new), None), both()));
    // A value that goes back and forth: the newest state is not an old one.
    let there_and_back = || past(&[Some(new), Some(old), Some(new)], &[Some(new), Some(old), Some(new)]);
    assert!(!stale(pair(Some(new), Some(spoilt)), there_and_back()));
    assert!(stale(pair(Some(new), Some(old)), there_and_back()));
}

#[test]
fn half_of_an_old_state_is_not_an_old_state() {
    let entity = stock_level();
    let (old, new) = (level("SKU-1", 4, "1.5"), level("SKU-1", 9, "1.5"));
    let torn = [("sku", "SKU-1".into()), ("onHand", 4.into()), ("price", Value::Null)];
    let torn = pair(Some(&new), Some(&record(&entity, &torn)));
    assert!(!is_stale(&entity, entity.all_fields(), &torn, &past(&[Some(&new), Some(&old)], &[])));
}

proptest! {
    #[test]
    fn an_instant_shifted_by_a_zone_offset_is_time_zone(time in text_instants(), quarters in 1_i64..=104) {
        let shifted = time.to_utc() + TimeDelta::minutes(15 * quarters);
        let cause = of_values(&Value::Instant(time), &Value::Instant(Instant::new(shifted)));
        prop_assert_eq!(cause, Cause::TimeZone);
    }

    #[test]
    fn a_number_beside_its_rounded_or_cut_self_is_rounding(
        units in -1_000_000_000_i64..1_000_000_000,
        scale in 1_i64..8,
        digits in 0_u32..7,
    ) {
        let number = Decimal::new(BigDecimal::new(units.into(), scale));
        let cut = number.as_big().with_scale(i64::from(digits));
        for short in [number.round(digits), Decimal::new(cut)] {
            if short == number {
                continue;
            }
            let cause = of_values(&Value::Decimal(number.clone()), &Value::Decimal(short));
            prop_assert_eq!(cause, Cause::Rounding);
        }
    }

    #[test]
    fn numbers_one_or_more_apart_are_never_rounding(
        units in -1_000_000_i64..1_000_000,
        scale in 0_i64..6,
        more in 0_i64..1_000_000,
    ) {
        let number = BigDecimal::new(units.into(), scale);
        let far = number.clone() + BigDecimal::from(1) + BigDecimal::new(more.into(), scale);
        let cause = of_values(&Value::Decimal(Decimal::new(number)), &Value::Decimal(Decimal::new(far)));
        prop_assert_eq!(cause, Cause::Different);
    }

    #[test]
    fn a_text_cut_anywhere_is_truncation_unless_nothing_is_left(text in "[a-z]{2,12}", at in any::<prop::sample::Index>()) {
        let at = 1 + at.index(text.len() - 1);
        prop_assert_eq!(of_values(&text.as_str().into(), &text[..at].into()), Cause::Truncation);
        prop_assert_eq!(of_values(&"".into(), &text.as_str().into()), Cause::Different);
        prop_assert_eq!(of_values(&Value::Null, &text.as_str().into()), Cause::Different);
    }
}
