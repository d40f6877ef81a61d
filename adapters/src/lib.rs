//! The systems of record behind the ports.

pub mod memory;
pub mod postgres;
