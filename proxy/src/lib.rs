//! The fork in the road: one GraphQL endpoint in front of a legacy and a modern side.
//!
//! *Read*: gateway → route → read → store; then, apart, shadow → judge → evidence.
//! *Write*: gateway → write (primary's transaction) → apply on the secondary → settled; else the
//! relay in catch-up finishes it. *Flag flip*: CLI → rollout → every replica swaps one snapshot.
//!
//! Not here: how a store speaks (`adapters`), what makes answers equal (`shadow-compare`).

pub mod admin;
pub mod app;
pub mod arguments;
pub mod backends;
pub mod breakeven;
pub mod budget;
pub mod catchup;
pub mod cli;
pub mod client;
pub mod config;
pub mod contract;
pub mod demo;
pub mod desk;
pub mod error;
pub mod evidence;
pub mod excuses;
pub mod figures;
pub mod fork;
pub mod gateway;
pub mod guard;
pub mod handover;
pub mod lanes;
pub mod lives;
pub mod openfeature;
pub mod outgoing;
pub mod own_keys;
pub mod promotion;
pub mod read;
pub mod reconcile;
pub mod roads;
pub mod rollout;
pub mod route;
pub mod saga;
pub mod servers;
pub mod serving;
pub mod spoken;
pub mod state_dir;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod traces;
mod watched;
pub mod webhooks;
mod wire;
pub mod write;
