//! Confirmation: is a difference real, or did we look while a write was on its way?
//!
//! The first look differs, so we wait and look again: legacy, modern, legacy once more. A difference
//! is *confirmed* when it was there at the look before, its key was settled before and after this
//! look, and legacy said the same both times; then no write explains it. What has gone by then was
//! lag. What stays open after the last look is inconclusive, with the reason.
//!
//! Each key is decided by itself, so that one hot key does not hide a broken one. In a list, a row
//! may come or go because *another* row changed (it moved to the next page), so there rows and order
//! are confirmed only while nothing is unsettled and legacy's list stands still.
//!
//! Promises: pure; ends after [`Patience::looks`] looks; never a mismatch that was seen only once.
//! Not here: asking, waiting and knowing what is unsettled (`proxy::read::shadow`).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use model::evidence::Verdict;
use model::{EntityKey, FieldSet, PerSide};

use crate::excuses::Excuses;
use crate::judge::{Answer, Asked, Difference, Judgement, Question, Reason, Subject, judge};

/// How long and how often to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The wait before the second look. Each further wait is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// Looks after the first one.
    pub looks: NonZeroU32,
}

impl Default for Patience {
    /// 5 more looks within 8 seconds, the first after 250 ms.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(4),
            looks: NonZeroU32::MIN.saturating_add(4),
        }
    }
}

impl Patience {
    /// The wait when `made` looks have been made after the first one.
    fn wait(&self, made: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(made);
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

/// What one further look saw. The three answers were asked for one after the other, in this order.
#[derive(Debug, Clone)]
pub struct Look {
    /// Legacy's answer.
    pub legacy: Answer,
    /// Modern's answer, asked for when `legacy` was there.
    pub modern: Answer,
    /// Legacy's answer, asked for when `modern` was there.
    pub legacy_again: Answer,
    /// The keys that were unsettled just before `legacy` or just after `legacy_again`. For a keyed
    /// read those among its keys; for a list all of the entity's group.
    pub unsettled: Vec<EntityKey>,
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Step {
    /// The comparison is over. A match after more than one look was lag.
    Done {
        /// What was found.
        judgement: Judgement,
        /// Looks made, with the first.
        looks: u32,
    },
    /// Wait, ask both sides [`Confirmation::question`], and go on with [`Confirmation::next`].
    LookAgain {
        /// How long to wait.
        after: Duration,
        /// Where we stand.
        confirmation: Box<Confirmation>,
    },
}

/// A difference that has been seen and not yet been confirmed.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// What to ask: of a keyed read only the keys that differed.
    question: Question,
    excuses: Excuses,
    patience: Patience,
    /// Looks made after the first one.
    made: u32,
    /// What differed at the last look.
    suspects: BTreeSet<Subject>,
    /// What the first look compared.
    fields: FieldSet,
    /// Keys of a keyed read that were equal at the first look.
    equal: Vec<EntityKey>,
}

impl Confirmation {
    /// Judges the first look, whose answers may have been asked for in any order.
    ///
    /// A match and an excused difference need no confirmation.
    pub fn begin(question: Question, first: &PerSide<Answer>, excuses: Excuses, patience: Patience) -> Step {
        let judgement = judge(&question, first, &excuses);
        if judgement.verdict != Verdict::Mismatch {
            return Step::Done { judgement, looks: 1 };
        }
        let (question, equal) = narrowed(question, &judgement);
        let confirmation = Self {
            question,
            excuses,
            patience,
            made: 0,
            suspects: subjects(&judgement),
            fields: judgement.fields,
            equal,
        };
        let after = patience.wait(0);
        Step::LookAgain { after, confirmation: Box::new(confirmation) }
    }

    /// What to ask at the next look.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Goes on with a further look, or with the reason why there was none.
    #[must_use]
    pub fn next(mut self, look: Result<Look, Reason>) -> Step {
        self.made += 1;
        let look = match look {
            Ok(look) => look,
            Err(reason) => return self.again_unless_last(reason),
        };
        // Against legacy's later answer: what modern has caught up with while we looked is lag.
        let pair = PerSide { legacy: look.legacy_again.clone(), modern: look.modern };
        let now = judge(&self.question, &pair, &self.excuses);
        let still = PerSide { legacy: look.legacy, modern: look.legacy_again };
        let moved = judge(&self.question, &still, &self.excuses);
        let doubt = Doubt::new(&self.question, &look.unsettled, &moved);

        let mut confirmed = Vec::new();
        let mut open = Vec::new();
        for difference in &now.differences {
            match self.why_open(difference, &doubt) {
                Some(reason) => open.push((reason, difference.subject.key())),
                None => confirmed.push(difference.clone()),
            }
        }
        let is_mismatch = confirmed.iter().any(|difference| !difference.excused);
        if let (Some((reason, _)), false) = (open.first(), is_mismatch) {
            let reason = *reason;
            self.suspects = subjects(&now);
            return self.again_unless_last(reason);
        }
        // What is open is not counted as compared; it will be looked at another time.
        let open: BTreeSet<_> = open.into_iter().filter_map(|(_, key)| key).collect();
        let settled = now.keys.iter().filter(|key| !open.contains(key));
        let keys = self.equal.iter().chain(settled).cloned().collect();
        let judgement = Judgement::of(confirmed, self.fields, keys);
        Step::Done { judgement, looks: self.made + 1 }
    }

    /// Why a difference proves nothing yet; `None` when it is confirmed or excused.
    fn why_open(&self, difference: &Difference, doubt: &Doubt<'_>) -> Option<Reason> {
        if difference.excused {
            return None;
        }
        let new = !self.suspects.contains(&difference.subject);
        // What was not there at the last look came in between: something changed.
        doubt.about(&difference.subject).or(new.then_some(Reason::ChangedMeanwhile))
    }

    fn again_unless_last(self, reason: Reason) -> Step {
        if self.made >= self.patience.looks.get() {
            let judgement = Judgement::inconclusive(reason);
            return Step::Done { judgement, looks: self.made + 1 };
        }
        let after = self.patience.wait(self.made);
        Step::LookAgain { after, confirmation: Box::new(self) }
    }
}

/// What was in motion during a look.
struct Doubt<'a> {
    list: bool,
    unsettled: BTreeSet<&'a EntityKey>,
    moved: BTreeSet<&'a EntityKey>,
    /// Legacy's two answers differ in any way.
    any_moved: bool,
}

impl<'a> Doubt<'a> {
    fn new(question: &Question, unsettled: &'a [EntityKey], moved: &'a Judgement) -> Self {
        Self {
            list: matches!(question.asked, Asked::List { .. }),
            unsettled: unsettled.iter().collect(),
            moved: moved.differences.iter().filter_map(|d| d.subject.key()).collect(),
            any_moved: !moved.differences.is_empty(),
        }
    }

    /// Why a difference in `subject` may come from a write on its way.
    fn about(&self, subject: &Subject) -> Option<Reason> {
        let (unsettled, moved) = match subject {
            Subject::Row { .. } | Subject::Order { .. } if self.list => (!self.unsettled.is_empty(), self.any_moved),
            Subject::Field { key, .. } | Subject::Row { key } => {
                (self.unsettled.contains(key), self.moved.contains(key))
            }
            Subject::Order { .. } => (false, false),
        };
        if unsettled { Some(Reason::Unsettled) } else { moved.then_some(Reason::ChangedMeanwhile) }
    }
}

fn subjects(judgement: &Judgement) -> BTreeSet<Subject> {
    judgement.differences.iter().map(|difference| difference.subject.clone()).collect()
}

/// The question for further looks, and the keys that need none.
fn narrowed(question: Question, first: &Judgement) -> (Question, Vec<EntityKey>) {
    match question.asked {
        Asked::List { .. } => (question, Vec::new()),
        Asked::Keys(_) => {
            let differing = first.differing_keys();
            let equal = first.keys.iter().filter(|key| differing.binary_search(key).is_err());
            let equal = equal.cloned().collect();
            (Question { asked: Asked::Keys(differing), ..question }, equal)
        }
    }
}

#[cfg(test)]
mod tests;
