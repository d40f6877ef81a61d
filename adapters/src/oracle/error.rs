//! What a driver's error means. The only place that reads ORA codes.
//!
//! A lost session and a call timeout come as DPI-1080, DPI-1067 or DPI-1010 with code 0: what Oracle said stands in
//! the first line of the text only. The rest of that text may be garbage (ODPI-C copies too much) and is never read.
//!
//! Promise: no text of the server that may hold a field's value gets into a message.

use std::time::Duration;

use model::contract::Refusal;
use model::store::DriverError;
use model::{Side, StoreError, fit};
use oracle::{Error, ErrorKind};

/// When an error came: while a commit was on its way, what was sent may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Statement,
    Commit,
}

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Lost against another transaction; nothing is kept.
    Conflict,
    /// The session is gone or stuck.
    SessionLost,
    /// The server takes no work now.
    Unavailable,
    /// It takes no writes now; the session is well.
    Unwritable,
    /// The call's time was over.
    TimedOut,
    /// The moment of a snapshot is gone.
    SnapshotLost,
    /// A rule of the store forbids it.
    Refused(&'static str, &'static str),
    /// An operator must act.
    Misfit(&'static str),
    /// A sequence is at its end: nobody's mistake but its owner's.
    Exhausted,
}

/// ORA-06550: a block does not compile.
const PARSED_BLOCK: i32 = 6550;

pub(super) fn unreachable(side: Side, source: impl Into<DriverError>) -> StoreError {
    StoreError::Unreachable { side, source: source.into() }
}

/// The first line of an error's text.
pub(super) fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What an operator may read: Oracle's code, and the first line where that holds names only.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

/// What the server says against a text that it has only parsed: names of that text, and no value. Of a block the line
/// after the first says it.
pub(super) fn words(error: &Error) -> String {
    let text = error.to_string();
    let lines = if code_of(error) == PARSED_BLOCK { 2 } else { 1 };
    text.lines().take(lines).collect::<Vec<_>>().join(" ")
}

fn told(error: &Error) -> DriverError {
    let code = code_of(error);
    let harmless = matches!(code, 904 | 942 | 1017 | 1031 | 2289 | 8004 | 28_000..=28_002 | 12_000..=12_700);
    Box::new(Told(match code {
        0 => error.dpi_code().map_or_else(|| format!("driver: {:?}", error.kind()), |dpi| format!("DPI-{dpi}")),
        _ if harmless => first_line(error),
        code => format!("ORA-{code:05}"),
    }))
}

/// Oracle's code: the driver's, or the one that the first line names.
fn code_of(error: &Error) -> i32 {
    match error.oci_code() {
        Some(code) if code != 0 => code,
        _ => code_in(&first_line(error)).unwrap_or(0),
    }
}

/// The code in `ORA-01234`.
fn code_in(line: &str) -> Option<i32> {
    let digits = &line[line.find("ORA-")? + 4..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// An error while a session was made: nothing was sent.
pub(super) fn connecting(side: Side, error: Error) -> StoreError {
    let code = code_of(&error);
    let problem = match (code, error.dpi_code()) {
        (1017, _) => "the login is refused: check user and password",
        (28_000, _) => "the account is locked: a DBA must unlock it",
        (28_001, _) => "the password has expired: a DBA must renew it",
        (12_154 | 12_505 | 12_514, _) => "its address names no service: check `connect`",
        (1031 | 1045, _) => "the account may not log in: grant CREATE SESSION",
        (_, Some(1047)) => {
            "Oracle's client library was not found: install Instant Client, and name its folder in client_lib_dir"
        }
        (_, Some(1050 | 1072)) => "Oracle's client library is too old, or not one: 18 or higher is needed",
        _ => return unreachable(side, told(&error)),
    };
    StoreError::Misfit { side, problem: problem.into(), source: Some(told(&error)) }
}

/// An error after something was sent, and whether the session is lost with it.
pub(super) fn classify(side: Side, limit: Duration, error: &Error, moment: Moment) -> (StoreError, bool) {
    if moment == Moment::Commit {
        // One code says that the transaction was undone; any other may mean everything.
        return match undone_by(code_of(error), &error.to_string()) {
            Some(meaning) => (stated(side, limit, meaning, Some(error)), false),
            None => (StoreError::NoAnswer { side, limit }, true),
        };
    }
    let meaning = meaning(code_of(error), error.dpi_code(), error.kind());
    let lost = matches!(meaning, Meaning::SessionLost | Meaning::TimedOut | Meaning::Unavailable);
    (stated(side, limit, meaning, Some(error)), lost)
}

/// The error of one row of a batch.
pub(super) fn of_code(side: Side, limit: Duration, code: i32) -> StoreError {
    stated(side, limit, meaning(code, None, ErrorKind::OciError), None)
}

/// What a commit was refused for, where `code` says that all was undone: ORA-02091. Its second line names the rule.
fn undone_by(code: i32, text: &str) -> Option<Meaning> {
    let rule = (code == 2091).then(|| text.lines().nth(1).and_then(code_in))?;
    Some(match rule.map(of_ora) {
        Some(refused @ Meaning::Refused(..)) => refused,
        Some(_) | None => Meaning::Refused("REFUSED_BY_RULE", "a rule of the store forbids it"),
    })
}

fn stated(side: Side, limit: Duration, meaning: Meaning, error: Option<&Error>) -> StoreError {
    let source = error.map(told);
    let driver = |source: Option<DriverError>| source.unwrap_or_else(|| "one row of many".into());
    match meaning {
        Meaning::SessionLost | Meaning::TimedOut => StoreError::NoAnswer { side, limit },
        Meaning::Unavailable => StoreError::Unreachable { side, source: driver(source) },
        Meaning::Unwritable => StoreError::Unwritable { side, source: driver(source) },
        Meaning::Conflict => StoreError::Conflict { side, source: driver(source) },
        Meaning::SnapshotLost => StoreError::SnapshotLost { side, source },
        Meaning::Refused(code, message) => {
            let refusal = Refusal { code: code.to_owned(), message: message.to_owned() };
            StoreError::Refused { side, refusal, source }
        }
        Meaning::Misfit(problem) => {
            let told = source.as_ref().map_or_else(String::new, |source| format!(" ({source})"));
            StoreError::Misfit { side, problem: format!("{problem}{told}"), source }
        }
        Meaning::Exhausted => {
            StoreError::exhausted(side, &source.map_or_else(|| "ORA-08004".to_owned(), |told| told.to_string()))
        }
    }
}

/// Whether a `CREATE` or an `ADD` failed because there is one already, or the `DROP` of a rule because there is none.
pub(super) fn says_exists(error: &Error) -> bool {
    matches!(code_of(error), 955 | 957 | 1408 | 1430 | 2264 | 2443)
}

/// The unique rule that a batch's row may break without harm.
pub(super) const EXISTS: i32 = 1;

/// Whether a rule between rows forbids it: unique values, a parent that is missing, children that are there.
pub(super) fn is_between_rows(code: i32) -> bool {
    matches!(code, EXISTS | 2291 | 2292)
}

fn meaning(code: i32, dpi: Option<i32>, kind: ErrorKind) -> Meaning {
    if code == 0 {
        return match dpi {
            Some(1067) => Meaning::TimedOut,
            Some(1010 | 1080) => Meaning::SessionLost,
            Some(1047 | 1050 | 1072) => Meaning::Misfit("Oracle's client library cannot be used"),
            _ if matches!(kind, ErrorKind::OutOfRange | ErrorKind::InvalidTypeConversion) => {
                Meaning::Refused(fit::OUT_OF_RANGE, "a number or time lies beyond what its column holds")
            }
            _ => Meaning::Misfit("the driver did not understand the answer"),
        };
    }
    of_ora(code)
}

/// The table of codes.
fn of_ora(code: i32) -> Meaning {
    let beyond = "a number or time lies beyond what its column holds";
    match code {
        54 | 60 | 8177 | 30_006 | 4020 => Meaning::Conflict,
        // The plan or package was altered under us; the same call parses it anew.
        932 | 1007 | 4061 | 4065 | 4068 => Meaning::Conflict,
        22 | 28 | 31 | 45 | 378 | 602 | 603 | 609 | 1012 | 1041 | 1043 | 1092 | 2396 | 3113 | 3114 | 3122 | 3135
        | 12_153 | 12_537 | 12_547 | 12_570 | 12_583 | 27_146 | 28_511 | 56_600 => Meaning::SessionLost,
        // A failover that the client library tried by itself: whatever was open is undone or unknown.
        25_401..=25_409 => Meaning::SessionLost,
        12_170 | 12_514 | 12_516 | 12_518 | 12_519 | 12_520 | 12_528 | 12_541 | 12_543 | 12_545 | 1033 | 1034
        | 1089 | 1090 => Meaning::Unavailable,
        // No more sessions or memory for us now.
        18 | 20 | 257 | 4030 | 4031 | 24_418 | 24_457 | 24_459 => Meaning::Unavailable,
        // A tablespace is full (of tables, indexes, large objects or undo), or our share of it; or the database is open for
        // reading only.
        1536 | 1631 | 1632 | 1653 | 1654 | 1688 | 1691 | 16_000 | 30_036 => Meaning::Unwritable,
        40 | 1013 | 2391 | 3136 | 3156 => Meaning::TimedOut,
        1466 | 1555 | 8180 | 8181 => Meaning::SnapshotLost,
        1 => Meaning::Refused("ALREADY_EXISTS", "a unique rule of the store allows it only once"),
        1400 | 1407 => Meaning::Refused("MISSING_VALUE", "a column needs a value"),
        2290 => Meaning::Refused("REFUSED_BY_RULE", "a rule of the store forbids it"),
        2291 | 2292 => {
            Meaning::Refused("STILL_REFERENCED", "a rule ties it to another record, which is missing or still there")
        }
        12_899 | 1401 | 1461 => Meaning::Refused(fit::TOO_LONG, "a text is longer than its column"),
        1426 | 1438 | 1455 | 1841 => Meaning::Refused(fit::OUT_OF_RANGE, beyond),
        1476 | 1722 | 1830..=1840 | 1842..=1861 | 1878 | 6502 => {
            Meaning::Refused("BAD_VALUE", "a value does not fit the statement")
        }
        34 => Meaning::Misfit("a procedure commits by itself: it cannot be part of a write, take its COMMIT out"),
        1403 => Meaning::Refused("BAD_VALUE", "a statement of the store found no row"),
        1422 | 1427 => Meaning::Misfit("a statement found more rows than it can use: mend it, or the rows"),
        8004 => Meaning::Exhausted,
        14_400 => Meaning::Misfit("no partition takes the row: create one for it"),
        // Raised by the store's own procedures and triggers; their texts may hold values.
        20_000..=20_999 => Meaning::Refused("REFUSED_BY_RULE", "a procedure or trigger of the store forbids it"),
        904 | 942 | 2289 | 4043 => {
            Meaning::Misfit("a table or column is missing, or its right is: run `strangler check`")
        }
        1031 | 1017 | 28_000..=28_002 => Meaning::Misfit("a right is missing, grant it"),
        1489 => Meaning::Misfit("a row is longer than Oracle joins in SQL (4000 bytes): leave fields out by @compare"),
        12_704 => Meaning::Misfit("a national text was bound where a plain one belongs"),
        600 | 7445 | 3137 => Meaning::Misfit("the server failed inside: a DBA must look at its alert log"),
        _ => Meaning::Misfit("the server answered with an error"),
    }
}

#[cfg(test)]
mod tests;
