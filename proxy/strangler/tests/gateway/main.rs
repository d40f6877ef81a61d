//! The gateway through its public door: GraphQL over HTTP and sockets, with roads held in memory.

#![expect(clippy::unwrap_used, reason = "a test tells what went wrong by panicking")]

mod alone;
mod attacks;
mod audit;
mod bad_input;
mod baseline;
mod batching;
mod beginnings;
mod broken_connections;
mod budgets;
mod contracts;
mod drift;
mod erp;
mod errors;
mod excuses;
mod fake;
mod fault_table;
mod foreign;
mod guard;
mod handover;
mod handover_safety;
mod http;
mod inputs;
mod interleaving;
mod inventory;
mod left_alone;
mod limits;
mod meets;
mod merging;
mod one_bad_key;
mod oracle_faults;
mod own_keys;
mod own_server;
mod probes;
mod random;
mod reads;
mod rehearsals;
mod rehearsals_in_sql;
mod repeats;
mod rig;
mod sagas;
mod same_answer;
mod server;
mod settled;
mod shadows;
mod shelves;
mod socket;
#[cfg(test)]
mod traces;
mod waiting;
