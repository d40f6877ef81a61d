//! `[breakeven]`: what people say about money, since nothing can measure it.

use super::Origins;
use super::check::Checked;
use super::raw::RawBreakeven;
use control_plane::breakeven::{Amount, Given};

/// Longest horizon: ten years.
const LONGEST_DAYS: u32 = 3_650;

pub(super) fn given(raw: RawBreakeven, origins: &Origins<'_>) -> Checked<Given> {
    let amount = |number: Option<f64>, key: &'static str| {
        let checked = number.map(Amount::try_from).transpose();
        checked.map_err(|error| origins.rule(key, error.to_string()))
    };
    if raw.currency.trim().is_empty() {
        return Err(origins.rule("breakeven.currency", "must say what money is counted in, such as EUR"));
    }
    if !(1..=LONGEST_DAYS).contains(&raw.horizon_days) {
        return Err(origins.rule("breakeven.horizon_days", "must be from 1 to 3650"));
    }
    Ok(Given {
        currency: raw.currency,
        daily_transactions: amount(raw.daily_transactions, "breakeven.daily_transactions")?,
        cost_per_error: amount(raw.cost_per_error, "breakeven.cost_per_error")?,
        licences_per_day: amount(raw.licences_per_day, "breakeven.licences_per_day")?,
        missed_revenue_per_day: amount(raw.missed_revenue_per_day, "breakeven.missed_revenue_per_day")?,
        team_per_day: amount(raw.team_per_day, "breakeven.team_per_day")?,
        horizon_days: raw.horizon_days,
        sources: std::collections::BTreeMap::new(),
    })
}
