//! What the demo measured, and which of its promises were broken.

use std::collections::BTreeMap;

use serde::Serialize;

/// The guard judges the figures of half a minute, each second: longer than that it does not take.
pub const GUARD_WITHIN_MILLIS: f64 = 30_000.0;

/// The figures of the last line. Everything is measured; nothing is assumed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoReport {
    /// Requests sent by the storefronts.
    pub requests: u64,
    /// Requests that failed, and reads older than the same customer's last write.
    pub client_errors: u64,
    /// Mutations that were acknowledged.
    pub acknowledged_writes: u64,
    /// Acknowledged writes that are missing on a side, or have left another value there.
    pub lost_writes: usize,
    /// Writes that are not on both sides at the end.
    pub unsettled: u64,
    /// Confirmed mismatches by cause.
    pub mismatches: BTreeMap<&'static str, u64>,
    /// From the order to the first answer that is legacy's again.
    pub rollback_millis: f64,
    /// From the first wrong answer that nobody saw to the first right one, after the guard had rolled back by itself.
    pub guard_rollback_millis: f64,
    /// Whether every row of every table is equal at the end.
    pub sides_equal: bool,
}

impl DemoReport {
    /// The promises of the story that were not kept, in words. Empty when all is well.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |kept: bool, words: String| {
            if !kept {
                broken.push(words);
            }
        };
        promise(self.requests > 0, "the storefronts sent nothing".into());
        promise(self.acknowledged_writes > 0, "no write was acknowledged".into());
        promise(self.client_errors == 0, format!("clients saw {} errors", self.client_errors));
        promise(self.lost_writes == 0, format!("{} acknowledged writes were lost", self.lost_writes));
        promise(self.unsettled == 0, format!("{} writes are still unsettled", self.unsettled));
        for cause in ["rounding", "missing-row", "time-zone", "foreign-write"] {
            promise(self.mismatches.contains_key(cause), format!("the planted defect `{cause}` was not found"));
        }
        promise(self.rollback_millis < 1_000.0, format!("the rollback took {} ms", self.rollback_millis));
        // It takes no order, so it must have taken time.
        promise(
            self.guard_rollback_millis > 0.0 && self.guard_rollback_millis < GUARD_WITHIN_MILLIS,
            format!("the guard's own rollback took {} ms", self.guard_rollback_millis),
        );
        promise(self.sides_equal, "the sides differ at the end".into());
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> DemoReport {
        let causes = ["rounding", "missing-row", "time-zone", "foreign-write"];
        DemoReport {
            requests: 10,
            acknowledged_writes: 3,
            mismatches: causes.into_iter().map(|cause| (cause, 1)).collect(),
            rollback_millis: 12.5,
            guard_rollback_millis: 3_000.0,
            sides_equal: true,
            ..DemoReport::default()
        }
    }

    #[test]
    fn the_last_line_has_the_promised_names() {
        let json = serde_json::to_value(kept()).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let promised = [
            "acknowledgedWrites",
            "clientErrors",
            "guardRollbackMillis",
            "lostWrites",
            "mismatches",
            "requests",
            "rollbackMillis",
            "sidesEqual",
            "unsettled",
        ];
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, promised);
    }

    #[test]
    fn every_figure_can_break_a_promise() {
        assert_eq!(kept().broken_promises(), Vec::<String>::new());
        let broken = [
            DemoReport { requests: 0, ..kept() },
            DemoReport { client_errors: 1, ..kept() },
            DemoReport { acknowledged_writes: 0, ..kept() },
            DemoReport { lost_writes: 1, ..kept() },
            DemoReport { unsettled: 1, ..kept() },
            DemoReport { mismatches: BTreeMap::new(), ..kept() },
            DemoReport { rollback_millis: 1_000.0, ..kept() },
            DemoReport { guard_rollback_millis: 0.0, ..kept() },
            DemoReport { guard_rollback_millis: GUARD_WITHIN_MILLIS, ..kept() },
            DemoReport { sides_equal: false, ..kept() },
        ];
        assert!(broken.iter().all(|report| !report.broken_promises().is_empty()));
    }
}
