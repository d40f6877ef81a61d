//! `diffs excuse`, `excuses` and `unexcuse`: known differences that do not count until a day.

use chrono::NaiveDate;
use clap::Args;
use model::Rule;
use model::control::{ExcuseId, ExcuseRecord};
use serde_json::json;
use shadow_compare::report::ExcuseReport;

use super::Stop;
use super::desk::{Desk, now};
use control_plane::desk::ExcuseWish;

/// `diffs excuse`.
#[derive(Debug, Args)]
pub struct ExcuseArgs {
    /// On this route, such as Query.product.
    #[arg(long)]
    pub route: String,
    /// Of this field; not for missing-row, extra-row and order.
    #[arg(long)]
    pub field: Option<String>,
    /// With this cause, such as rounding.
    #[arg(long)]
    pub cause: String,
    /// Only what this rule explains, such as 'scale: 2', as reports propose it.
    #[arg(long, conflicts_with = "scale")]
    pub rule: Option<Rule>,
    /// Short for --rule 'scale: N'.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=i64::from(Rule::MAX_DIGITS)))]
    pub scale: Option<u8>,
    /// Who answers for the difference.
    #[arg(long, value_name = "NAME")]
    pub owner: String,
    /// The last day on which it is excused, in UTC: 2026-12-31. At most a year ahead.
    #[arg(long, value_name = "DAY")]
    pub until: NaiveDate,
    /// Only say what it would excuse.
    #[arg(long)]
    pub dry_run: bool,
    /// Why the sides may differ, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who you are, for the record. Default: the login name.
    #[arg(long, env = "STRANGLER_WHO", value_name = "NAME")]
    pub who: Option<String>,
}

/// `diffs unexcuse`.
#[derive(Debug, Args)]
pub struct UnexcuseArgs {
    /// Its id, as `diffs excuses` shows it; the first letters are enough.
    pub id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who you are, for the record. Default: the login name.
    #[arg(long, env = "STRANGLER_WHO", value_name = "NAME")]
    pub who: Option<String>,
}

pub(super) async fn excuse(desk: &Desk, args: &ExcuseArgs) -> Result<(), Stop> {
    let wish = ExcuseWish {
        route: args.route.clone(),
        field: args.field.clone(),
        cause: args.cause.clone(),
        rule: args.rule.or(args.scale.map(Rule::Scale)),
        owner: args.owner.clone(),
        until: args.until,
    };
    if args.dry_run {
        let told = desk.office().excuse_preview(&wish).await?;
        told.iter().for_each(|sentence| desk.out.line(sentence));
        desk.out.json(&json!({ "told": told }));
        return Ok(());
    }
    let author = desk.named_author(args.who.as_deref(), args.reason.clone())?;
    let excuse = desk.office().excuse(&wish, &author).await?;
    desk.out.line(format!("Excused until {}, by every live replica within seconds: {}.", excuse.until, excuse.scope));
    desk.out.line(format!("Take it back: strangler diffs unexcuse {} --reason 'WHY'", short(&excuse.id)));
    desk.out.json(&excuse);
    Ok(())
}

pub(super) async fn list(desk: &Desk) -> Result<(), Stop> {
    let records = desk.office().excuses().await?;
    let today = now().to_utc().date_naive();
    if records.is_empty() {
        desk.out.line("No excuse was ever accepted here. Those of the contract stand in schema.graphql (@excused).");
    } else {
        let mut rows =
            vec![["ID", "STATE", "UNTIL", "OWNER", "WHAT", "WHO", "SINCE", "WHY"].map(str::to_owned).to_vec()];
        rows.extend(records.iter().map(|record| row(record, today)));
        desk.out.table(&rows);
    }
    let all = records.iter().map(|record| {
        json!({
            "excuse": ExcuseReport::accepted(record, today),
            "route": record.excuse.scope.route,
            "at": record.at,
            "withdrawn": record.withdrawn,
        })
    });
    desk.out.json(&all.collect::<Vec<_>>());
    Ok(())
}

pub(super) async fn withdraw(desk: &Desk, args: &UnexcuseArgs) -> Result<(), Stop> {
    let author = desk.named_author(args.who.as_deref(), Some(args.reason.clone()))?;
    let record = desk.office().unexcuse(&args.id, &author).await?;
    desk.out
        .line(format!("Taken back: {}. It counts again on every live replica within seconds.", record.excuse.scope));
    desk.out.json(&json!({ "withdrawn": record.excuse.id.to_string() }));
    Ok(())
}

fn row(record: &ExcuseRecord, today: NaiveDate) -> Vec<String> {
    let excuse = &record.excuse;
    vec![
        short(&excuse.id),
        record.state(today).as_str().to_owned(),
        excuse.until.to_string(),
        excuse.owner.clone(),
        excuse.scope.to_string(),
        excuse.author.who.clone(),
        record.at.to_string(),
        excuse.author.reason.clone().unwrap_or_default(),
    ]
}

fn short(id: &ExcuseId) -> String {
    id.to_string()[..8].to_owned()
}
