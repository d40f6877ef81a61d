//! The systems of record behind the ports.

pub mod local_server;
pub mod memory;
pub mod postgres;
