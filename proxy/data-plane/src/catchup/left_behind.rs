//! What a handover left behind by force: listed in full, and taken off the list by order.
//!
//! Such a write is in the ledger of a side that lost the authority before its other side had it. It is never applied: the
//! new primary has computed its own states without it, so by its version it would be dropped for one key and win for
//! another. Whoever wants its effect repeats it in the business' own terms, on the present primary. *Ending* it states
//! every key of it anew on the present primary, whole and in one transaction, as they stand there now; that comes to the
//! other side as any write does. Then it is settled. So both sides are equal again in all of its keys, with the primary's
//! truth: where the authority has come back to the side that holds it, that is what it wrote.
//!
//! Not here: the order itself and its record (`cli`).

use std::sync::Arc;
use std::time::Duration;

use model::{Command, EntityKey, GroupName, PerSide, Policy, Side, Store, StoreError, Work, WriteId};
use uuid::Uuid;

/// Writes read at once.
const PAGE: usize = 500;
/// How often a touch that gave way, or whose outcome is unknown, is tried again. It is harmless to repeat.
const RETRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(30);

/// A write that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Whose ledger holds it.
    pub on: Side,
    /// The write.
    pub write: WriteId,
    /// Its keys, each once; none where it changed nothing.
    pub keys: Vec<EntityKey>,
}

/// Everything that was left behind for `group`, on both sides, by write. `primary` has the authority.
///
/// # Errors
/// As [`Store::left_behind`]: nothing is told by half.
pub async fn list(
    stores: &PerSide<Arc<dyn Store>>,
    group: &GroupName,
    within: Duration,
) -> Result<Vec<Left>, StoreError> {
    let mut all = Vec::new();
    for on in Side::BOTH {
        let mut after = None;
        loop {
            let page = stores.get(on).left_behind(group, after, PAGE, within).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.write);
            all.extend(page.iter().map(|unsettled| {
                let mut keys: Vec<_> = unsettled.changes.iter().map(|change| change.key.clone()).collect();
                keys.sort_unstable();
                keys.dedup();
                Left { on, write: unsettled.write, keys }
            }));
        }
    }
    Ok(all)
}

/// States every key of `left` anew on the primary that `policy` names, and takes it off the list. Harmless to repeat. One
/// that changed nothing is only taken off: what it left is that a repeat was known, and the primary does not know it.
///
/// # Errors
/// As [`Store::execute`] and [`Store::settle`]: then it is on the list still. `Fenced` when another side is primary.
pub async fn end(
    stores: &PerSide<Arc<dyn Store>>,
    group: &GroupName,
    policy: &Policy,
    left: &Left,
    within: Duration,
) -> Result<(), StoreError> {
    let mut tries = 0;
    while !left.keys.is_empty() {
        let command = Command {
            // A fresh name for each try: an earlier one that stands after all is only one touch more.
            write: WriteId(Uuid::now_v7()),
            group: group.clone(),
            epoch: policy.epoch(),
            work: Work::Touch,
            touches: left.keys.clone(),
            must_fit: &Side::BOTH,
            must_exist: Vec::new(),
            idempotency: None,
        };
        tries += 1;
        match stores.get(policy.primary()).execute(&command, within).await {
            Ok(_) => break,
            Err(StoreError::Conflict { .. } | StoreError::NoAnswer { .. }) if tries < RETRIES => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    // Last: a crash before it leaves it on the list, and only repeats the touch.
    stores.get(left.on).settle(&[left.write], within).await
}
