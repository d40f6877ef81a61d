//! Our own tables beside a database's own: which steps made them, and can this release work with them?
//!
//! Tables come about in numbered *steps*. A release knows the steps up to its own last one; a database records those
//! that were run there, each with the oldest release that can work beside it. Replicas of two releases run side by side
//! while a deploy is under way, so both questions are asked: is everything there that I need, and can I work beside
//! what is there that I do not know?
//!
//! Not here: the steps themselves, which are each engine's own (`adapters`).

use std::fmt::Write;

/// What a database says of our tables, compared with what this release needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookkeeping {
    /// The last step of this release.
    pub needs: u32,
    /// The newest step that was recorded there; 0 where none was, as in tables of the first releases.
    pub step: u32,
    /// The oldest release, by its own last step, that can work beside all steps recorded there.
    pub works_from: u32,
    /// The steps of this release that have to be run there, in order.
    pub due: Vec<Due>,
    /// Whether there is nothing of ours at all.
    pub is_absent: bool,
}

/// A step that has to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub step: u32,
    /// The tables and columns of it that are not there, as `table` or `table.column`.
    pub missing: Vec<String>,
}

impl Bookkeeping {
    /// Compares. `steps` are this release's own, in order, each with those of its tables and columns that are not there.
    pub fn compare(steps: Vec<Due>, step: u32, works_from: u32) -> Self {
        let needs = steps.last().map_or(0, |last| last.step);
        // Where nothing was recorded, the tables are of a release that did not record: what is whole was run.
        let not_run = |own: &Due| own.step > step && step > 0;
        let due = steps.into_iter().filter(|own| not_run(own) || !own.missing.is_empty()).collect();
        Self { needs, step, works_from, due, is_absent: false }
    }

    /// Whether the database is of a newer release that this one cannot work beside.
    pub fn is_beyond_us(&self) -> bool {
        self.works_from > self.needs
    }

    /// Why this release cannot work with it, and what to do; `None` when it can. `place` is what commands call it.
    pub fn problem(&self, place: &str) -> Option<String> {
        if self.is_beyond_us() {
            return Some(format!(
                "the bookkeeping is at step {} and works with releases from step {} on, this release ends at step {}: \
                 run the newer release",
                self.step, self.works_from, self.needs
            ));
        }
        if self.due.is_empty() {
            return None;
        }
        let what_to_do =
            format!(": run `strangler init`, or let a DBA run what `strangler init --print-ddl {place}` prints");
        if self.is_absent {
            return Some(format!("there is no bookkeeping{what_to_do}"));
        }
        let mut said = format!("the bookkeeping is at step {}, this release needs step {}", self.step, self.needs);
        let missing: Vec<_> = self.due.iter().flat_map(|due| &due.missing).map(String::as_str).collect();
        if !missing.is_empty() {
            let _ = write!(said, ", and {} missing", are(&missing));
        }
        Some(said + &what_to_do)
    }
}

/// `a is`, `a and b are`.
fn are(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{one} is"),
        [first @ .., last] => format!("{} and {last} are", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(missing_of_second: &[&str]) -> Vec<Due> {
        let missing = missing_of_second.iter().map(ToString::to_string).collect();
        vec![Due { step: 1, missing: Vec::new() }, Due { step: 2, missing }]
    }

    #[test]
    fn whole_tables_of_this_release_have_no_problem() {
        assert_eq!(Bookkeeping::compare(own(&[]), 2, 1).problem("legacy"), None);
    }

    #[test]
    fn a_step_that_was_not_run_is_named_with_what_it_adds() {
        let found = Bookkeeping::compare(own(&["strangler_x", "strangler_y.z"]), 1, 1);
        let problem = found.problem("legacy").unwrap();
        assert!(problem.contains("at step 1, this release needs step 2"), "{problem}");
        assert!(problem.contains("strangler_x and strangler_y.z are missing"), "{problem}");
        assert!(problem.contains("--print-ddl legacy"), "{problem}");
    }

    #[test]
    fn a_column_that_somebody_dropped_is_missing_whatever_was_recorded() {
        let found = Bookkeeping::compare(own(&["strangler_y.z"]), 2, 1);
        assert!(found.problem("modern").unwrap().contains("strangler_y.z is missing"));
    }

    #[test]
    fn a_newer_release_beside_us_is_fine_if_its_steps_say_so_and_named_if_not() {
        assert_eq!(Bookkeeping::compare(own(&[]), 7, 2).problem("legacy"), None);
        let beyond = Bookkeeping::compare(own(&[]), 7, 3).problem("legacy").unwrap();
        assert!(beyond.contains("run the newer release"), "{beyond}");
    }

    #[test]
    fn an_index_without_a_column_is_a_step_too() {
        assert!(Bookkeeping::compare(own(&[]), 1, 1).problem("legacy").is_some());
    }
}
