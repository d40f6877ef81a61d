//! Oracle's SQL to PostgreSQL's: by tokens, not by a grammar. What is not known goes through as it is, so that
//! PostgreSQL is the judge.
//!
//! Functions, operators and views of Oracle's are in `bootstrap.sql`; here is only what the syntax asks for.

pub mod account;
pub mod block;
pub mod ddl;
pub mod lex;
pub mod rewrite;

pub use rewrite::{Lock, Snapshot, Sql, translate};

/// What sort of statement it is, with the numbers of the C interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not known, or without a kind of its own.
    #[default]
    Other,
    /// SELECT
    Select,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
    /// INSERT
    Insert,
    /// MERGE
    Merge,
    /// CREATE, GRANT and the like
    Create,
    /// DROP
    Drop,
    /// ALTER
    Alter,
    /// BEGIN
    Begin,
    /// DECLARE
    Declare,
    /// CALL
    Call,
    /// COMMIT
    Commit,
    /// ROLLBACK
    Rollback,
    /// SET TRANSACTION
    SetTransaction,
}

impl Kind {
    /// By the first word.
    pub fn of(word: &str) -> Self {
        match word.to_uppercase().as_str() {
            "SELECT" | "WITH" => Self::Select,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "INSERT" => Self::Insert,
            "MERGE" => Self::Merge,
            "CREATE" | "GRANT" | "REVOKE" | "TRUNCATE" | "COMMENT" => Self::Create,
            "DROP" => Self::Drop,
            "ALTER" => Self::Alter,
            "BEGIN" => Self::Begin,
            "DECLARE" => Self::Declare,
            "CALL" => Self::Call,
            "COMMIT" => Self::Commit,
            "ROLLBACK" => Self::Rollback,
            // SET ROLE and SET CONSTRAINTS are not asked for here.
            "SET" => Self::SetTransaction,
            _ => Self::Other,
        }
    }

    /// `OCI_ATTR_STMT_TYPE`.
    pub fn code(self) -> u16 {
        match self {
            Self::Other | Self::SetTransaction => 0,
            Self::Select => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Insert => 4,
            Self::Create => 5,
            Self::Drop => 6,
            Self::Alter => 7,
            Self::Begin => 8,
            Self::Declare => 9,
            Self::Call => 10,
            Self::Merge => 16,
            Self::Rollback => 17,
            Self::Commit => 21,
        }
    }

    /// `OCI_ATTR_SQLFNCODE`.
    pub fn function_code(self) -> u16 {
        match self {
            Self::Other => 0,
            Self::Create => 1,
            Self::Insert => 3,
            Self::Select => 4,
            Self::Update => 5,
            Self::Drop => 8,
            Self::Delete => 9,
            Self::Alter => 15,
            Self::Begin | Self::Declare => 34,
            Self::Commit => 54,
            Self::SetTransaction => 48,
            Self::Rollback => 55,
            Self::Call => 170,
            Self::Merge => 189,
        }
    }

    /// Whether it changes rows.
    pub fn is_dml(self) -> bool {
        matches!(self, Self::Update | Self::Delete | Self::Insert | Self::Merge)
    }

    /// Whether it commits before and after.
    pub fn is_ddl(self) -> bool {
        matches!(self, Self::Create | Self::Drop | Self::Alter)
    }

    /// Whether it is a block of PL/SQL.
    pub fn is_block(self) -> bool {
        matches!(self, Self::Begin | Self::Declare | Self::Call)
    }
}
