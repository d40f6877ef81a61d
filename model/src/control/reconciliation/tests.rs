use super::*;

fn found(rows: u64) -> Findings {
    Findings { rows: PerSide { legacy: rows, modern: rows }, mapping: "m".into(), ..Findings::default() }
}

fn newest(entity: &str, age: u64, findings: Findings) -> Newest {
    let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
    let at = Instant::parse("2026-01-31T08:00:00Z").unwrap();
    let reconciliation = Reconciliation {
        run: RunId(Uuid::nil()),
        group: "inventory".into(),
        entity: entity.into(),
        author,
        begun: at,
        ended: Some(at),
        findings: Some(findings),
    };
    Newest { reconciliation, age: Some(Duration::from_secs(age)) }
}

fn types() -> [(EntityName, String); 2] {
    [("Product".into(), "m".to_owned()), ("StockLevel".into(), "m".to_owned())]
}

fn is_unknown(newest: &[Newest]) -> bool {
    matches!(at_rest(&types(), newest), AtRest::Unknown(_))
}

#[test]
fn a_group_is_as_fresh_as_its_least_fresh_type_and_no_data_is_not_success() {
    let (product, level) = (newest("Product", 60, found(5)), newest("StockLevel", 3_600, found(0)));
    assert_eq!(at_rest(&types(), &[product.clone(), level.clone()]), AtRest::Equal(Duration::from_secs(3_600)));
    assert!(is_unknown(std::slice::from_ref(&product)), "a type was never compared");
    assert!(is_unknown(&[newest("Product", 60, found(0)), level]), "only empty tables");
    assert!(matches!(at_rest(&[], &[]), AtRest::Unknown(_)), "no types");
}

#[test]
fn one_row_that_nothing_is_known_of_is_enough_and_drift_counts_however_incomplete_the_run() {
    let level = || newest("StockLevel", 60, found(5));
    let keyless = |legacy, modern| Findings { keyless: PerSide { legacy, modern }, ..found(5) };
    let incomplete = [
        Findings { undecided: 1, ..found(5) },
        Findings { undecided: 6_000, held_back: 6_000, ..found(5) },
        keyless(2, 0),
        keyless(0, 1),
        Findings { problem: Some("it was stopped".into()), ..found(5) },
    ];
    for findings in incomplete {
        assert!(!findings.is_complete(), "{findings:?}");
        assert!(is_unknown(&[newest("Product", 60, findings.clone()), level()]), "{findings:?}");
        let drifted = newest("Product", 60, Findings { drift: 500, ..findings });
        assert_eq!(at_rest(&types(), &[drifted, level()]), AtRest::Drifted(500));
    }
}

#[test]
fn findings_under_another_contract_and_of_the_future_say_nothing() {
    let level = || newest("StockLevel", 60, found(5));
    let other = Findings { mapping: "another".into(), ..found(5) };
    assert!(is_unknown(&[newest("Product", 60, other), level()]));
    let of_the_future = Newest { age: None, ..newest("Product", 60, found(5)) };
    assert!(is_unknown(&[of_the_future, level()]));
}

#[test]
fn findings_of_an_older_release_are_read_and_prove_nothing() {
    let text = r#"{"rows":{"legacy":5,"modern":5},"drift":0,"excused":0,"undecided":0,"kinds":[],"samples":[],"problem":null}"#;
    let findings: Findings = serde_json::from_str(text).unwrap();
    assert!(is_unknown(&[newest("Product", 60, findings), newest("StockLevel", 60, found(5))]));
}
