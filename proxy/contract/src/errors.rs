//! Mistakes in a contract: where, what is wrong, and what to do.
//!
//! All of them are collected before anybody is told, so that a file is mended in one go.

use std::cell::RefCell;
use std::fmt;

use apollo_compiler::Schema;
use apollo_compiler::diagnostic::ToCliReport as _;
use apollo_compiler::parser::{SourceMap, SourceSpan};
use apollo_compiler::validation::DiagnosticList;
use thiserror::Error;

use super::suggest;

/// One mistake in a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1; 0 when the mistake has no place (something is missing altogether).
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Every mistake of a contract, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ContractErrors {
    /// The file's name as given.
    pub file: String,
    /// Never empty.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ContractErrors {
    /// Two lines a mistake: `schema.graphql:12:5: what is wrong`, then what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match mistake.line {
                0 => writeln!(f, "{}: {}", self.file, mistake.what)?,
                line => writeln!(f, "{}:{line}:{}: {}", self.file, mistake.column, mistake.what)?,
            }
            write!(f, "    {}", mistake.remedy)?;
        }
        Ok(())
    }
}

/// Where mistakes are collected while a contract is read.
pub(super) struct Findings {
    sources: SourceMap,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Findings {
    /// None yet. `sources` turns spans into lines and columns.
    pub(super) fn new(sources: SourceMap) -> Self {
        Self { sources, mistakes: RefCell::default() }
    }

    /// Takes what the GraphQL compiler found.
    pub(super) fn take(&self, found: &DiagnosticList, schema: &Schema) {
        for diagnostic in found.iter() {
            let what = diagnostic.error.to_string();
            let remedy = remedy_for(&what, schema);
            self.add(diagnostic.error.location(), what, remedy);
        }
    }

    /// Takes the first syntax error, if there is one: the compiler loses its way after it, and what
    /// it reports then is about text that was fine.
    pub(super) fn take_syntax_error(&self, found: &DiagnosticList, schema: &Schema) -> bool {
        let mut errors = found.iter().map(|d| (d.error.location(), d.error.to_string()));
        let first = errors.find(|(_, what)| is_syntax(what));
        if let Some((at, what)) = first {
            let remedy = remedy_for(&what, schema);
            self.add(at, what, remedy);
            return true;
        }
        false
    }

    /// The line of `at`.
    pub(super) fn line(&self, at: Option<SourceSpan>) -> Option<usize> {
        Some(at?.line_column(&self.sources)?.line)
    }

    /// Notes a mistake at `at`.
    pub(super) fn add(&self, at: Option<SourceSpan>, what: impl Into<String>, remedy: impl Into<String>) {
        let place = at.and_then(|at| at.line_column(&self.sources));
        self.mistakes.borrow_mut().push(Mistake {
            line: place.map_or(0, |place| place.line),
            column: place.map_or(0, |place| place.column),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// All mistakes by place, each once; `None` when there are none.
    pub(super) fn into_errors(self, file: &str) -> Option<ContractErrors> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        mistakes.dedup();
        (!mistakes.is_empty()).then(|| ContractErrors { file: file.to_owned(), mistakes })
    }
}

/// What to do about a mistake that the GraphQL compiler found, whose words we do not choose.
fn remedy_for(what: &str, schema: &Schema) -> String {
    let named = what.split('`').nth(1).unwrap_or_default();
    if is_syntax(what) {
        return "mend the syntax here or just before; nothing after it was checked".to_owned();
    }
    if what.starts_with("cannot find directive") {
        let known = schema.directive_definitions.keys().map(|name| name.as_str());
        return suggest::nearest(named.trim_start_matches('@'), known).map_or_else(
            || "`strangler schema --directives` prints those that exist".to_owned(),
            |name| format!("did you mean `@{name}`?"),
        );
    }
    if what.starts_with("cannot find type") {
        let known = schema.types.keys().map(|name| name.as_str());
        let known = known.filter(|name| !name.starts_with("__"));
        return suggest::nearest(named, known).map_or_else(
            || "define it, or take out what uses it".to_owned(),
            |name| format!("did you mean `{name}`?"),
        );
    }
    if what.contains("not provided") || what.contains("is required") {
        // The compiler writes `@table(modern:)` and `StranglerColumn.type`.
        let name = named.rsplit(['(', '.']).next().unwrap_or(named);
        return format!("add `{}: …`", name.trim_end_matches([')', ':']));
    }
    if let Some((_, of)) = what.split_once("does not exist on `")
        && let Some(known) = schema.get_enum(of.trim_end_matches('`'))
    {
        return suggest::or_all(named, "", known.values.keys().map(|word| word.as_str()));
    }
    if what.contains("multiple times") {
        return "keep one; add fields to a type with `extend type`".to_owned();
    }
    if what.starts_with("missing query root") {
        return "add `type Query { … }` with the fields that clients read".to_owned();
    }
    if what.contains("not supported") || what.contains("cannot find") {
        return "take it out or mend its name; `strangler schema --directives` prints what exists".to_owned();
    }
    "mend this; GraphQL itself forbids it".to_owned()
}

fn is_syntax(what: &str) -> bool {
    what.starts_with("syntax error")
}
