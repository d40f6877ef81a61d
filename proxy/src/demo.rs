//! The demo: a migration told as it happens, on databases of its own.

pub mod seed;
