//! When a write that left nothing is tried again, and how soon.

use std::time::Duration;

use model::StoreError;

/// Nothing was written, and the same may succeed a moment later.
pub(super) fn worth_retrying(error: &StoreError) -> bool {
    match error {
        StoreError::Conflict { .. } => true,
        StoreError::Fenced { .. }
        | StoreError::Unreachable { .. }
        | StoreError::Unwritable { .. }
        | StoreError::NoAnswer { .. }
        | StoreError::Refused { .. }
        | StoreError::KeyReused
        | StoreError::SnapshotLost { .. }
        | StoreError::Misfit { .. } => false,
    }
}

/// A random pause, longer with each retry.
pub(super) fn jitter(retry: u32) -> Duration {
    let most = 4u64 << retry.min(6);
    Duration::from_millis(1 + rand::random::<u64>() % most)
}
