//! What would be lost or wait if the authority changed hands now: a look, no change.
//!
//! Every row of the present primary is read as of one moment, and its key looked up on the other side: so it costs what a
//! reconciliation costs, in the lane of scans. Writes that came in meanwhile are told as unsettled, not as missing.
//!
//! It goes by pages: one round trip reads rows, one looks up their keys, and three more decide those that were not found,
//! all of a page together. Counts are exact; of keys only the first few are kept, however many there are.
//!
//! Not here: rows that stand on both sides and differ (`reconcile` finds them, `repair` levels them).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Contract, EntityKey, EntityType, GroupName, PerSide, Record, Side, Store, StoreError, fit};

/// Rows read at once, and so the most keys looked up at once.
pub const PAGE: usize = 500;
/// Keys that are named of each kind.
pub const NAMED: usize = 20;
/// Unsettled keys that a missing row is looked for among.
const MOST_UNSETTLED: usize = 5_000;

/// What would be lost or wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Safety {
    /// Writes that the other side does not have yet: the handover waits for them.
    pub unsettled: u64,
    /// The keys of the oldest of them, at most [`NAMED`].
    pub unsettled_keys: Vec<EntityKey>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that only the present primary has, unsettled ones apart: they would be lost to readers.
    pub missing: u64,
    /// Their keys, at most [`NAMED`].
    pub missing_keys: Vec<EntityKey>,
    /// Rows that only the present primary has, while more writes wait than are looked through: missing, or on their way.
    pub undecided: u64,
    /// Rows that the other side cannot hold, by the code of what is wrong, such as `TOO_LONG`.
    pub unfit: BTreeMap<String, u64>,
    /// Their keys, at most [`NAMED`], with the code.
    pub unfit_keys: Vec<(EntityKey, String)>,
}

impl Safety {
    /// Whether the authority can go and nothing is lost. What is undecided is not taken for safe.
    pub fn is_safe(&self) -> bool {
        self.missing == 0 && self.undecided == 0 && self.unfit.is_empty()
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
    let primary = stores.get(from);
    let looker = Looker { primary, other: stores.get(from.other()), group, within };
    let mut found = Safety::default();
    let snapshot = primary.snapshot(within).await?;
    for entity in contract.entities.values().filter(|entity| entity.group == *group) {
        let mut after = None;
        loop {
            let page = snapshot.scan(entity, after.as_ref(), PAGE, within).await?;
            let Some(last) = page.last().and_then(|record| record.key(entity)) else { break };
            found.rows += page.len() as u64;
            note_unfit(&mut found, entity, from.other(), &page);
            let keys = page.iter().filter_map(|record| record.key(entity)).collect();
            looker.note_missing(&mut found, entity, keys).await?;
            after = Some(last);
        }
    }
    // Asked last: whatever was written while we looked is in it.
    found.unsettled = primary.backlog(group, within).await?.writes;
    let waiting = primary.unsettled_keys(group, NAMED, within).await?;
    found.unsettled_keys = waiting.into_iter().map(|(key, _)| key).collect();
    Ok(found)
}

fn note_unfit(found: &mut Safety, entity: &EntityType, other: Side, page: &[Record]) {
    for record in page {
        let (Some(key), Err(refusal)) = (record.key(entity), fit::record_fits(entity, other, record)) else { continue };
        *found.unfit.entry(refusal.code.clone()).or_default() += 1;
        if found.unfit_keys.len() < NAMED {
            found.unfit_keys.push((key, refusal.code));
        }
    }
}

/// Looks up the keys of one page at a time.
struct Looker<'a> {
    primary: &'a Arc<dyn Store>,
    other: &'a Arc<dyn Store>,
    group: &'a GroupName,
    within: Duration,
}

impl Looker<'_> {
    /// Counts those of `keys` that the other side does not have, though it should.
    async fn note_missing(
        &self,
        found: &mut Safety,
        entity: &EntityType,
        keys: Vec<EntityKey>,
    ) -> Result<(), StoreError> {
        let absent = self.only(keys, self.other, entity, false).await?;
        if absent.is_empty() {
            return Ok(());
        }
        // In this order: what waits for nothing was brought over before the other side is asked, and what is still here
        // after that was not deleted meanwhile.
        let waiting = self.primary.unsettled_keys(self.group, MOST_UNSETTLED + 1, self.within).await?;
        let told_apart = waiting.len() <= MOST_UNSETTLED;
        let waiting: HashSet<EntityKey> = waiting.into_iter().map(|(key, _)| key).collect();
        let absent = absent.into_iter().filter(|key| !waiting.contains(key)).collect();
        let absent = self.only(absent, self.other, entity, false).await?;
        let missing = self.only(absent, self.primary, entity, true).await?;
        if told_apart {
            found.missing += missing.len() as u64;
            let room = NAMED - found.missing_keys.len();
            found.missing_keys.extend(missing.into_iter().take(room));
        } else {
            found.undecided += missing.len() as u64;
        }
        Ok(())
    }

    /// Those of `keys` that `store` has, or has not: one round trip, and none for no keys.
    async fn only(
        &self,
        keys: Vec<EntityKey>,
        store: &Arc<dyn Store>,
        entity: &EntityType,
        there: bool,
    ) -> Result<Vec<EntityKey>, StoreError> {
        if keys.is_empty() {
            return Ok(keys);
        }
        let records = store.fetch(entity, &keys, entity.key_fields(), self.within).await?;
        let asked = keys.into_iter().zip(records).filter(|(_, record)| record.is_some() == there);
        Ok(asked.map(|(key, _)| key).collect())
    }
}
