//! How long to measure, and what.

use std::time::Duration;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Rounds per row; each has a turn of either kind.
    pub(crate) rounds: usize,
    /// Length of one turn.
    pub(crate) turn: Duration,
    /// Length of one turn of the shadow rows, whose 99th percentile needs more samples.
    pub(crate) shadow_turn: Duration,
    /// How long the group is handed there and back.
    pub(crate) handover_turn: Duration,
    /// Whether a commit waits for the disk, as in production.
    pub(crate) durable: bool,
    /// Print JSON.
    pub(crate) json: bool,
    only: Option<String>,
}

impl Settings {
    /// Reads the arguments; `None` when this is not a bench run (`cargo test` starts benches too).
    pub(crate) fn from_arguments() -> Option<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        if !has("--bench") {
            return None;
        }
        let quick = has("--quick") || std::env::var_os("STRANGLER_BENCH_QUICK").is_some();
        let only = arguments.iter().position(|argument| argument == "--only");
        let seconds = |full: f64, short: f64| Duration::from_secs_f64(if quick { short } else { full });
        Some(Self {
            rounds: if quick { 3 } else { 7 },
            turn: seconds(2.0, 0.4),
            shadow_turn: seconds(5.0, 1.0),
            handover_turn: seconds(60.0, 15.0),
            durable: !has("--fast-commit"),
            json: has("--json"),
            only: only.and_then(|place| arguments.get(place + 1).cloned()),
        })
    }

    /// Whether `part` is asked for by name.
    pub(crate) fn asks_for(&self, part: &str) -> bool {
        self.only.as_deref() == Some(part)
    }

    /// Whether `part` is to be measured.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}
