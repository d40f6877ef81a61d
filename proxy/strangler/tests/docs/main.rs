//! What the documents say is so: the contract's example runs as it stands, commands parse, links lead
//! somewhere, what they name exists, and metrics and error codes are described, all of them and no others. And every page
//! can be found and read.

#![expect(clippy::unwrap_used, reason = "a test tells what went wrong by panicking")]

mod catalogue;
mod commands;
mod example;
mod links;
mod names;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `folder` whose name ends in `ending`.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => files(&path, ending),
        false => vec![path],
    });
    found.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Everything in `docs`, and what is at the top of the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), ".md");
    paths.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The fenced blocks of a document: what stands behind the fence, and the lines within, without the
/// indentation of the fence.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for line in document.lines() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(name), None) => open = Some((name.trim().to_owned(), String::new(), indent)),
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(name, body, _)| (name, body))),
            (None, Some((_, body, by))) => {
                body.push_str(line.get(*by..).unwrap_or_default());
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}
