//! `strangler completions` and `strangler man`: what a shell and a reader of manuals know of the command line.
//!
//! Both are made from the definition that parses the command line, so they cannot say anything else.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Stop;
use super::args::Cli;
use super::print::Printer;

/// The binary's name.
const NAME: &str = "strangler";

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete.
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write one page per command into this folder, such as /usr/local/share/man/man1.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, out: Printer) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    print(&script, out)
}

pub(super) fn man(args: &ManArgs, out: Printer) -> Result<(), Stop> {
    let unwritable = |error: std::io::Error| Stop::No(format!("the manual cannot be written: {error}"));
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(unwritable)?;
        return print(&page, out);
    };
    std::fs::create_dir_all(dir).map_err(unwritable)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(unwritable)?;
    let dir = dir.display().to_string();
    out.line(format!("The manual is in {dir}. Read it with `man -l {dir}/{NAME}.1`."));
    out.json(&serde_json::json!({ "dir": dir }));
    Ok(())
}

fn print(made: &[u8], out: Printer) -> Result<(), Stop> {
    let text = std::str::from_utf8(made).map_err(|error| Stop::No(error.to_string()))?;
    out.text(text);
    Ok(())
}
