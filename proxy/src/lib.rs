//! proxy

pub mod contract;
pub mod demo;
