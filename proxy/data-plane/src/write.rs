//! The write road: one transaction on the primary, then newer wins on the secondary.

mod again;
pub mod apply;
mod claim;
pub mod command;
pub mod foreign;
pub(crate) mod letters;
mod not_taken;
mod numbering;
mod proof;
mod queue;
pub mod rehearse;
pub mod road;
pub mod settle;
pub mod side;
pub mod unsettled;
pub mod used_up;
