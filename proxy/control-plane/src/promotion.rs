//! Promotion: a group walks a declared plan, and takes a step only while every gate holds.
//!
//! `gates` says whether a group may move on, and if not, why not. `steps` decides what a promotion does next.
//! Both are pure. Every replica's `Promoter` (in the desk) does it; the plan and the place on it stand in the control store,
//! so a replica or a terminal that goes away stops nothing.
//!
//! Invariant: no data is not success. A gate without enough data does not hold.

pub mod bound;
pub mod gates;
pub mod steps;

use model::control::Step;

pub use gates::{Gate, GateLimits, GateState};

/// The declared plan, and the limits of its gates.
#[derive(Debug, Clone, PartialEq)]
pub struct PromotionRules {
    /// The steps: percentages rise, the last one is 100.
    pub steps: Vec<Step>,
    /// The gates' limits.
    pub limits: GateLimits,
}
