//! `token new`: makes a token for the admin port, and the line for the file of hashes.
//!
//! The token is shown once. Nothing is written: the file is usually a secret that something else manages.

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Stop;
use super::print::Printer;
use admin::auth::{Role, token};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. It is printed once, with the line for `admin.tokens_file`.
    New(NewArgs),
}

/// `token new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Whose it is, for the record of what they do.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: String,
    /// viewer (looks), operator (moves traffic) or admin (also approves).
    #[arg(long)]
    pub role: Role,
    /// Its last day, such as 2027-01-31. Default: none.
    #[arg(long, value_name = "DAY")]
    pub until: Option<NaiveDate>,
}

fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let fits = !name.is_empty() && !name.chars().any(char::is_control);
    if fits { Ok(name.to_owned()) } else { Err("give a name on one line".to_owned()) }
}

pub(super) fn run(command: &TokenCommand, out: Printer) -> Result<(), Stop> {
    let TokenCommand::New(args) = command;
    let made = token::make(rand::random(), &args.name, args.role, args.until);
    let made = made.map_err(|error| Stop::No(format!("the token's hash could not be made: {error}")))?;
    out.line(format!("Token of {}, shown this once:\n\n{}\n", args.name, made.token));
    out.line(format!("Line for the file that `admin.tokens_file` names:\n\n{}", made.line));
    out.json(&json!({ "token": made.token, "line": made.line }));
    Ok(())
}
