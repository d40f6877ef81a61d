//! What moves percentages and authority.

// The scene of the tests is shared with another crate, in which this one has a name.
#[cfg(test)]
extern crate self as control_plane;

pub mod breakeven;
pub mod desk;
pub mod guard;
pub mod handover;
pub mod openfeature;
pub mod promotion;
pub mod rollout;
pub mod spoken;
pub mod webhooks;
