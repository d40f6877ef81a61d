//! Catch-up: what did not reach the other side on the write road.

pub mod baseline;
pub mod relay;
pub mod repair;
pub mod watch;
