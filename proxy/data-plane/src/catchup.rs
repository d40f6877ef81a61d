//! Catch-up: what did not reach the other side on the write road.

mod again;
pub mod baseline;
pub mod left_behind;
pub mod relay;
pub mod repair;
pub mod retention;
pub mod shapes;
mod touch;
pub mod watch;
