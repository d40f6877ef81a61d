use std::sync::Arc;

use model::Side;
use proptest::prelude::*;

use super::*;
use crate::excuses::Excuses;
use crate::judge::judge;
use crate::judge::samples::{level, stock_level, today};

fn sum(records: u64, sum: u128) -> ChunkSum {
    ChunkSum { records, sum }
}

fn chunk(prefix: &str) -> Chunk {
    Chunk::new(prefix).unwrap()
}

#[test]
fn only_parts_that_differ_are_looked_at_and_large_ones_are_divided() {
    let legacy = vec![(chunk("00"), sum(5, 1)), (chunk("01"), sum(5, 2)), (chunk("02"), sum(500, 3))];
    let modern = vec![(chunk("00"), sum(5, 1)), (chunk("02"), sum(5, 4)), (chunk("03"), sum(1, 7))];
    let found = parts(&Chunk::whole(), &PerSide { legacy, modern }, 100);
    let expected = [
        Part::Equal(5),
        // One side has none of it at all.
        Part::Read(chunk("01")),
        Part::Divide(chunk("02")),
        Part::Read(chunk("03")),
    ];
    assert_eq!(found, expected);
    // Equal sums of a different count are no equal sums.
    let sides = PerSide { legacy: vec![(chunk("00"), sum(1, 9))], modern: vec![(chunk("00"), sum(2, 9))] };
    assert_eq!(parts(&Chunk::whole(), &sides, 100), [Part::Read(chunk("00"))]);
}

#[test]
fn what_cannot_be_divided_is_read_however_large() {
    let last = chunk("0011aabb");
    let sides = PerSide { legacy: vec![(last.clone(), sum(500, 1))], modern: vec![] };
    assert_eq!(parts(&last, &sides, 100), [Part::Read(last)]);
}

/// Everything that `judge` says of the rows of one chunk, as reconcile adds it up when nothing moves.
fn drift_of(legacy: Vec<Record>, modern: Vec<Record>, most_listed: usize) -> Drift {
    let entity = stock_level();
    let redactor = Redactor::new(b"secret");
    let mut drift = Drift::new(most_listed, None);
    let rows = |rows: &Vec<Record>| rows.len() as u64;
    drift.compared(PerSide { legacy: rows(&legacy), modern: rows(&modern) });
    let Paired { pairs: (question, answers), odd } = pair_members(&entity, PerSide { legacy, modern });
    for side in Side::BOTH {
        let odd = odd.get(side);
        drift.keyless(&entity, &redactor, side, odd.len() as u64, odd);
    }
    let Asked::Keys(keys) = &question.asked else { panic!("by key") };
    for (place, key) in keys.iter().enumerate() {
        let slot = |side| Answer(vec![answers.get(side).0[place].clone()]);
        let one = Question { asked: Asked::Keys(vec![key.clone()]), ..question.clone() };
        let judgement = judge(
            &one,
            &PerSide { legacy: slot(Side::Legacy), modern: slot(Side::Modern) },
            &Excuses::of_contract(today()),
        );
        drift.decided(&entity, &redactor, key.clone(), &judgement);
    }
    drift
}

#[test]
fn drift_is_counted_by_field_and_cause_and_excused_rows_apart() {
    let legacy = vec![level("A", 1, "1"), level("B", 2, "1"), level("C", 3, "1.25"), level("E", 5, "1")];
    let modern = vec![level("B", 9, "1"), level("C", 3, "1.2"), level("D", 4, "1"), level("E", 5, "1")];
    let drift = drift_of(legacy, modern, 10);
    let findings = drift.findings(None, String::new());
    assert_eq!((findings.rows, findings.drift, findings.excused), (PerSide { legacy: 4, modern: 4 }, 3, 1));
    assert!(findings.is_complete());
    let kinds: Vec<_> =
        findings.kinds.iter().map(|kind| (kind.field.as_ref().map(FieldName::as_str), kind.cause, kind.rows)).collect();
    let expected = [(None, Cause::MissingRow, 1), (None, Cause::ExtraRow, 1), (Some("onHand"), Cause::Different, 1)];
    assert_eq!(kinds, expected);
    let listed: Vec<_> = drift.listed().iter().map(|row| row.key.as_text()).collect();
    assert_eq!(listed, [r#"["A"]"#, r#"["B"]"#, r#"["D"]"#]);
    assert!(!drift.findings(Some("stopped".into()), String::new()).is_complete());
}

#[test]
fn beyond_what_is_listed_and_sampled_everything_is_counted() {
    let legacy: Vec<_> = (0..1_000).map(|number| level(&format!("S{number}"), 1, "1")).collect();
    let drift = drift_of(legacy, Vec::new(), 7);
    let findings = drift.findings(None, String::new());
    assert_eq!((findings.drift, findings.kinds[0].rows), (1_000, 1_000));
    assert_eq!((drift.listed().len(), findings.samples.len()), (7, SAMPLES_OF_A_KIND));
}

#[test]
fn only_rows_of_the_wanted_kind_are_named() {
    let kind = |field: Option<&str>, cause| (field.map(FieldName::from), cause);
    let any = Wanted { cause: Cause::Rounding, field: None };
    let of_price = Wanted { field: Some("price".into()), ..any.clone() };
    assert!(any.fits(&kind(Some("price"), Cause::Rounding)) && any.fits(&kind(Some("weight"), Cause::Rounding)));
    assert!(of_price.fits(&kind(Some("price"), Cause::Rounding)));
    assert!(!of_price.fits(&kind(Some("weight"), Cause::Rounding)) && !any.fits(&kind(Some("price"), Cause::Case)));

    let entity = stock_level();
    let mut drift = Drift::new(10, Some(Wanted { cause: Cause::ExtraRow, field: None }));
    let members = PerSide { legacy: vec![level("A", 1, "1")], modern: vec![level("B", 1, "1")] };
    let (question, answers) = pair_members(&entity, members).pairs;
    let Asked::Keys(keys) = &question.asked else { panic!("by key") };
    for (place, key) in keys.iter().enumerate() {
        let slot = |side| Answer(vec![answers.get(side).0[place].clone()]);
        let one = Question { asked: Asked::Keys(vec![key.clone()]), ..question.clone() };
        let judgement = judge(
            &one,
            &PerSide { legacy: slot(Side::Legacy), modern: slot(Side::Modern) },
            &Excuses::of_contract(today()),
        );
        drift.decided(&entity, &Redactor::new(b"secret"), key.clone(), &judgement);
    }
    assert_eq!((drift.drifted(), drift.listed().len()), (2, 1));
    assert_eq!(drift.listed()[0].key.as_text(), r#"["B"]"#);
}

#[test]
fn rows_that_cannot_be_told_apart_or_named_are_counted_and_keep_it_from_being_complete() {
    let null = || Record::of(&stock_level(), [("sku", Value::Null), ("onHand", 1.into())]);
    let legacy = vec![level("A", 1, "1"), null(), null()];
    let drift = drift_of(legacy, vec![level("A", 1, "1"), level("A", 1, "1")], 10);
    let findings = drift.findings(None, String::new());
    assert_eq!((findings.drift, findings.keyless), (0, PerSide { legacy: 2, modern: 1 }));
    assert!(!findings.is_complete());
    let expected = [
        "without usable key on legacy: [null]",
        "without usable key on legacy: [null]",
        r#"without usable key on modern: ["A"]"#,
    ];
    assert_eq!(findings.named, expected);
}

#[test]
fn different_counts_without_any_row_that_differs_are_a_problem() {
    let mut drift = Drift::new(10, None);
    drift.compared(PerSide { legacy: 12, modern: 10 });
    assert!(!drift.findings(None, String::new()).is_complete());
    drift.moved();
    assert!(drift.findings(None, String::new()).is_complete(), "one was written while we looked");
}

#[test]
fn what_is_held_back_is_undecided_and_named() {
    let mut drift = Drift::new(10, None);
    let key = EntityKey::new("StockLevel".into(), vec!["A".into()]);
    (0..100).for_each(|_| drift.held_back(&stock_level(), &Redactor::new(b"secret"), &key));
    let findings = drift.findings(None, String::new());
    assert_eq!((findings.undecided, findings.held_back, findings.named.len()), (100, 100, NAMED));
    assert!(findings.why_incomplete().unwrap().contains("100 of which are held back"));
}

#[test]
fn a_sensitive_value_never_reaches_the_findings() {
    let mut entity = EntityType::clone(&stock_level());
    entity.fields[0].sensitive = true;
    let entity = Arc::new(entity);
    let (question, answers) =
        pair_members(&entity, PerSide { legacy: vec![level("SECRET-ann", 1, "1")], modern: Vec::new() }).pairs;
    let Asked::Keys(keys) = &question.asked else { panic!("by key") };
    let mut drift = Drift::new(10, None);
    drift.decided(
        &entity,
        &Redactor::new(b"secret"),
        keys[0].clone(),
        &judge(&question, &answers, &Excuses::of_contract(today())),
    );
    let text = serde_json::to_string(&drift.findings(None, String::new())).unwrap();
    assert!(text.contains("hash:") && !text.contains("SECRET"), "{text}");
}

proptest! {
    #[test]
    fn equal_sides_have_no_drift_and_unequal_ones_exactly_what_differs(
        on_hand in prop::collection::vec((0_i64..3, 0_i64..3, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let row = |number: usize, on_hand| level(&format!("S{number}"), on_hand, "1");
        let rows = on_hand.iter().enumerate();
        let legacy: Vec<_> =
            rows.clone().filter(|(_, one)| one.2).map(|(number, one)| row(number, one.0)).collect();
        let modern: Vec<_> =
            rows.filter(|(_, one)| one.3).map(|(number, one)| row(number, one.1)).collect();
        let differs = |one: &&(i64, i64, bool, bool)| one.2 != one.3 || (one.2 && one.0 != one.1);
        let expected = on_hand.iter().filter(differs).count() as u64;
        prop_assert_eq!(drift_of(legacy.clone(), modern, 100).drifted(), expected);
        prop_assert_eq!(drift_of(legacy.clone(), legacy, 100).drifted(), 0);
    }
}
