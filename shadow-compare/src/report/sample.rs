//! One stored difference, ready to be shown: both records side by side, and their unified diff.

use model::evidence::{Cause, Sample};
use model::{FieldName, Instant, PerSide, RouteName, Side};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::answer::{field_or_whole, words};
use super::diff;
use super::history::HistoryReport;

/// One difference with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleReport {
    /// Names it on the command line.
    pub id: String,
    /// What differs, in a sentence.
    pub answer: String,
    /// The route that was shadowed.
    pub route: RouteName,
    /// The field; null when records or their order differ.
    pub field: Option<FieldName>,
    /// Why.
    pub cause: Cause,
    /// Whether the contract excused it.
    pub excused: bool,
    /// The key as JSON text; for the order of a list its parameters.
    pub key: String,
    /// When it was confirmed.
    pub seen_at: Instant,
    /// What each side answered for the field (or the record, or the order).
    pub values: PerSide<Json>,
    /// Both records as far as both sides were asked for them; null where there is none.
    pub records: PerSide<Json>,
    /// Fields that only the other side was asked for: they are no part of the comparison.
    pub not_asked: PerSide<Vec<String>>,
    /// The unified diff of both records as JSON, from legacy to modern.
    pub diff: String,
    /// What both sides remember of the key; left out where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryReport>,
    #[serde(skip)]
    pub(super) rows: Vec<Row>,
}

/// One line of the side-by-side view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) mark: Mark,
    /// Compact JSON; `None` where the side has nothing for it: [`SampleReport::gap`] says why.
    pub(super) cells: PerSide<Option<String>>,
}

/// How a line of the side-by-side view differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Same,
    /// This is the difference that the sample is about.
    This,
    /// Not the same, but another difference, or one that the contract does not count.
    Other,
}

impl Mark {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::This => "≠",
            Self::Other => "~",
        }
    }
}

impl SampleReport {
    /// Makes `sample` ready to be shown.
    pub fn of(sample: &Sample) -> Self {
        let difference = &sample.difference;
        let values = difference.values.clone().map(|_, value| diff::sorted(value));
        let records = difference.records.clone().map(|_, record| diff::sorted(record));
        let (records, not_asked) = asked_of_both(records, difference.field.as_ref());
        let whole = whole(&values, &records);
        Self {
            id: sample.id.clone(),
            answer: answer(sample, &values),
            route: sample.route.clone(),
            field: difference.field.clone(),
            cause: difference.cause,
            excused: difference.excused,
            key: difference.key.clone(),
            seen_at: sample.seen_at,
            diff: diff::unified(whole),
            history: None,
            rows: rows(whole, difference.field.as_ref()),
            values,
            records,
            not_asked,
        }
    }

    /// What stands above both sides: which of them has no record, and what only one of them was asked for.
    pub(super) fn notes(&self) -> Vec<String> {
        let absent = |side: Side| {
            let gone = self.cause != Cause::Order && self.whole().get(side).is_null();
            gone.then(|| format!("On {side} there is no record."))
        };
        let unasked = |side: Side| {
            let fields = self.not_asked.get(side);
            (!fields.is_empty()).then(|| format!("Not asked of {side}, so not compared: {}.", fields.join(", ")))
        };
        let absent: Vec<_> = Side::BOTH.into_iter().filter_map(absent).collect();
        // Where neither has a record, the order of a list differs, or a value stands alone.
        let absent = if absent.len() == Side::BOTH.len() { Vec::new() } else { absent };
        absent.into_iter().chain(Side::BOTH.into_iter().filter_map(unasked)).collect()
    }

    /// What a cell shows where `side` has nothing. That there is no record is said once, above.
    pub(super) fn gap(&self, side: Side) -> &'static str {
        match self.whole().get(side) {
            Json::Null => "",
            Json::Array(_) => "no row",
            Json::Object(_) | Json::Bool(_) | Json::Number(_) | Json::String(_) => "left out",
        }
    }

    /// What the diff is made of.
    pub(super) fn whole(&self) -> &PerSide<Json> {
        whole(&self.values, &self.records)
    }

    /// What differs, for a heading: the field, or `(record)`, or `(order)`.
    pub(super) fn subject(&self) -> &str {
        field_or_whole(self.field.as_ref(), self.cause)
    }
}

/// Both records without what only one side was asked for, as releases before this one kept it; and what that was. The
/// field that differs was asked of both.
fn asked_of_both(records: PerSide<Json>, field: Option<&FieldName>) -> (PerSide<Json>, PerSide<Vec<String>>) {
    let (Json::Object(legacy), Json::Object(modern)) = (&records.legacy, &records.modern) else {
        return (records, PerSide::default());
    };
    let counts = |name: &String| field.is_some_and(|field| field.as_str() == name);
    let lacks = |has: &Map<String, Json>, other: &Map<String, Json>| -> Vec<String> {
        other.keys().filter(|name| !has.contains_key(*name) && !counts(name)).cloned().collect()
    };
    let not_asked = PerSide { legacy: lacks(legacy, modern), modern: lacks(modern, legacy) };
    let cut = |record: &Map<String, Json>, lacking: &[String]| {
        let kept = record.iter().filter(|(name, _)| !lacking.contains(name));
        Json::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    let cut = PerSide { legacy: cut(legacy, &not_asked.modern), modern: cut(modern, &not_asked.legacy) };
    (cut, not_asked)
}

/// The records; where there are none, as for the order of a list, what stands in their place.
fn whole<'a>(values: &'a PerSide<Json>, records: &'a PerSide<Json>) -> &'a PerSide<Json> {
    if records.legacy.is_null() && records.modern.is_null() { values } else { records }
}

fn answer(sample: &Sample, values: &PerSide<Json>) -> String {
    let difference = &sample.difference;
    let (route, key) = (&sample.route, &difference.key);
    let what = match (&difference.field, difference.values.legacy.is_null(), difference.values.modern.is_null()) {
        (None, false, true) => format!("{route}: legacy has the record {key}, modern does not"),
        (None, true, false) => format!("{route}: modern has the record {key}, legacy does not"),
        (None, _, _) => {
            format!("{route}: both sides have the records of {key}, in different order")
        }
        (Some(field), _, _) => {
            format!("{field} of {route} differs at {key}: legacy has {}, modern has {}", values.legacy, values.modern)
        }
    };
    let mut remarks = Vec::new();
    // The sentence says already that the order is what differs.
    if difference.cause != Cause::Order {
        remarks.push(words(difference.cause));
    }
    if difference.excused {
        remarks.push("it is excused".to_owned());
    }
    match remarks.join("; ").as_str() {
        "" => format!("{what}."),
        remarks => format!("{what} ({remarks})."),
    }
}

fn rows(whole: &PerSide<Json>, field: Option<&FieldName>) -> Vec<Row> {
    let names = |json: &Json| -> Vec<String> {
        match json {
            Json::Object(fields) => fields.keys().cloned().collect(),
            Json::Array(items) => (1..=items.len()).map(|place| format!("{place:>3}")).collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
        }
    };
    let mut all = names(&whole.legacy);
    all.extend(names(&whole.modern));
    all.sort_unstable();
    all.dedup();
    let cell = |json: &Json, name: &str| match json {
        Json::Object(fields) => fields.get(name).map(Json::to_string),
        Json::Array(items) => {
            let place: Option<usize> = name.trim().parse().ok();
            items.get(place?.checked_sub(1)?).map(Json::to_string)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    };
    let row = |name: String| {
        let cells = PerSide { legacy: cell(&whole.legacy, &name), modern: cell(&whole.modern, &name) };
        let mark = if cells.legacy == cells.modern {
            Mark::Same
        } else if field.is_none_or(|field| field.as_str() == name) {
            Mark::This
        } else {
            Mark::Other
        };
        Row { name, mark, cells }
    };
    all.into_iter().map(row).collect()
}
