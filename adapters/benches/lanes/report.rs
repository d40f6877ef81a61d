//! The tables and the ratios, for people and for programs.

use std::fmt::Write;

use serde_json::{Value as Json, json};
use testkit::load::{Seen, median};

/// One turn of a way to do the work.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) seen: Seen,
    /// Of this process, in the whole turn.
    pub(crate) cpu_micros: f64,
}

impl Turn {
    /// Calls per second.
    pub(crate) fn rate(&self) -> f64 {
        self.seen.rate()
    }

    /// CPU microseconds per call.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_micros / self.seen.count()
    }
}

/// One way to do the work at one number of callers: medians over the rounds.
pub(crate) struct Row {
    name: String,
    callers: usize,
    /// Calls per second.
    rate: f64,
    p50_millis: f64,
    p99_millis: f64,
    /// Microseconds per call, of this process.
    cpu: f64,
}

impl Row {
    pub(crate) fn of(name: &str, callers: usize, turns: &[Turn]) -> Self {
        let of = |what: &dyn Fn(&Turn) -> f64| median(turns.iter().map(what));
        Self {
            name: name.to_owned(),
            callers,
            rate: of(&Turn::rate),
            p50_millis: of(&|turn| turn.seen.millis(0.5)),
            p99_millis: of(&|turn| turn.seen.millis(0.99)),
            cpu: of(&Turn::cpu),
        }
    }
}

/// What became of the calls of one stream in one phase.
pub(crate) struct Phase {
    /// The load, the phase, and the stream.
    pub(crate) name: [&'static str; 3],
    /// Calls that were made.
    pub(crate) calls: usize,
    /// Calls that were answered.
    pub(crate) answered: Seen,
    /// Calls that failed long before their limit: nothing was sent.
    pub(crate) turned_away: Seen,
    /// Calls that failed at their limit.
    pub(crate) late: Seen,
    /// Calls that waited for a session, at most.
    pub(crate) waiting: usize,
}

/// Everything that was found.
pub(crate) struct Report {
    rounds: usize,
    rows: Vec<Row>,
    phases: Vec<Phase>,
    findings: Vec<(String, f64)>,
}

impl Report {
    pub(crate) fn new(rounds: usize) -> Self {
        Self { rounds, rows: Vec::new(), phases: Vec::new(), findings: Vec::new() }
    }

    /// Takes a row of the table in.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Takes what became of a stream in.
    pub(crate) fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }

    /// Takes a figure in.
    pub(crate) fn note(&mut self, what: &str, found: f64) {
        self.findings.push((what.to_owned(), found));
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("medians of {} rounds\n\n", self.rounds);
        if !self.rows.is_empty() {
            let _ = writeln!(
                text,
                "{:<30}{:>8}{:>10}{:>9}{:>9}{:>8}",
                "", "callers", "calls/s", "p50 ms", "p99 ms", "CPU us"
            );
        }
        for Row { name, callers, rate, p50_millis, p99_millis, cpu } in &self.rows {
            let _ = writeln!(text, "{name:<30}{callers:>8}{rate:>10.0}{p50_millis:>9.3}{p99_millis:>9.3}{cpu:>8.1}");
        }
        if !self.phases.is_empty() {
            let _ = writeln!(
                text,
                "\n{:<32}{:>7}{:>10}{:>9}{:>9}{:>13}{:>9}{:>7}{:>9}{:>9}",
                "", "calls", "answered", "p50 ms", "p99 ms", "turned away", "p99 ms", "late", "max ms", "waiting"
            );
        }
        for Phase { name: [load, phase, stream], calls, answered, turned_away, late, waiting } in &self.phases {
            let name = format!("{load:<10}{phase:<8}{stream}");
            let _ = writeln!(
                text,
                "{name:<32}{calls:>7}{:>10.0}{:>9.1}{:>9.1}{:>13.0}{:>9.2}{:>7.0}{:>9.0}{waiting:>9}",
                answered.count(),
                answered.millis(0.5),
                answered.millis(0.99),
                turned_away.count(),
                turned_away.millis(0.99),
                late.count(),
                late.millis(1.0).max(answered.millis(1.0)),
            );
        }
        text.push('\n');
        for (what, found) in &self.findings {
            let _ = writeln!(text, "{what:<66}{found:>10.2}");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Json {
        let row = |row: &Row| {
            json!({
                "name": row.name, "callers": row.callers, "callsPerSecond": row.rate, "p50Millis": row.p50_millis,
                "p99Millis": row.p99_millis, "cpuMicros": row.cpu,
            })
        };
        let phase = |phase: &Phase| {
            let [load, when, stream] = phase.name;
            let part = |seen: &Seen| json!({ "calls": seen.count(), "p50Millis": seen.millis(0.5), "p99Millis": seen.millis(0.99) });
            json!({
                "load": load, "phase": when, "stream": stream, "calls": phase.calls, "waitingMost": phase.waiting,
                "answered": part(&phase.answered), "turnedAway": part(&phase.turned_away), "late": part(&phase.late),
            })
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let phases: Vec<_> = self.phases.iter().map(phase).collect();
        let findings = self.findings.iter().map(|(what, found)| json!({ "what": what, "found": found }));
        let findings: Vec<_> = findings.collect();
        json!({ "rounds": self.rounds, "rows": rows, "phases": phases, "findings": findings })
    }
}
