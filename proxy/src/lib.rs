//! proxy

pub mod contract;
