//! `breakeven`: the measured evidence against what people say about money.

use std::time::Duration;

use clap::Args;

use super::Stop;
use super::desk::Desk;
use control_plane::breakeven::{Amount, Given, Source};
use control_plane::desk::DiffFilter;
use control_plane::spoken::duration;

/// `breakeven`. What is left out is taken from `[breakeven]` of the configuration.
#[derive(Debug, Args)]
pub struct BreakevenArgs {
    /// Business transactions a day that read what is compared.
    #[arg(long, value_name = "COUNT")]
    pub daily_transactions: Option<Amount>,
    /// What one wrong answer costs.
    #[arg(long, value_name = "MONEY")]
    pub cost_per_error: Option<Amount>,
    /// Licences and machines of the old system, a day.
    #[arg(long, value_name = "MONEY")]
    pub licences_per_day: Option<Amount>,
    /// Revenue that the old system keeps from being made, a day.
    #[arg(long, value_name = "MONEY")]
    pub missed_revenue_per_day: Option<Amount>,
    /// The team that runs both systems, a day.
    #[arg(long, value_name = "MONEY")]
    pub team_per_day: Option<Amount>,
    /// What money is counted in, such as EUR.
    #[arg(long, value_name = "TEXT")]
    pub currency: Option<String>,
    /// How long 99 of 100 writes take until both sides have them. Default: as measured over the last day.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub settle_p99: Option<Duration>,
    /// Only comparisons of this route.
    #[arg(long)]
    pub route: Option<String>,
    /// Only comparisons since then: 2h, 7d, or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

pub(super) async fn run(desk: &Desk, args: &BreakevenArgs) -> Result<(), Stop> {
    let office = desk.office();
    let filter = DiffFilter { route: args.route.clone(), since: args.since.clone(), ..DiffFilter::default() };
    let filter = office.evidence_filter(&filter)?;
    let configured = office.breakeven.clone();
    let flags = [
        ("daily_transactions", args.daily_transactions),
        ("cost_per_error", args.cost_per_error),
        ("licences_per_day", args.licences_per_day),
        ("missed_revenue_per_day", args.missed_revenue_per_day),
        ("team_per_day", args.team_per_day),
    ];
    let sources = flags.into_iter().filter_map(|(name, amount)| amount.map(|_| (name, Source::Flag)));
    let given = Given {
        sources: sources.collect(),
        currency: args.currency.clone().unwrap_or(configured.currency),
        daily_transactions: args.daily_transactions.or(configured.daily_transactions),
        cost_per_error: args.cost_per_error.or(configured.cost_per_error),
        licences_per_day: args.licences_per_day.or(configured.licences_per_day),
        missed_revenue_per_day: args.missed_revenue_per_day.or(configured.missed_revenue_per_day),
        team_per_day: args.team_per_day.or(configured.team_per_day),
        horizon_days: configured.horizon_days,
    };
    let weighed = office.weigh(&given, &filter, args.settle_p99).await?;
    desk.out.line(weighed.to_string());
    desk.out.json(&weighed);
    Ok(())
}
