//! testkit
//!
//! What tests share. Never shipped.

pub mod postgres;
