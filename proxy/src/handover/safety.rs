//! What would be lost or wait if the authority changed hands now: a look, no change.
//!
//! Every row of the present primary is read as of one moment, and its key looked up on the other side: so it costs what a
//! reconciliation costs, in the lane of scans. Writes that came in meanwhile are told as unsettled, not as missing.
//!
//! Not here: rows that stand on both sides and differ (`reconcile` finds them, `repair` levels them).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Contract, EntityKey, EntityType, GroupName, PerSide, Side, Store, StoreError, fit};

/// Rows read at once.
const PAGE: usize = 500;
/// Keys that are named of each kind.
const NAMED: usize = 20;

/// What would be lost or wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Safety {
    /// Writes that the other side does not have yet: the handover waits for them.
    pub unsettled: u64,
    /// The keys of the oldest of them.
    pub unsettled_keys: Vec<EntityKey>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that only the present primary has, unsettled ones apart: they would be lost to readers.
    pub missing: u64,
    /// Some of their keys.
    pub missing_keys: Vec<EntityKey>,
    /// Rows that the other side cannot hold, by the code of what is wrong, such as `TOO_LONG`.
    pub unfit: BTreeMap<String, u64>,
    /// Some of their keys, with the code.
    pub unfit_keys: Vec<(EntityKey, String)>,
}

impl Safety {
    /// Whether the authority can go and nothing is lost.
    pub fn is_safe(&self) -> bool {
        self.missing == 0 && self.unfit.is_empty()
    }
}

/// Looks at every type of `group`, from `from`, which is primary, towards the other side.
///
/// # Errors
/// As [`Store::snapshot`], its scans and [`Store::fetch`]: nothing is told by half.
pub async fn look(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    group: &GroupName,
    from: Side,
    within: Duration,
) -> Result<Safety, StoreError> {
    let (primary, other) = (stores.get(from), stores.get(from.other()));
    let mut found = Safety::default();
    let snapshot = primary.snapshot(within).await?;
    for entity in contract.entities.values().filter(|entity| entity.group == *group) {
        let mut after = None;
        loop {
            let page = snapshot.scan(entity, after.as_ref(), PAGE, within).await?;
            let Some(last) = page.last().and_then(|record| record.key(entity)) else { break };
            found.rows += page.len() as u64;
            for record in &page {
                if let (Some(key), Err(refusal)) = (record.key(entity), fit::record_fits(entity, other.side(), record))
                {
                    *found.unfit.entry(refusal.code.clone()).or_default() += 1;
                    if found.unfit_keys.len() < NAMED {
                        found.unfit_keys.push((key, refusal.code));
                    }
                }
            }
            let keys: Vec<EntityKey> = page.iter().filter_map(|record| record.key(entity)).collect();
            note_missing(&mut found, other, entity, keys, within).await?;
            after = Some(last);
        }
    }
    // Asked last: whatever was written while we looked is in it.
    found.unsettled = primary.backlog(group, within).await?.writes;
    let waiting = primary.unsettled_keys(group, model::store::MAX_BATCH, within).await?;
    let waiting: Vec<EntityKey> = waiting.into_iter().map(|(key, _)| key).collect();
    settle_missing(&mut found, stores, contract, from, &waiting, within).await?;
    found.unsettled_keys = waiting.into_iter().take(NAMED).collect();
    Ok(found)
}

async fn note_missing(
    found: &mut Safety,
    other: &Arc<dyn Store>,
    entity: &EntityType,
    keys: Vec<EntityKey>,
    within: Duration,
) -> Result<(), StoreError> {
    let there = other.fetch(entity, &keys, entity.key_fields(), within).await?;
    let missing = keys.into_iter().zip(there).filter(|(_, record)| record.is_none());
    for (key, _) in missing {
        found.missing += 1;
        found.missing_keys.push(key);
    }
    Ok(())
}

/// What was missing a moment ago may have been on its way, or was deleted since: looked at again, on both sides.
async fn settle_missing(
    found: &mut Safety,
    stores: &PerSide<Arc<dyn Store>>,
    contract: &Contract,
    from: Side,
    waiting: &[EntityKey],
    within: Duration,
) -> Result<(), StoreError> {
    let waiting: HashSet<&EntityKey> = waiting.iter().collect();
    let mut missing = Vec::new();
    let keys: Vec<EntityKey> = std::mem::take(&mut found.missing_keys);
    for key in keys.into_iter().filter(|key| !waiting.contains(key)) {
        let Some(entity) = contract.entity(key.entity()) else { continue };
        let one = std::slice::from_ref(&key);
        let here = stores.get(from).fetch(entity, one, entity.key_fields(), within).await?;
        let there = stores.get(from.other()).fetch(entity, one, entity.key_fields(), within).await?;
        if matches!((here.first(), there.first()), (Some(Some(_)), Some(None))) {
            missing.push(key);
        }
    }
    found.missing = missing.len() as u64;
    missing.truncate(NAMED);
    found.missing_keys = missing;
    Ok(())
}
