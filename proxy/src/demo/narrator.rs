//! Tells the story: one plain line per event, and on a terminal a moving line below with the figures.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Writes the story to standard output.
#[derive(Debug)]
pub struct Narrator {
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Narrator {
    /// A narrator; the moving line is shown only on a terminal, and never when `headless`.
    pub fn new(headless: bool) -> Self {
        let bar = (!headless && std::io::stdout().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { began: Instant::now(), bar }
    }

    /// A chapter of the story.
    pub fn chapter(&self, title: &str) {
        self.line(&format!("\n[{:5.1} s] {title}", self.began.elapsed().as_secs_f64()));
    }

    /// A line of the chapter.
    pub fn say(&self, text: &str) {
        self.line(&format!("          {text}"));
    }

    /// A line as it is, without indentation.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print(text)),
            None => print(text),
        }
    }

    /// What the moving line shows now.
    pub fn figures(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn print(text: &str) {
    // A reader that has gone away (`| head`) is no reason to stop the demo.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
