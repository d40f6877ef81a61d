//! The systems of record behind the ports of `model`.
//!
//! Every adapter keeps the same promise, `model::Store`, and passes the same suite,
//! `testkit::contract`. The files of one adapter are named like those of the next.

mod columns;
mod gate;
mod id_map;
mod known;
mod lane;
pub mod local_server;
mod look;
pub mod memory;
mod number;
pub mod oracle;
mod order;
pub mod postgres;
mod source;
mod steps;
mod stored;
mod value;

pub use lane::{Lane, Lanes};
pub use number::base_of;
