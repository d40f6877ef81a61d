//! Break-even, as the admin API takes its figures and shows its result.

use async_graphql::{InputObject, Json, SimpleObject};
use serde_json::Value;

use control_plane::breakeven::{Amount, BreakEven, Given, Input, Source};
use control_plane::desk::DeskError;

/// Longest horizon: ten years, as in the configuration.
const LONGEST_DAYS: u32 = 3_650;
/// Longest name of a currency.
const LONGEST_CURRENCY: usize = 20;

/// What somebody says about money, each in the place of what the configuration says.
#[derive(InputObject, Default)]
pub(super) struct MoneyInput {
    /// What money is counted in, such as EUR.
    currency: Option<String>,
    daily_transactions: Option<f64>,
    cost_per_error: Option<f64>,
    licences_per_day: Option<f64>,
    missed_revenue_per_day: Option<f64>,
    team_per_day: Option<f64>,
    /// From 1 to 3650.
    horizon_days: Option<u32>,
}

impl MoneyInput {
    /// The figures of the configuration, with those in their place that were asked for.
    pub(super) fn over(self, configured: &Given) -> Result<Given, DeskError> {
        let wrong = |message: String| DeskError::wrong("BAD_FIGURE", message);
        let mut given = configured.clone();
        for (name, number, place) in [
            ("daily_transactions", self.daily_transactions, &mut given.daily_transactions),
            ("cost_per_error", self.cost_per_error, &mut given.cost_per_error),
            ("licences_per_day", self.licences_per_day, &mut given.licences_per_day),
            ("missed_revenue_per_day", self.missed_revenue_per_day, &mut given.missed_revenue_per_day),
            ("team_per_day", self.team_per_day, &mut given.team_per_day),
        ] {
            if let Some(number) = number {
                *place = Some(Amount::try_from(number).map_err(|error| wrong(format!("{name} {error}")))?);
                given.sources.insert(name, Source::Asked);
            }
        }
        if let Some(days) = self.horizon_days {
            if !(1..=LONGEST_DAYS).contains(&days) {
                return Err(wrong(format!("horizon_days must be from 1 to {LONGEST_DAYS}")));
            }
            given.horizon_days = days;
            given.sources.insert("horizon_days", Source::Asked);
        }
        if let Some(currency) = self.currency.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            if currency.chars().count() > LONGEST_CURRENCY {
                return Err(wrong(format!(
                    "currency must be a name such as EUR, of {LONGEST_CURRENCY} letters at most"
                )));
            }
            given.currency = currency;
        }
        Ok(given)
    }
}

/// One figure that people give, or have to give.
#[derive(SimpleObject)]
#[graphql(name = "MoneyGiven")]
pub(super) struct GivenShape {
    /// Its key in `[breakeven]`.
    name: String,
    /// What it means.
    meaning: String,
    /// Null when nobody has said it.
    value: Option<f64>,
    unit: String,
    /// A key of the configuration, or who asked.
    source: String,
}

impl From<Input> for GivenShape {
    fn from(input: Input) -> Self {
        let Input { name, meaning, value, unit, source } = input;
        Self { name: name.to_owned(), meaning: meaning.to_owned(), value, unit, source }
    }
}

/// What errors cost against what waiting costs.
#[derive(SimpleObject)]
#[graphql(name = "BreakEven")]
pub(super) struct BreakEvenShape {
    /// For people.
    text: String,
    /// For programs.
    json: Json<Value>,
}

impl From<BreakEven> for BreakEvenShape {
    fn from(weighed: BreakEven) -> Self {
        Self { text: weighed.to_string(), json: Json(serde_json::to_value(&weighed).unwrap_or_default()) }
    }
}
