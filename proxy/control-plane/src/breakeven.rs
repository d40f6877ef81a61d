//! Break-even: what errors would cost after the move, against what waiting costs.
//!
//! The model, and what it leaves out, is in `docs/breakeven.md`. Pure: figures in, figures and sentences out.
//!
//! Promise: what we were told comes with the result; nothing is concluded from too few comparisons, and a probability
//! is never taken as zero because nothing was found: its upper bound at 95 % decides beside the measured one.
//! Not here: reading evidence and configuration (`cli::breakeven`).

use std::fmt;
use std::time::Duration;

use model::Instant;
use serde::Serialize;
use shadow_compare::words::number;
use thiserror::Error;

mod bound;
mod given;
mod words;

pub use bound::upper_bound;
use given::Costs;
pub use given::{Amount, Given, Input, InvalidAmount, Source};
pub use words::{days, estimate, exact, money, percent, seconds as short};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Answers compared that say something.
    pub comparisons: u64,
    /// Those that ended in a confirmed mismatch.
    pub mismatches: u64,
    /// From when on they were compared; null: as far back as counts are kept.
    pub since: Option<Instant>,
    /// How long 99 of 100 writes take at most until both sides have them; null when that was not measured.
    #[serde(serialize_with = "seconds")]
    pub settle_p99: Option<Duration>,
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// Of what the balance is made. What was repaired is mended: what was found before says nothing of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Everything that is on record, or that was asked for.
    pub all: Measured,
    /// Since the last repair; `None`: none is on record, or a time was asked for.
    pub current: Option<Measured>,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    /// People have not said all that is needed.
    #[error("break-even needs {}", .0.join(", "))]
    NotGiven(Vec<String>),
    /// Not enough was compared to say anything of a probability as small as the one that decides.
    #[error(
        "too few: {} of about {} answers that must be compared before anything can be concluded: shadow more reads",
        number(*.have),
        number(*.need)
    )]
    TooFew {
        /// Answers that were compared.
        have: u64,
        /// How many it takes: fewer could be without a mismatch by chance.
        need: u64,
    },
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
    /// What we were told, each with its unit and who said so.
    pub given: Vec<Input>,
    /// The result in a sentence.
    pub answer: String,
    /// The same for people who don't know what a shadow read is, in two sentences.
    pub plain: [String; 2],
    /// Which side is heavier.
    pub balance: Balance,
    /// What money is counted in.
    pub currency: String,
    /// What was measured, and the result is made of: since the last repair where enough was compared since.
    pub measured: Measured,
    /// What was measured in all, the part in `measured` among it.
    pub all_time: Measured,
    /// Since the last repair, where too little was compared since to be of use; else null.
    pub too_few: Option<Measured>,
    /// How many answers must be compared before anything can be concluded.
    pub needed: u64,
    /// What waiting costs a day.
    pub waiting_per_day: f64,
    /// Days that errors would go on.
    pub horizon_days: u32,
    /// The probability at which errors cost as much a day as waiting; null when errors cost nothing.
    pub break_even_probability: Option<f64>,
    /// As measured, at the upper bound, and by how much the result changes with the probability.
    pub cases: Vec<Case>,
}

/// Weighs `given` and what was measured.
///
/// # Errors
/// [`Unknown`]: what is missing, and how to get it.
pub fn weigh(given: &Given, evidence: Evidence) -> Result<BreakEven, Unknown> {
    let costs = given.costs().map_err(Unknown::NotGiven)?;
    let Evidence { all, current } = evidence;
    let needed = costs.needed();
    let enough = |measured: &Measured| measured.comparisons >= needed;
    let (measured, too_few) = match current {
        Some(current) if enough(&current) => (current, None),
        other => (all, other),
    };
    if measured.comparisons == 0 {
        return Err(Unknown::NothingCompared);
    }
    if !enough(&measured) {
        return Err(Unknown::TooFew { have: measured.comparisons, need: needed });
    }
    let cases = costs.cases(&measured, given.horizon_days);
    let balance = if cases[0].errors_per_day >= costs.waiting {
        Balance::ErrorsCostMore
    } else if cases[1].errors_per_day >= costs.waiting {
        Balance::NotCertain
    } else {
        Balance::WaitingCostsMore
    };
    let mut weighed = BreakEven {
        given: given.inputs(),
        answer: String::new(),
        plain: [String::new(), String::new()],
        balance,
        currency: given.currency.clone(),
        measured,
        all_time: all,
        too_few,
        needed,
        waiting_per_day: costs.waiting,
        horizon_days: given.horizon_days,
        break_even_probability: costs.even(),
        cases,
    };
    weighed.answer = words::answer(&weighed);
    weighed.plain = words::plain(&weighed);
    Ok(weighed)
}

impl Costs {
    /// The probability at which errors cost as much a day as waiting; `None` when errors cost nothing.
    fn even(&self) -> Option<f64> {
        (self.errors > 0.0).then(|| self.waiting / self.errors)
    }

    /// By the rule of three: with so many answers and no mismatch, the probability that decides is just excluded.
    fn needed(&self) -> u64 {
        match self.even() {
            // Waiting that costs nothing, or errors that cost nothing: nothing is to be told apart.
            Some(even) if even > 0.0 => (3.0 / even).ceil().clamp(1.0, 1e15) as u64,
            Some(_) | None => 1,
        }
    }

    fn cases(&self, measured: &Measured, horizon_days: u32) -> Vec<Case> {
        let probability = measured.mismatches as f64 / measured.comparisons as f64;
        let highest = upper_bound(measured.mismatches, measured.comparisons);
        let case = |assumption: &str, probability: f64| {
            let probability = probability.min(1.0);
            let errors = self.errors * probability;
            let days = errors * f64::from(horizon_days) / self.waiting;
            let break_even_days = (self.waiting > 0.0).then_some(days);
            Case { assumption: assumption.to_owned(), probability, errors_per_day: errors, break_even_days }
        };
        let mut cases = vec![case("measured", probability), case("upper bound (95 %)", highest)];
        // Nothing was found: there is nothing to multiply, so the bound is varied in its place.
        let (name, base) = if measured.mismatches == 0 { ("upper bound", highest) } else { ("measured", probability) };
        for (word, factor) in [("÷ 10", 0.1), ("÷ 2", 0.5), ("× 2", 2.0), ("× 10", 10.0)] {
            cases.push(case(&format!("{name} {word}"), base * factor));
        }
        cases
    }
}

impl fmt::Display for BreakEven {
    /// For a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words::page(self, f)
    }
}

#[cfg(test)]
mod tests;
