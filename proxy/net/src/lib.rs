//! Clients, budgets, TLS and files that are read again: what the network asks of everybody.

pub mod budget;
pub mod client;
pub mod outgoing;
pub mod tls;
pub mod watched;
