//! Compares two answers to one question and says what differs.
//!
//! Keyed reads are compared slot by slot; lists by key, because without an order in the contract
//! either side may give its rows as it likes. An *ordered* list must also agree in the order of the
//! rows that both sides have, which is one difference of its own.
//!
//! Promises: pure and total; `judge(x, x)` is a match if there is anything in it, and says nothing otherwise; a declared excuse counts up to and including
//! its last day and never longer; one difference that is not excused makes a mismatch.
//! Not here: whether the difference is real or only lag (`confirm`), what may be stored (`redact`).

use std::collections::HashMap;
use std::sync::Arc;

use model::contract::Compare;
use model::evidence::Cause;
use model::{EntityKey, EntityType, FieldIndex, FieldSet, PerSide, Record, Side, Value};

use crate::canon::{canonical, same};
use crate::cause;
use crate::excuses::Excuses;

mod judgement;
pub use judgement::{Difference, Judgement, Reason, Seen, Subject};

/// What both sides were asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The type of the records asked for.
    pub entity: Arc<EntityType>,
    /// The fields asked for.
    pub fields: FieldSet,
    /// Which records.
    pub asked: Asked,
}

/// Which records were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// These, one slot of the answer per key.
    Keys(Vec<EntityKey>),
    /// A list.
    List {
        /// Whether the order of the rows is part of the answer.
        ordered: bool,
        /// The list's parameters as JSON text; stands for a key where the order differs.
        params: String,
    },
}

impl Question {
    /// The fields that count: those asked for, without those that the contract ignores.
    pub fn compared(&self) -> FieldSet {
        let counts = |index: &FieldIndex| !self.entity.field(*index).compare.ignore;
        let asked = self.fields.iter().take_while(|i| i.get() < self.entity.fields.len());
        asked.filter(counts).collect()
    }
}

/// What one side answered: one slot per key, or the rows of a list (an empty slot is no row).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer(pub Vec<Option<Record>>);

impl From<Vec<Option<Record>>> for Answer {
    fn from(slots: Vec<Option<Record>>) -> Self {
        Self(slots)
    }
}

impl From<Vec<Record>> for Answer {
    fn from(rows: Vec<Record>) -> Self {
        Self(rows.into_iter().map(Some).collect())
    }
}

/// Compares what both sides answered to `question`.
pub fn judge(question: &Question, answers: &PerSide<Answer>, excuses: &Excuses) -> Judgement {
    let mut bench = Bench::new(question, excuses);
    match &question.asked {
        Asked::Keys(keys) => {
            let slot = |side, place| answers.get(side).0.get(place).and_then(Option::as_ref);
            for (place, key) in keys.iter().enumerate() {
                let pair = [slot(Side::Legacy, place), slot(Side::Modern, place)];
                bench.compare(key.clone(), pair);
            }
        }
        Asked::List { ordered, params } => {
            let rows = |side| answers.get(side).0.iter().flatten().collect();
            let rows = PerSide { legacy: rows(Side::Legacy), modern: rows(Side::Modern) };
            bench.compare_lists(&rows, ordered.then_some(params));
        }
    }
    Judgement::of(bench.differences, bench.fields, bench.keys)
}

/// One comparison in progress.
struct Bench<'a> {
    entity: &'a EntityType,
    /// What both sides were asked for, the key among it.
    asked: FieldSet,
    fields: FieldSet,
    /// The compared fields with their rules, looked up once and not once per record.
    rules: Vec<(FieldIndex, &'a Compare)>,
    excuses: &'a Excuses,
    differences: Vec<Difference>,
    keys: Vec<EntityKey>,
}

impl<'a> Bench<'a> {
    fn new(question: &'a Question, excuses: &'a Excuses) -> Self {
        let entity = &*question.entity;
        let fields = question.compared();
        let rules = fields.iter().map(|index| (index, &entity.field(index).compare)).collect();
        let asked = question.fields.union(entity.key_fields());
        Self { entity, asked, fields, rules, excuses, differences: Vec::new(), keys: Vec::new() }
    }

    /// Compares one record, legacy's first.
    fn compare(&mut self, key: EntityKey, pair: [Option<&Record>; 2]) {
        let found = match pair {
            // Nothing to compare: two sides that know nothing of a record are no evidence that they agree.
            [None, None] => return,
            [Some(_), None] => vec![self.whole(Cause::MissingRow)],
            [None, Some(_)] => vec![self.whole(Cause::ExtraRow)],
            [Some(legacy), Some(modern)] => self.compare_fields(legacy, modern),
        };
        if !found.is_empty() {
            // Look-ups are batched, so that a side may hold what somebody else asked it for: of both only what both were
            // asked for is evidence.
            let [legacy, modern] = pair.map(|record| record.map(|record| record.only(self.asked)));
            let seen = Seen::Records(Arc::new(PerSide { legacy, modern }));
            let differences = found.into_iter().map(|(field, cause, excused)| {
                let key = key.clone();
                let subject = match field {
                    Some(field) => Subject::Field { key, field },
                    None => Subject::Row { key },
                };
                Difference { subject, cause, excused, seen: seen.clone() }
            });
            self.differences.extend(differences);
        }
        self.keys.push(key);
    }

    fn whole(&self, cause: Cause) -> (Option<FieldIndex>, Cause, bool) {
        (None, cause, self.excuses.cover_whole(cause))
    }

    fn compare_fields(&self, legacy: &Record, modern: &Record) -> Vec<(Option<FieldIndex>, Cause, bool)> {
        let mut found = Vec::new();
        for (index, compare) in &self.rules {
            // What cannot be read is like nothing, not even like itself on the other side.
            let unread = [legacy, modern].iter().any(|record| record.unreadable().contains(*index));
            // A side that leaves out what it was asked for has not said that the field is null, but
            // it has said less than the other: null is the nearest value, and the field differs.
            let legacy = legacy.get(*index).unwrap_or(&Value::Null);
            let modern = modern.get(*index).unwrap_or(&Value::Null);
            if !unread && same(legacy, modern, compare) {
                continue;
            }
            let (legacy, modern) = (canonical(legacy, compare), canonical(modern, compare));
            let cause = cause::of_values(&legacy, &modern);
            let excused = self.excuses.cover_field(self.entity.field(*index), cause, &legacy, &modern);
            found.push((Some(*index), cause, excused));
        }
        found
    }

    /// Compares two lists by key; `ordered` holds the parameters when the order counts.
    fn compare_lists(&mut self, rows: &PerSide<Vec<&Record>>, ordered: Option<&String>) {
        let keys = |side| -> Vec<EntityKey> { rows.get(side).iter().map(|row| key_of(self.entity, row)).collect() };
        let keys = PerSide { legacy: keys(Side::Legacy), modern: keys(Side::Modern) };
        let partner = partners(&keys);
        let mut taken = vec![false; keys.modern.len()];
        for (place, key) in keys.legacy.iter().enumerate() {
            let modern = partner[place].map(|other| {
                taken[other] = true;
                rows.modern[other]
            });
            self.compare(key.clone(), [Some(rows.legacy[place]), modern]);
        }
        for (place, key) in keys.modern.iter().enumerate().filter(|(place, _)| !taken[*place]) {
            self.compare(key.clone(), [None, Some(rows.modern[place])]);
        }
        // Missing and extra rows are differences already; the order is that of the others.
        let in_order = partner.iter().flatten().is_sorted();
        if let (Some(params), false) = (ordered, in_order) {
            self.differences.push(Difference {
                subject: Subject::Order { params: params.clone() },
                cause: Cause::Order,
                excused: self.excuses.cover_whole(Cause::Order),
                seen: Seen::Keys(Arc::new(keys)),
            });
        }
    }
}

/// For each row of legacy, the place of the row in modern's list that has the same key. A key that
/// stands several times is paired first with first, second with second.
fn partners(keys: &PerSide<Vec<EntityKey>>) -> Vec<Option<usize>> {
    let mut places: HashMap<&EntityKey, Vec<usize>> = HashMap::with_capacity(keys.modern.len());
    for (place, key) in keys.modern.iter().enumerate().rev() {
        places.entry(key).or_default().push(place);
    }
    let take = |key| places.get_mut(key).and_then(Vec::pop);
    keys.legacy.iter().map(take).collect()
}

/// The key of a row. Stores promise key fields in every row; where one is missing, null stands in.
fn key_of(entity: &EntityType, row: &Record) -> EntityKey {
    row.key(entity).unwrap_or_else(|| {
        let part = |index: &FieldIndex| row.get(*index).cloned().unwrap_or(Value::Null);
        EntityKey::new(entity.name.clone(), entity.key().iter().map(part).collect())
    })
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
