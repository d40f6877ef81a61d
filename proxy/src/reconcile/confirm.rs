//! Rows that look different, until it is clear whether they are.
//!
//! Each row is confirmed by itself, by the same rules as a shadow read: its key was settled before and
//! after both sides were looked at, and nothing changed between. All rows of a batch are looked at
//! together. What a side does not tell is undecided, and makes the run incomplete.

use model::evidence::Cause;
use model::{EntityKey, PerSide, Side, StoreError};
use shadow_compare::reconcile::{Drift, Pairs};
use shadow_compare::{Answer, Asked, Confirmation, Excuses, Judgement, Look, Question, Reason, Step, judge};

use super::{Reconciler, Run};

/// Most unsettled keys that are read; beyond, every row counts as unsettled.
const MOST_UNSETTLED: usize = 5_000;
/// Older states that are looked at.
const PAST: usize = 20;
/// Rows looked up in the ledgers at once.
const AT_ONCE: usize = 8;

/// Rows to be looked at again.
pub(super) struct Suspects<'a> {
    reconciler: &'a Reconciler,
    run: &'a Run,
    open: Vec<Open>,
    problem: Option<String>,
}

struct Open {
    key: EntityKey,
    confirmation: Box<Confirmation>,
}

impl<'a> Suspects<'a> {
    pub(super) fn new(reconciler: &'a Reconciler, run: &'a Run) -> Self {
        Self { reconciler, run, open: Vec::new(), problem: None }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Why not every row could be looked at again.
    pub(super) fn problem(self) -> Option<String> {
        self.problem
    }

    /// Judges the rows of a chunk; those that differ wait for [`Self::decide`].
    pub(super) fn judge(&mut self, drift: &mut Drift, (question, answers): Pairs) {
        // Excuses that were accepted in the running fleet are about routes; rows at rest have none.
        let excuses = Excuses::of_contract((self.reconciler.today)());
        let differing = judge(&question, &answers, &excuses).differing_keys();
        let Asked::Keys(keys) = &question.asked else { return };
        for (place, key) in keys.iter().enumerate().filter(|(_, key)| differing.binary_search(key).is_ok()) {
            let first = PerSide { legacy: slot(&answers.legacy, place), modern: slot(&answers.modern, place) };
            let one = Question { asked: Asked::Keys(vec![key.clone()]), ..question.clone() };
            match Confirmation::begin(one, &first, excuses.clone(), self.reconciler.settings.patience) {
                Step::LookAgain { confirmation, .. } => self.open.push(Open { key: key.clone(), confirmation }),
                Step::Done { judgement, .. } => {
                    drift.decided(&self.run.entity, &self.reconciler.redactor, key.clone(), &judgement);
                }
            }
        }
    }

    /// Looks again until every row is decided.
    pub(super) async fn decide(&mut self, drift: &mut Drift) {
        // A wait for each look, the same for all rows: the first was due when they were seen.
        let mut after = self.reconciler.settings.patience.first_wait;
        while !self.open.is_empty() {
            tokio::time::sleep(after).await;
            let open = std::mem::take(&mut self.open);
            let mut decided = Vec::new();
            for batch in batches(open, self.reconciler.settings.suspects) {
                let keys: Vec<EntityKey> = batch.iter().map(|one| one.key.clone()).collect();
                let looked = self.look(&keys).await;
                for (place, Open { key, confirmation }) in batch.into_iter().enumerate() {
                    let look = looked.as_ref().map(|looked| looked.of(place, &key)).map_err(Reason::of);
                    match confirmation.next(look) {
                        Step::Done { judgement, .. } => decided.push((key, judgement)),
                        Step::LookAgain { after: wait, confirmation } => {
                            after = wait;
                            self.open.push(Open { key, confirmation });
                        }
                    }
                }
            }
            self.note(drift, decided).await;
        }
    }

    async fn note(&mut self, drift: &mut Drift, decided: Vec<(EntityKey, Judgement)>) {
        let blind = |judgement: &Judgement| matches!(judgement.reason, Some(Reason::SideError | Reason::TimedOut));
        if decided.iter().any(|(_, judgement)| blind(judgement)) {
            let problem = "a side could not be asked again about rows that looked different".to_owned();
            self.problem = self.problem.take().or(Some(problem));
        }
        let explained = decided.into_iter().map(|(key, judgement)| self.explain(key, judgement));
        let explained: Vec<_> =
            futures::StreamExt::collect(futures::StreamExt::buffered(futures::stream::iter(explained), AT_ONCE)).await;
        for (key, judgement) in explained {
            drift.decided(&self.run.entity, &self.reconciler.redactor, key, &judgement);
        }
    }

    /// One look of all rows: legacy, modern, legacy once more, between two looks at what is unsettled.
    async fn look(&self, keys: &[EntityKey]) -> Result<Looked, StoreError> {
        let before = self.unsettled(keys).await?;
        let legacy = self.fetch(Side::Legacy, keys).await?;
        let modern = self.fetch(Side::Modern, keys).await?;
        let legacy_again = self.fetch(Side::Legacy, keys).await?;
        let mut unsettled = before;
        unsettled.extend(self.unsettled(keys).await?);
        Ok(Looked { legacy, modern, legacy_again, unsettled })
    }

    async fn fetch(&self, side: Side, keys: &[EntityKey]) -> Result<Answer, StoreError> {
        let (entity, within) = (&self.run.entity, self.reconciler.settings.look_within);
        let store = self.reconciler.stores.get(side);
        store.fetch(entity, keys, entity.all_fields(), within).await.map(Answer::from)
    }

    async fn unsettled(&self, keys: &[EntityKey]) -> Result<Vec<EntityKey>, StoreError> {
        let primary = self.reconciler.stores.get(self.run.policy.primary());
        let within = self.reconciler.settings.look_within;
        let found = primary.unsettled_keys(&self.run.entity.group, MOST_UNSETTLED + 1, within).await?;
        if found.len() > MOST_UNSETTLED {
            return Ok(keys.to_vec());
        }
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }

    /// Looks into both ledgers: is one side's row simply an older state of the other's? And into the secondary's
    /// versions: has somebody else changed it since our last write of it?
    async fn explain(&self, key: EntityKey, mut judgement: Judgement) -> (EntityKey, Judgement) {
        if judgement.differences.is_empty() {
            return (key, judgement);
        }
        let (entity, within) = (&self.run.entity, self.reconciler.settings.look_within);
        let mut past = PerSide { legacy: Vec::new(), modern: Vec::new() };
        for side in Side::BOTH {
            let states = self.reconciler.stores.get(side).past_states(entity, &key, PAST, within).await;
            // Without the ledger the cause is only less precise.
            *past.get_mut(side) = states.unwrap_or_default();
        }
        let excuses = Excuses::of_contract((self.reconciler.today)());
        judgement.explain_by_past(entity, &key, &past, &excuses);
        let policy = &self.run.policy;
        if policy.stage().dual_writes() && is_in_values(&judgement) {
            let secondary = self.reconciler.stores.get(policy.primary().other());
            if matches!(secondary.as_left(entity, &key, within).await, Ok(Some(false))) {
                judgement.attribute(entity, &key, Cause::ForeignWrite, &excuses);
            }
        }
        (key, judgement)
    }
}

/// Whether values differ for no known cause. Rows that one side lacks keep their cause, whoever deleted or inserted
/// them: it says what a repair will do.
fn is_in_values(judgement: &Judgement) -> bool {
    judgement.differences.iter().any(|difference| !difference.excused && difference.cause == Cause::Different)
}

/// What both sides said of all rows of a batch.
struct Looked {
    legacy: Answer,
    modern: Answer,
    legacy_again: Answer,
    unsettled: Vec<EntityKey>,
}

impl Looked {
    fn of(&self, place: usize, key: &EntityKey) -> Look {
        Look {
            legacy: slot(&self.legacy, place),
            modern: slot(&self.modern, place),
            legacy_again: slot(&self.legacy_again, place),
            unsettled: self.unsettled.iter().filter(|one| *one == key).cloned().collect(),
        }
    }
}

fn slot(answer: &Answer, place: usize) -> Answer {
    Answer(vec![answer.0.get(place).cloned().flatten()])
}

fn batches(mut open: Vec<Open>, size: usize) -> Vec<Vec<Open>> {
    let mut batches = Vec::new();
    while !open.is_empty() {
        let rest = open.split_off(open.len().min(size));
        batches.push(std::mem::replace(&mut open, rest));
    }
    batches
}
