//! The gateway through its public door: GraphQL over HTTP and sockets, with roads held in memory.

mod audit;
mod batching;
mod errors;
mod fake;
mod http;
mod inputs;
mod limits;
mod merging;
mod probes;
mod random;
mod server;
mod socket;
