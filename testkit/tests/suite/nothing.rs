//! Where things are called equal, complete or safe, nothing is not silently taken for something: a default in place of
//! what a database did not say has its reason beside it.

use std::path::{Path, PathBuf};

/// Where that is decided.
const DECIDES: [&str; 16] = [
    "proxy/data-plane/src/reconcile",
    "proxy/data-plane/src/reconcile.rs",
    "proxy/control-plane/src/promotion",
    "proxy/control-plane/src/desk/promote.rs",
    "proxy/control-plane/src/desk/verify.rs",
    "proxy/control-plane/src/desk/at_rest.rs",
    "proxy/strangler/src/cli/ordered.rs",
    "proxy/strangler/src/cli/reconcile.rs",
    "proxy/strangler/src/cli/repair.rs",
    "proxy/control-plane/src/handover/safety.rs",
    "proxy/data-plane/src/catchup/repair.rs",
    "proxy/data-plane/src/catchup/baseline.rs",
    "shadow-compare/src/reconcile.rs",
    "shadow-compare/src/judge",
    "adapters/src/postgres/checksum.rs",
    "adapters/src/oracle/checksum.rs",
];

/// What turns "nobody knows" into a value.
const DEFAULTS: [&str; 5] = ["unwrap_or_default()", ".unwrap_or(0", "map_or(0", "Err(_) =>", "Err(_) | "];

/// Lines above in which the reason may stand.
const NEAR: usize = 3;

fn files(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let entries = std::fs::read_dir(at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    entries.flat_map(|entry| files(&entry.unwrap().path())).collect()
}

fn unexplained(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect();
    let is_default = |line: &str| DEFAULTS.iter().any(|default| line.contains(default));
    let is_explained = |place: usize| lines[place.saturating_sub(NEAR)..=place].iter().any(|line| line.contains("// "));
    let found = lines.iter().enumerate().filter(|(place, line)| is_default(line) && !is_explained(*place));
    found.map(|(place, line)| (place + 1, line.trim())).collect()
}

#[test]
fn a_default_for_what_nobody_said_has_its_reason_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for file in DECIDES.iter().flat_map(|place| files(&root.join(place))) {
        if file.extension().is_none_or(|kind| kind != "rs") || file.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let found = unexplained(&text);
        wrong.extend(found.iter().map(|(line, text)| format!("{}:{line}: {text}", file.display())));
    }
    assert!(
        wrong.is_empty(),
        "say above each why nothing is right there, or give the unknown a name:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_reason_is_a_comment_near_by() {
    assert_eq!(unexplained("let a = b.unwrap_or_default();").len(), 1);
    assert_eq!(unexplained("// A side leaves out empty parts.\nlet a = b.unwrap_or_default();").len(), 0);
    assert_eq!(unexplained("// Far.\n\n\n\nlet a = b.map_or(0, f);").len(), 1);
    assert_eq!(unexplained("#[cfg(test)]\nmod tests { fn f() { b.unwrap_or_default(); } }").len(), 0);
}
