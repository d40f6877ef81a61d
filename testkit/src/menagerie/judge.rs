//! What is true: both databases as SQL shows them, and what follows from it.
//!
//! Pure: contents come in, violations go out.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Something that strangler said and SQL does not confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What kind of untruth it is, for the table.
    pub kind: &'static str,
    /// What was said of what.
    pub what: String,
}

impl Violation {
    pub(super) fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

/// One entity's type and key, as the ledger writes it: `Item ["A1"]`.
pub(super) type Key = String;

/// All rows of one side: what stands under each key. Two rows of one key are two texts in one.
pub(super) type Contents = BTreeMap<Key, String>;

/// The newest state of the primary's ledger for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) settled: bool,
}

/// A record as an answer shows it, as [`Contents`] write it. `None`: no record.
pub(super) fn shown(answer: &Json) -> Option<(Key, String)> {
    if let (Some(id), Some(name)) = (answer["id"].as_str(), answer["name"].as_str()) {
        return Some((item(id), format!("{name}|{}", answer["qty"])));
    }
    let (item, txt) = (answer["item"].as_str()?, answer["txt"].as_str()?);
    Some((format!("Line [{},{}]", Json::from(item), answer["pos"]), txt.to_owned()))
}

/// The key of an item.
pub(super) fn item(id: &str) -> Key {
    format!("Item [{}]", Json::from(id))
}

/// Keys whose rows differ between two contents.
pub(super) fn different(one: &Contents, other: &Contents) -> Vec<Key> {
    let keys = one.keys().chain(other.keys());
    let mut keys: Vec<_> = keys.filter(|key| one.get(*key) != other.get(*key)).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Keys that the ledger calls settled and that differ.
pub(super) fn falsely_settled(ledger: &BTreeMap<Key, Newest>, one: &Contents, other: &Contents) -> Vec<Violation> {
    different(one, other)
        .into_iter()
        .filter(|key| ledger.get(key).is_some_and(|newest| newest.settled))
        .map(|key| {
            let show = |contents: &Contents| contents.get(&key).cloned().unwrap_or_else(|| "no row".to_owned());
            let what =
                format!("{key} is settled, and is `{}` on the primary and `{}` on the other", show(one), show(other));
            Violation::new("writes are called settled that the other side does not hold", what)
        })
        .collect()
}

/// What an acknowledged write has to show for itself.
pub(super) fn acknowledged(
    what: &str,
    answer: Option<&Json>,
    before: &Contents,
    after: &Contents,
    ledger: &BTreeMap<Key, Newest>,
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let changed = different(before, after);
    if !changed.is_empty() && !changed.iter().any(|key| ledger.contains_key(key)) {
        let what = format!("{what} was acknowledged and changed {}, which no ledger row names", changed.join(" and "));
        wrong.push(Violation::new("a write stands that no ledger row names", what));
    }
    if let Some((key, record)) = answer.and_then(shown) {
        let stands = after.get(&key);
        if stands != Some(&record) {
            let what = format!("{what} answered {key} = `{record}`, and the primary has {stands:?}");
            wrong.push(Violation::new("an answer is not what the primary holds", what));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contents(rows: &[(&str, &str)]) -> Contents {
        rows.iter().map(|(key, row)| ((*key).to_owned(), (*row).to_owned())).collect()
    }

    #[test]
    fn what_is_settled_and_differs_is_found_and_what_waits_is_not() {
        let (one, other) = (contents(&[("a", "1"), ("b", "1"), ("c", "1")]), contents(&[("a", "2"), ("b", "2")]));
        let ledger = BTreeMap::from([
            ("a".to_owned(), Newest { settled: true }),
            ("b".to_owned(), Newest { settled: false }),
            ("c".to_owned(), Newest { settled: true }),
        ]);
        let found = falsely_settled(&ledger, &one, &other);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].what.starts_with("a is settled") && found[1].what.contains("no row"), "{found:?}");
    }

    #[test]
    fn an_acknowledged_write_must_be_in_the_ledger_and_its_answer_true() {
        let (before, after) = (Contents::new(), contents(&[("Item [\"B\"]", "x|1")]));
        let answer = json!({ "id": "b", "name": "x", "qty": 1 });
        assert_eq!(acknowledged("set", Some(&answer), &before, &after, &BTreeMap::new()).len(), 2);
        let ledger = BTreeMap::from([(item("B"), Newest { settled: true })]);
        let answer = json!({ "id": "B", "name": "x", "qty": 1 });
        assert_eq!(acknowledged("set", Some(&answer), &before, &after, &ledger), []);
    }
}
