//! `menagerie [NAME…]`: hostile databases against the real binary; see `docs/operate/menagerie.md`.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use futures::StreamExt;
use testkit::menagerie::{self, Seat};

/// Runs hostile databases as legacy, as modern and as an Oracle, and says what came out.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these. Default: all.
    names: Vec<String>,
    /// Only as this: legacy, modern or oracle.
    #[arg(long)]
    seat: Option<String>,
    /// The binary under test. Default: the one beside this program.
    #[arg(long)]
    strangler: Option<PathBuf>,
    /// How many run at once.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Only one line for each.
    #[arg(long)]
    short: bool,
    /// Write what came out into the files, as what must come out. Read the difference before you keep it.
    #[arg(long)]
    declare: bool,
    /// Print the page of the docs, and run nothing.
    #[arg(long)]
    page: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut out = stdout();
    if arguments.page {
        write!(out, "{}", menagerie::page())?;
        return Ok(ExitCode::SUCCESS);
    }
    let beside = std::env::current_exe()?.with_file_name("strangler");
    let binary = arguments.strangler.clone().unwrap_or(beside);
    let wanted = |seat: &Seat| arguments.seat.as_deref().is_none_or(|wanted| wanted == seat.as_str());
    let mut animals = menagerie::animals();
    animals.retain(|animal| arguments.names.is_empty() || arguments.names.contains(&animal.name));
    let runs = animals.iter().flat_map(|animal| animal.seats().filter(wanted).map(move |seat| (animal, seat)));
    let binary = &binary;
    let run = |(animal, seat)| async move { (animal, menagerie::run(animal, seat, binary).await) };
    let mut courses = std::pin::pin!(futures::stream::iter(runs).map(run).buffered(arguments.jobs));
    let mut good = true;
    while let Some((animal, course)) = courses.next().await {
        if arguments.short {
            writeln!(out, "{} as {}: {}", animal.name, course.seat.as_str(), course.in_short())?;
            course.violations.iter().try_for_each(|violation| writeln!(out, "    VIOLATION {}", violation.what))?;
        } else {
            writeln!(out, "{} as {}\n{course}", animal.name, course.seat.as_str())?;
        }
        if arguments.declare {
            animal.declare_as(&course)?;
        } else if let Err(wrong) = menagerie::hold_to(animal, &course) {
            good = false;
            writeln!(out, "    NOT AS DECLARED: {}", wrong.lines().last().unwrap_or_default())?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
