//! Every page can be read: it says for whom it is, and its lines fit a screen.

use super::{documents, root, text};

/// Columns of a line, at most.
const WIDTH: usize = 160;
/// Lines of the README, at most: one reads it in a minute.
const README: usize = 100;

#[test]
fn no_line_of_a_document_is_too_long() {
    let mut long = Vec::new();
    for (path, document) in documents() {
        let lines = document.lines().enumerate().filter(|(_, line)| line.chars().count() > WIDTH);
        long.extend(
            lines.map(|(number, _)| format!("{}:{}", path.strip_prefix(root()).unwrap().display(), number + 1)),
        );
    }
    assert!(long.is_empty(), "over {WIDTH} characters: {long:#?}");
}

#[test]
fn the_readme_is_read_in_a_minute() {
    let lines = text("README.md").lines().count();
    assert!(lines <= README, "{lines} lines");
}

/// Decisions and runbooks are found through their index, which says it for all; a runbook begins with what its reader sees.
#[test]
fn every_page_begins_with_whom_it_is_for() {
    for (path, document) in documents() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let mut paragraphs = document.split("\n\n");
        assert!(paragraphs.next().is_some_and(|first| first.starts_with("# ")), "{name} begins with its title");
        let begins = paragraphs.next().unwrap_or_default();
        let well = match name.as_str() {
            "README.md" => begins.contains("for teams that"),
            name if name.ends_with("README.md") => begins.starts_with("For "),
            name if name.starts_with("docs/adr/") => true,
            name if name.starts_with("docs/runbooks/") => begins.starts_with("**You see:**"),
            _ => begins.starts_with("For "),
        };
        assert!(well, "{name} does not say whom it is for: {begins}");
    }
}
