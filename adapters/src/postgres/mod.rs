//! PostgreSQL.

pub mod control;
