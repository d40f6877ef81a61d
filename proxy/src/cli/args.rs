//! What may be written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Percentage, Stage};

use super::reconcile::ReconcileArgs;
use super::repair::RepairArgs;
use crate::demo::DemoArgs;

/// Heading of the options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Leave a legacy ERP behind one GraphQL endpoint: write to both sides, compare them, shift reads by percentage,
/// and roll back at once.
#[derive(Debug, Parser)]
#[command(name = "strangler", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, env = "STRANGLER_CONFIG", default_value = "strangler.toml", value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: PathBuf,
    /// Print JSON for scripts.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a whole migration on this machine, with real databases and traffic. Needs no configuration.
    Demo(DemoArgs),
    /// Run one replica: the GraphQL endpoint and the admin port.
    Serve,
    /// Groups: who answers their reads, and how much of them.
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Routes of the contract.
    #[command(subcommand)]
    Routes(RoutesCommand),
    /// Differences between the sides that shadow reads have found.
    #[command(subcommand)]
    Diffs(DiffsCommand),
    /// Compare data at rest on both sides, and name the rows that have drifted.
    Reconcile(ReconcileArgs),
    /// Level rows that differ: the secondary takes the primary's state.
    Repair(RepairArgs),
    /// Make the bookkeeping tables on both sides and in the control database.
    Init(InitArgs),
    /// Look at configuration, contract, both sides and the control database, and name what is wrong.
    Check,
    /// Print the schema that clients see.
    Schema(SchemaArgs),
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// Every group with its stage and percentages.
    List,
    /// One group: policy, routes, replicas, evidence, last changes.
    Show {
        /// The group.
        group: String,
    },
    /// Change stage or percentages on every replica, and wait until all have it.
    Set(SetArgs),
    /// Answer all reads from legacy, now. Asks nothing, and works while the control database is down.
    Rollback(RollbackArgs),
    /// Who changed what, when and why, newest first.
    History {
        /// Only changes of this group.
        group: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
}

/// Who makes a change.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Who you are, for the record. Default: the login name.
    #[arg(long, env = "STRANGLER_WHO", value_name = "NAME")]
    pub who: Option<String>,
    /// How long to wait for the replicas.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// `groups set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The group.
    pub group: String,
    /// legacy, dual-write, shadow or shift.
    #[arg(long)]
    pub stage: Option<Stage>,
    /// Percentage of keys that modern answers, in steps of 0.01. Needs stage `shift`.
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub reads: Option<Percentage>,
    /// Percentage of reads that are also asked of the other side. Entering `shadow` or `shift` begins at 100.
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub shadow: Option<Percentage>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `groups rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The group.
    pub group: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Every route with its group and who answers it.
    List,
}

/// Which differences.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only this route, such as Query.stockLevel.
    #[arg(long)]
    pub route: Option<String>,
    /// Only this field.
    #[arg(long)]
    pub field: Option<String>,
    /// Only this cause, such as rounding or missing-row.
    #[arg(long)]
    pub cause: Option<String>,
    /// Only what was seen since then: 2h, 7d, or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// What to do with differences.
#[derive(Debug, Subcommand)]
pub enum DiffsCommand {
    /// One line per route, field and cause.
    List(FilterArgs),
    /// One sample: both sides' records side by side, and their diff.
    Show {
        /// Its id, as reports show it; the first letters are enough.
        id: String,
    },
    /// Everything that is known: verdicts, coverage, differences, samples.
    Report {
        /// Which differences.
        #[command(flatten)]
        filter: FilterArgs,
        /// Write one self-contained page to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Print the statements for a DBA instead of running them.
    #[arg(long, value_name = "WHERE")]
    pub print_ddl: Option<Database>,
}

/// Whose bookkeeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Database {
    /// The ERP's database.
    Legacy,
    /// The new database.
    Modern,
    /// The control database.
    Control,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The contract. Default: as the configuration says.
    pub contract: Option<PathBuf>,
    /// Print the directives that a contract may use, with what they mean.
    #[arg(long, conflicts_with = "contract")]
    pub directives: bool,
}

/// Reads `250ms`, `5s`, `10m`, `6h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time with its unit: 250ms, 5s, 10m, 6h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let millis = number.checked_mul(millis).filter(|millis| *millis <= 100 * 365 * 86_400_000);
    millis.map(Duration::from_millis).ok_or_else(|| "is longer than a hundred years".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for text in ["", "5", "s", "-1s", "1.5s", "5 weeks", "99999999999999999999s", "999999999d", "ß"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
