//! Rows that look different, until it is clear whether they are.
//!
//! Each row is confirmed by itself, by the same rules as a shadow read: its key was settled before and
//! after both sides were looked at, and nothing changed between. All rows of a batch are looked at
//! together. What a side does not tell is undecided, and makes the run incomplete. A row whose last write has waited for
//! the other side for too long is held back: looking longer would not help. A row that was read and that no look-up
//! finds is read once more: it was deleted meanwhile, or is one that nobody can ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::checksum::Chunk;
use model::evidence::{Cause, Verdict};
use model::{EntityKey, PerSide, Side, StoreError, WriteId};
use shadow_compare::reconcile::{Drift, Pairs};
use shadow_compare::{Answer, Asked, Confirmation, Excuses, Judgement, Look, Question, Reason, Step, judge};

use super::{Reconciler, Run};

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
    /// Where its row was read.
    chunk: Chunk,
    /// Whether only one side had it then.
    alone: bool,
    confirmation: Box<Confirmation>,
}

/// A row that has been looked at until it is clear.
struct Clear {
    key: EntityKey,
    chunk: Chunk,
    alone: bool,
    judgement: Judgement,
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

    /// Notes why the run cannot be complete. The first reason stays.
    pub(super) fn note_problem(&mut self, problem: String) {
        tracing::warn!(entity = %self.run.entity.name, "{problem}");
        self.problem.get_or_insert(problem);
    }

    /// The keys of a chunk whose rows differ.
    pub(super) fn differing(&self, (question, answers): &Pairs) -> Vec<EntityKey> {
        judge(question, answers, &self.excuses()).differing_keys()
    }

    /// Excuses that were accepted in the running fleet are about routes; rows at rest have none.
    fn excuses(&self) -> Excuses {
        Excuses::of_contract((self.reconciler.today)())
    }

    /// Takes up the rows of a chunk that differ; they wait for [`Self::decide`].
    pub(super) fn take(
        &mut self,
        drift: &mut Drift,
        chunk: &Chunk,
        (question, answers): Pairs,
        differing: &[EntityKey],
    ) {
        let excuses = self.excuses();
        let Asked::Keys(keys) = &question.asked else { return };
        for (place, key) in keys.iter().enumerate().filter(|(_, key)| differing.binary_search(key).is_ok()) {
            let first = PerSide { legacy: slot(&answers.legacy, place), modern: slot(&answers.modern, place) };
            let alone = first.legacy.0.iter().flatten().count() != first.modern.0.iter().flatten().count();
            let one = Question { asked: Asked::Keys(vec![key.clone()]), ..question.clone() };
            match Confirmation::begin(one, &first, excuses.clone(), self.reconciler.settings.patience) {
                Step::LookAgain { confirmation, .. } => {
                    self.open.push(Open { key: key.clone(), chunk: chunk.clone(), alone, confirmation });
                }
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
                for (place, Open { key, chunk, alone, confirmation }) in batch.into_iter().enumerate() {
                    if looked.as_ref().is_ok_and(|looked| looked.held.contains(&key)) {
                        drift.held_back(&self.run.entity, &self.reconciler.redactor, &key);
                        continue;
                    }
                    let look = looked.as_ref().map(|looked| looked.of(place, &key)).map_err(Reason::of);
                    match confirmation.next(look) {
                        Step::Done { judgement, .. } => decided.push(Clear { key, chunk, alone, judgement }),
                        Step::LookAgain { after: wait, confirmation } => {
                            after = wait;
                            self.open.push(Open { key, chunk, alone, confirmation });
                        }
                    }
                }
            }
            let nothing = |clear: &Clear| clear.judgement.reason == Some(Reason::NothingCompared);
            let (gone, decided): (Vec<Clear>, Vec<Clear>) = decided.into_iter().partition(nothing);
            self.tell_deleted_from_lost(drift, gone).await;
            self.note(drift, decided).await;
        }
    }

    /// Rows that were read and that no look-up found on either side: they were deleted since, or they stand under a key
    /// by which nobody finds them. Their chunks are read once more, as of now.
    async fn tell_deleted_from_lost(&mut self, drift: &mut Drift, gone: Vec<Clear>) {
        let mut by_chunk: BTreeMap<Chunk, Vec<EntityKey>> = BTreeMap::new();
        for Clear { key, chunk, .. } in gone {
            by_chunk.entry(chunk).or_default().push(key);
        }
        for (chunk, keys) in by_chunk {
            for side in Side::BOTH {
                match self.lost(side, &chunk, &keys).await {
                    Ok(lost) => {
                        let (entity, redactor) = (&self.run.entity, &self.reconciler.redactor);
                        drift.keyless(entity, redactor, side, lost.len() as u64, &lost);
                    }
                    Err(error) => self.note_problem(format!("rows that no look-up found could not be read: {error}")),
                }
            }
            keys.iter().for_each(|_| drift.moved());
        }
    }

    /// Those of `keys` that are read in their chunk, and still not found by their key.
    async fn lost(&self, side: Side, chunk: &Chunk, keys: &[EntityKey]) -> Result<Vec<EntityKey>, StoreError> {
        let (entity, settings) = (&self.run.entity, &self.reconciler.settings);
        let limit = settings.most_members * 4;
        let store = self.reconciler.stores.get(side);
        let members = store.members(entity, chunk, limit, settings.scan_within).await?;
        let there: BTreeSet<EntityKey> = members.iter().filter_map(|row| row.key(entity)).collect();
        let mut lost = Vec::new();
        for batch in keys.chunks(settings.suspects.max(1)) {
            let again = self.fetch(side, batch).await?;
            let found = batch.iter().zip(again.0);
            lost.extend(
                found.filter(|(key, found)| found.is_none() && there.contains(key)).map(|(key, _)| key.clone()),
            );
        }
        Ok(lost)
    }

    async fn note(&mut self, drift: &mut Drift, decided: Vec<Clear>) {
        let blind = |clear: &Clear| matches!(clear.judgement.reason, Some(Reason::SideError | Reason::TimedOut));
        if decided.iter().any(blind) {
            self.note_problem("a side could not be asked again about rows that looked different".to_owned());
        }
        let moved = |clear: &&Clear| clear.alone && clear.judgement.verdict == Verdict::Match;
        decided.iter().filter(moved).for_each(|_| drift.moved());
        let explained = decided.into_iter().map(|clear| self.explain(clear.key, clear.judgement));
        let explained: Vec<_> =
            futures::StreamExt::collect(futures::StreamExt::buffered(futures::stream::iter(explained), AT_ONCE)).await;
        for (key, judgement) in explained {
            drift.decided(&self.run.entity, &self.reconciler.redactor, key, &judgement);
        }
    }

    /// One look of all rows: legacy, modern, legacy once more, between two looks at what is unsettled.
    async fn look(&mut self, keys: &[EntityKey]) -> Result<Looked, StoreError> {
        let before = self.unsettled().await?;
        let legacy = self.fetch(Side::Legacy, keys).await?;
        let modern = self.fetch(Side::Modern, keys).await?;
        let legacy_again = self.fetch(Side::Legacy, keys).await?;
        let after = self.unsettled().await?;
        let mut unsettled: BTreeSet<EntityKey> = BTreeSet::new();
        let mut held = BTreeSet::new();
        for (key, write) in before.iter().chain(&after) {
            if self.is_held(*write) {
                held.insert(key.clone());
            }
            unsettled.insert(key.clone());
        }
        // What has gone through meanwhile was not held.
        let still: BTreeSet<&EntityKey> = after.iter().map(|(key, _)| key).collect();
        held.retain(|key| still.contains(key));
        Ok(Looked { legacy, modern, legacy_again, unsettled, held })
    }

    /// Whether a write has waited for longer than one may take. Its name tells when it began.
    fn is_held(&self, write: WriteId) -> bool {
        let Some((seconds, nanos)) = write.0.get_timestamp().map(|time| time.to_unix()) else { return true };
        let began = Duration::new(seconds, nanos);
        let now = chrono::Utc::now().timestamp_millis();
        let now = Duration::from_millis(u64::try_from(now).unwrap_or(u64::MAX));
        // One that begins later than now is of another clock: it may be held as well as not, and waits like any other.
        now.checked_sub(began).is_some_and(|age| age > self.reconciler.settings.held_after)
    }

    async fn fetch(&self, side: Side, keys: &[EntityKey]) -> Result<Answer, StoreError> {
        let (entity, within) = (&self.run.entity, self.reconciler.settings.look_within);
        let store = self.reconciler.stores.get(side);
        store.fetch(entity, keys, entity.all_fields(), within).await.map(Answer::from)
    }

    /// The keys of the group with an unsettled write. Of very many the oldest are told, and the run
    /// cannot be complete.
    async fn unsettled(&mut self) -> Result<Vec<(EntityKey, WriteId)>, StoreError> {
        let primary = self.reconciler.stores.get(self.run.policy.primary());
        let within = self.reconciler.settings.look_within;
        let most = self.reconciler.settings.most_unsettled;
        let found = primary.unsettled_keys(&self.run.entity.group, most + 1, within).await?;
        if found.len() > most {
            self.note_problem(format!("more than {most} writes wait for the other side: which rows wait is not known"));
        }
        Ok(found)
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
    unsettled: BTreeSet<EntityKey>,
    held: BTreeSet<EntityKey>,
}

impl Looked {
    fn of(&self, place: usize, key: &EntityKey) -> Look {
        Look {
            legacy: slot(&self.legacy, place),
            modern: slot(&self.modern, place),
            legacy_again: slot(&self.legacy_again, place),
            unsettled: self.unsettled.get(key).cloned().into_iter().collect(),
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
