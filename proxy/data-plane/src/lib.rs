//! What may touch rows: reads, writes, sagas, catch-up, reconciliation.

pub mod breaker;
pub mod catchup;
pub mod compared;
pub mod evidence;
pub mod excuses;
pub mod fences;
pub mod figures;
pub mod fork;
pub mod lives;
pub mod own_keys;
pub mod read;
pub mod reconcile;
pub mod route;
pub mod saga;
pub mod state_dir;
pub mod write;
