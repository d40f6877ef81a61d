//! The steps in which our own tables came about, read from the files that make them.
//!
//! One file per step and engine: what is run, what a DBA reads, and what `check` looks for are the same text. **To add a
//! column, write an `ALTER TABLE` into the newest step's file of each engine** (a new step and file once that one has been
//! released); nothing else.
//!
//! A step is harmless to repeat, and adds: what an older release reads and writes must go on working beside it. Where it
//! cannot, `works_from` says from which step on a release can.
//!
//! The files keep to a form, and a test holds them to what a server makes of them: a column of a `CREATE TABLE` is a line
//! that begins with four spaces and a small letter, an `ALTER TABLE` adds one column on one line, a statement ends with a
//! semicolon at the end of a line.

use std::collections::BTreeSet;

use model::bookkeeping::{Bookkeeping, Due};

/// One step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Its place in the order, from 1.
    pub(crate) number: u32,
    /// The oldest release, by its own last step, that can work beside it.
    pub(crate) works_from: u32,
    /// Its file.
    pub(crate) text: &'static str,
}

impl Step {
    /// Its statements, without what is said of them.
    pub(crate) fn statements(&self) -> Vec<String> {
        let mut statements = Vec::new();
        let mut begun: Vec<&str> = Vec::new();
        for line in self.text.lines().filter(|line| !line.starts_with("--") && !line.is_empty()) {
            begun.push(line);
            if line.ends_with(';') {
                statements.push(begun.join("\n").trim_end_matches(';').to_owned());
                begun.clear();
            }
        }
        statements
    }

    /// The tables and columns that it adds.
    fn adds(&self) -> Vec<(&'static str, &'static str)> {
        let mut adds = Vec::new();
        let mut table = None;
        for line in self.text.lines() {
            let words: Vec<_> = line.split_whitespace().filter(|word| !NOISE.contains(word)).collect();
            match words.as_slice() {
                ["CREATE", "TABLE", name, "("] => table = Some(*name),
                ["ALTER", "TABLE", name, "ADD", column, ..] => adds.push((*name, *column)),
                [column, ..] if is_column(line) => adds.extend(table.map(|table| (table, *column))),
                _ if line.starts_with(')') => table = None,
                _ => {}
            }
        }
        adds
    }
}

/// What makes a statement harmless to repeat, where an engine can.
const NOISE: [&str; 5] = ["IF", "NOT", "EXISTS", "COLUMN", "OR"];

fn is_column(line: &str) -> bool {
    line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// Names of our tables, each once.
pub(crate) fn tables(steps: &[Step]) -> BTreeSet<&'static str> {
    steps.iter().flat_map(Step::adds).map(|(table, _)| table).collect()
}

/// What is there and what was recorded, compared with `steps`. `found` has tables and columns in lower case.
pub(crate) fn compare(steps: &[Step], found: &BTreeSet<(String, String)>, recorded: &[(u32, u32)]) -> Bookkeeping {
    let known: BTreeSet<&str> = found.iter().map(|(table, _)| table.as_str()).collect();
    let due = steps.iter().map(|step| {
        let mut missing: Vec<String> = Vec::new();
        for (table, column) in step.adds() {
            let name = if !known.contains(table) {
                table.to_owned()
            } else if !found.contains(&(table.to_owned(), column.to_owned())) {
                format!("{table}.{column}")
            } else {
                continue;
            };
            if !missing.contains(&name) {
                missing.push(name);
            }
        }
        Due { step: step.number, missing }
    });
    let step = recorded.iter().map(|(step, _)| *step).max().unwrap_or(0);
    let works_from = recorded.iter().map(|(_, from)| *from).max().unwrap_or(0);
    let is_absent = !tables(steps).iter().any(|table| known.contains(table));
    Bookkeeping { is_absent, ..Bookkeeping::compare(due.collect(), step, works_from) }
}

/// Those of `steps` that have to be run.
pub(crate) fn due<'a>(steps: &'a [Step], found: &Bookkeeping) -> impl Iterator<Item = &'a Step> {
    let numbers: Vec<u32> = found.due.iter().map(|due| due.step).collect();
    steps.iter().filter(move |step| numbers.contains(&step.number))
}

/// What a DBA is told before the statements.
pub(crate) fn heading(steps: &[Step], found: &Bookkeeping) -> String {
    match (found.due.first(), found.step) {
        (None, step) => format!("-- The bookkeeping is at step {step}: nothing is missing.\n"),
        (Some(_), 0) => format!("-- The bookkeeping, up to step {}.\n", last(steps)),
        (Some(_), step) => format!("-- What the bookkeeping lacks, from step {step} to step {}.\n", last(steps)),
    }
}

fn last(steps: &[Step]) -> u32 {
    steps.last().map_or(0, |step| step.number)
}

/// A bookkeeping of which nothing is there.
pub(crate) fn nothing(steps: &[Step]) -> Bookkeeping {
    compare(steps, &BTreeSet::new(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step = Step {
        number: 1,
        works_from: 1,
        text: "-- What it is for; and more.\nCREATE TABLE IF NOT EXISTS a (\n    b int NOT NULL,\n    c text\n        \
               CHECK (c <> ''),\n    CONSTRAINT a_pkey PRIMARY KEY (b)\n);\nALTER TABLE a ADD COLUMN IF NOT EXISTS d int;\n\
               ALTER TABLE e ADD f NUMBER(3);\n",
    };

    #[test]
    fn what_a_step_adds_is_read_from_its_text() {
        assert_eq!(STEP.adds(), [("a", "b"), ("a", "c"), ("a", "d"), ("e", "f")]);
        assert_eq!(STEP.statements().len(), 3);
        assert!(STEP.statements()[0].starts_with("CREATE TABLE IF NOT EXISTS a ("));
    }

    #[test]
    fn a_missing_table_is_named_once_and_a_missing_column_alone() {
        let found = [("a", "b"), ("a", "c")].map(|(table, column)| (table.to_owned(), column.to_owned()));
        let compared = compare(&[STEP], &found.into_iter().collect(), &[(1, 1)]);
        assert_eq!(compared.due[0].missing, ["a.d", "e"]);
    }
}
