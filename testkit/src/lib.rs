//! testkit
//!
//! What tests share. Never shipped.

pub mod contract;
pub mod faults;
pub mod inventory;
pub mod postgres;
