//! What a client may be told, and what only we may know. Both carry a stable code.

use std::borrow::Cow;

use model::contract::Refusal;
use model::{Side, StoreError, WriteId};
use thiserror::Error;

/// An error with its root, which names what an operator can act on: a refused connection, a wrong password.
pub fn with_root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let (text, root) = (error.to_string(), root.to_string());
    if text.contains(&root) { text } else { format!("{text} ({root})") }
}

/// Why a root field has no answer.
#[derive(Debug, Clone, Error)]
pub enum Fault {
    /// The client's doing; shown as it is.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Ours or a side's; the client sees code and a general sentence.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

/// An error that may be shown to clients: it says what to do and holds no stored values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ClientError {
    /// Stable, upper case: `BAD_USER_INPUT`, `NOT_FOUND`, or a refusal's code from the contract.
    pub code: Cow<'static, str>,
    /// One sentence.
    pub message: String,
}

/// An error of ours or of a side. The client sees [`InternalError::code`] and [`InternalError::shown`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InternalError {
    /// No side could answer. Nothing was written.
    #[error("no side could answer: {0}")]
    Unavailable(String),
    /// The deadline passed before an answer. Nothing was written.
    #[error("the deadline passed: {0}")]
    DeadlineExceeded(String),
    /// A write was sent and nobody can say yet whether it stands. Repeat it with the same
    /// `Idempotency-Key` to learn the outcome.
    #[error("the outcome of a write is unknown: {0}")]
    OutcomeUnknown(String),
    /// This replica has nothing to compare a side with, and must not write it. Nothing was written.
    #[error("{0} cannot be compared with what anybody remembers of it")]
    NothingRemembered(Side),
    /// A side or the proxy is not set up as the contract says.
    #[error("not set up as the contract says: {0}")]
    Misfit(String),
}

impl ClientError {
    /// An error with a code of ours.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into() }
    }

    /// The arguments cannot be used: `BAD_USER_INPUT`.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new("BAD_USER_INPUT", message)
    }
}

impl InternalError {
    /// A write that stands and whose result cannot be shown: whatever the reason, "nothing was written" would be a lie.
    pub fn not_shown(write: WriteId, fault: &Fault) -> Self {
        Self::OutcomeUnknown(format!("write {write} stands, and cannot be shown: {fault}"))
    }

    /// The stable code shown to clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::DeadlineExceeded(_) => "DEADLINE_EXCEEDED",
            Self::OutcomeUnknown(_) => "OUTCOME_UNKNOWN",
            Self::NothingRemembered(_) => "NOTHING_REMEMBERED",
            Self::Misfit(_) => "INTERNAL",
        }
    }

    /// The sentence shown to clients.
    pub fn shown(&self) -> &'static str {
        match self {
            // Not "nothing was written": a link below a mutation that stands may fail with these too.
            Self::Unavailable(_) => "the service is not available at the moment; try again later",
            Self::DeadlineExceeded(_) => "no answer in time; try again",
            Self::OutcomeUnknown(_) => {
                "the write was sent but its outcome is not known yet; repeat it with the same Idempotency-Key"
            }
            Self::NothingRemembered(_) => {
                "nothing was written: this server is new and can ask nobody whether the database is the right one; try again later, or at another"
            }
            Self::Misfit(_) => "internal error",
        }
    }
}

impl Fault {
    /// The stable code shown to clients.
    pub fn code(&self) -> &str {
        match self {
            Self::Client(error) => &error.code,
            Self::Internal(error) => error.code(),
        }
    }

    /// The same as one of ours: of a client's error, that it is internal where no client is concerned.
    pub fn internal_code(&self) -> &'static str {
        match self {
            Self::Client(_) => "INTERNAL",
            Self::Internal(error) => error.code(),
        }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self { code: Cow::Owned(refusal.code), message: refusal.message }
    }
}

/// What a store's error means at the front door, where nothing was written or only read.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        if error.is_exhausted() {
            return Self::Internal(InternalError::Unavailable(text));
        }
        match error {
            StoreError::Refused { refusal, .. } => Self::Client(refusal.into()),
            StoreError::KeyReused => Self::Client(ClientError::new("IDEMPOTENCY_KEY_REUSED", text)),
            StoreError::Unreachable { .. }
            | StoreError::Unwritable { .. }
            | StoreError::Conflict { .. }
            | StoreError::Fenced { .. }
            | StoreError::SnapshotLost { .. } => Self::Internal(InternalError::Unavailable(text)),
            StoreError::NoAnswer { .. } => Self::Internal(InternalError::DeadlineExceeded(text)),
            StoreError::Misfit { .. } => Self::Internal(InternalError::Misfit(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Side;

    use super::*;

    #[test]
    fn a_sequence_at_its_end_asks_the_client_to_try_again_later() {
        let fault = Fault::from(StoreError::exhausted(Side::Legacy, "item_numbers"));
        assert_eq!((fault.code(), fault.internal_code()), ("UNAVAILABLE", "UNAVAILABLE"));
        assert!(fault.to_string().contains("item_numbers"), "the log names it: {fault}");
    }
}
