//! The one place that writes to standard output: lines, aligned tables, JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::Value as Json;

/// Writes for people or for scripts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    json: bool,
    colour: bool,
}

impl Printer {
    /// Colours only where a person looks and has not said no.
    pub(super) fn new(json: bool) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour }
    }

    /// Whether a script reads.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// A line for people; nothing for scripts.
    pub(super) fn line(self, text: impl AsRef<str>) {
        if !self.json {
            self.text(&format!("{}\n", harmless(text.as_ref())));
        }
    }

    /// A warning for people, on standard error, for scripts too: they log it.
    pub(super) fn warn(self, text: impl AsRef<str>) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }

    /// A table for people. The first row is its heading.
    pub(super) fn table(self, rows: &[Vec<String>]) {
        if self.json {
            return;
        }
        // What people typed (a reason, a name) must not steer the reader's terminal.
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| harmless(cell).replace('\n', " ")).collect()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width_of(cell)).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for (index, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let padding = " ".repeat(width - width_of(cell));
                format!("{cell}{padding}")
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            let bold = index == 0 && self.colour;
            self.text(&if bold { format!("\u{1b}[1m{line}\u{1b}[0m\n") } else { format!("{line}\n") });
        }
    }

    /// A value for scripts; nothing for people.
    pub(super) fn json(self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(value).expect("what we print has text keys and finite numbers");
            self.text(&format!("{text}\n"));
        }
    }

    /// Text as it is, in both modes.
    pub(super) fn text(self, text: &str) {
        // A reader that went away (`| head`) is not our error.
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A text or number of the API; nothing for null.
pub(super) fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => other.to_string(),
    }
}

/// A time of the API, to the second: `2026-01-31 08:00:00Z`.
pub(super) fn seconds(value: &Json) -> String {
    let time = value.as_str().and_then(model::Instant::parse);
    time.map(|time| time.to_utc().format("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

/// Control characters written out, all but the line break.
fn harmless(text: &str) -> String {
    let written = |c: char| if c.is_control() && c != '\n' { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(written).collect()
}
