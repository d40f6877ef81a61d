//! Did two operations that began with one state come to one state?
//!
//! A mutation has an operation on each side. The primary's was run; the secondary's own was rehearsed and rolled
//! back. Both tell how the touched records stood before and after.
//!
//! Why a difference here is *logic* and never lag: it counts only when the states before were equal, value by
//! value. There is nothing to look at again later, since the secondary is given the primary's state in any case; what
//! did not begin equal is inconclusive, not a match and not a mismatch.
//!
//! Fields that are stamped are not compared: each side's operation reads its own clock for them.
//! What an operation reads besides the touched records is taken to be equal; naming it in `touches` proves it.

use std::sync::Arc;

use model::evidence::{Cause, Verdict};
use model::{EntityKey, EntityType, FieldIndex, FieldSet, PerSide, Record, Side};

use crate::excuses::Excuses;
use crate::judge::{Answer, Asked, Difference, Judgement, Question, Reason, Seen, Subject, judge};

/// One touched record.
#[derive(Debug, Clone)]
pub struct Touched {
    /// Its type.
    pub entity: Arc<EntityType>,
    /// Which.
    pub key: EntityKey,
    /// What each side's operation began with.
    pub before: PerSide<Option<Record>>,
    /// What it has left. All `None` on a side that refused.
    pub after: PerSide<Option<Record>>,
}

/// Judges a rehearsal by what was touched: one judgement per type, in the order of the touches, or a single one when it
/// is inconclusive. `refused`: the side that refused what the other has done.
pub fn judge_rehearsal(
    touched: &[Touched],
    refused: Option<Side>,
    excuses: &Excuses,
) -> Vec<(Arc<EntityType>, Judgement)> {
    let mut judgements = Vec::new();
    for part in by_type(touched) {
        let entity = &part[0].entity;
        let (before, mut after) =
            (compare(&part, |one| &one.before, excuses), compare(&part, |one| &one.after, excuses));
        if before.verdict == Verdict::Mismatch {
            return vec![(Arc::clone(entity), Judgement::inconclusive(Reason::UnequalBefore))];
        }
        if after.reason == Some(Reason::NothingCompared) && !before.keys.is_empty() {
            // Both have deleted what both had: that was compared, and no value of any field.
            after = Judgement::of(Vec::new(), FieldSet::default(), before.keys);
        }
        if refused.is_some() {
            after = refusal(&part, told(entity), excuses);
        }
        after.call_logic(entity, excuses);
        judgements.push((Arc::clone(entity), after));
        if refused.is_some() {
            // One refusal is one difference, however many records it would have touched.
            break;
        }
    }
    let differ = judgements.iter().find(|(_, judgement)| judgement.verdict == Verdict::Mismatch);
    match differ {
        // Equal as far as anybody compares is enough for a match. To blame the logic, the values must be the same.
        Some((entity, _)) if !touched.iter().all(began_the_same) => {
            vec![(Arc::clone(entity), Judgement::inconclusive(Reason::UnequalBefore))]
        }
        Some(_) | None => judgements,
    }
}

/// The fields that a rehearsal can tell: all but those that an operation stamps with its side's clock.
fn told(entity: &EntityType) -> FieldSet {
    entity.all_fields().iter().filter(|index| !entity.field(*index).stamped).collect()
}

fn by_type(touched: &[Touched]) -> Vec<Vec<&Touched>> {
    let mut parts: Vec<Vec<&Touched>> = Vec::new();
    for one in touched {
        match parts.iter_mut().find(|part| part[0].entity.name == one.entity.name) {
            Some(part) => part.push(one),
            None => parts.push(vec![one]),
        }
    }
    parts
}

fn compare(part: &[&Touched], of: impl Fn(&Touched) -> &PerSide<Option<Record>>, excuses: &Excuses) -> Judgement {
    let entity = Arc::clone(&part[0].entity);
    let fields = told(&entity);
    let asked = Asked::Keys(part.iter().map(|one| one.key.clone()).collect());
    let answer = |side: Side| Answer(part.iter().map(|one| of(one).get(side).clone()).collect());
    let answers = PerSide { legacy: answer(Side::Legacy), modern: answer(Side::Modern) };
    judge(&Question { entity: Arc::clone(&entity), fields, asked }, &answers, excuses)
}

/// The judgement that one side has done what the other refuses: a difference of the first record as a whole.
fn refusal(part: &[&Touched], fields: FieldSet, excuses: &Excuses) -> Judgement {
    let first = part[0];
    let difference = Difference {
        subject: Subject::Row { key: first.key.clone() },
        cause: Cause::Logic,
        excused: excuses.cover_whole(Cause::Logic),
        seen: Seen::Records(Arc::new(first.after.clone())),
    };
    Judgement::of(vec![difference], fields, vec![first.key.clone()])
}

fn began_the_same(one: &Touched) -> bool {
    match (&one.before.legacy, &one.before.modern) {
        (Some(legacy), Some(modern)) => {
            let read = legacy.unreadable().union(modern.unreadable()).both(told(&one.entity)).is_empty();
            read && told(&one.entity).iter().all(|index: FieldIndex| legacy.get(index) == modern.get(index))
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests;
