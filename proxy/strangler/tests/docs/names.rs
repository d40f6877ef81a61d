//! What a document names of the code exists: tests, and the functions of the two walks.

use super::{documents, files, root, text};

/// Where our code is.
const CRATES: [&str; 5] = ["adapters", "model", "proxy", "shadow-compare", "testkit"];

/// Every file of our crates with what it holds; paths without `src`, as documents write them.
fn sources() -> Vec<(String, String)> {
    let paths = CRATES.into_iter().flat_map(|folder| files(&root().join(folder), ".rs"));
    let named = paths.map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace("/src/", "/");
        (name, std::fs::read_to_string(path).unwrap())
    });
    named.collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut lost = Vec::new();
    let mut tests = 0;
    for (path, document) in documents() {
        // Inline code only: a block shows commands.
        for piece in document.split('`').filter(|piece| !piece.contains(char::is_whitespace)) {
            let Some((_, name)) = piece.rsplit_once("::") else { continue };
            if name.matches('_').count() <= 2 {
                continue;
            }
            tests += 1;
            // A long name may be cut: `random_records_…`.
            let known = match name.strip_suffix('…') {
                Some(beginning) => sources.contains(&format!("fn {beginning}")),
                None => sources.contains(&format!("fn {name}(")),
            };
            if !known {
                lost.push(format!("{}: {piece}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(tests > 80, "only {tests} tests were found");
}

#[test]
fn every_invariant_has_tests() {
    let page = text("docs/invariants.md");
    let invariants: Vec<&str> = page.split("\n## ").skip(1).filter(|part| part.starts_with(char::is_numeric)).collect();
    assert!(invariants.len() > 10, "only {} invariants were found", invariants.len());
    for invariant in invariants {
        assert!(invariant.contains("\n- `"), "nothing holds it: {}", invariant.lines().next().unwrap_or_default());
    }
}

/// `gateway/http::handle`: the function `handle` in a file `gateway/http.rs` of some crate.
#[test]
fn every_function_on_the_way_of_a_read_and_a_write_exists() {
    let page = text("docs/architecture.md");
    let sources = sources();
    for walk in ["\n## One read\n", "\n## One write\n"] {
        let section = page.split(walk).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let steps =
            section.lines().filter(|line| line.split_once(". **").is_some_and(|(n, _)| n.parse::<u8>().is_ok()));
        assert_eq!(steps.count(), 10, "steps of{walk}");
        let named: Vec<_> = section.split('`').filter_map(|piece| piece.split_once("::")).collect();
        assert!(named.len() > 8, "only {} functions in{walk}", named.len());
        for (module, function) in named {
            let (file, folder) = (format!("/{module}.rs"), format!("/{module}/mod.rs"));
            let is_it = |name: &str| {
                let name = format!("/{name}");
                name.ends_with(&file) || name.ends_with(&folder)
            };
            let defines =
                |text: &str| text.contains(&format!("fn {function}(")) || text.contains(&format!("fn {function}<"));
            let known = sources.iter().any(|(name, text)| is_it(name) && defines(text));
            assert!(known, "{module}::{function} is not in the code");
        }
    }
}
