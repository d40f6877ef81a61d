//! When rows at rest are compared without an order.

use std::time::Duration;

use chrono::NaiveTime;

use super::Origins;
use super::check::{Checked, millis};
use super::raw::RawReconcile;
use control_plane::desk::schedule::{Schedule, When};

/// A year.
const LONGEST_HOURS: u64 = 24 * 366;

/// What `at` says where the cluster's calendar orders it: a variable can only replace a key, and not take it out.
const NEVER: &str = "never";

/// `None`: by order only.
pub(super) fn schedule(raw: &RawReconcile, origins: &Origins<'_>) -> Checked<Option<Schedule>> {
    let when = match (raw.every_hours, &raw.at) {
        (None, None) => return Ok(None),
        (None, Some(time)) if time == NEVER => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(origins.rule("reconcile.at", "does not go with every_hours: give one of them"));
        }
        (Some(hours), None) if (1..=LONGEST_HOURS).contains(&hours) => When::Every(Duration::from_secs(hours * 3_600)),
        (Some(_), None) => {
            return Err(origins.rule("reconcile.every_hours", "must be from 1 to 8784 (a year); leave it out for none"));
        }
        (None, Some(time)) => {
            let time = NaiveTime::parse_from_str(time, "%H:%M");
            When::DailyAt(time.map_err(|_| {
                origins.rule("reconcile.at", "must be a time of day in UTC, such as \"02:30\", or \"never\"")
            })?)
        }
    };
    let groups = raw.groups.iter().map(|name| name.as_str().into()).collect();
    Ok(Some(Schedule { when, groups, pause: millis(raw.pause_ms, "reconcile.pause_ms", origins)? }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::path::Path;

    use super::*;
    use crate::config::{Config, InvalidConfig};

    fn parse(text: &str) -> Result<Option<Schedule>, InvalidConfig> {
        let least = "[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\nurl = \"postgres://c/d\"\n";
        Ok(Config::parse(&format!("{least}[reconcile]\n{text}"), Path::new("strangler.toml"), BTreeMap::new())?
            .reconcile)
    }

    #[test]
    fn rows_are_compared_every_so_often_or_at_a_time_of_day() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("at = \"never\"").unwrap(), None);
        assert_eq!(parse("every_hours = 12").unwrap().unwrap().when, When::Every(Duration::from_secs(43_200)));
        let nightly = parse("at = \"02:30\"\ngroups = [\"inventory\"]").unwrap().unwrap();
        assert_eq!(nightly.when.to_string(), "daily at 02:30 UTC");
        assert!(nightly.groups.contains(&"inventory".into()));
    }

    #[test]
    fn every_mistake_names_its_key() {
        let mut report = String::new();
        for text in [
            "every_hours = 0",
            "every_hours = 9000",
            "every_hours = 1\nat = \"02:30\"",
            "at = \"25:00\"",
            "at = \"noon\"",
            "at = \"02:30\"\npause_ms = 0",
            "often = true",
        ] {
            writeln!(report, "{}\n  {}", text.replace('\n', " "), parse(text).unwrap_err()).unwrap();
        }
        insta::assert_snapshot!(report);
    }
}
