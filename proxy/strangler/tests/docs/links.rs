//! Links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{documents, root};

#[test]
fn every_link_to_a_file_of_ours_leads_to_one() {
    let mut lost = Vec::new();
    for (path, document) in documents() {
        for target in targets(&document) {
            let (file, heading) = leads_to(&path, target);
            let known =
                file.exists() && (heading.is_empty() || has_heading(&std::fs::read_to_string(&file).unwrap(), heading));
            if !known {
                lost.push(format!("{}: {target}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// Where the links of a document lead that lead to a file of ours.
fn targets(document: &str) -> impl Iterator<Item = &str> {
    let targets = document.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("http"))
}

/// The file that a link of `page` leads to, and the heading in it; empty: none is named.
fn leads_to<'t>(page: &Path, target: &'t str) -> (PathBuf, &'t str) {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    (file, heading)
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let documents: Vec<_> = documents().into_iter().map(|(path, text)| (path.canonicalize().unwrap(), text)).collect();
    let mut open = vec![root().join("README.md").canonicalize().unwrap()];
    let mut reached = BTreeSet::new();
    while let Some(page) = open.pop() {
        let Some((_, text)) = documents.iter().find(|(path, _)| *path == page) else { continue };
        if reached.insert(page.clone()) {
            open.extend(targets(text).filter_map(|target| leads_to(&page, target).0.canonicalize().ok()));
        }
    }
    let lost: Vec<_> = documents.iter().map(|(path, _)| path).filter(|path| !reached.contains(*path)).collect();
    assert!(lost.is_empty(), "no link leads there: {lost:#?}");
}

/// Headings become anchors: lower case, blanks as dashes, no punctuation.
fn has_heading(document: &str, anchor: &str) -> bool {
    let headings = document.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| heading.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.collect::<String>().replace(' ', "-") == anchor
    })
}
