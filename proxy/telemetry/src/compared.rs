//! What comparisons have found, and to whose group a route belongs.

use metrics::{counter, gauge};
use model::evidence::Observation;
use model::{Contract, GroupName};

use super::{COMPARISONS_TOTAL, FOREIGN_WRITES_TOTAL, ROUTE_GROUP};

/// A comparison was made.
pub fn compared(observation: &Observation) {
    let (route, verdict) = (observation.route.to_string(), observation.verdict.as_str());
    counter!(COMPARISONS_TOTAL, "route" => route, "verdict" => verdict).increment(1);
}

/// Which route moves with which group.
pub fn route_groups(contract: &Contract) {
    for root in contract.roots.values() {
        gauge!(ROUTE_GROUP, "route" => root.route.to_string(), "group" => root.group.to_string()).set(1.0);
    }
}

/// A write met a row of the secondary that was changed past us.
pub fn foreign_write(group: &GroupName, overwritten: bool) {
    foreign(group, if overwritten { "overwritten" } else { "left" }, 1);
}

/// A comparison met so many of them.
pub fn foreign_found(group: &GroupName, rows: u64) {
    foreign(group, "found", rows);
}

fn foreign(group: &GroupName, outcome: &'static str, rows: u64) {
    counter!(FOREIGN_WRITES_TOTAL, "group" => group.to_string(), "outcome" => outcome).increment(rows);
}
