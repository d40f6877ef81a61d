//! Tells the story: one plain line per event, and on a terminal a moving line below with the figures.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// What stands before a line of a chapter.
const INDENT: &str = "          ";
/// Columns of the narrowest usual terminal.
const WIDTH: usize = 80;

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
            let style = ProgressStyle::with_template("{spinner} {msg}{prefix}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { began: Instant::now(), bar }
    }

    /// A chapter of the story.
    pub fn chapter(&self, title: &str) {
        let mut lines = wrapped(title).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("\n[{:5.1} s] {first}", self.began.elapsed().as_secs_f64()));
        for line in lines {
            self.line(&format!("{INDENT}{line}"));
        }
    }

    /// A line of the chapter; a long one is broken between words.
    pub fn say(&self, text: &str) {
        for line in wrapped(text) {
            self.line(&format!("{INDENT}{line}"));
        }
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

    /// What the moving line shows besides the figures; empty: nothing.
    pub fn progress(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(if text.is_empty() { String::new() } else { format!(" · {text}") });
        }
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `text` in lines that fit the narrowest usual terminal, with its own indentation on each of them.
fn wrapped(text: &str) -> Vec<String> {
    let own: String = text.chars().take_while(|c| *c == ' ').collect();
    if text.len() + INDENT.len() <= WIDTH {
        return vec![text.to_owned()];
    }
    let mut lines = vec![own.clone()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > own.len() && INDENT.len() + last + 1 + word.chars().count() > WIDTH {
            lines.push(own.clone());
        }
        if let Some(line) = lines.last_mut() {
            let gap = if line.len() > own.len() { " " } else { "" };
            line.push_str(gap);
            line.push_str(word);
        }
    }
    lines
}

fn print(text: &str) {
    // A reader that has gone away (`| head`) is no reason to stop the demo.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_keep_their_words_and_their_indentation() {
        assert_eq!(wrapped("  short   columns"), ["  short   columns"]);
        let text = format!("  {}", "seven77 ".repeat(30).trim_end());
        let lines = wrapped(&text);
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| line.starts_with("  s") && line.len() + INDENT.len() <= WIDTH));
        let words = lines.iter().flat_map(|line| line.split_whitespace());
        assert!(words.eq(text.split_whitespace()));
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long), [long]);
    }
}
