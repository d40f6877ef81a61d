//! `log.filter`, with one word for all that is ours; and what it cannot switch on.

use telemetry::ours::{OURS, is_ours};
use tracing::{Level, Metadata};

/// All of them; the second one is what files say that were written when they were one.
const ALL: [&str; 2] = ["strangler", "proxy"];

/// `filter` with `strangler=level` in the words of a filter: that level for everything of ours.
pub(super) fn spelt_out(filter: &str) -> String {
    let one = |directive: &str| match directive.split_once('=') {
        Some((target, level)) if ALL.contains(&target.trim()) => OURS.map(|ours| format!("{ours}={level}")).join(","),
        Some(_) | None => directive.to_owned(),
    };
    filter.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// Whether a line may be written at all. Libraries say below a warning what they were given: the driver of PostgreSQL
/// every parameter of every statement, and what the server says to it, which triggers write rows into. What fields hold
/// is not for the log, whatever its filter.
pub(super) fn is_told(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::WARN || is_ours(line.target())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_all_that_is_ours_and_the_rest_is_left() {
        let spelt = spelt_out("info,strangler=debug");
        assert!(spelt.starts_with("info,adapters=debug,") && spelt.ends_with(",telemetry=debug"), "{spelt}");
        assert_eq!(spelt_out("proxy=trace"), spelt_out(" strangler =trace"));
        for left in ["info", "data_plane::read=debug,hyper=warn", "warn,strangler::app=info", ""] {
            assert_eq!(spelt_out(left), left);
        }
    }

    #[test]
    fn every_crate_that_is_shipped_is_one_of_them() {
        let manifest = include_str!("../../Cargo.toml");
        let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
        let names =
            dependencies.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_"));
        let workspace = include_str!("../../../../Cargo.toml");
        let is_ours = |name: &String| workspace.contains(&format!("\n{} = {{ path = ", name.replace('_', "-")));
        let ours: Vec<String> = names.filter(is_ours).filter(|name| name != "model").collect();
        assert!(ours.len() > 8 && ours.iter().all(|name| OURS.contains(&name.as_str())), "{ours:?}");
    }
}
