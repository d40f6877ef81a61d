use proptest::prelude::*;

use super::*;

fn amount(number: f64) -> Option<Amount> {
    Some(Amount::try_from(number).unwrap())
}

fn given() -> Given {
    Given {
        currency: "EUR".into(),
        daily_transactions: amount(120_000.0),
        cost_per_error: amount(18.0),
        licences_per_day: amount(2_400.0),
        missed_revenue_per_day: amount(9_000.0),
        team_per_day: amount(3_600.0),
        horizon_days: 365,
        sources: [("cost_per_error", Source::Flag)].into(),
    }
}

fn counted(mismatches: u64, comparisons: u64) -> Measured {
    Measured { comparisons, mismatches, since: None, settle_p99: Some(Duration::from_millis(2_400)) }
}

fn measured(mismatches: u64, comparisons: u64) -> Evidence {
    Evidence { all: counted(mismatches, comparisons), current: None }
}

fn repaired(mismatches: u64, comparisons: u64) -> Measured {
    let since = Instant::parse("2026-01-31T07:56:00Z");
    Measured { since, ..counted(mismatches, comparisons) }
}

#[test]
fn the_balance_is_told_in_figures_and_in_plain_words() {
    let unmeasured = Evidence { all: Measured { settle_p99: None, ..counted(3, 1_000_000) }, current: None };
    let since = |current| Evidence { all: counted(294, 25_551), current: Some(current) };
    let cases = [
        ("few errors", measured(3, 1_000_000)),
        ("none found", measured(0, 2_000_000)),
        ("none since the repair", since(repaired(0, 1_240))),
        ("too few since the repair", since(repaired(0, 50))),
        ("many errors", measured(4_000, 200_000)),
        ("settling not measured", unmeasured),
    ];
    let told = cases.map(|(name, measured)| format!("# {name}\n{}\n", weigh(&given(), measured).unwrap()));
    insta::assert_snapshot!("told", told.join("\n"));
    insta::assert_json_snapshot!("json", weigh(&given(), measured(3, 1_000_000)).unwrap());
}

#[test]
fn nothing_is_concluded_from_nothing() {
    assert_eq!(weigh(&given(), measured(0, 0)), Err(Unknown::NothingCompared));
    let none = Given {
        daily_transactions: None,
        cost_per_error: None,
        licences_per_day: None,
        missed_revenue_per_day: None,
        team_per_day: None,
        ..given()
    };
    let error = weigh(&none, measured(0, 9)).unwrap_err().to_string();
    for key in
        ["daily_transactions", "cost_per_error", "licences_per_day", "missed_revenue_per_day", "team_per_day", "--team"]
    {
        assert!(error.contains(key), "{error}");
    }
    let one = Given { team_per_day: None, ..given() };
    let missing = vec!["team_per_day (--team-per-day)".to_owned()];
    assert_eq!(weigh(&one, measured(0, 9)), Err(Unknown::NotGiven(missing)));
}

#[test]
fn too_few_are_refused_and_say_how_many_it_takes() {
    for (mismatches, few) in [(0, 50), (1, 2), (2, 431)] {
        let refused = weigh(&given(), measured(mismatches, few)).unwrap_err();
        assert_eq!(refused, Unknown::TooFew { have: few, need: 432 });
        assert!(refused.to_string().starts_with(&format!("too few: {few} of about 432 answers")), "{refused}");
    }
    // With just as many and none that differs, the bound lies below what decides.
    let enough = weigh(&given(), measured(0, 435)).unwrap();
    assert_eq!(enough.balance, Balance::WaitingCostsMore);
    assert!(enough.cases.iter().skip(1).all(|case| case.errors_per_day > 0.0));
}

#[test]
fn what_was_repaired_no_longer_weighs_and_what_was_compared_since_does() {
    let since = |current| weigh(&given(), Evidence { all: counted(294, 25_551), current: Some(current) }).unwrap();
    let mended = since(repaired(0, 1_240));
    assert_eq!(
        (mended.balance, mended.measured, mended.all_time),
        (Balance::WaitingCostsMore, repaired(0, 1_240), counted(294, 25_551))
    );
    assert!(
        mended.answer.starts_with("Since the last repair, 2026-01-31 07:56:00Z, waiting costs more"),
        "{}",
        mended.answer
    );
    let few = since(repaired(0, 50));
    assert_eq!(
        (few.balance, few.measured, few.too_few),
        (Balance::ErrorsCostMore, counted(294, 25_551), Some(repaired(0, 50)))
    );
    assert!(
        few.answer.contains("too few answers were compared: 50 of about 432. In all, errors cost"),
        "{}",
        few.answer
    );
}

#[test]
fn what_we_were_told_comes_with_the_result_and_who_said_it() {
    let weighed = weigh(&given(), measured(3, 1_000_000)).unwrap();
    let told: Vec<_> = weighed.given.iter().map(|input| (input.name, input.value, input.source.as_str())).collect();
    assert_eq!(told[0], ("daily_transactions", Some(120_000.0), "breakeven.daily_transactions"));
    assert_eq!(told[1], ("cost_per_error", Some(18.0), "--cost-per-error"));
    assert_eq!(told[5], ("horizon_days", Some(365.0), "breakeven.horizon_days"));
    let text = weighed.to_string();
    let (first, answer) = (text.find("120\u{a0}000 transactions a day").unwrap(), text.find(&weighed.answer).unwrap());
    assert!(first < answer, "{text}");
    // One figure per fact: what was told is never shown rounded beside itself.
    assert_eq!(text.matches("2.4 s").count(), 1, "{text}");
}

#[test]
fn waiting_that_costs_nothing_is_never_beaten() {
    let free = Given {
        licences_per_day: amount(0.0),
        missed_revenue_per_day: amount(0.0),
        team_per_day: amount(0.0),
        ..given()
    };
    let weighed = weigh(&free, measured(3, 1_000)).unwrap();
    assert_eq!(weighed.balance, Balance::ErrorsCostMore);
    assert!(weighed.cases.iter().all(|case| case.break_even_days.is_none()));
    assert!(weighed.to_string().contains("never"));
}

#[test]
fn amounts_are_finite_and_not_negative() {
    for wrong in [-0.01, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e12] {
        assert_eq!(Amount::try_from(wrong), Err(InvalidAmount));
    }
    for text in ["12,5", "NaN", "inf", "-1", "1e13", ""] {
        assert!(text.parse::<Amount>().is_err(), "{text}");
    }
    assert!("12.5".parse::<Amount>().is_ok() && "-0".parse::<Amount>().unwrap().get().is_sign_positive());
}

proptest! {
    #[test]
    fn more_errors_never_make_waiting_dearer(hits in 0_u64..500, more in 1_u64..500, trials in 1_000_u64..1_000_000) {
        let few = weigh(&given(), measured(hits, trials)).unwrap();
        let many = weigh(&given(), measured(hits + more, trials)).unwrap();
        prop_assert!(few.cases[0].break_even_days < many.cases[0].break_even_days);
        prop_assert!(few.cases[1].errors_per_day <= many.cases[1].errors_per_day);
        let rank = |balance| match balance {
            Balance::WaitingCostsMore => 0,
            Balance::NotCertain => 1,
            Balance::ErrorsCostMore => 2,
        };
        prop_assert!(rank(few.balance) <= rank(many.balance));
    }
}
