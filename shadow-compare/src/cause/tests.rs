use proptest::prelude::*;

use super::*;
use crate::judge::samples::{level, record, stock_level, text_instants};

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

fn instant(text: &str) -> Value {
    Value::Instant(Instant::parse(text).unwrap())
}

#[test]
fn each_pair_has_the_cause_that_a_reader_would_name() {
    let text = Value::text;
    let table = [
        // The planted defects of the demo, and what rounding modes there are.
        (decimal("12.345"), decimal("12.35"), Cause::Rounding),
        (decimal("12.345"), decimal("12.34"), Cause::Rounding),
        (decimal("12.34"), decimal("12.35"), Cause::Rounding),
        (decimal("12.7"), decimal("12"), Cause::Rounding),
        (decimal("-0.4"), decimal("0"), Cause::Rounding),
        (decimal("123456.789"), decimal("123456.7890625"), Cause::Rounding),
        (decimal("12"), decimal("13"), Cause::Different),
        (decimal("12.60"), decimal("13.40"), Cause::Different),
        (decimal("12.31"), decimal("12.34"), Cause::Different),
        (Value::Int(12), Value::Int(13), Cause::Different),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T07:00:00Z"), Cause::TimeZone),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T13:45:00Z"), Cause::TimeZone),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T10:00:00.25Z"), Cause::TimeZone),
        (instant("2026-01-31T08:00:00Z"), instant("2026-02-01T10:15:00Z"), Cause::Different),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T08:00:01Z"), Cause::Different),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T08:10:00Z"), Cause::Different),
        (instant("2026-01-31T08:00:00Z"), instant("2026-01-31T08:00:00.25Z"), Cause::Rounding),
        (instant("2026-01-31T08:00:00.12Z"), instant("2026-01-31T08:00:00.123Z"), Cause::Rounding),
        (Value::Null, text(""), Cause::NullEmpty),
        (text("  "), Value::Null, Cause::NullEmpty),
        (text(""), text("   "), Cause::Padding),
        (text("BER"), text("BER   "), Cause::Padding),
        (text(" BER"), text("BER"), Cause::Padding),
        (text("Bolt M8"), text("BOLT M8"), Cause::Case),
        (text("Hexagon bolt"), text("Hexagon b"), Cause::Truncation),
        (text(""), text("Hexagon bolt"), Cause::Different),
        (text("Bolt"), text("Nut"), Cause::Different),
        (Value::Null, Value::Int(0), Cause::Different),
        (Value::Null, text("x"), Cause::Different),
        (Value::Bool(true), text("Y"), Cause::Different),
    ];
    for (legacy, modern, cause) in table {
        assert_eq!(of_values(&legacy, &modern), cause, "{legacy:?} beside {modern:?}");
        assert_eq!(of_values(&modern, &legacy), cause, "{modern:?} beside {legacy:?}");
    }
}

#[test]
fn a_side_that_holds_what_the_other_held_before_is_stale() {
    let entity = stock_level();
    let fields = entity.all_fields();
    let (old, new) = (level("SKU-1", 4, "1.5"), level("SKU-1", 9, "1.5"));
    let past = |legacy: Vec<Option<Record>>| PerSide { legacy, modern: Vec::new() };
    let pair =
        |legacy: Option<&Record>, modern: Option<&Record>| PerSide { legacy: legacy.cloned(), modern: modern.cloned() };
    let behind = pair(Some(&new), Some(&old));
    assert!(is_stale(&entity, fields, &behind, &past(vec![Some(new.clone()), Some(old.clone())])));
    assert!(!is_stale(&entity, fields, &behind, &past(vec![Some(new.clone()), None])));
    assert!(!is_stale(&entity, fields, &behind, &past(Vec::new())));
    // The same in the other direction: what modern remembers tells that legacy is behind.
    let swapped = PerSide { legacy: Vec::new(), modern: vec![Some(old.clone())] };
    assert!(is_stale(&entity, fields, &pair(Some(&old), Some(&new)), &swapped));
    // A deletion that modern has not seen, and a return that it has not seen.
    assert!(is_stale(&entity, fields, &pair(None, Some(&old)), &past(vec![None, Some(old.clone())])));
    assert!(is_stale(&entity, fields, &pair(Some(&new), None), &past(vec![Some(new.clone()), None])));
    // Half of an old state is not an old state.
    let torn = record(&entity, &[("sku", "SKU-1".into()), ("onHand", 4.into()), ("price", Value::Null)]);
    assert!(!is_stale(&entity, fields, &pair(Some(&new), Some(&torn)), &past(vec![Some(old)])));
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
            prop_assume!(short != number);
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
    fn a_text_cut_anywhere_is_truncation_unless_only_blanks_or_nothing_is_left(
        text in "[a-z]{2,12}", at in 1_usize..12,
    ) {
        prop_assume!(at < text.len());
        prop_assert_eq!(of_values(&text.as_str().into(), &text[..at].into()), Cause::Truncation);
        prop_assert_eq!(of_values(&Value::Null, &text.as_str().into()), Cause::Different);
    }
}
