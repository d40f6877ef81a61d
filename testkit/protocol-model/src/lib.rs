//! The write road, relay, repair, baseline and handover as a small model, for a checker that tries every order of events.
//!
//! One group, two sides, two replicas, two keys. What a process does between two calls of a database is one action, and
//! so is each transaction's part that others can come before or after. Everything is a copy or a number, so that a state
//! is small and a million of them are tried in seconds. `docs/model.md` has the table from actions to functions.
//!
//! Promise: a property that fails is told with the shortest road to it, and every known wrong turn ([`Flaw`]) fails one.
//! Not here: contents of rows, SQL, time, leases and pauses: they only choose one of the orders that are all tried.

mod acts;
mod baseline;
mod fence;
mod handover;
mod life;
pub mod properties;
mod secondary;
mod side;
mod state;
mod write;

pub use acts::{Act, Protocol};
pub use fence::{Authority, Fence, Stand};
pub use state::{Flaw, Goal, Kind, Op, Scenario, Side, State};
