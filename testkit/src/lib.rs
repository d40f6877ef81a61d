//! What tests share: throw-away PostgreSQL, contract suites, faults, a fleet. Never shipped.

pub mod contract;
pub mod control_contract;
pub mod faults;
pub mod fleet;
pub mod inventory;
pub mod postgres;
