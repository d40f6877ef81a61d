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
    }
}

fn measured(mismatches: u64, comparisons: u64) -> Measured {
    Measured { comparisons, mismatches, settle_p99: Some(Duration::from_millis(2_400)) }
}

#[test]
fn the_balance_is_told_in_figures_and_in_plain_words() {
    let unmeasured = Measured { settle_p99: None, ..measured(3, 1_000_000) };
    let cases = [
        ("few errors", measured(3, 1_000_000)),
        ("none found", measured(0, 2_000_000)),
        ("none found in few", measured(0, 50)),
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
    assert_eq!(weigh(&one, measured(0, 9)), Err(Unknown::NotGiven(vec!["team_per_day (--team-per-day)"])));
}

#[test]
fn none_of_fifty_is_not_none() {
    let weighed = weigh(&given(), measured(0, 50)).unwrap();
    assert_eq!(weighed.balance, Balance::NotCertain);
    assert!(weighed.cases[0].errors_per_day == 0.0 && weighed.cases[1].errors_per_day > 100_000.0);
    assert!(weighed.cases.iter().skip(1).all(|case| case.errors_per_day > 0.0));
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
    for wrong in [-0.01, f64::NAN, f64::INFINITY, 1.1e12] {
        assert_eq!(Amount::try_from(wrong), Err(InvalidAmount));
    }
    assert!("12,5".parse::<Amount>().is_err() && "12.5".parse::<Amount>().is_ok());
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
