//! `torture --minutes 5 --seed 42`: see `docs/torture.md`. Exit 0: every promise was kept; 1: one was not.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use testkit::torture::{self, Options};

/// Random disturbances against three replicas and two databases, and then the books are checked.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long there are disturbances.
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// Decides on disturbances and on what clients ask. Default: drawn, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients, each with one request at a time.
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// Milliseconds between two requests of one client.
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// Also hand the authority over and back. The binary must know `groups handover`.
    #[arg(long)]
    handover: bool,
    /// The binary under test. Default: the one beside this program.
    #[arg(long)]
    strangler: Option<PathBuf>,
    /// A kind of disturbance that is not possible on this machine breaks the run.
    #[arg(long)]
    whole: bool,
    /// Only disturbances of this kind, as the report names it; may be given more than once. To find out which breaks a run.
    #[arg(long)]
    only: Vec<String>,
    /// Where the replicas' logs are copied to.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// Print the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "a number of minutes, such as 5 or 0.5".to_owned())?;
    if (0.1..=1_440.0).contains(&minutes) { Ok(minutes) } else { Err("between 0.1 and 1440".to_owned()) }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let beside = std::env::current_exe()?.with_file_name("strangler");
    let binary = arguments.strangler.clone().unwrap_or(beside);
    if !binary.exists() {
        return Err(format!("there is no {}: run `cargo build --bin strangler`, or name it", binary.display()).into());
    }
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let contract = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../schema.graphql"));
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let pause = Duration::from_millis(arguments.pause);
    // First of all: a run that is interrupted can be repeated.
    eprintln!("seed {seed}");
    let Arguments { clients, handover, whole, only, logs, .. } = arguments;
    let options = Options { binary, contract, seed, length, clients, pause, handover, whole, only, logs };
    let report = torture::run(&options).await.report;
    let mut out = stdout();
    if arguments.json {
        writeln!(out, "{}", report.json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
