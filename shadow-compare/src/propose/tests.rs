use model::Value;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::explain::explanations;

fn difference(cause: Cause, legacy: &Value, modern: &Value) -> Difference {
    Difference {
        field: Some("unitPrice".into()),
        cause,
        key: "[\"A\"]".into(),
        values: PerSide { legacy: legacy.to_json(), modern: modern.to_json() },
        records: PerSide::default(),
        excused: false,
        explained: explanations(legacy, modern),
    }
}

fn decimals(pairs: &[(&str, &str)]) -> Vec<Difference> {
    let value = |text: &str| Value::Decimal(text.parse().unwrap());
    pairs.iter().map(|(legacy, modern)| difference(Cause::Rounding, &value(legacy), &value(modern))).collect()
}

fn instants(pairs: &[(&str, &str)]) -> Vec<Difference> {
    let value = |time: &str| Value::Instant(model::Instant::parse(&format!("2026-01-31T{time}Z")).unwrap());
    pairs.iter().map(|(legacy, modern)| difference(Cause::TimeZone, &value(legacy), &value(modern))).collect()
}

fn texts(cause: Cause, pairs: &[(Value, Value)]) -> Vec<Difference> {
    pairs.iter().map(|(legacy, modern)| difference(cause, legacy, modern)).collect()
}

/// As the control store counts them.
fn counted(differences: &[Difference]) -> Vec<(Rule, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for rule in differences.iter().flat_map(|difference| &difference.explained) {
        *counts.entry(*rule).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn told(differences: &[Difference]) -> String {
    let (route, field): (RouteName, FieldName) = ("Query.product".into(), "unitPrice".into());
    let noise = Noise {
        route: &route,
        field: Some(&field),
        cause: differences[0].cause,
        count: differences.len() as u64,
        explained: counted(differences),
        samples: differences.iter().collect(),
    };
    let lines = propose(&noise)
        .into_iter()
        .map(|p| format!("{}\n  at {}: {}\n  or: {}\n", p.answer, p.place, p.contract, p.excuse));
    lines.collect()
}

#[test]
fn each_habit_of_a_side_is_named_with_what_to_write() {
    let cases = [
        ("half up", decimals(&[("12.35", "12.345"), ("0.1", "0.099"), ("3", "2.996")])),
        ("cut", decimals(&[("12.34", "12.345"), ("0.09", "0.099")])),
        ("both ways", decimals(&[("12.35", "12.345"), ("12.346", "12.35")])),
        ("some", decimals(&[("12.35", "12.345"), ("1.05", "1.049"), ("1.17", "1.169"), ("5.1", "5.2")])),
        ("hour", instants(&[("08:00:00", "07:00:00"), ("09:00:00", "08:00:00.5")])),
        ("summer", instants(&[("08:00:00", "07:00:00"), ("09:00:00", "07:00:00")])),
        ("case", texts(Cause::Case, &[("Bolt".into(), "BOLT".into())])),
        ("blanks", texts(Cause::Padding, &[("Bolt".into(), "Bolt ".into())])),
        ("empty", texts(Cause::NullEmpty, &[(Value::Null, "".into())])),
    ];
    let told: Vec<_> = cases.iter().map(|(name, differences)| format!("{name}\n{}", told(differences))).collect();
    insta::assert_snapshot!("proposals", told.join("\n"));
}

#[test]
fn nothing_is_proposed_where_no_rule_explains_half() {
    assert_eq!(told(&decimals(&[("5.1", "5.2"), ("7.1", "7.2"), ("12.35", "12.345")])), "");
    assert_eq!(told(&texts(Cause::Different, &[("a".into(), "b".into())])), "");
    let (route, none) = ("Query.product".into(), Vec::new());
    let missing =
        Noise { route: &route, field: None, cause: Cause::MissingRow, count: 9, explained: none, samples: Vec::new() };
    assert!(propose(&missing).is_empty());
}

#[test]
fn all_differences_are_counted_and_hidden_values_are_not_needed() {
    let (route, field): (RouteName, FieldName) = ("Query.product".into(), "unitPrice".into());
    let mut hidden = decimals(&[("12.35", "12.345")]).remove(0);
    hidden.values = PerSide { legacy: json!("hash:1"), modern: json!("hash:2") };
    let explained = vec![(Rule::Scale(1), 300), (Rule::Scale(2), 312), (Rule::Cut(1), 250)];
    let noise = Noise {
        route: &route,
        field: Some(&field),
        cause: Cause::Rounding,
        count: 312,
        explained,
        samples: vec![&hidden],
    };
    let [proposal] = propose(&noise).try_into().unwrap();
    assert_eq!(
        proposal.answer,
        "both sides agree to 2 digits when rounded: 312 of 312 rows are explained by `scale: 2`."
    );
}

proptest! {
    #[test]
    fn a_side_that_rounds_is_always_found(units in prop::collection::vec(1_i64..1_000_000, 1..30), digits in 0_u8..4) {
        let exact = units.iter().map(|units| format!("{}e-5", units * 10 + 1).parse::<Decimal>().unwrap());
        let pairs: Vec<_> = exact
            .map(|exact| {
                let rounded = Value::Decimal(exact.round(digits.into()));
                difference(Cause::Rounding, &rounded, &Value::Decimal(exact))
            })
            .collect();
        let (route, field): (RouteName, FieldName) = ("Query.product".into(), "unitPrice".into());
        let noise = Noise {
            route: &route,
            field: Some(&field),
            cause: Cause::Rounding,
            count: pairs.len() as u64,
            explained: counted(&pairs),
            samples: pairs.iter().collect(),
        };
        let proposals = propose(&noise);
        // With few values another rule may fit as well by chance.
        let whole = proposals.iter().filter(|proposal| proposal.explained == noise.count);
        let whole: String = whole.map(|proposal| proposal.answer.clone()).collect();
        prop_assert!(whole.contains("explained by `scale: "), "{:?}", proposals);
    }
}
