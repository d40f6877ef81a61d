//! What came of a run, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// Lines of one check that are printed; JSON has all.
const SHOWN: usize = 60;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The promise.
    pub promise: &'static str,
    /// How much was checked, in words.
    pub of: String,
    /// What broke it. Empty: it held.
    pub broken_by: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Plays the same disturbances and choices again.
    pub seed: u64,
    /// How long there was load and trouble.
    pub length: Duration,
    /// Disturbances by kind.
    pub disturbances: BTreeMap<&'static str, usize>,
    /// Why a kind of disturbance is missing.
    pub skipped: Vec<String>,
    /// Orders to the fleet that did not succeed, and what it said.
    pub orders_refused: Vec<String>,
    /// Sides that were restored, and what the order to raise them said.
    pub restores: Vec<String>,
    /// Starts of a replica that were repeated.
    pub starts_repeated: usize,
    /// Operations by what was asked and how it ended.
    pub operations: BTreeMap<(&'static str, &'static str), usize>,
    /// Attempts of clients that failed, by code.
    pub errors: BTreeMap<String, usize>,
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Time in which no error at all is excused.
    pub calm: Duration,
    /// Shelves whose history was searched, all calls in them, and those of the longest.
    pub histories: (usize, usize, usize),
    /// From the end of the load, some seconds after the last disturbance, until both ledgers said that nothing waits.
    pub settled_after: Duration,
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether every check held.
    pub fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.broken_by.is_empty())
    }

    /// The promises that were broken.
    pub fn broken(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| !check.broken_by.is_empty()).map(|check| check.promise).collect()
    }

    /// As JSON, on one line when printed.
    pub fn json(&self) -> Json {
        let check = |check: &Check| {
            json!({
                "promise": check.promise, "of": check.of, "holds": check.broken_by.is_empty(), "broken_by": check.broken_by,
            })
        };
        let operation = |((asked, ended), count): (&(&str, &str), &usize)| json!({ "asked": asked, "ended": ended, "count": count });
        let (shelves, calls, longest) = self.histories;
        json!({
            "seed": self.seed,
            "seconds": self.length.as_secs_f64(),
            "disturbances": self.disturbances,
            "skipped": self.skipped,
            "orders_refused": self.orders_refused,
            "restores": self.restores,
            "starts_repeated": self.starts_repeated,
            "operations": self.operations.iter().map(operation).collect::<Vec<_>>(),
            "errors": self.errors,
            "acknowledged": self.acknowledged,
            "calm_seconds": self.calm.as_secs_f64(),
            "histories": { "keys": shelves, "calls": calls, "longest": longest },
            "settled_after_seconds": self.settled_after.as_secs_f64(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "holds": self.holds(),
        })
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}, {:.0?} of load and trouble", self.seed, self.length)?;
        writeln!(formatter, "\ndisturbances")?;
        for (kind, count) in &self.disturbances {
            writeln!(formatter, "  {count:>6}  {kind}")?;
        }
        writeln!(formatter, "  {:>6}  orders to the fleet that it refused meanwhile", self.orders_refused.len())?;
        for order in self.orders_refused.iter().take(SHOWN) {
            writeln!(formatter, "          {order}")?;
        }
        for restore in &self.restores {
            writeln!(formatter, "          {restore}")?;
        }
        writeln!(formatter, "  {:>6}  starts of a replica that were repeated", self.starts_repeated)?;
        for skipped in &self.skipped {
            writeln!(formatter, "SKIPPED: {skipped}")?;
        }
        writeln!(formatter, "\noperations")?;
        for ((asked, ended), count) in &self.operations {
            writeln!(formatter, "  {count:>6}  {asked}: {ended}")?;
        }
        writeln!(formatter, "\nattempts that failed")?;
        for (code, count) in &self.errors {
            writeln!(formatter, "  {count:>6}  {code}")?;
        }
        let (shelves, calls, longest) = self.histories;
        writeln!(formatter, "\n{} writes acknowledged", self.acknowledged)?;
        writeln!(formatter, "{shelves} keys with {calls} calls, {longest} on the busiest")?;
        writeln!(formatter, "no error was excused for {:.1?}", self.calm)?;
        writeln!(formatter, "settled {:.1?} after the end of the load\n", self.settled_after)?;
        for check in &self.checks {
            let verdict = if check.broken_by.is_empty() { "holds " } else { "BROKEN" };
            writeln!(formatter, "{verdict}  {} ({})", check.promise, check.of)?;
            for line in check.broken_by.iter().take(SHOWN) {
                writeln!(formatter, "          {line}")?;
            }
            if check.broken_by.len() > SHOWN {
                writeln!(formatter, "          and {} more", check.broken_by.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}
