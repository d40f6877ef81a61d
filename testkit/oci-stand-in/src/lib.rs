//! A stand-in for Oracle's client library, over PostgreSQL: what ODPI-C asks of `libclntsh.so`, for tests.
//!
//! It lets the unmodified `oracle` crate and ODPI-C run: their binds, buffers, errors and threads are real. What
//! it cannot show is Oracle itself: optimizer, NLS, read consistency of single statements, RAC.
//!
//! It must never reach a user. Unless `STRANGLER_OCI_STAND_IN=1` is set it says that its version is 0, and ODPI-C
//! refuses to load it; its banner says what it is. See `README.md`.

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
