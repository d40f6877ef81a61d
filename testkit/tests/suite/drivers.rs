//! Libraries that stay in one place: swapping a driver or the engine must not be felt elsewhere. Who may use which is said
//! once, in `deny.toml`; cargo-deny holds other people's crates to it, and this holds ours, with or without cargo-deny.

use std::collections::{BTreeMap, BTreeSet};

use super::repository::{Dependency, dependencies, root};

/// Who may depend on one library.
struct Kept {
    by: BTreeSet<String>,
    /// Those of `by` who may do so as a dev-dependency and not otherwise.
    in_tests_only: BTreeSet<String>,
}

/// The lists of `deny.toml` that name who may.
fn kept(deny: &str) -> BTreeMap<String, Kept> {
    let deny: toml::Table = deny.parse().unwrap();
    let entries = deny["bans"]["deny"].as_array().unwrap().iter();
    let lists = entries.filter_map(|entry| {
        let by = entry.get("wrappers")?.as_array().unwrap().iter();
        let by = by.map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        let reason = entry["reason"].as_str().unwrap();
        let (_, names) = reason.split_once("in tests only: ").unwrap_or_default();
        let in_tests_only: BTreeSet<_> = names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        assert!(in_tests_only.is_subset(&by), "the reason of {entry:?} names somebody whom its wrappers do not");
        Some((entry["name"].as_str().unwrap().to_owned(), Kept { by, in_tests_only }))
    });
    lists.collect()
}

/// Every dependency of ours that the lists do not allow.
fn strayed(dependencies: &[Dependency], kept: &BTreeMap<String, Kept>) -> Vec<String> {
    let allowed = |arrow: &&Dependency| {
        kept.get(&arrow.to).is_none_or(|kept| {
            kept.by.contains(&arrow.from) && (arrow.for_tests || !kept.in_tests_only.contains(&arrow.from))
        })
    };
    let strayed = dependencies.iter().filter(|arrow| !allowed(arrow));
    strayed.map(|arrow| format!("{} -> {}", arrow.from, arrow.to)).collect()
}

#[test]
fn drivers_stay_in_adapters_and_the_graphql_engine_in_the_proxy() {
    let kept = kept(&std::fs::read_to_string(root().join("deny.toml")).unwrap());
    let dependencies = dependencies();
    assert_eq!(strayed(&dependencies, &kept), Vec::<String>::new());
    // A name that is nobody's, or that of a library which nobody uses any more, would keep nothing.
    for (library, kept) in &kept {
        let users: BTreeSet<_> =
            dependencies.iter().filter(|arrow| arrow.to == *library).map(|arrow| &arrow.from).collect();
        assert!(!users.is_empty(), "{library} is used by none of ours");
        let ours: BTreeSet<_> = dependencies.iter().map(|arrow| &arrow.from).collect();
        let idle: Vec<_> = kept.by.iter().filter(|name| ours.contains(name) && !users.contains(name)).collect();
        assert!(idle.is_empty(), "{idle:?} may use {library} and do not");
    }
}

#[test]
fn a_driver_that_strays_is_named() {
    let list =
        r#"bans.deny = [{ name = "driver", wrappers = ["adapters", "proxy"], reason = "in tests only: proxy" }]"#;
    let arrow = |from: &str, for_tests| Dependency { from: from.to_owned(), to: "driver".to_owned(), for_tests };
    let arrows = [arrow("adapters", false), arrow("proxy", true), arrow("proxy", false), arrow("model", true)];
    assert_eq!(strayed(&arrows, &kept(list)), ["proxy -> driver", "model -> driver"]);
}
