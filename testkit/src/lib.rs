//! What tests share: throw-away PostgreSQL, contract suites, faults, a fleet. Never shipped.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "what fails or is printed here belongs to a test")]

pub mod begin;
pub mod contract;
pub mod control_contract;
pub mod encrypted;
pub mod faults;
pub mod fleet;
pub mod harm;
pub mod inventory;
pub mod load;
pub mod menagerie;
pub mod oracle;
pub mod orders;
pub mod postgres;
pub mod torture;
