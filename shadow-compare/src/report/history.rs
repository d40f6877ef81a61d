//! What both sides remember of one key, ready to be shown. Sensitive values are hashed already.

use model::history::KeyHistory;
use model::{EntityType, FieldName, Instant, PerSide, Record, Side};
use serde::Serialize;
use serde_json::Value as Json;

use super::table::{Align, aligned};
use crate::redact::Redactor;

/// The history of one key on both sides.
pub type HistoryReport = PerSide<SideHistory>;

/// The history of one key on one side.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct SideHistory {
    /// Why it could not be looked at; null when it could.
    pub problem: Option<String>,
    /// The record as it stands now; null when there is none.
    pub present: Json,
    /// The version recorded for the key, `epoch.incarnation.position`; null when nothing was ever written here.
    pub recorded: Option<String>,
    /// States of the ledger, newest first.
    pub states: Vec<StateReport>,
}

/// One state of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    /// When the side wrote it down.
    pub at: Instant,
    /// `epoch.incarnation.position`.
    pub version: String,
    /// The write that made it.
    pub write: String,
    /// The record; null when it was deleted.
    pub record: Json,
}

impl SideHistory {
    /// What a side told; `present` is its record now.
    pub fn of(entity: &EntityType, past: &KeyHistory, present: Option<&Record>, redactor: &Redactor) -> Self {
        let json = |record: Option<&Record>| record.map_or(Json::Null, |record| redactor.record(entity, record));
        let states = past.states.iter().map(|state| StateReport {
            at: state.at,
            version: state.version.to_string(),
            write: state.write.to_string(),
            record: json(state.state.as_ref()),
        });
        Self {
            problem: None,
            present: json(present),
            recorded: past.recorded.map(|version| version.to_string()),
            states: states.collect(),
        }
    }

    /// A side that could not be looked at.
    pub fn unknown(problem: String) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}

/// One table per side; of the records only `field`, if the sample is about one.
pub(super) fn text(history: &HistoryReport, field: Option<&FieldName>) -> String {
    let tables = Side::BOTH.map(|side| side_text(side, history.get(side), field));
    format!("History of the key, newest first.\n\n{}", tables.join("\n"))
}

fn side_text(side: Side, history: &SideHistory, field: Option<&FieldName>) -> String {
    if let Some(problem) = &history.problem {
        return format!("{side}: not known, {problem}\n");
    }
    let shown = |record: &Json| match (record, field) {
        (Json::Null, _) => "(no record)".to_owned(),
        (record, Some(field)) => record.get(field.as_str()).map_or_else(|| "not kept".to_owned(), Json::to_string),
        (record, None) => record.to_string(),
    };
    let recorded = history.recorded.as_deref().unwrap_or("none: nothing was ever written here");
    let heading = field.map_or_else(|| "RECORD".to_owned(), ToString::to_string);
    let mut rows = vec![["WRITTEN", "VERSION", "WRITE"].map(str::to_owned).to_vec()];
    rows[0].push(heading);
    rows.push(vec!["now".to_owned(), "-".to_owned(), "-".to_owned(), shown(&history.present)]);
    rows.extend(
        history
            .states
            .iter()
            .map(|state| vec![state.at.to_string(), state.version.clone(), state.write.clone(), shown(&state.record)]),
    );
    let none = if history.states.is_empty() { "The ledger remembers nothing of it.\n" } else { "" };
    format!("{side}, recorded version {recorded}\n{}{none}", aligned(&[Align::Left; 4], &rows))
}
