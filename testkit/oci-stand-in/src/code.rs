//! What Oracle would say: SQLSTATE of PostgreSQL to ORA code and text.
//!
//! Errors raised inside the database by `oracle.raise` carry their ORA code themselves (see `bootstrap.sql`).

use std::fmt;

use postgres::error::{DbError, SqlState};

/// An error as a caller of the library sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleError {
    /// The number after `ORA-`.
    pub code: i32,
    /// What follows the number.
    pub text: String,
}

/// The result of nearly everything here.
pub type Outcome<T> = Result<T, OracleError>;

impl OracleError {
    /// An error with a text of its own.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// An error with the usual text of its code.
    pub fn plain(code: i32) -> Self {
        Self::new(code, usual_text(code))
    }

    /// The same at a commit: a rule that was deferred undoes the transaction, and stands in the second line.
    #[must_use]
    pub fn at_commit(self) -> Self {
        match self.code {
            1 | 2290 | 2291 | 2292 => Self::new(2091, format!("transaction rolled back\n{self}")),
            _ => self,
        }
    }

    /// Whether it is about the call and not about one row of it: the session is gone, or its time was over.
    pub fn ends_call(&self) -> bool {
        self.ends_session() || matches!(self.code, 1013 | 3136)
    }

    /// Whether the session is gone with it.
    pub fn ends_session(&self) -> bool {
        matches!(self.code, 28 | 1012 | 1041 | 1089 | 1092 | 2396 | 3113 | 3114 | 3135 | 12537 | 12571)
    }
}

impl fmt::Display for OracleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ORA-{:05}: {}", self.code, self.text)
    }
}

/// SQLSTATE that `oracle.raise` uses; the ORA code is in the detail.
const RAISED: &str = "ORA00";

/// What PostgreSQL says in one code and Oracle in one, too.
pub const TABLE: [(&str, i32); 46] = [
    ("0A000", 3001),
    ("21000", 1427),
    ("22001", 12899),
    ("22003", 1438),
    ("22007", 1861),
    ("22008", 1843),
    ("2200H", 8004),
    ("22012", 1476),
    ("22021", 29275),
    ("22023", 6502),
    ("22P02", 1722),
    ("23502", 1400),
    ("23503", 2291),
    ("23505", 1),
    ("23514", 2290),
    ("25006", 16000),
    ("28000", 1017),
    ("28P01", 1017),
    ("2BP01", 2449),
    ("3D000", 12514),
    ("3F000", 942),
    ("40001", 8177),
    ("40P01", 60),
    ("42501", 1031),
    ("42601", 933),
    ("42701", 957),
    ("42702", 918),
    ("42703", 904),
    ("42704", 2443),
    ("42710", 955),
    ("42804", 932),
    ("42809", 942),
    ("42883", 904),
    ("42P01", 942),
    ("42P07", 955),
    ("42P16", 2260),
    ("53100", 1653),
    ("53200", 4031),
    ("53300", 20),
    ("55000", 8002),
    ("55P03", 54),
    ("57P01", 3113),
    ("57P03", 1033),
    ("P0001", 20000),
    ("P0002", 1403),
    ("P0003", 1422),
];

/// The usual text of a code, where it needs no names; else a plain word.
pub fn usual_text(code: i32) -> &'static str {
    match code {
        20 => "maximum number of processes exceeded",
        28 => "your session has been killed",
        54 => "resource busy and acquire with NOWAIT specified or timeout expired",
        60 => "deadlock detected while waiting for resource",
        600 => "internal error code",
        942 => "table or view does not exist",
        1008 => "not all variables bound",
        1012 => "not logged on",
        1013 => "user requested cancel of current operation",
        1017 => "invalid username/password; logon denied",
        1031 => "insufficient privileges",
        1033 => "ORACLE initialization or shutdown in progress",
        1036 => "illegal variable name/number",
        1403 => "no data found",
        1427 => "single-row subquery returns more than one row",
        1438 => "value larger than specified precision allowed for this column",
        1476 => "divisor is equal to zero",
        1555 => "snapshot too old",
        1722 => "invalid number",
        3113 => "end-of-file on communication channel",
        3114 => "not connected to ORACLE",
        3135 => "connection lost contact",
        3136 => "inbound connection timed out",
        8004 => "sequence NEXTVAL exceeds MAXVALUE and cannot be instantiated",
        8177 => "can't serialize access for this transaction",
        8181 => "specified number is not a valid system change number",
        12154 => "TNS:could not resolve the connect identifier specified",
        12170 => "TNS:Connect timeout occurred",
        12514 => "TNS:listener does not currently know of service requested in connect descriptor",
        12541 => "TNS:no listener",
        12545 => "Connect failed because target host or object does not exist",
        24417 => "Session pool not found",
        24418 => "Cannot open further sessions.",
        24459 => "OCISessionGet() timed out waiting for pool to create new connections",
        30006 => "resource busy; acquire with WAIT timeout expired",
        _ => "refused",
    }
}

/// What PostgreSQL's driver reports, in Oracle's terms.
pub fn from_postgres(error: &postgres::Error) -> OracleError {
    if let Some(reported) = error.as_db_error() {
        return from_server(reported);
    }
    let text = error.to_string();
    // Nobody listens, or the address is none: the driver has one text for both.
    OracleError::plain(if text.contains("connecting") { 12541 } else { 3113 })
}

fn from_server(error: &DbError) -> OracleError {
    let state = error.code().code();
    if state == RAISED {
        let code = error.detail().and_then(|code| code.parse().ok()).unwrap_or(600);
        return OracleError::new(code, error.message());
    }
    let name = |part: Option<&str>| part.unwrap_or_default().to_uppercase();
    let constraint = format!("({}.{})", name(error.schema()), name(error.constraint()));
    let message = error.message();
    match state {
        "23505" => OracleError::new(1, format!("unique constraint {constraint} violated")),
        "23503" if message.starts_with("update or delete") => {
            OracleError::new(2292, format!("integrity constraint {constraint} violated - child record found"))
        }
        "23503" => OracleError::new(2291, format!("integrity constraint {constraint} violated - parent key not found")),
        "23502" => {
            let column =
                [error.schema(), error.table(), error.column()].map(|part| format!("\"{}\"", name(part))).join(".");
            OracleError::new(1400, format!("cannot insert NULL into ({column})"))
        }
        "23514" => match error.datatype() {
            Some(domain) => OracleError::new(12899, format!("value too large for column of type {domain}")),
            None => OracleError::new(2290, format!("check constraint {constraint} violated")),
        },
        "22001" => OracleError::new(12899, format!("value too large for column: {message}")),
        "21000" if message.contains("MERGE") => {
            OracleError::new(30926, "unable to get a stable set of rows in the source tables")
        }
        "57014" => OracleError::plain(if message.contains("statement timeout") { 3136 } else { 1013 }),
        "55P03" if message.contains("lock timeout") => OracleError::plain(30006),
        _ if *error.code() == SqlState::CRASH_SHUTDOWN => OracleError::plain(3113),
        _ => by_table(state, message),
    }
}

fn by_table(state: &str, message: &str) -> OracleError {
    let code = TABLE.iter().find(|(known, _)| *known == state).map_or(600, |(_, code)| *code);
    match usual_text(code) {
        "refused" | "internal error code" => OracleError::new(code, format!("{message} [SQLSTATE {state}]")),
        usual if matches!(code, 942) => OracleError::new(code, format!("{usual} [{message}]")),
        usual => OracleError::new(code, usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_oracle_writes_it() {
        assert_eq!(OracleError::plain(60).to_string(), "ORA-00060: deadlock detected while waiting for resource");
    }

    #[test]
    fn an_unknown_state_keeps_its_message() {
        let error = by_table("XX000", "the roof is on fire");
        assert_eq!((error.code, error.text.as_str()), (600, "the roof is on fire [SQLSTATE XX000]"));
    }

    #[test]
    fn the_table_is_in_order_and_says_each_state_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
