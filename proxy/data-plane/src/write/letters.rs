//! Letters that a side's encoding does not have: a write that holds any is refused before it is sent to the primary, or it
//! would stand on one side only.
//!
//! Looked at is what the client has sent and what is made of it here. What statements and triggers of the primary add by
//! themselves is not known before: should the other side not have its letters, the write stays unsettled.

use model::write::Work;
use model::{Command, PerSide, Side, Value, fit};

use super::side::WriteSide;
use request::error::ClientError;

/// Refuses `command` where a side that must hold its texts cannot.
///
/// # Errors
/// `BAD_CHARACTER`.
pub(super) fn require(command: &Command, sides: &PerSide<WriteSide>) -> Result<(), ClientError> {
    let keys = command.touches.iter().flat_map(|key| key.parts());
    let refused = |side: &&Side| {
        let has = |value: &Value| texts_are_had(&sides.get(**side).store, value);
        let had = keys.clone().all(has)
            && match &command.work {
                Work::Run { params, .. } => params.values().all(has),
                Work::Set(record) => record.iter().all(|(_, value)| has(value)),
                Work::Delete | Work::Touch => true,
            };
        !had
    };
    match command.must_fit.iter().find(refused) {
        None => Ok(()),
        Some(side) => {
            let message = format!("a text holds a character that the encoding of {side}'s database does not have");
            Err(ClientError::new(fit::BAD_CHARACTER, message))
        }
    }
}

/// Whether the encoding of `store` has every letter of `value`, as far as is known.
pub(crate) fn texts_are_had(store: &std::sync::Arc<dyn model::Store>, value: &Value) -> bool {
    match value {
        Value::Text(text) => store.has_letters(text),
        Value::List(values) => values.iter().all(|value| texts_are_had(store, value)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) | Value::Instant(_) => true,
    }
}
