//! What may be written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Percentage, Stage};

use super::completions::{CompletionsArgs, ManArgs};
use super::preview::{SeenArgs, UndoArgs};
use super::reconcile::ReconcileArgs;
use super::repair::RepairArgs;
pub use super::token::TokenCommand;
use crate::demo::DemoArgs;
use control_plane::spoken::duration;

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
    /// Ask this replica's admin port instead of the databases: https://host:9090. With your token.
    #[arg(long, global = true, env = "STRANGLER_ADMIN", value_name = "ADDRESS", help_heading = EVERYWHERE)]
    pub admin: Option<String>,
    /// The file with your token for admin ports. Default: the variable STRANGLER_TOKEN, else `fleet.token_file`.
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub token_file: Option<PathBuf>,
    /// The authority that signed the certificate of `--admin`, when the machine does not know it.
    #[arg(long, global = true, value_name = "FILE", requires = "admin", help_heading = EVERYWHERE)]
    pub ca_file: Option<PathBuf>,
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
    /// Mutations in steps: which of them wait for somebody.
    #[command(subcommand)]
    Sagas(super::sagas::SagasCommand),
    /// Sides: is each the database that we knew, and what has one lost that was restored?
    #[command(subcommand)]
    Sides(super::sides::SidesCommand),
    /// The record of everything that anybody changed.
    #[command(subcommand)]
    History(HistoryCommand),
    /// Weigh what errors would cost against what waiting costs.
    Breakeven(super::breakeven::BreakevenArgs),
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
    /// Tokens for the admin port.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the script with which a shell completes commands and options.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one per command.
    Man(ManArgs),
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
    /// Walk the declared plan: each step is taken by the replicas, when every gate holds.
    Promote(PromoteArgs),
    /// Changes that wait for a second person.
    Proposals,
    /// Approve a change as the second person.
    Approve(ApproveArgs),
    /// Take a proposed change back, or turn it down.
    Withdraw(WithdrawArgs),
    /// Hand the authority for writes to the other side. Clients wait a moment, and see no error.
    Handover(HandoverArgs),
    /// Set a group back to what held before its newest change, if nobody else has changed it since.
    Undo(UndoArgs),
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
    /// legacy, dual-write, shadow or shift; modern, from reverse, ends the dual write, and there is no way back.
    #[arg(long)]
    pub stage: Option<Stage>,
    /// Only say what it would do; with `--stage modern` also what would wait or be in the way.
    #[arg(long)]
    pub dry_run: bool,
    /// Percentage of keys that modern answers, in steps of 0.01. Needs stage `shift`.
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub reads: Option<Percentage>,
    /// Percentage of reads that are also asked of the other side. Entering `shadow` or `shift` begins at 100.
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub shadow: Option<Percentage>,
    /// What was seen of it.
    #[command(flatten)]
    pub seen: SeenArgs,
    /// Why, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `groups promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// The group.
    pub group: String,
    /// End the promotion where it is; percentages stay.
    #[arg(long)]
    pub stop: bool,
    /// Only say what it would do.
    #[arg(long, conflicts_with = "stop")]
    pub dry_run: bool,
    /// Why, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `groups handover`.
#[derive(Debug, Args)]
pub struct HandoverArgs {
    /// The group.
    pub group: String,
    /// Who is to be primary.
    #[arg(long, value_name = "SIDE")]
    pub to: To,
    /// Only tell what would be lost or wait. Reads every row of the group.
    #[arg(long, conflicts_with = "force")]
    pub dry_run: bool,
    /// Also when writes would be left behind on the old primary; they are listed in the record.
    #[arg(long)]
    pub force: bool,
    /// Why, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// A side that can be primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// The ERP.
    Legacy,
    /// The new store.
    Modern,
}

/// `groups approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The proposal; the first letters of its id are enough.
    pub id: String,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// What was seen of it.
    #[command(flatten)]
    pub seen: SeenArgs,
    /// Why, for the record. Not needed with --dry-run.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// `groups withdraw`.
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// The proposal; the first letters of its id are enough.
    pub id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who, and how long to wait.
    #[command(flatten)]
    pub who: WhoArgs,
}

/// What to do with the record.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Every change, of whatever kind, newest first.
    List(super::history::RecordArgs),
    /// The whole record with the hashes of its chain, oldest first, for an archive or another system.
    Export {
        /// jsonl has the text that each hash covers; csv is for spreadsheets.
        #[arg(long, value_enum, default_value_t = super::history::Format::Jsonl)]
        format: super::history::Format,
        /// Only entries behind this place: where the last export ended.
        #[arg(long, default_value_t = 0, value_name = "PLACE")]
        after: u64,
    },
    /// Look for entries that were altered, put in or taken out.
    Verify,
}

/// `groups rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The group.
    pub group: String,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
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
#[derive(Debug, Clone, Args)]
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
        /// Also what both sides' ledgers remember of the key.
        #[arg(long)]
        history: bool,
    },
    /// Excuse a kind of difference until a day, on every replica, without a deploy.
    Excuse(super::excuses::ExcuseArgs),
    /// Every accepted excuse: in force, expired, withdrawn.
    Excuses,
    /// Take an excuse back: its differences count again.
    Unexcuse(super::excuses::UnexcuseArgs),
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
    /// The side that is primary of groups whose fences do not tell: made anew, or of types that were written under
    /// another group. Stop every replica first.
    #[arg(long, value_name = "SIDE")]
    pub adopt: Option<To>,
    /// Register this contract in the place of the one that is registered: the way back to an older contract, and to one
    /// that cannot run beside it. Refused while writes of the other contract wait.
    #[arg(long, conflicts_with = "print_ddl")]
    pub accept_contract: bool,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
