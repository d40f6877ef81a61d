//! What a driver's error means. The only place that reads SQLSTATEs.
//!
//! Promise: no text of the server that may hold a field's value gets into a message. Messages of class 42
//! (syntax, missing tables and columns) hold names only and are shown; DETAIL never is.

use std::time::Duration;

use deadpool::managed::{HookError, PoolError};
use model::contract::Refusal;
use model::store::DriverError;
use model::{Side, StoreError, fit};
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::dial::NoConnection;
use super::line::NoLine;

/// The bookkeeping's own constraint names, by which a failed insert is understood.
pub(super) mod constraint {
    /// A write id is in the ledger already.
    pub(in crate::postgres) const WRITE_ID: &str = "strangler_ledger_pkey";
    /// An idempotency key is in the ledger already.
    pub(in crate::postgres) const IDEMPOTENCY_KEY: &str = "strangler_ledger_idempotency";
}

/// No connection could be had, for whatever reason.
pub(super) fn unreachable(side: Side, source: impl Into<DriverError>) -> StoreError {
    StoreError::Unreachable { side, source: source.into() }
}

/// An error while a connection was taken from a pool or made: nothing was sent.
pub(super) fn connecting(side: Side, error: PoolError<NoLine>) -> StoreError {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => no_line(side, error),
        error @ (PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(HookError::Message(_))) => unreachable(side, error),
    }
}

/// Why there is no connection, or none that may be used.
pub(super) fn no_line(side: Side, error: NoLine) -> StoreError {
    let state = match &error {
        NoLine::None(error) => error.state().unwrap_or_default().to_owned(),
        NoLine::Driver(error) => error.code().map(|state| state.code().to_owned()).unwrap_or_default(),
        NoLine::NotMine(whose) => return StoreError::not_mine(side, whose),
        NoLine::Pooler => {
            return StoreError::Misfit { side, problem: error.to_string(), source: None };
        }
    };
    if let Some(problem) = refused_login(&state, &error) {
        return StoreError::Misfit { side, problem, source: Some(error.into()) };
    }
    if state == "42501" {
        let problem = "a right is missing, grant it".into();
        return StoreError::Misfit { side, problem, source: Some(error.into()) };
    }
    unreachable(side, error)
}

/// Why a server lets nobody in under this login, where it says so.
fn refused_login(state: &str, error: &NoLine) -> Option<String> {
    match error {
        _ if !state.starts_with("28") && !state.starts_with("3D") => None,
        NoLine::None(NoConnection::Protection { problem, .. }) => Some(problem.clone()),
        NoLine::None(NoConnection::Driver(_)) | NoLine::Driver(_) | NoLine::Pooler | NoLine::NotMine(_) => {
            Some("the login is refused or the database does not exist: check its address".to_owned())
        }
    }
}

/// What the server says of a plan that it keeps for a prepared statement.
const CACHED_PLAN: &str = "cached plan";

/// Whether a prepared statement is of no use any more: its table was altered since, or the server has forgotten it.
pub(super) fn is_out_of_date(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| match db.code().code() {
        "0A000" => db.message().contains(CACHED_PLAN),
        "26000" => true,
        _ => false,
    })
}

/// Whether letters have no form in the encoding of whom they were sent to.
pub(super) fn is_of_encoding(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| matches!(state.code(), "22021" | "22P05"))
}

/// An error after something was sent.
pub(super) fn classify(side: Side, limit: Duration, error: tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        // The connection broke, or the answer made no sense: what was sent may have been done.
        return StoreError::NoAnswer { side, limit };
    };
    let meaning = meaning(db);
    let source: DriverError = Box::new(error);
    match meaning {
        Meaning::NoAnswer => StoreError::NoAnswer { side, limit },
        Meaning::Unreachable => StoreError::Unreachable { side, source },
        Meaning::Unwritable => StoreError::Unwritable { side, source },
        Meaning::Conflict => StoreError::Conflict { side, source },
        Meaning::Refused(refusal) => StoreError::Refused { side, refusal, source: Some(source) },
        Meaning::Misfit(problem) => StoreError::Misfit { side, problem, source: Some(source) },
        Meaning::Exhausted(what) => StoreError::exhausted(side, &what),
    }
}

/// Whether the ledger insert failed because no open fence of the epoch was found: see `execute`.
pub(super) fn is_fence(error: &tokio_postgres::Error) -> bool {
    is_null_in_ledger(error, "epoch")
}

/// Whether the ledger insert failed because this side is suspended, or writes another log than its life speaks of.
pub(super) fn is_suspension(error: &tokio_postgres::Error) -> bool {
    is_null_in_ledger(error, "incarnation")
}

fn is_null_in_ledger(error: &tokio_postgres::Error, column: &str) -> bool {
    error.as_db_error().is_some_and(|db| {
        db.code() == &SqlState::NOT_NULL_VIOLATION
            && db.table() == Some("strangler_ledger")
            && db.column() == Some(column)
    })
}

/// The name of the unique constraint that an error is about.
pub(super) fn unique_constraint(error: &tokio_postgres::Error) -> Option<&str> {
    let db = error.as_db_error()?;
    (db.code() == &SqlState::UNIQUE_VIOLATION).then(|| db.constraint()).flatten()
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    NoAnswer,
    Unreachable,
    Unwritable,
    Conflict,
    Refused(Refusal),
    Misfit(String),
    /// A sequence is at its end: nobody's mistake but its owner's.
    Exhausted(String),
}

fn meaning(db: &DbError) -> Meaning {
    let severity = db.parsed_severity();
    // The server ended the session: a COMMIT before may have been done (a cut-off wait for a standby is told so).
    if matches!(severity, Some(Severity::Fatal | Severity::Panic)) {
        return Meaning::NoAnswer;
    }
    meaning_of(db.code().code(), Said::of(db))
}

/// What an error says beside its SQLSTATE. Messages may come in any language, the names of routines do not.
#[derive(Debug, Clone, Copy, Default)]
struct Said<'a> {
    message: &'a str,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
    routine: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn of(db: &'a DbError) -> Self {
        let (message, constraint) = (db.message(), db.constraint());
        Self { message, constraint, column: db.column(), routine: db.routine() }
    }
}

/// Where a server says that it has no transaction numbers left, until somebody has run VACUUM.
const NO_NUMBERS_LEFT: [&str; 2] = ["GetNewTransactionId", "GetNewMultiXactId"];

/// The table of SQLSTATEs.
fn meaning_of(state: &str, said: Said<'_>) -> Meaning {
    let Said { message, constraint, column, routine } = said;
    let refused = |code: &str, message: String| Meaning::Refused(Refusal { code: code.to_owned(), message });
    let misfit = |problem: &str| Meaning::Misfit(problem.to_owned());
    let rule = constraint.map_or_else(|| "a rule of the store".to_owned(), |name| format!("the rule {name}"));
    let class = state.get(..2).unwrap_or_default();
    match (class, state) {
        (_, "08000" | "08003" | "08006" | "08007" | "08P01" | "40003" | "57P01" | "57P02" | "57P05") => {
            Meaning::NoAnswer
        }
        (_, "08001" | "08004" | "57P03" | "57P04") => Meaning::Unreachable,
        // Its disk is full, or it is read-only.
        (_, "53100" | "25006") => Meaning::Unwritable,
        // A standby: somebody fails over, or the address points to the wrong server.
        (_, "55000") if message.contains("recovery") => Meaning::Unwritable,
        (_, "54000") if routine.is_some_and(|routine| NO_NUMBERS_LEFT.contains(&routine)) => Meaning::Unwritable,
        // A limit on one statement, or a file of one function: the side answers others.
        (_, "53400") => misfit("a statement reached a limit of the server, such as temp_file_limit: raise it"),
        (_, "58P01" | "58P02") => {
            misfit("the server lacks a file, such as a function's library: a DBA must look at its log")
        }
        ("53" | "58", _) => Meaning::Unreachable,
        ("40", _) | (_, "55P03" | "55006" | "57014" | "26000" | "25P03" | "25P02") => Meaning::Conflict,
        // The table was altered under a prepared statement: see `is_out_of_date`.
        (_, "0A000") if message.contains(CACHED_PLAN) => Meaning::Conflict,
        (_, "22001") => refused(fit::TOO_LONG, "a text is longer than its column".into()),
        (_, "22003" | "22008" | "22015") => {
            refused(fit::OUT_OF_RANGE, "a number or time lies beyond what its column holds".into())
        }
        (_, "22021" | "22P05") => {
            refused(fit::BAD_CHARACTER, "a text holds a character that the database's encoding does not have".into())
        }
        // The message names the sequence and its limit, and nothing else.
        (_, "2200H") => Meaning::Exhausted(message.to_owned()),
        // What an index's entry or a row has no room for, though its column has.
        (_, "54000") => refused(fit::TOO_LONG, "a value is larger than a row, or an entry of an index, may be".into()),
        ("22", _) => refused("BAD_VALUE", "a value does not fit the statement".into()),
        (_, "23514") if constraint.is_none() => misfit("no partition takes the row: create one for it"),
        (_, "23514" | "23P01" | "44000") => refused("REFUSED_BY_RULE", format!("{rule} forbids it")),
        (_, "23505") => refused("ALREADY_EXISTS", format!("{rule} allows it only once")),
        (_, "23503" | "23001") => {
            refused("STILL_REFERENCED", format!("{rule} ties it to another record, which is missing or still there"))
        }
        (_, "23502") => {
            let column = column.unwrap_or("a column");
            refused("MISSING_VALUE", format!("{column} needs a value"))
        }
        ("23", _) => refused("REFUSED_BY_RULE", format!("{rule} forbids it")),
        (_, "P0003" | "21000") => {
            misfit("a statement or function found more rows than it can use: mend it, or the rows")
        }
        (_, "P0004") => misfit("an assertion of one of the store's functions failed: mend it"),
        // Raised by the store's own functions and triggers; their texts may hold values.
        ("P0", _) => refused("REFUSED_BY_RULE", "a function or trigger of the store forbids it".into()),
        (_, "42501") => Meaning::Misfit(format!("a right is missing, grant it: {message}")),
        ("42" | "3D" | "3F" | "0A", _) => Meaning::Misfit(message.to_owned()),
        (_, "XX001" | "XX002") => misfit("the server found damaged data: a DBA must look at its log, at once"),
        _ => Meaning::Misfit(format!("the server answered with SQLSTATE {state}")),
    }
}

#[cfg(test)]
mod tests;
