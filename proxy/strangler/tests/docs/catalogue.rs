//! Metrics and error codes: described, all of them and no others.

use std::collections::BTreeSet;

use super::{files, root, text};

/// The pieces of `text` that stand between `quote`s and that `fits` likes.
fn quoted(text: &str, quote: char, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
    text.split(quote).filter(|piece| fits(piece)).map(str::to_owned).collect()
}

fn is_metric(piece: &str) -> bool {
    let rest = piece.strip_prefix("strangler_");
    rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// `TOO_LONG`; a single word only when it is known to be a code.
fn is_code(piece: &str) -> bool {
    let of_words = piece.contains('_') && piece.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    of_words || ["UNAVAILABLE", "INTERNAL"].contains(&piece)
}

#[test]
fn every_metric_is_described_and_every_described_metric_exists() {
    let sources = files(&root().join("proxy/telemetry/src"), ".rs");
    let read = |file| quoted(&std::fs::read_to_string(file).unwrap(), '"', is_metric);
    let named: BTreeSet<String> = sources.into_iter().flat_map(read).collect();
    // The beginning of an item: other mentions, and their labels, are free.
    let page = text("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("- `")?.split_once('`'));
    let described: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(named, described, "left: proxy/telemetry/src, right: docs/metrics.md");
    assert!(named.len() > 20, "only {} metrics were found", named.len());
}

#[test]
fn every_error_code_is_described_and_every_described_code_exists() {
    let mut sources = files(&root().join("proxy/gateway/src"), ".rs");
    let single = [
        "proxy/request/src/error.rs",
        "proxy/data-plane/src/fork.rs",
        "proxy/data-plane/src/write/command.rs",
        "proxy/data-plane/src/write/road/named.rs",
        "adapters/src/postgres/error.rs",
        "adapters/src/postgres/execute.rs",
        "model/src/fit.rs",
        "model/src/write.rs",
        "proxy/data-plane/src/saga/road.rs",
        "proxy/data-plane/src/saga/decide.rs",
    ];
    sources.extend(single.map(|file| root().join(file)));
    let sources: Vec<String> = sources.into_iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let used: BTreeSet<String> = sources.iter().flat_map(|source| quoted(source, '"', is_code)).collect();
    let described = quoted(&text("docs/errors.md"), '`', is_code);
    // The contract's own codes are examples there.
    let contract = text("schema.graphql");
    let ours: BTreeSet<String> =
        described.into_iter().filter(|code| used.contains(code) || !contract.contains(code.as_str())).collect();
    assert_eq!(used, ours, "left: the program, right: docs/errors.md");
    assert!(used.len() > 30, "only {} codes were found", used.len());
}
