//! The shape of the workspace: who may depend on whom, and nothing of one developer's machine in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every arrow between our crates. `docs/architecture.md` draws it; a new arrow is a change of design.
const ARROWS: [(&str, &[&str]); 12] = [
    (
        "strangler",
        &[
            "admin",
            "control-plane",
            "data-plane",
            "gateway",
            "contract",
            "server",
            "request",
            "telemetry",
            "net",
            "adapters",
            "shadow-compare",
            "model",
        ],
    ),
    ("admin", &["control-plane", "data-plane", "server", "request", "telemetry", "net", "shadow-compare", "model"]),
    (
        "control-plane",
        &["data-plane", "contract", "request", "telemetry", "net", "adapters", "shadow-compare", "model"],
    ),
    ("gateway", &["contract", "server", "request", "telemetry", "net", "model"]),
    ("data-plane", &["request", "telemetry", "net", "adapters", "shadow-compare", "model"]),
    ("contract", &["model"]),
    ("server", &["telemetry", "net"]),
    ("request", &["net", "model"]),
    ("telemetry", &["net", "model"]),
    ("net", &["model"]),
    ("adapters", &["model"]),
    ("shadow-compare", &["model"]),
];
/// What tests may use besides, from any crate.
const TEST_ONLY: &str = "testkit";
/// What is never shipped itself: its tests may use any of our crates.
const NEVER_SHIPPED: [&str; 3] = [TEST_ONLY, STAND_IN, MODEL];
const STAND_IN: &str = "oci-stand-in";
/// The protocol in a checker's words. It knows none of our crates, and none knows it; its tests compare its fences with
/// the program's.
const MODEL: &str = "protocol-model";
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn metadata() -> Value {
    let metadata = output(&cargo(), &["metadata", "--format-version=1", "--no-deps", "--offline"]);
    serde_json::from_str(&metadata).unwrap()
}

pub(super) struct Dependency {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) for_tests: bool,
}

/// Every dependency that our crates declare, on each other and on libraries.
pub(super) fn dependencies() -> Vec<Dependency> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let declared = packages.flat_map(|package| {
        let from = text(&package["name"]);
        package["dependencies"].as_array().unwrap().iter().map(move |dependency| Dependency {
            from: from.clone(),
            to: text(&dependency["name"]),
            for_tests: dependency["kind"] == "dev",
        })
    });
    declared.collect()
}

#[test]
fn crates_depend_on_each_other_only_as_designed() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(from, _)| *from).chain(["model", TEST_ONLY]).collect();
    let drawn = |from: &str, to: &str| {
        let tools = from == TEST_ONLY && ["adapters", "model"].contains(&to);
        tools || ARROWS.iter().any(|(at, reaches)| *at == from && reaches.contains(&to))
    };
    let dependencies = dependencies();
    let undrawn = dependencies.iter().filter(|arrow| ours.contains(arrow.to.as_str())).filter(|arrow| {
        let for_tests = arrow.for_tests && (arrow.to == TEST_ONLY || NEVER_SHIPPED.contains(&arrow.from.as_str()));
        // A test may build what it asks with what stands beside it; cargo itself allows no circle of what is shipped.
        !for_tests && !arrow.for_tests && !drawn(&arrow.from, &arrow.to)
    });
    let undrawn: Vec<String> = undrawn.map(|arrow| format!("{} -> {}", arrow.from, arrow.to)).collect();
    assert!(undrawn.is_empty(), "not in the list of arrows: {undrawn:?}");
}

/// It plays Oracle's client library under the name of Oracle's: beside the program that is shipped it would be found.
#[test]
fn the_stand_in_for_oracles_client_is_never_built_with_what_is_shipped() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let package = |name: &str| packages.iter().find(|package| package["name"] == name).unwrap();
    assert_eq!(package(STAND_IN)["publish"], serde_json::json!([]), "publish = false");
    // What `cargo build --release` makes, by itself or with any feature, and what it puts beside it.
    assert_eq!(metadata["workspace_default_members"], serde_json::json!([package("strangler")["id"]]));
    // Nobody else's crate can depend on one that is not published, so our own declarations tell all: on every platform,
    // with every feature, and without a crate having been fetched.
    let dependencies = dependencies();
    let built = |with_tests: bool| {
        let (mut built, mut open) = (BTreeSet::new(), vec!["strangler"]);
        while let Some(from) = open.pop() {
            if built.insert(from) {
                let counts = |arrow: &&Dependency| arrow.from == from && (with_tests || !arrow.for_tests);
                open.extend(dependencies.iter().filter(counts).map(|arrow| arrow.to.as_str()));
            }
        }
        built
    };
    assert!(built(false).contains("adapters") && !built(false).contains(STAND_IN));
    assert!(built(true).contains(STAND_IN), "tests do use it, or this test looks for the wrong name");
}

#[test]
fn the_model_of_the_protocol_is_beside_the_program_and_not_in_it() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = dependencies.iter().map(|arrow| arrow.from.as_str()).collect();
    assert!(ours.contains(MODEL));
    let touching = |arrow: &&Dependency| {
        arrow.to == MODEL || (arrow.from == MODEL && !arrow.for_tests && ours.contains(arrow.to.as_str()))
    };
    assert_eq!(dependencies.iter().filter(touching).count(), 0);
    let metadata = metadata();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == MODEL).unwrap();
    assert_eq!(package["publish"], serde_json::json!([]), "publish = false");
}

/// Modules of a crate know each other in one direction, or none could be read, tested or moved without the others. Held
/// where the moving parts are; the words of `model` speak of each other, and each adapter is one thing.
#[test]
fn no_modules_of_a_crate_know_each_other_in_a_circle() {
    let files = output("git", &["ls-files", "proxy/*.rs"]);
    // Crate, module at its top, and the modules beside it that it names outside of tests.
    let mut arrows: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
    for file in files.lines() {
        let Some((crate_, inside)) = file.split_once("/src/") else { continue };
        let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) || crate_.starts_with(TEST_ONLY) {
            continue;
        }
        let known = arrows.entry(crate_).or_default().entry(module).or_default();
        if inside.ends_with("tests.rs") || inside.contains("/tests/") {
            continue;
        }
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let named =
            code.flat_map(|line| line.split("crate::").skip(1).map(|rest| word(rest).to_owned()).collect::<Vec<_>>());
        known.extend(named.filter(|other| other != module));
    }
    let mut found = Vec::new();
    for (crate_, modules) in &arrows {
        // What knows nobody who is left cannot be part of a circle: taken away until nothing changes, a circle is left.
        let mut left = modules.clone();
        loop {
            let before = left.len();
            let names: BTreeSet<String> = left.keys().map(|name| (*name).to_owned()).collect();
            left.retain(|_, known| known.iter().any(|other| names.contains(other)));
            if left.len() == before {
                break;
            }
        }
        if !left.is_empty() {
            found.push(format!("{crate_}: {left:?}"));
        }
    }
    assert!(found.is_empty(), "a circle, or what leads to one: {found:#?}");
    assert!(arrows.len() >= 10, "{arrows:?}");
}

/// The word with which `text` begins.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len());
    &text[..end]
}

/// A store is changed to a state through `write/apply` alone: everywhere else it is a door that applies.
#[test]
fn every_change_of_a_store_goes_through_one_door() {
    let files = output("git", &["ls-files", "proxy/*/src"]);
    let others = files.lines().filter(|file| file.ends_with(".rs") && *file != "proxy/data-plane/src/write/apply.rs");
    let mut found = Vec::new();
    for file in others {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for (at, _) in text.match_indices(".apply(") {
            let line = text[..at].rsplit('\n').next().unwrap_or_default();
            if !line.ends_with("door") {
                found.push(format!("{file}: {}.apply(", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // Put together here, or this file would name them.
    let folders = ["home", "Users", "root", "work"].map(|folder| format!("/{folder}/"));
    // Everybody's machine has this one.
    let common = ["/home/linuxbrew/"];
    let mut found = Vec::new();
    for file in output("git", &["ls-files"]).lines() {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let line = common.iter().fold(line.to_owned(), |line, folder| line.replace(folder, ""));
            if folders.iter().any(|folder| begins_a_path(&line, folder)) {
                found.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// `folder` at the start of a path; not the middle of a longer path or of an address.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && !matches!(letter, '.' | '_' | '-' | '}' | ')' | '/'))
    })
}

#[test]
fn paths_of_a_machine_are_told_from_other_text() {
    let home = format!("/{}/", "home");
    assert!(begins_a_path(&format!("see {home}ann/x"), &home));
    assert!(begins_a_path(&format!("\"{home}ann\""), &home));
    assert!(!begins_a_path(&format!("https://example.org{home}x"), &home));
    assert!(!begins_a_path(&format!("$PREFIX.d{home}x"), &home));
}
