//! Have two stores drifted? The pure part of reconcile: which chunks differ, which rows, and why.
//!
//! The road of one entity type: both sides' [sums](model::checksum) of all its parts → [`parts`] says which
//! are equal, which to take apart further, and which are small enough to look at row by row →
//! [`pair_members`] and `judge` find the rows that differ → `confirm` looks again until what was only
//! movement is gone → [`Drift`] adds up what stays.
//!
//! Sums leave out fields that are marked `ignore` and know the other rules of `@compare`, but not
//! excuses: a chunk may differ by excused rows only, which are then found, and counted apart.
//!
//! Promises: pure; bounded in memory, whatever the drift; the count of drifted rows is exact also beyond
//! what is listed.
//! Not here: asking the sides, waiting, recording (`proxy::reconcile`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::checksum::{Chunk, ChunkSum};
use model::control::Findings;
use model::control::reconciliation::DriftKind;
use model::evidence::{Cause, Difference, Verdict};
use model::{EntityKey, EntityType, FieldIndex, FieldName, LeftOut, PerSide, Record, Side, Value};

use crate::judge::{Answer, Asked, Judgement, Question, Reason};
use crate::redact::Redactor;

/// Rows that are named because nothing is known of them.
const NAMED: usize = 20;
/// Samples kept of one kind of drift, and of all kinds.
const SAMPLES_OF_A_KIND: usize = 10;
const SAMPLES: usize = 200;

/// What to do with a part of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The same on both sides: so many rows, on each.
    Equal(u64),
    /// Differs, and is too large to be read: compare the sums of its parts.
    Divide(Chunk),
    /// Differs: read its rows.
    Read(Chunk),
}

/// What the sums of both sides say about the parts of `chunk`. A part is read when neither side has more
/// than `most` rows in it, or when it cannot be taken apart.
pub fn parts(chunk: &Chunk, sums: &PerSide<Vec<(Chunk, ChunkSum)>>, most: u64) -> Vec<Part> {
    let by_part = |sums: &[(Chunk, ChunkSum)]| sums.iter().cloned().collect::<BTreeMap<_, _>>();
    let (legacy, modern) = (by_part(&sums.legacy), by_part(&sums.modern));
    // A part without rows is left out by its side.
    let all: BTreeSet<&Chunk> = legacy.keys().chain(modern.keys()).collect();
    let part = |part: &Chunk| {
        // No rows there: count and sum are 0, and equal to nothing but that.
        let of = |sums: &BTreeMap<Chunk, ChunkSum>| sums.get(part).copied().unwrap_or_default();
        let (legacy, modern) = (of(&legacy), of(&modern));
        if legacy == modern {
            Part::Equal(legacy.records)
        } else if legacy.records.max(modern.records) <= most || part.part_digits().is_none() || part == chunk {
            Part::Read(part.clone())
        } else {
            Part::Divide(part.clone())
        }
    };
    all.into_iter().map(part).collect()
}

/// The rows of a chunk, put side by side.
#[derive(Debug)]
pub struct Paired {
    /// Each key once, with what each side has: ready for `judge`.
    pub pairs: Pairs,
    /// Rows that cannot stand beside another: their key is null, or another row of their side has it too.
    pub odd: PerSide<Vec<EntityKey>>,
}

/// Puts the rows of one chunk side by side. Every row is in a pair or odd.
pub fn pair_members(entity: &Arc<EntityType>, members: PerSide<Vec<Record>>) -> Paired {
    let by_key = |rows: Vec<Record>| {
        let (mut by_key, mut odd) = (BTreeMap::new(), Vec::new());
        for row in rows {
            match row.key(entity) {
                Some(key) if key.has_null() || by_key.contains_key(&key) => odd.push(key),
                Some(key) => drop(by_key.insert(key, row)),
                None => odd.push(key_with_nulls(entity, &row)),
            }
        }
        (by_key, odd)
    };
    let ((mut legacy, odd_legacy), (mut modern, odd_modern)) = (by_key(members.legacy), by_key(members.modern));
    let keys: BTreeSet<EntityKey> = legacy.keys().chain(modern.keys()).cloned().collect();
    let slots = |rows: &mut BTreeMap<EntityKey, Record>| keys.iter().map(|key| rows.remove(key)).collect::<Vec<_>>();
    let answers = PerSide { legacy: Answer(slots(&mut legacy)), modern: Answer(slots(&mut modern)) };
    let asked = Asked::Keys(keys.into_iter().collect());
    let question = Question { entity: Arc::clone(entity), fields: entity.all_fields(), asked };
    Paired { pairs: (question, answers), odd: PerSide { legacy: odd_legacy, modern: odd_modern } }
}

/// What names a row that has no key.
fn key_with_nulls(entity: &EntityType, row: &Record) -> EntityKey {
    let part = |index: &FieldIndex| row.get(*index).cloned().unwrap_or(Value::Null);
    EntityKey::new(entity.name.clone(), entity.key().iter().map(part).collect())
}

/// A question for whole records by key, and what both sides answered.
pub type Pairs = (Question, PerSide<Answer>);

/// A kind of drift: field (`None`: the row) and cause.
pub type Kind = (Option<FieldName>, Cause);

/// Which drift is meant: a cause, perhaps in one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Why.
    pub cause: Cause,
    /// Only in this field.
    pub field: Option<FieldName>,
}

impl Wanted {
    /// Whether it is of this kind.
    pub fn fits(&self, (field, cause): &Kind) -> bool {
        *cause == self.cause && (self.field.is_none() || *field == self.field)
    }
}

/// A row that differs at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// Which.
    pub key: EntityKey,
    /// How. Never empty.
    pub kinds: BTreeSet<Kind>,
}

/// What was found so far of one entity type.
#[derive(Debug)]
pub struct Drift {
    rows: PerSide<u64>,
    drifted: u64,
    excused: u64,
    undecided: u64,
    held_back: u64,
    keyless: PerSide<u64>,
    named: Vec<String>,
    left_out: Vec<LeftOut>,
    /// Rows that were seen on one side alone and turned out well: they were written or deleted meanwhile.
    moved: u64,
    kinds: BTreeMap<Kind, u64>,
    samples: Vec<Difference>,
    sampled: BTreeMap<Kind, usize>,
    listed: Vec<Drifted>,
    most_listed: usize,
    wanted: Option<Wanted>,
}

impl Drift {
    /// Nothing yet; at most `most_listed` rows (of the `wanted` kind, if any) are named, all are counted.
    pub fn new(most_listed: usize, wanted: Option<Wanted>) -> Self {
        Self {
            rows: PerSide::default(),
            drifted: 0,
            excused: 0,
            undecided: 0,
            held_back: 0,
            keyless: PerSide::default(),
            named: Vec::new(),
            left_out: Vec::new(),
            moved: 0,
            kinds: BTreeMap::new(),
            samples: Vec::new(),
            sampled: BTreeMap::new(),
            listed: Vec::new(),
            most_listed,
            wanted,
        }
    }

    /// Rows compared so far, on each side.
    pub fn rows(&self) -> PerSide<u64> {
        self.rows
    }

    /// Rows that differ.
    pub fn drifted(&self) -> u64 {
        self.drifted
    }

    /// The rows that are named, in the order in which they were found.
    pub fn listed(&self) -> &[Drifted] {
        &self.listed
    }

    /// The same without the count: the rows that are named.
    pub fn into_listed(self) -> Vec<Drifted> {
        self.listed
    }

    /// Rows were compared: so many on each side.
    pub fn compared(&mut self, rows: PerSide<u64>) {
        self.rows.legacy += rows.legacy;
        self.rows.modern += rows.modern;
    }

    /// Rows of `side` that no look-up by key finds: `rows` in all, of which `some` are known.
    pub fn keyless(&mut self, entity: &EntityType, redactor: &Redactor, side: Side, rows: u64, some: &[EntityKey]) {
        *self.keyless.get_mut(side) += rows;
        some.iter()
            .for_each(|key| self.name(format!("without usable key on {side}: {}", redactor.key_text(entity, key))));
    }

    /// Columns of legacy that the contract leaves out.
    pub fn left_out(&mut self, columns: Vec<LeftOut>) {
        self.left_out = columns;
    }

    /// One row whose last write has waited for the other side for too long: nothing is known of it.
    pub fn held_back(&mut self, entity: &EntityType, redactor: &Redactor, key: &EntityKey) {
        self.undecided += 1;
        self.held_back += 1;
        self.name(format!("held back: {}", redactor.key_text(entity, key)));
    }

    /// One row that was seen on one side alone, and was gone or on both when it was looked at again.
    pub fn moved(&mut self) {
        self.moved += 1;
    }

    fn name(&mut self, row: String) {
        if self.named.len() < NAMED {
            self.named.push(row);
        }
    }

    /// Why the counts of the sides cannot be right; `None`: what differs between them was accounted for.
    fn contradiction(&self) -> Option<String> {
        let PerSide { legacy, modern } = self.rows;
        let accounted =
            self.drifted + self.excused + self.undecided + self.moved + self.keyless.legacy + self.keyless.modern;
        let said = format!("{legacy} rows of legacy and {modern} of modern, and no row that only one of them has");
        (legacy != modern && accounted == 0).then_some(said)
    }

    /// One row that looked different was looked at until it was clear.
    pub fn decided(&mut self, entity: &EntityType, redactor: &Redactor, key: EntityKey, judgement: &Judgement) {
        match judgement.verdict {
            Verdict::Match => {}
            Verdict::Excused => self.excused += 1,
            // What is at rest and cannot be read is listed: somebody must mend it.
            Verdict::Inconclusive if judgement.reason == Some(Reason::Unreadable) => {
                self.add(entity, redactor, key, judgement);
            }
            Verdict::Inconclusive => self.undecided += 1,
            Verdict::Mismatch => self.add(entity, redactor, key, judgement),
        }
    }

    fn add(&mut self, entity: &EntityType, redactor: &Redactor, key: EntityKey, judgement: &Judgement) {
        self.drifted += 1;
        let mut kinds = BTreeSet::new();
        for difference in redactor.differences(entity, judgement).into_iter().filter(|one| !one.excused) {
            let kind = (difference.field.clone(), difference.cause);
            let sampled = self.sampled.entry(kind.clone()).or_default();
            if *sampled < SAMPLES_OF_A_KIND && self.samples.len() < SAMPLES {
                *sampled += 1;
                self.samples.push(difference);
            }
            kinds.insert(kind);
        }
        for kind in &kinds {
            *self.kinds.entry(kind.clone()).or_default() += 1;
        }
        let is_wanted = self.wanted.as_ref().is_none_or(|wanted| kinds.iter().any(|kind| wanted.fits(kind)));
        if is_wanted && self.listed.len() < self.most_listed {
            self.listed.push(Drifted { key, kinds });
        }
    }

    /// What is recorded of it; `problem` says why not everything was compared.
    pub fn findings(&self, problem: Option<String>, mapping: String) -> Findings {
        let kind =
            |((field, cause), rows): (&Kind, &u64)| DriftKind { field: field.clone(), cause: *cause, rows: *rows };
        let mut kinds: Vec<_> = self.kinds.iter().map(kind).collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.rows));
        Findings {
            rows: self.rows,
            drift: self.drifted,
            excused: self.excused,
            undecided: self.undecided,
            held_back: self.held_back,
            keyless: self.keyless,
            named: self.named.clone(),
            left_out: self.left_out.clone(),
            kinds,
            samples: self.samples.clone(),
            problem: problem.or_else(|| self.contradiction()),
            mapping,
        }
    }
}

#[cfg(test)]
mod tests;
