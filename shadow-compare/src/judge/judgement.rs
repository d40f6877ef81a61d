//! What a comparison found: verdict, differences and what was covered.

use std::fmt;
use std::sync::Arc;

use model::evidence::{Cause, Verdict};
use model::{EntityKey, EntityType, FieldIndex, FieldSet, PerSide, Record, Side, StoreError, Value};

use crate::canon::canonical;
use crate::cause;
use crate::excuses::Excuses;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// One field of a record that both sides have.
    Field {
        /// Which record.
        key: EntityKey,
        /// Which field.
        field: FieldIndex,
    },
    /// A record that only one side has.
    Row {
        /// Which record.
        key: EntityKey,
    },
    /// The order of a list.
    Order {
        /// The list's parameters as JSON text.
        params: String,
    },
}

impl Subject {
    /// The record's key; `None` for the order of a list.
    pub fn key(&self) -> Option<&EntityKey> {
        match self {
            Self::Field { key, .. } | Self::Row { key } => Some(key),
            Self::Order { .. } => None,
        }
    }

    /// The field; `None` when the record or the order differs.
    pub fn field(&self) -> Option<FieldIndex> {
        match self {
            Self::Field { field, .. } => Some(*field),
            Self::Row { .. } | Self::Order { .. } => None,
        }
    }
}

/// One difference between two answers. Holds values: not for logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What differs.
    pub subject: Subject,
    /// Why.
    pub cause: Cause,
    /// Whether the contract or an accepted excuse excuses it today.
    pub excused: bool,
    /// What each side answered.
    pub seen: Seen,
}

/// What each side answered where they differ. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The record, as far as it was asked for; `None` where the side has no such record.
    Records(Arc<PerSide<Option<Record>>>),
    /// The keys of the list, in order.
    Keys(Arc<PerSide<Vec<EntityKey>>>),
}

impl Difference {
    /// What `side` answered for the field; `None` where a record or an order differs.
    pub fn value(&self, side: Side) -> Option<&Value> {
        match &self.seen {
            Seen::Records(records) => records.get(side).as_ref()?.get(self.subject.field()?),
            Seen::Keys(_) => None,
        }
    }

    /// Gives it another cause, which may be excused as such.
    fn rename(&mut self, cause: Cause, entity: &EntityType, excuses: &Excuses) {
        self.cause = cause;
        self.excused = match (self.subject.field(), self.values()) {
            (Some(field), Some((legacy, modern))) => {
                let field = entity.field(field);
                let (legacy, modern) = (canonical(legacy, &field.compare), canonical(modern, &field.compare));
                excuses.cover_field(field, cause, &legacy, &modern)
            }
            (Some(_) | None, _) => excuses.cover_whole(cause),
        };
    }

    /// Whether the field can be read on neither side: then nobody can say whether it differs.
    fn is_unread(&self) -> bool {
        let Seen::Records(records) = &self.seen else { return false };
        let unread = |side| {
            let (record, field) = (records.get(side).as_ref(), self.subject.field());
            record.zip(field).is_some_and(|(record, field)| record.unreadable().contains(field))
        };
        Side::BOTH.into_iter().all(unread)
    }

    /// What both sides answered for the field, legacy first; `None` where a record or an order differs.
    pub(crate) fn values(&self) -> Option<(&Value, &Value)> {
        let Seen::Records(records) = &self.seen else { return None };
        let field = self.subject.field()?;
        // As while judging: what a side leaves out counts as null.
        let value = |side: Side| Some(records.get(side).as_ref()?.get(field).unwrap_or(&Value::Null));
        Some((value(Side::Legacy)?, value(Side::Modern)?))
    }
}

/// Why a comparison says nothing. A closed set: these are labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A side erred.
    SideError,
    /// The shadow was dropped before it was asked.
    Dropped,
    /// Legacy changed while we looked, each time.
    ChangedMeanwhile,
    /// A key stayed unsettled.
    Unsettled,
    /// A side gave no answer in time.
    TimedOut,
    /// A rehearsal did not begin with what the primary began with.
    UnequalBefore,
    /// Neither side had a record: the question was about nothing.
    NothingCompared,
    /// All that differs can be read on neither side.
    Unreadable,
    /// The two sides take the question itself differently: blanks at the end, an empty text, or case.
    Spelling,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::SideError,
        Self::Dropped,
        Self::ChangedMeanwhile,
        Self::Unsettled,
        Self::TimedOut,
        Self::UnequalBefore,
        Self::NothingCompared,
        Self::Unreadable,
        Self::Spelling,
    ];

    /// Why a side that answered so says nothing.
    pub fn of(error: &StoreError) -> Self {
        match error {
            StoreError::NoAnswer { .. } => Self::TimedOut,
            StoreError::Unreachable { .. }
            | StoreError::Unwritable { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused { .. }
            | StoreError::KeyReused
            | StoreError::Fenced { .. }
            | StoreError::SnapshotLost { .. }
            | StoreError::Misfit { .. } => Self::SideError,
        }
    }

    /// The word used in evidence and metrics: `changed-meanwhile`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SideError => "side-error",
            Self::Dropped => "dropped",
            Self::ChangedMeanwhile => "changed-meanwhile",
            Self::Unsettled => "unsettled",
            Self::TimedOut => "timed-out",
            Self::UnequalBefore => "unequal-before",
            Self::NothingCompared => "nothing-compared",
            Self::Unreadable => "unreadable",
            Self::Spelling => "spelling",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a comparison found. Holds values: `Display` is for logs, `Debug` is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The finding.
    pub verdict: Verdict,
    /// Why it is inconclusive; `None` for the other verdicts.
    pub reason: Option<Reason>,
    /// What differs; empty unless excused, mismatch, or inconclusive since it can be read on neither side.
    pub differences: Vec<Difference>,
    /// The fields that were compared; empty when inconclusive.
    pub fields: FieldSet,
    /// The records that were compared, present on at least one side; empty when inconclusive.
    pub keys: Vec<EntityKey>,
}

impl Judgement {
    /// The judgement that follows from `differences` in the records `keys`. Without any record it says nothing.
    pub fn of(differences: Vec<Difference>, fields: FieldSet, keys: Vec<EntityKey>) -> Self {
        if differences.is_empty() && keys.is_empty() {
            return Self::inconclusive(Reason::NothingCompared);
        }
        let verdict = if differences.is_empty() {
            Verdict::Match
        } else if differences.iter().all(|difference| difference.excused) {
            Verdict::Excused
        } else if differences.iter().all(|difference| difference.excused || difference.is_unread()) {
            Verdict::Inconclusive
        } else {
            Verdict::Mismatch
        };
        let reason = (verdict == Verdict::Inconclusive).then_some(Reason::Unreadable);
        Self { verdict, reason, differences, fields, keys }
    }

    /// The judgement that nothing is known.
    pub fn inconclusive(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            reason: Some(reason),
            differences: Vec::new(),
            fields: FieldSet::default(),
            keys: Vec::new(),
        }
    }

    /// The records that differ, each once: those whose past is worth asking for.
    pub fn differing_keys(&self) -> Vec<EntityKey> {
        let mut keys: Vec<_> = self.differences.iter().filter_map(|d| d.subject.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().cloned().collect()
    }

    /// Gives the differences of `key` another cause, where somebody knows better than the values tell. An excused
    /// difference keeps the cause for which it is excused; one may be excused for its new cause.
    pub fn attribute(&mut self, entity: &EntityType, key: &EntityKey, cause: Cause, excuses: &Excuses) {
        let of_key = self.differences.iter_mut().filter(|d| d.subject.key() == Some(key) && !d.excused);
        of_key.for_each(|difference| difference.rename(cause, entity, excuses));
        self.excuse_if_all_are();
    }

    fn excuse_if_all_are(&mut self) {
        if self.verdict == Verdict::Mismatch && self.differences.iter().all(|difference| difference.excused) {
            self.verdict = Verdict::Excused;
        }
    }

    /// Whether a foreign write may be what makes `key` differ: it differs in a way that the values do not explain.
    pub fn is_unexplained(&self, key: &EntityKey) -> bool {
        let of_key = self.differences.iter().filter(|difference| difference.subject.key() == Some(key));
        of_key.filter(|difference| !difference.excused).any(|difference| match difference.cause {
            Cause::MissingRow | Cause::ExtraRow | Cause::Different => true,
            Cause::Stale
            | Cause::Rounding
            | Cause::TimeZone
            | Cause::NullEmpty
            | Cause::Padding
            | Cause::Case
            | Cause::Order
            | Cause::Truncation
            | Cause::ForeignWrite
            | Cause::Logic => false,
        })
    }

    /// Names the differences of `key` *stale* where `past` (`Store::past_states` of each side)
    /// shows that one side holds what the other held before. An excused difference keeps the cause for which it
    /// is excused; one that turns out stale may be excused as such.
    pub fn explain_by_past(
        &mut self,
        entity: &EntityType,
        key: &EntityKey,
        past: &PerSide<Vec<Option<Record>>>,
        excuses: &Excuses,
    ) {
        for difference in &mut self.differences {
            if difference.subject.key() != Some(key) || difference.excused {
                continue;
            }
            if let Seen::Records(pair) = &difference.seen
                && cause::is_stale(entity, self.fields, pair, past)
            {
                difference.rename(Cause::Stale, entity, excuses);
            }
        }
        self.excuse_if_all_are();
    }

    /// Names every difference *logic*: for answers that two operations have left from one state. An excused
    /// difference keeps the cause for which it is excused.
    pub fn call_logic(&mut self, entity: &EntityType, excuses: &Excuses) {
        for difference in self.differences.iter_mut().filter(|difference| !difference.excused) {
            difference.rename(Cause::Logic, entity, excuses);
        }
        self.excuse_if_all_are();
    }
}

impl fmt::Display for Judgement {
    /// Without keys and values: `mismatch, 2 differences in 50 records`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (differences, keys) = (self.differences.len(), self.keys.len());
        match self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.verdict),
            None => write!(f, "{}, {differences} differences in {keys} records", self.verdict),
        }
    }
}
