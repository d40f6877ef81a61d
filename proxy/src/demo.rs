//! `strangler demo`: the whole migration on one machine, with real databases and real traffic.

pub mod audit;
pub mod defects;
pub mod narrator;
pub mod seed;
pub mod storefront;
pub mod traffic;
