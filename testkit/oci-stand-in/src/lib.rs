//! A stand-in for Oracle's client library, over PostgreSQL: what ODPI-C asks of `libclntsh.so`, for tests.
//!
//! It lets the unmodified `oracle` crate and ODPI-C run: their binds, buffers, errors and threads are real. What
//! it cannot show is Oracle itself: optimizer, NLS, read consistency of single statements, RAC.
//!
//! It must never reach a user. Unless `STRANGLER_OCI_STAND_IN=1` is set it says that its version is 0, and ODPI-C
//! refuses to load it; its banner says what it is; nothing that is shipped depends on it.
//!
//! - Where to begin: a call of the driver comes in at [`oci`], is a statement in [`sql`], runs in a [`session`], and
//!   its errors leave through [`code`]. `bootstrap.sql` is what the database needs besides.
//! - Other variables: `STRANGLER_OCI_STAND_IN_STRICT=1` refuses a text bound as NVARCHAR2,
//!   `STRANGLER_OCI_STAND_IN_TRACE=1` names attributes that are asked for and not known.
//! - What goes wrong on demand is planned over any session; see [`fault`].
//! - `bin/valgrind` runs `examples/tour.rs` under memcheck.
//!
//! Where it differs and a test must not rely on it: a ROWID is PostgreSQL's `(block,row)` and changes with the row; a
//! TIMESTAMP WITH TIME ZONE comes back in UTC; PL/SQL is calls only; optimizer, NLS and `ORA_HASH` are not Oracle's.

pub mod address;
pub mod code;
pub mod date;
pub mod fault;
pub mod number;
pub mod oci;
pub mod scn;
pub mod session;
pub mod sql;
pub mod types;

/// What a PostgreSQL database needs to answer in Oracle's SQL; the first session makes it.
pub fn bootstrap_sql() -> &'static str {
    include_str!("bootstrap.sql")
}

/// What the server calls itself.
pub const BANNER: &str = "OCI stand-in over PostgreSQL 19.3 - not an Oracle server";

/// Whether a guard variable is set to 1.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}
