//! The binary: what joins the crates into a replica (`app`), its configuration, the command line, and the demo.
//!
//! Not here: what any of them does.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
