//! What people have to say about money, since nothing here can measure it: each figure with its unit and who said so.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

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
        // NaN is in no range. Minus zero is zero.
        if (0.0..=1e12).contains(&number) { Ok(Self(number.abs())) } else { Err(InvalidAmount) }
    }
}

impl std::str::FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        text.trim().parse::<f64>().map_err(|_| InvalidAmount)?.try_into()
    }
}

impl Amount {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Who said a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A key of `[breakeven]`.
    Configuration,
    /// A flag of the command.
    Flag,
    /// Who asked, on a page or over the API.
    Asked,
}

/// What people have to say; from configuration, flags and forms.
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
    /// Who said a figure, by its key; one that is not named comes from the configuration.
    pub sources: BTreeMap<&'static str, Source>,
}

/// One figure that we were told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its key in `[breakeven]`.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The figure; null when nobody has said it.
    pub value: Option<f64>,
    /// What it counts, such as `EUR a day`.
    pub unit: String,
    /// Who said so: a key of the configuration, or a flag.
    pub source: String,
}

/// What follows from the figures alone.
pub(super) struct Costs {
    /// What errors would cost a day if each transaction met one.
    pub(super) errors: f64,
    /// What waiting costs a day.
    pub(super) waiting: f64,
}

impl Given {
    /// The amounts, by their keys: the figure, what it means, and its unit.
    fn amounts(&self) -> [(&'static str, Option<Amount>, &'static str, String); 5] {
        let money = || format!("{} a day", self.currency);
        [
            (
                "daily_transactions",
                self.daily_transactions,
                "Business that reads what is compared",
                "transactions a day".to_owned(),
            ),
            ("cost_per_error", self.cost_per_error, "One wrong answer costs", self.currency.clone()),
            ("licences_per_day", self.licences_per_day, "Licences and machines of the old system", money()),
            ("missed_revenue_per_day", self.missed_revenue_per_day, "Revenue that the old system prevents", money()),
            ("team_per_day", self.team_per_day, "The team that runs both systems", money()),
        ]
    }

    /// Every figure, the missing ones too.
    pub fn inputs(&self) -> Vec<Input> {
        let source = |name: &'static str| match self.sources.get(name) {
            Some(Source::Flag) => format!("--{}", name.replace('_', "-")),
            Some(Source::Asked) => "asked for".to_owned(),
            Some(Source::Configuration) | None => format!("breakeven.{name}"),
        };
        let amount = |(name, amount, meaning, unit): (&'static str, Option<Amount>, &'static str, String)| Input {
            name,
            meaning,
            value: amount.map(Amount::get),
            unit,
            source: source(name),
        };
        let horizon = Input {
            name: "horizon_days",
            meaning: "Errors would go on for",
            value: Some(self.horizon_days.into()),
            unit: "days".to_owned(),
            source: source("horizon_days"),
        };
        self.amounts().into_iter().map(amount).chain([horizon]).collect()
    }

    /// What follows from them.
    ///
    /// # Errors
    /// The figures that nobody has said, by key and flag.
    pub(super) fn costs(&self) -> Result<Costs, Vec<String>> {
        let [transactions, cost, licences, missed, team] = self.amounts().map(|(_, amount, ..)| amount);
        match (transactions, cost, licences, missed, team) {
            (Some(transactions), Some(cost), Some(licences), Some(missed), Some(team)) => Ok(Costs {
                errors: transactions.get() * cost.get(),
                waiting: licences.get() + missed.get() + team.get(),
            }),
            (..) => {
                let missing = self.amounts().into_iter().filter(|(_, amount, ..)| amount.is_none());
                Err(missing.map(|(name, ..)| format!("{name} (--{})", name.replace('_', "-"))).collect())
            }
        }
    }
}
