//! The write road: one transaction on the primary, then newer wins on the secondary.

pub mod apply;
mod claim;
pub mod command;
pub mod foreign;
mod numbering;
pub mod rehearse;
pub mod road;
pub mod settle;
pub mod unsettled;
