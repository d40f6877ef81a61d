//! Links lead somewhere.

use super::{documents, files, root, text};

#[test]
fn every_link_to_a_file_of_ours_leads_to_one() {
    let mut lost = Vec::new();
    for (path, document) in documents() {
        let targets = document.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let known =
                file.exists() && (heading.is_empty() || has_heading(&std::fs::read_to_string(&file).unwrap(), heading));
            if !known {
                lost.push(format!("{}: {target}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// Headings become anchors: lower case, blanks as dashes, no punctuation.
fn has_heading(document: &str, anchor: &str) -> bool {
    let headings = document.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| heading.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.collect::<String>().replace(' ', "-") == anchor
    })
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let page = text("docs/architecture.md");
    let is_name = |piece: &&str| {
        let name = piece.rsplit("::").next().unwrap_or_default();
        piece.contains("::") && name.matches('_').count() > 2
    };
    let named: Vec<&str> = page.split('`').filter(is_name).collect();
    let sources: String = ["adapters", "model", "proxy", "shadow-compare", "testkit", "testkit/protocol-model"]
        .into_iter()
        .flat_map(|folder| [format!("{folder}/src"), format!("{folder}/tests")])
        .filter(|folder| root().join(folder).is_dir())
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let lost: Vec<_> = named
        .iter()
        .filter(|name| !sources.contains(&format!("fn {}(", name.rsplit("::").next().unwrap_or_default())))
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(named.len() > 20, "only {} tests were found", named.len());
}
