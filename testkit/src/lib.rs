//! testkit
//!
//! What tests share. Never shipped.

pub mod control_contract;
pub mod postgres;
