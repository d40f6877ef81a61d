use super::*;

fn limits() -> GateLimits {
    GateLimits {
        objective: 0.9999,
        evidence: Duration::from_secs(86_400),
        comparisons_per_route: 100,
        keys_ratio: 0.1,
        reconciled_within: Some(Duration::from_secs(86_400)),
        unsettled_age: Duration::from_secs(10),
        cdc_lag: Duration::from_millis(500),
        error_rate: 0.001,
    }
}

fn left_out() -> LeftOut {
    LeftOut { column: "RSNTXT".into(), column_type: "varchar(80)".into(), rows: 20, filled: 17 }
}

fn compared(records: u64, wrong: u64) -> Option<Compared> {
    Some(Compared { records, wrong, comparisons: records * 3, since: None })
}

fn well() -> Known {
    Known {
        compared: compared(40_000, 0),
        routes: Some([("Query.product".into(), 40_000)].into()),
        fields_never: Some(Vec::new()),
        keys_ratio: Some(0.4),
        at_rest: Some(AtRest::Equal(Duration::from_secs(3_600))),
        left_out: Some(Vec::new()),
        unsettled_age: Some(Duration::ZERO),
        cdc_lag: Some(None),
        modern: Some((5_000, 1)),
        guard: GuardSays::Well,
    }
}

#[test]
fn all_gates_of_a_group_that_is_well_hold() {
    let gates = judge(&well(), &limits());
    assert_eq!(closed(&gates), "", "{gates:#?}");
    assert_eq!(gates.len(), 10);
}

#[test]
fn no_data_is_not_success() {
    let gates = judge(&Known::default(), &limits());
    assert!(gates.iter().all(|gate| gate.state == GateState::Unknown && !gate.holds()), "{gates:#?}");
    let nothing = Known { compared: compared(0, 0), modern: Some((0, 0)), ..well() };
    assert_eq!(closed(&judge(&nothing, &limits())), "mismatches, errors of modern");
}

#[test]
fn each_gate_closes_alone_and_says_why_with_figure_and_limit() {
    let cases: Vec<Known> = vec![
        Known { compared: compared(1_000_000, 90), ..well() },
        Known { routes: Some([("Query.product".into(), 99), ("Query.products".into(), 100)].into()), ..well() },
        Known { fields_never: Some(vec![("Product".into(), "weight".into())]), ..well() },
        Known { keys_ratio: Some(0.099), ..well() },
        Known { at_rest: None, ..well() },
        Known { at_rest: Some(AtRest::Unknown("never compared".into())), ..well() },
        Known { routes: Some(BTreeMap::new()), ..well() },
        Known { at_rest: Some(AtRest::Drifted(3)), ..well() },
        Known { left_out: None, ..well() },
        Known { left_out: Some(vec![("Product".into(), left_out())]), ..well() },
        Known { at_rest: Some(AtRest::Equal(Duration::from_secs(200_000))), ..well() },
        Known { unsettled_age: Some(Duration::from_secs(11)), ..well() },
        Known { cdc_lag: Some(Some(Duration::from_millis(501))), ..well() },
        Known { modern: Some((1_000, 2)), ..well() },
        Known { guard: GuardSays::Paused("12 reads in 30 s, 100 are needed".into()), ..well() },
        Known { guard: GuardSays::Against("modern is slower than legacy".into()), ..well() },
    ];
    let mut told = String::new();
    for known in cases {
        let gates = judge(&known, &limits());
        let shut: Vec<_> = gates.iter().filter(|gate| !gate.holds()).collect();
        assert_eq!(shut.len(), 1, "{shut:?}");
        told += &format!("{}: {} (limit: {}). {}\n", shut[0].name, shut[0].figure, shut[0].limit, shut[0].sentence);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_not_asked_for_holds_and_is_named() {
    let gates = judge(&Known { at_rest: None, ..well() }, &GateLimits { reconciled_within: None, ..limits() });
    assert_eq!(closed(&gates), "");
    assert!(gates.iter().any(|gate| gate.state == GateState::NotAsked && gate.name == "reconciliation"));
}

#[test]
fn a_quiet_group_is_shown_by_all_its_rows_in_place_of_comparisons_and_the_gate_says_so() {
    let gate = |known: Known| judge(&known, &limits()).remove(0);
    let quiet = gate(Known { compared: compared(412, 0), ..well() });
    assert_eq!(quiet.state, GateState::Pass);
    assert_eq!(
        quiet.sentence,
        "no mismatch in 412 different records (1236 comparisons), too few by themselves (29958 would do); in their place \
         stands a complete reconciliation without drift, 60 min ago"
    );
    for at_rest in [
        None,
        Some(AtRest::Unknown("compared under another contract".into())),
        Some(AtRest::Equal(Duration::from_secs(86_401))),
    ] {
        let few = gate(Known { compared: compared(412, 0), at_rest: at_rest.clone(), ..well() });
        assert_eq!(few.state, GateState::Unknown, "{at_rest:?}");
        let many = gate(Known { at_rest, ..well() });
        assert_eq!(many.state, GateState::Pass, "enough records speak for themselves: {}", many.sentence);
    }
    // Rows at rest do not answer for routes: what was found wrong stays wrong, and nothing compared stays nothing.
    let wrong = gate(Known { compared: compared(412, 1), ..well() });
    assert_eq!(wrong.state, GateState::Fail, "{}", wrong.sentence);
    assert_eq!(gate(Known { compared: compared(0, 0), ..well() }).state, GateState::Unknown);
}

#[test]
fn since_when_evidence_counts_is_said_where_the_contract_has_changed() {
    let since = Some(Instant::parse("2026-01-31T08:00:00Z").unwrap());
    let known = Known { compared: Some(Compared { records: 40_000, since, ..Compared::default() }), ..well() };
    let told = judge(&known, &limits()).remove(0).sentence;
    assert!(told.contains("counted since 2026-01-31T08:00:00Z, when the contract or a side's log changed"), "{told}");
}
