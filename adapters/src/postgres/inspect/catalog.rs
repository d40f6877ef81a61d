//! Asking PostgreSQL's catalogue. By the simple protocol: every value is text or null, and nothing is prepared.

use model::StoreError;
use tokio_postgres::SimpleQueryMessage;

use crate::postgres::session::Session;

/// A row of texts.
pub(super) struct Found(Vec<Option<String>>);

impl Found {
    /// The text at `place`, empty where it is null.
    pub(super) fn text(&self, place: usize) -> &str {
        self.0.get(place).and_then(Option::as_deref).unwrap_or("")
    }

    /// Whether `place` says true. Null is not.
    pub(super) fn is(&self, place: usize) -> bool {
        self.text(place) == "t" || self.text(place) == "true"
    }

    /// Whether `place` is null.
    pub(super) fn is_null(&self, place: usize) -> bool {
        self.0.get(place).is_none_or(Option::is_none)
    }
}

/// Runs `text`, in which `{table}` stands for the table's name as a literal.
pub(super) async fn rows(session: &Session, text: &str, table: &str) -> Result<Vec<Found>, StoreError> {
    let text = text.replace("{table}", &literal(table));
    let answer = session.client().simple_query(&text).await.map_err(|error| session.error(error))?;
    Ok(answer.into_iter().filter_map(found).collect())
}

fn found(message: SimpleQueryMessage) -> Option<Found> {
    match message {
        SimpleQueryMessage::Row(row) => {
            Some(Found((0..row.len()).map(|place| row.try_get(place).ok().flatten().map(str::to_owned)).collect()))
        }
        _ => None,
    }
}

/// `text` as a literal that means the same whatever the settings say of backslashes.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The name as the catalogue has it: lower case unless quoted.
pub(in crate::postgres) fn folded(column: &str) -> String {
    match column.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => column.to_lowercase(),
    }
}
