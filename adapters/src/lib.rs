//! The systems of record behind the ports of `model`.
//!
//! Every adapter keeps the same promise, `model::Store`, and passes the same suite,
//! `testkit::contract`. The files of one adapter are named like those of the next.

mod id_map;
mod lane;
pub mod local_server;
pub mod memory;
mod number;
pub mod oracle;
pub mod postgres;
mod stored;
mod value;

pub use lane::{Lane, Lanes};
