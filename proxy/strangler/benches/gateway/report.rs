//! The table, the ratios, and whether they meet their targets.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::settings::Settings;

/// One kind of turn at one number of clients: medians over the rounds.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) clients: usize,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// CPU microseconds per request: of the client, the replica, legacy's server, and modern's.
    pub(crate) cpu: [f64; 4],
}

struct Finding {
    what: String,
    found: f64,
    /// The target in words, and whether it is met.
    target: Option<(String, bool)>,
}

/// Everything that was found.
pub(crate) struct Report {
    rows: Vec<Row>,
    findings: Vec<Finding>,
    durable: bool,
    rounds: usize,
}

impl Report {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { rows: Vec::new(), findings: Vec::new(), durable: settings.durable, rounds: settings.rounds }
    }

    /// Takes a row of the table in.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A figure without target.
    pub(crate) fn note(&mut self, what: &str, found: f64) {
        self.findings.push(Finding { what: what.to_owned(), found, target: None });
    }

    /// A figure that is to be at most `most`.
    pub(crate) fn at_most(&mut self, what: &str, found: f64, most: f64) {
        let target = Some((format!("<= {most}"), found <= most));
        self.findings.push(Finding { what: what.to_owned(), found, target });
    }

    /// A figure that is to be at least `least`.
    pub(crate) fn at_least(&mut self, what: &str, found: f64, least: f64) {
        let target = Some((format!(">= {least}"), found >= least));
        self.findings.push(Finding { what: what.to_owned(), found, target });
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let commits = if self.durable { "commits wait for the disk" } else { "commits do not wait for the disk" };
        let mut text = format!("medians of {} rounds; {commits}\n\n", self.rounds);
        let _ = writeln!(
            text,
            "{:<26}{:>8}{:>12}{:>9}{:>9} | CPU us{:>7}{:>9}{:>8}{:>8}{:>7}",
            "", "clients", "requests/s", "p50 ms", "p99 ms", "client", "replica", "legacy", "modern", "all"
        );
        for Row { name, clients, rate, p50, p99, cpu: [client, replica, legacy, modern] } in &self.rows {
            let all = client + replica + legacy + modern;
            let _ = writeln!(
                text,
                "{name:<26}{clients:>8}{rate:>12.0}{p50:>9.3}{p99:>9.3} |       {client:>7.0}{replica:>9.0}{legacy:>8.0}{modern:>8.0}{all:>7.0}"
            );
        }
        text.push('\n');
        for Finding { what, found, target } in &self.findings {
            let judged = target.as_ref().map_or_else(String::new, |(target, met)| {
                format!("   target {target}: {}", if *met { "met" } else { "MISSED" })
            });
            let _ = writeln!(text, "{what:<66}{found:>8.2}{judged}");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Json {
        let row = |row: &Row| {
            let [client, replica, legacy, modern] = row.cpu;
            json!({
                "name": row.name, "clients": row.clients, "requestsPerSecond": row.rate, "p50Millis": row.p50,
                "p99Millis": row.p99,
                "cpuMicros": { "client": client, "replica": replica, "legacy": legacy, "modern": modern },
            })
        };
        let finding = |finding: &Finding| {
            let (target, met) = finding.target.clone().unzip();
            json!({ "what": finding.what, "found": finding.found, "target": target, "met": met })
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        json!({ "rounds": self.rounds, "durableCommits": self.durable, "rows": rows, "findings": findings })
    }
}
