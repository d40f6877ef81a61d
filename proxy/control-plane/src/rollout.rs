//! Who sets the percentages, and how every replica learns of it in time.
//!
//! A change is published to the control store by compare-and-swap ([`publish`]); each replica's
//! [`Follower`] hears of it, swaps one snapshot ([`RolloutHandle`]), writes it to disk, and tells the
//! control store so. A rollback is also told to replicas directly: it swaps at once and stands as an
//! [`Override`] on top of whatever the control store holds, until a rollout has taken it in.
//!
//! Invariants: a version never goes back; a restart, a reload or a control store that is down, empty or
//! restored from a backup never changes a percentage; a rollback told to a replica holds there.
//! Not here: who answers a read (`route`), how to call all this (`cli`, `admin`).

mod back;
pub mod fleet;
mod follow;
pub mod handed;
mod handle;
mod known;
mod lineage;
mod open;
mod order;
mod propose;
pub mod publish;
pub mod since;
mod snapshot;
pub mod tell;
mod witness;

pub use back::way_back;
pub use follow::Follower;
pub use handle::{RolledBack, RolloutHandle};
pub use known::{Adopted, Known, Override};
pub use open::{OpenError, open};
pub use order::RollbackOrder;
pub use propose::{Refused, SetPolicy, describe, propose};
pub use snapshot::SnapshotError;
pub use witness::Witness;
