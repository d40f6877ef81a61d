//! adapters

pub mod local_server;
