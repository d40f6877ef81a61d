//! From an observation to the records that it is about: those compared, and those of them that are wrong.
//!
//! A list in another order accuses the first record that stands elsewhere: however the list is cut by its arguments, one
//! record that sorts differently is one.

use std::collections::{BTreeSet, HashSet};

use model::control::Mark;
use model::evidence::{Cause, Difference, Observation, Verdict};
use serde_json::Value as Json;

/// The records of one comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) compared: BTreeSet<Mark>,
    pub(super) wrong: BTreeSet<Mark>,
}

impl Marks {
    /// Those of an observation of a route that answers with `entity`; none when it came to no verdict.
    pub(super) fn of(entity: &str, observation: &Observation) -> Self {
        if observation.verdict == Verdict::Inconclusive {
            return Self::default();
        }
        let differ = observation.differences.iter().filter(|difference| !difference.excused);
        let wrong: BTreeSet<Mark> = differ.map(|difference| Mark::of(entity, &accused(difference))).collect();
        let mut compared: BTreeSet<Mark> = observation.keys.iter().map(|key| Mark::of(entity, key)).collect();
        compared.extend(&wrong);
        if compared.is_empty() {
            compared.insert(Mark::of(entity, observation.route.as_str()));
        }
        // A mismatch that accuses nobody accuses everything that was compared.
        let wrong = if observation.verdict == Verdict::Mismatch && wrong.is_empty() { compared.clone() } else { wrong };
        Self { compared, wrong }
    }
}

/// The key of the record that differs.
fn accused(difference: &Difference) -> String {
    let (Cause::Order, Json::Array(legacy), Json::Array(modern)) =
        (difference.cause, &difference.values.legacy, &difference.values.modern)
    else {
        return difference.key.clone();
    };
    let texts = |keys: &[Json]| -> Vec<String> { keys.iter().map(Json::to_string).collect() };
    let (legacy, modern) = (texts(legacy), texts(modern));
    let on_both: HashSet<&String> =
        legacy.iter().collect::<HashSet<_>>().intersection(&modern.iter().collect()).copied().collect();
    let both =
        |keys: &'_ [String]| -> Vec<String> { keys.iter().filter(|key| on_both.contains(key)).cloned().collect() };
    let first = both(&legacy).into_iter().zip(both(&modern)).find(|(legacy, modern)| legacy != modern);
    first.map_or_else(|| difference.key.clone(), |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use model::PerSide;
    use serde_json::json;

    use super::*;

    fn difference(cause: Cause, key: &str, values: PerSide<Json>) -> Difference {
        Difference {
            field: None,
            cause,
            key: key.to_owned(),
            values,
            records: PerSide::default(),
            excused: false,
            explained: Vec::new(),
        }
    }

    fn observation(keys: &[&str], differences: Vec<Difference>) -> Observation {
        Observation {
            route: "Query.products".into(),
            verdict: if differences.is_empty() { Verdict::Match } else { Verdict::Mismatch },
            reason: None,
            differences,
            fields: Vec::new(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn one_wrong_record_is_one_in_however_many_lists_and_fields_it_shows() {
        let row = |field: Option<&str>| Difference {
            field: field.map(Into::into),
            ..difference(Cause::Different, "[\"A\"]", PerSide::default())
        };
        let mut wrong = BTreeSet::new();
        for first in 1..40 {
            let keys: Vec<String> = (0..first).map(|key| format!("[\"{key}\"]")).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).chain(["[\"A\"]"]).collect();
            wrong.extend(Marks::of("Product", &observation(&keys, vec![row(None), row(Some("price"))])).wrong);
        }
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn one_record_that_sorts_differently_is_one_however_the_list_is_cut() {
        let mut wrong = BTreeSet::new();
        for length in 5..20 {
            let legacy: Vec<Json> = (0..length).map(|key| json!([key])).collect();
            let mut modern = legacy.clone();
            let moved = modern.remove(3);
            modern.push(moved);
            let order = difference(
                Cause::Order,
                &format!("{{\"first\":{length}}}"),
                PerSide { legacy: legacy.into(), modern: modern.into() },
            );
            wrong.extend(Marks::of("Product", &observation(&[], vec![order])).wrong);
        }
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn what_is_excused_is_not_wrong_and_what_is_inconclusive_was_not_compared() {
        let excused = Difference { excused: true, ..difference(Cause::Rounding, "[1]", PerSide::default()) };
        let excused = Observation { verdict: Verdict::Excused, ..observation(&["[1]"], vec![excused]) };
        let found = Marks::of("Product", &excused);
        assert_eq!((found.compared.len(), found.wrong.len()), (1, 0));
        let nothing = Observation { verdict: Verdict::Inconclusive, ..observation(&["[1]"], Vec::new()) };
        assert_eq!(Marks::of("Product", &nothing), Marks::default());
    }
}
