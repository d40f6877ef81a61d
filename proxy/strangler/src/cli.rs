//! The command line: what operators and engineers ask of a fleet.
//!
//! Exit codes: 0 done, 1 the answer is no (something is wrong, or did not happen in time), 2 bad use, 64 bad
//! configuration. What was asked wrongly changes nothing. Secrets are never printed.
//! Not here: what a change means (`rollout`), how a report looks (`shadow-compare`).

pub mod args;
pub mod breakeven;
mod check;
pub mod completions;
mod desk;
mod diffs;
pub mod excuses;
mod groups;
mod handover;
pub mod history;
mod init;
mod left_behind;
mod link;
mod log_filter;
mod ordered;
pub mod preview;
mod print;
pub mod reconcile;
pub mod repair;
mod rollback;
mod routes;
pub mod sagas;
mod serve;
mod set;
pub mod sides;
mod token;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use model::StoreError;
use model::control::ControlError;

use args::{Cli, Command, DiffsCommand, GroupsCommand, HistoryCommand, RoutesCommand, SchemaArgs, WhoArgs};
use desk::Desk;
use link::Link;
use print::Printer;
use sagas::SagasCommand;
use sides::SidesCommand;

use crate::config::Config;
use crate::demo;
use control_plane::desk::{DeskError, PAST_GATES};
use control_plane::rollout::fleet::Fleet;
use control_plane::rollout::tell::Teller;
use request::error::with_root;

/// Why a command did not end well.
#[derive(Debug)]
pub enum Stop {
    /// The answer is no: exit code 1.
    No(String),
    /// The command line asks for what cannot be: exit code 2.
    BadUse(String),
    /// Configuration or contract cannot be used: exit code 64.
    BadConfig(String),
    /// The answer is no and was printed: exit code 1.
    Told,
    /// As the desk or the admin API says it, with its stable code: exit code 1, or 2 where it asks for what cannot be.
    Coded {
        /// The stable code.
        code: String,
        /// Whether it asks for what cannot be.
        is_wrong: bool,
        /// Why, and what to do.
        message: String,
    },
}

impl Stop {
    fn code(&self) -> u8 {
        match self {
            Self::No(_) | Self::Told | Self::Coded { is_wrong: false, .. } => 1,
            Self::BadUse(_) | Self::Coded { is_wrong: true, .. } => 2,
            Self::BadConfig(_) => 64,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::No(text) | Self::BadUse(text) | Self::BadConfig(text) | Self::Coded { message: text, .. } => {
                Some(text)
            }
            Self::Told => None,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::No(_) | Self::Told => "NO",
            Self::BadUse(_) => BAD_USE,
            Self::BadConfig(_) => "BAD_CONFIG",
            Self::Coded { code, .. } => code,
        }
    }
}

/// What the command line itself refuses.
const BAD_USE: &str = "BAD_USE";

/// An error for scripts, in one line.
fn error_json(code: &str, message: &str) -> String {
    let hint = match code {
        PAST_GATES => Some("look with --dry-run; order it all the same with --past-gates"),
        "OVERTAKEN" => Some("look again, then order what you still want"),
        "CONTROL_STORE" => Some("rolling back works without the control database: strangler groups rollback GROUP"),
        "MODERN_IS_PRIMARY" => Some("strangler groups handover GROUP --to legacy --dry-run"),
        BAD_USE => Some("see --help"),
        "BAD_CONFIG" => Some("see `strangler check`"),
        _ => None,
    };
    serde_json::json!({ "error": { "code": code, "message": message, "hint": hint } }).to_string()
}

/// What was written on the command line; else what is wrong with it was said, as scripts read it where they asked for that.
fn parsed() -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if error.use_stderr() && std::env::args().skip(1).take_while(|part| part != "--").any(|part| part == "--json") {
        let text = error.to_string();
        // Its first line says what is wrong; usage and tips follow.
        let first = text.lines().next().unwrap_or_default();
        Printer::new(true).warn(error_json(BAD_USE, first.strip_prefix("error: ").unwrap_or(first)));
        return Err(ExitCode::from(2));
    }
    error.exit()
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        Self::No(with_root(&error))
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::No(with_root(&error))
    }
}

impl From<DeskError> for Stop {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Wrong { code, message } => Self::Coded { code: code.to_owned(), is_wrong: true, message },
            DeskError::No { code, message } => Self::Coded { code: code.to_owned(), is_wrong: false, message },
        }
    }
}

/// What is told to whoever asks a replica for what replicas do not do.
const NEEDS_DATABASES: &str = "this command works on the databases themselves, so `--admin` is not enough: leave it out, and run it where the replicas' configuration is, as `strangler --config FILE …`; on Kubernetes with `kubectl exec strangler-0 -- strangler …`. What replicas do by order is comparing: `strangler --admin … reconcile GROUP --reason …`";

/// Runs the command line of this process.
pub async fn run() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let out = Printer::new(cli.json);
    match Box::pin(dispatch(&cli, out)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            match stop.text() {
                Some(text) if out.is_json() => out.warn(error_json(stop.name(), text)),
                Some(text) => out.warn(format!("strangler: {text}")),
                None => {}
            }
            ExitCode::from(stop.code())
        }
    }
}

async fn dispatch(cli: &Cli, out: Printer) -> Result<(), Stop> {
    let desk = || {
        // Whoever gave a replica's address means that one, and is not helped by what is wrong with a file.
        Desk::open(&cli.config, out).map_err(|stop| match &cli.admin {
            Some(_) => Stop::BadUse(NEEDS_DATABASES.to_owned()),
            None => stop,
        })
    };
    match &cli.command {
        Command::Demo(args) => {
            serve::quiet_log()?;
            match Box::pin(demo::run(args)).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Stop::Told),
                Err(error) => Err(Stop::No(format!("the demo cannot go on: {error}"))),
            }
        }
        Command::Serve => serve::run(&cli.config).await,
        Command::Groups(command) => Box::pin(groups(cli, out, command)).await,
        Command::Sagas(command) => Box::pin(sagas(cli, out, command)).await,
        Command::Sides(SidesCommand::Show) => Box::pin(sides::show(&desk()?)).await,
        Command::Sides(SidesCommand::Raise(args)) => Box::pin(sides::run(&desk()?, args)).await,
        Command::History(HistoryCommand::List(args)) => history::list(out, &link(cli, out, None)?, args).await,
        Command::History(HistoryCommand::Export { format, after }) => {
            history::export(out, &link(cli, out, None)?, *format, *after).await
        }
        Command::History(HistoryCommand::Verify) => history::verify(out, &link(cli, out, None)?).await,
        Command::Routes(RoutesCommand::List) => routes::list(out, &link(cli, out, None)?).await,
        Command::Diffs(command) => Box::pin(diffs(cli, out, command)).await,
        Command::Breakeven(args) => breakeven::run(&desk()?, args).await,
        Command::Reconcile(args) if cli.admin.is_some() => {
            Box::pin(ordered::reconcile(out, &link(cli, out, None)?, args)).await
        }
        // Whoever names a replica means its databases, which need not be those of a file that happens to lie here.
        Command::Repair(_) if cli.admin.is_some() => Err(Stop::BadUse(NEEDS_DATABASES.to_owned())),
        Command::Reconcile(args) => Box::pin(reconcile::run(&desk()?, args)).await,
        Command::Repair(args) => Box::pin(repair::run(&desk()?, args)).await,
        Command::Init(args) => init::run(&desk()?, args).await,
        Command::Check => check::run(&cli.config, out).await,
        Command::Schema(args) => schema(&cli.config, args, out),
        Command::Token(command) => token::run(command, out),
        Command::Completions(args) => completions::completions(args, out),
        Command::Man(args) => completions::man(args, out),
    }
}

/// The admin API: of the replica that `--admin` names, else in this process.
fn link(cli: &Cli, out: Printer, who: Option<&WhoArgs>) -> Result<Link, Stop> {
    let Some(address) = &cli.admin else { return Ok(Desk::open(&cli.config, out)?.link(who)) };
    let fleet = Fleet { ca_file: cli.ca_file.clone(), ..Fleet::default() };
    let teller = Teller::new(&fleet, cli.token_file.as_deref());
    match teller.problems.first() {
        Some(problem) => Err(Stop::BadUse(problem.clone())),
        None => Ok(Link::There { teller: Box::new(teller), address: address.clone() }),
    }
}

async fn groups(cli: &Cli, out: Printer, command: &GroupsCommand) -> Result<(), Stop> {
    let link = |who: Option<&WhoArgs>| link(cli, out, who);
    match command {
        GroupsCommand::List => groups::list(out, &link(None)?).await,
        GroupsCommand::Show { group } => groups::show(out, &link(None)?, group).await,
        GroupsCommand::Set(args) => set::run(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Undo(args) => preview::undo(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Promote(args) => set::promote(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Proposals => set::proposals(out, &link(None)?).await,
        GroupsCommand::Approve(args) => set::approve(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Withdraw(args) => set::withdraw(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Handover(args) => handover::run(out, &link(Some(&args.who))?, args).await,
        GroupsCommand::Rollback(args) if args.dry_run => {
            preview::of(out, &link(Some(&args.who))?, "rollBack", "group", &args.group).await
        }
        GroupsCommand::Rollback(args) if cli.admin.is_some() => {
            rollback::there(out, &link(Some(&args.who))?, args).await
        }
        GroupsCommand::Rollback(args) => {
            rollback::run(&Desk::open(&cli.config, out)?, cli.token_file.as_deref(), args).await
        }
        GroupsCommand::History { group, limit } => groups::history(out, &link(None)?, group.as_deref(), *limit).await,
    }
}

async fn sagas(cli: &Cli, out: Printer, command: &SagasCommand) -> Result<(), Stop> {
    let link = |who: Option<&WhoArgs>| link(cli, out, who);
    match command {
        SagasCommand::List { status, limit } => sagas::list(out, &link(None)?, status.as_deref(), *limit).await,
        SagasCommand::Show { id } => sagas::show(out, &link(None)?, id).await,
        SagasCommand::Retry(args) => sagas::retry(out, &link(Some(&args.who))?, args).await,
        SagasCommand::Abandon(args) => sagas::abandon(out, &link(Some(&args.who))?, args).await,
    }
}

async fn diffs(cli: &Cli, out: Printer, command: &DiffsCommand) -> Result<(), Stop> {
    let link = || link(cli, out, None);
    let desk = || Desk::open(&cli.config, out);
    match command {
        DiffsCommand::List(filter) => diffs::list(out, &link()?, filter).await,
        DiffsCommand::Show { id, history } => diffs::show(out, &link()?, id, *history).await,
        DiffsCommand::Report { filter, html } => diffs::show_report(out, &link()?, filter, html.as_deref()).await,
        DiffsCommand::Excuse(args) => excuses::excuse(&desk()?, args).await,
        DiffsCommand::Excuses => excuses::list(&desk()?).await,
        DiffsCommand::Unexcuse(args) => excuses::withdraw(&desk()?, args).await,
    }
}

fn schema(config: &Path, args: &SchemaArgs, out: Printer) -> Result<(), Stop> {
    if args.directives {
        if out.is_json() {
            out.json(&serde_json::json!({ "sdl": contract::DIRECTIVES }));
        } else {
            out.text(contract::DIRECTIVES);
        }
        return Ok(());
    }
    let bad = |error: &dyn std::fmt::Display| Stop::BadConfig(error.to_string());
    let path = match &args.contract {
        Some(path) => path.clone(),
        None => Config::load(config).map_err(|error| bad(&error))?.contract,
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Stop::BadConfig(format!("the contract {name} cannot be read: {}", net::watched::why(&error)))
    })?;
    let loaded = contract::load(&text, &name).map_err(|error| bad(&error))?;
    if out.is_json() {
        out.json(&serde_json::json!({ "sdl": loaded.client_sdl }));
    } else {
        out.text(&loaded.client_sdl);
    }
    Ok(())
}
