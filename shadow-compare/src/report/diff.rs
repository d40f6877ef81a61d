//! Two JSON values as a diff: unified text for terminals, lines with marked words for pages.

use model::PerSide;
use serde_json::Value as Json;
use similar::{ChangeTag, InlineChangeMode, InlineChangeOptions, TextDiff};

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// The value with the fields of its objects by name, whatever the map type keeps them in.
pub(super) fn sorted(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            fields.into_iter().map(|(name, value)| (name, sorted(value))).collect()
        }
        Json::Array(items) => items.into_iter().map(sorted).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

/// The unified diff from legacy to modern. Empty when there is nothing to tell.
pub(super) fn unified(values: &PerSide<Json>) -> String {
    let (legacy, modern) = (pretty(&values.legacy), pretty(&values.modern));
    let diff = TextDiff::from_lines(&legacy, &modern);
    diff.unified_diff().context_radius(CONTEXT).header("legacy", "modern").to_string()
}

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiffLine {
    /// Equal lines are left out here.
    Gap,
    /// A line of one side or of both.
    Text {
        /// Whose line it is.
        tag: ChangeTag,
        /// Text without line end, in parts; `true` marks the words that differ.
        parts: Vec<(bool, String)>,
    },
}

/// The diff from legacy to modern, line by line, with the words that differ marked.
pub(super) fn lines(values: &PerSide<Json>) -> Vec<DiffLine> {
    let (legacy, modern) = (pretty(&values.legacy), pretty(&values.modern));
    let diff = TextDiff::from_lines(&legacy, &modern);
    let mut options = InlineChangeOptions::new();
    // By default lines of few words count as too different to mark words; ours are short.
    options.mode(InlineChangeMode::Words).min_ratio(0.0);
    let mut lines = Vec::new();
    for (place, hunk) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if place > 0 {
            lines.push(DiffLine::Gap);
        }
        for op in hunk {
            // Without a deadline: the same evidence must give the same page on a slow machine.
            for change in diff.iter_inline_changes_with_options_deadline(op, options, None) {
                let parts = change.iter_strings_lossy();
                let parts = parts.map(|(marked, text)| (marked, text.trim_end_matches('\n').to_owned()));
                lines.push(DiffLine::Text { tag: change.tag(), parts: parts.collect() });
            }
        }
    }
    lines
}

/// The words of two texts, each with whether the other lacks it.
pub(super) fn words(legacy: &str, modern: &str) -> PerSide<Vec<(bool, String)>> {
    let diff = TextDiff::from_words(legacy, modern);
    let mut words = PerSide::<Vec<(bool, String)>>::default();
    for change in diff.iter_all_changes() {
        let word = change.value().to_owned();
        match change.tag() {
            ChangeTag::Equal => {
                words.legacy.push((false, word.clone()));
                words.modern.push((false, word));
            }
            ChangeTag::Delete => words.legacy.push((true, word)),
            ChangeTag::Insert => words.modern.push((true, word)),
        }
    }
    words
}

/// The value over several lines, the rows of a list one on each; nothing for a missing record.
fn pretty(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::Array(items) => items.iter().map(|item| format!("{item}\n")).collect(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            format!("{value:#}\n")
        }
    }
}
