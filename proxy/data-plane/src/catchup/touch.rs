//! Looks keys up again on the primary, under its locks: an empty write that takes the rows' locks, their position in
//! the log and their whole states, with ledger rows like any write's.
//!
//! Harmless to repeat. Not here: who needs it (`repair`, `relay`).

use std::time::Duration;

use model::{Change, Command, EntityKey, GroupName, Policy, Side, Store, StoreError, Work, WriteId, Written};
use uuid::Uuid;

/// How often a touch that gave way, or whose outcome is unknown, is tried again.
const RETRIES: u32 = 5;

/// Touches `keys` of `group` on `store`, its primary under `policy`.
///
/// # Errors
/// As [`Store::execute`].
pub(super) async fn touch(
    store: &dyn Store,
    policy: &Policy,
    group: &GroupName,
    keys: &[EntityKey],
    within: Duration,
) -> Result<Vec<Change>, StoreError> {
    let mut tries = 0;
    loop {
        let command = Command {
            // A fresh name for each try: an earlier one that stands after all is only one touch more.
            write: WriteId(Uuid::now_v7()),
            group: group.clone(),
            epoch: policy.epoch(),
            work: Work::Touch,
            touches: keys.to_vec(),
            must_fit: &Side::BOTH,
            must_exist: Vec::new(),
            idempotency: None,
        };
        tries += 1;
        match store.execute(&command, within).await {
            Ok(Written::Now(changes) | Written::Before(changes)) => return Ok(changes),
            Err(StoreError::Conflict { .. } | StoreError::NoAnswer { .. }) if tries < RETRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() % 32))).await;
            }
            Err(error) => return Err(error),
        }
    }
}
