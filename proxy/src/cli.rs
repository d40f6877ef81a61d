//! The command line: what operators and engineers ask of a fleet.
//!
//! Exit codes: 0 done, 1 the answer is no (something is wrong, or did not happen in time), 2 bad use, 64 bad
//! configuration. What was asked wrongly changes nothing. Secrets are never printed.
//! Not here: what a change means (`rollout`), how a report looks (`shadow-compare`).

pub mod args;
mod check;
pub mod completions;
mod desk;
mod diffs;
mod groups;
mod history;
mod init;
mod link;
mod print;
mod rollback;
mod routes;
mod serve;
mod set;
mod tell;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use model::StoreError;
use model::control::ControlError;

use args::{Cli, Command, GroupsCommand, HistoryCommand, RoutesCommand, SchemaArgs, WhoArgs};
use desk::Desk;
use print::Printer;

use crate::config::Config;
use crate::contract;
use crate::demo;
use crate::error::with_root;
use crate::rollout::publish::ChangeError;

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
}

impl Stop {
    fn code(&self) -> u8 {
        match self {
            Self::No(_) | Self::Told => 1,
            Self::BadUse(_) => 2,
            Self::BadConfig(_) => 64,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::No(text) | Self::BadUse(text) | Self::BadConfig(text) => Some(text),
            Self::Told => None,
        }
    }
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

impl From<ChangeError> for Stop {
    fn from(error: ChangeError) -> Self {
        match &error {
            ChangeError::Refused(refused) => Self::BadUse(refused.to_string()),
            ChangeError::Control(ControlError::NoAnswer { .. }) => {
                Self::No(format!("{error}: the change may stand or not, look with `strangler groups history`"))
            }
            ChangeError::NoRollout | ChangeError::Overtaken { .. } | ChangeError::Control(_) => {
                Self::No(error.to_string())
            }
        }
    }
}

/// Runs the command line of this process.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let out = Printer::new(cli.json);
    match Box::pin(dispatch(&cli, out)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            if let Some(text) = stop.text() {
                out.warn(format!("strangler: {text}"));
            }
            ExitCode::from(stop.code())
        }
    }
}

async fn dispatch(cli: &Cli, out: Printer) -> Result<(), Stop> {
    let desk = || Desk::open(&cli.config, out);
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
        Command::Groups(command) => Box::pin(groups(&desk()?, command)).await,
        Command::History(HistoryCommand::List { group, limit }) => {
            let desk = desk()?;
            history::list(&desk, &desk.link(None), group.as_deref(), *limit).await
        }
        Command::History(HistoryCommand::Verify) => {
            let desk = desk()?;
            history::verify(&desk, &desk.link(None)).await
        }
        Command::Routes(RoutesCommand::List) => {
            let desk = desk()?;
            routes::list(&desk, &desk.link(None)).await
        }
        Command::Diffs(diffs) => diffs::run(&desk()?, diffs).await,
        Command::Init(args) => init::run(&desk()?, args).await,
        Command::Check => check::run(&cli.config, out).await,
        Command::Schema(args) => schema(&cli.config, args, out),
        Command::Completions(args) => completions::completions(args, out),
        Command::Man(args) => completions::man(args, out),
    }
}

async fn groups(desk: &Desk, command: &GroupsCommand) -> Result<(), Stop> {
    let link = |who: Option<&WhoArgs>| desk.link(who);
    match command {
        GroupsCommand::List => groups::list(desk, &link(None)).await,
        GroupsCommand::Show { group } => groups::show(desk, &link(None), group).await,
        GroupsCommand::Set(args) => set::run(desk, &link(Some(&args.who)), args).await,
        GroupsCommand::Promote(args) => set::promote(desk, &link(Some(&args.who)), args).await,
        GroupsCommand::Proposals => set::proposals(desk, &link(None)).await,
        GroupsCommand::Approve(args) => set::approve(desk, &link(Some(&args.who)), args).await,
        GroupsCommand::Withdraw(args) => set::withdraw(desk, &link(Some(&args.who)), args).await,
        GroupsCommand::Rollback(args) => rollback::run(desk, args).await,
        GroupsCommand::History { group, limit } => groups::history(desk, &link(None), group.as_deref(), *limit).await,
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
        Stop::BadConfig(format!("the contract {name} cannot be read: {}", crate::config::why(&error)))
    })?;
    let loaded = contract::load(&text, &name).map_err(|error| bad(&error))?;
    if out.is_json() {
        out.json(&serde_json::json!({ "sdl": loaded.client_sdl }));
    } else {
        out.text(&loaded.client_sdl);
    }
    Ok(())
}
