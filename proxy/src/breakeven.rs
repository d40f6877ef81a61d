//! Break-even: what errors would cost after the move, against what waiting costs.
//!
//! The model, and what it leaves out, is in `docs/breakeven.md`. Pure: figures in, figures and sentences out.
//!
//! Promise: nothing is concluded without comparisons, and a probability is never taken as zero because nothing
//! was found: its upper bound at 95 % decides beside the measured one.
//! Not here: reading evidence and configuration (`cli::breakeven`).

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

mod bound;
mod words;

pub use bound::upper_bound;

/// A count or a sum of money a day: finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Amount(f64);

/// The number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a number from 0 to a million million")]
pub struct InvalidAmount;

impl TryFrom<f64> for Amount {
    type Error = InvalidAmount;

    fn try_from(number: f64) -> Result<Self, InvalidAmount> {
        if (0.0..=1e12).contains(&number) { Ok(Self(number)) } else { Err(InvalidAmount) }
    }
}

impl std::str::FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        text.parse::<f64>().map_err(|_| InvalidAmount)?.try_into()
    }
}

impl Amount {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What people have to say, since nothing here can measure it; from configuration and flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// What money is counted in, such as EUR.
    pub currency: String,
    /// Business transactions a day that read what is compared.
    pub daily_transactions: Option<Amount>,
    /// What one wrong answer costs.
    pub cost_per_error: Option<Amount>,
    /// Licences and machines of the old system, a day.
    pub licences_per_day: Option<Amount>,
    /// Revenue that the old system keeps from being made, a day.
    pub missed_revenue_per_day: Option<Amount>,
    /// The team that runs both systems, a day.
    pub team_per_day: Option<Amount>,
    /// For how many days errors would go on, if nobody mended anything.
    pub horizon_days: u32,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Comparisons that say something.
    pub comparisons: u64,
    /// Those that ended in a confirmed mismatch.
    pub mismatches: u64,
    /// How long 99 of 100 writes take at most until both sides have them; null when that was not measured.
    #[serde(serialize_with = "seconds")]
    pub settle_p99: Option<Duration>,
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    /// People have not said all that is needed.
    #[error("break-even needs {}", .0.join(", "))]
    NotGiven(Vec<&'static str>),
    /// No comparison was conclusive.
    #[error(
        "nothing has been compared, so the probability of an error is not known and nothing can be concluded: shadow \
         some reads first (`strangler groups set GROUP --stage shadow --reason WHY`)"
    )]
    NothingCompared,
}

/// Which side of the balance is heavier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Waiting costs more a day than errors, even if there are as many as the upper bound allows.
    WaitingCostsMore,
    /// Errors cost less as measured, and more at the upper bound: too few comparisons to tell.
    NotCertain,
    /// Errors cost at least as much a day as waiting.
    ErrorsCostMore,
}

/// One assumption about the probability of an error, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// Which assumption: `measured`, `upper bound (95 %)`, `measured × 2`.
    pub assumption: String,
    /// Probability that a transaction meets an error.
    pub probability: f64,
    /// What errors cost a day.
    pub errors_per_day: f64,
    /// Days of waiting that cost as much as errors over the horizon; null when waiting costs nothing.
    pub break_even_days: Option<f64>,
}

/// The whole calculation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakEven {
    /// The result in a sentence.
    pub answer: String,
    /// The same for people who don't know what a shadow read is, in two sentences.
    pub plain: [String; 2],
    /// Which side is heavier.
    pub balance: Balance,
    /// What money is counted in.
    pub currency: String,
    /// What was measured.
    pub measured: Measured,
    /// What waiting costs a day.
    pub waiting_per_day: f64,
    /// Days that errors would go on.
    pub horizon_days: u32,
    /// The probability at which errors cost as much a day as waiting; null when errors cost nothing.
    pub break_even_probability: Option<f64>,
    /// As measured, at the upper bound, and by how much the result changes with the probability.
    pub cases: Vec<Case>,
}

/// Weighs `given` and `measured`.
///
/// # Errors
/// [`Unknown`]: what is missing, and how to get it.
pub fn weigh(given: &Given, measured: Measured) -> Result<BreakEven, Unknown> {
    let needs = [
        (given.daily_transactions, "daily_transactions (--daily-transactions)"),
        (given.cost_per_error, "cost_per_error (--cost-per-error)"),
        (given.licences_per_day, "licences_per_day (--licences-per-day)"),
        (given.missed_revenue_per_day, "missed_revenue_per_day (--missed-revenue-per-day)"),
        (given.team_per_day, "team_per_day (--team-per-day)"),
    ];
    let [Some(transactions), Some(cost), Some(licences), Some(missed), Some(team)] = needs.map(|(amount, _)| amount)
    else {
        let missing = needs.iter().filter(|(amount, _)| amount.is_none()).map(|(_, name)| *name);
        return Err(Unknown::NotGiven(missing.collect()));
    };
    if measured.comparisons == 0 {
        return Err(Unknown::NothingCompared);
    }
    let waiting = licences.get() + missed.get() + team.get();
    let error_costs = transactions.get() * cost.get();
    let probability = measured.mismatches as f64 / measured.comparisons as f64;
    let highest = upper_bound(measured.mismatches, measured.comparisons);
    let case = |assumption: &str, probability: f64| {
        let probability = probability.min(1.0);
        let errors = error_costs * probability;
        let days = errors * f64::from(given.horizon_days) / waiting;
        let break_even_days = (waiting > 0.0).then_some(days);
        Case { assumption: assumption.to_owned(), probability, errors_per_day: errors, break_even_days }
    };
    let mut cases = vec![case("measured", probability), case("upper bound (95 %)", highest)];
    // Nothing was found: there is nothing to multiply, so the bound is varied in its place.
    let (name, base) = if measured.mismatches == 0 { ("upper bound", highest) } else { ("measured", probability) };
    for (word, factor) in [("÷ 10", 0.1), ("÷ 2", 0.5), ("× 2", 2.0), ("× 10", 10.0)] {
        cases.push(case(&format!("{name} {word}"), base * factor));
    }
    let balance = if cases[0].errors_per_day >= waiting {
        Balance::ErrorsCostMore
    } else if cases[1].errors_per_day >= waiting {
        Balance::NotCertain
    } else {
        Balance::WaitingCostsMore
    };
    let mut weighed = BreakEven {
        answer: String::new(),
        plain: [String::new(), String::new()],
        balance,
        currency: given.currency.clone(),
        measured,
        waiting_per_day: waiting,
        horizon_days: given.horizon_days,
        break_even_probability: (error_costs > 0.0).then(|| waiting / error_costs),
        cases,
    };
    weighed.answer = words::answer(&weighed);
    weighed.plain = words::plain(&weighed);
    Ok(weighed)
}

impl fmt::Display for BreakEven {
    /// For a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words::page(self, f)
    }
}

#[cfg(test)]
mod tests;
