//! What would be lost or wait if the authority changed hands now: a look, no change.
//!
//! Rows without a usable key are counted apart: nothing that goes by keys, as we do, takes them over. Every other row of
//! the present primary is read as of one moment, and its key looked up on the other side: so it costs what a
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
    /// Writes that an earlier handover left behind, on either side: nobody brings them over by itself.
    pub left_behind: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that only the present primary has, unsettled ones apart: they would be lost to readers.
    pub missing: u64,
    /// Their keys, at most [`NAMED`].
    pub missing_keys: Vec<EntityKey>,
    /// Rows that only the present primary has, while more writes wait than are looked through: missing, or on their way.
    pub undecided: u64,
    /// Rows of the present primary that no look-up by their key finds: nothing of ours can bring them over.
    pub keyless: u64,
    /// What their key's columns hold, at most [`NAMED`].
    pub keyless_keys: Vec<EntityKey>,
    /// Columns of the present primary that the contract leaves out and that hold something: `Product: RSNTXT …`.
    pub left_out: Vec<String>,
    /// Rows that the other side cannot hold, by the code of what is wrong, such as `TOO_LONG`.
    pub unfit: BTreeMap<String, u64>,
    /// Their keys, at most [`NAMED`], with the code.
    pub unfit_keys: Vec<(EntityKey, String)>,
    /// Statements of the group that the other side would not run.
    pub wrong: Vec<String>,
}

impl Safety {
    /// Whether the authority can go and nothing is lost. What is undecided is not taken for safe.
    pub fn is_safe(&self) -> bool {
        self.left_behind == 0
            && self.missing == 0
            && self.undecided == 0
            && self.keyless == 0
            && self.left_out.is_empty()
            && self.unfit.is_empty()
            && self.wrong.is_empty()
    }
}

impl Safety {
    fn note_keyless(&mut self, rows: u64, some: Vec<EntityKey>) {
        self.keyless += rows;
        let room = NAMED.saturating_sub(self.keyless_keys.len());
        self.keyless_keys.extend(some.into_iter().take(room));
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
    let mut found = Safety { wrong: wrong_statements(&**looker.other, group, within).await?, ..Safety::default() };
    let snapshot = primary.snapshot(within).await?;
    for entity in contract.entities.values().filter(|entity| entity.group == *group) {
        let left_out = primary.left_out(entity, within).await?.into_iter().filter(|column| column.filled > 0);
        found.left_out.extend(left_out.map(|column| format!("{}: {column}", entity.name)));
        let keyless = snapshot.keyless(entity, NAMED, within).await?;
        found.rows += keyless.rows;
        found.note_keyless(keyless.rows, keyless.some);
        let mut after = None;
        loop {
            let mut page = snapshot.scan(entity, after.as_ref(), PAGE, within).await?;
            if page.is_empty() {
                break;
            }
            let keys: Option<Vec<_>> =
                page.iter().map(|record| record.key(entity).filter(|key| !key.has_null())).collect();
            // The walk goes on behind the last key: a page without one would end the table.
            let mut keys = keys.ok_or_else(|| no_key(entity, from))?;
            // It would also pass over further rows of the last key, so they are left for the next page.
            let whole = without_last(&keys).filter(|_| page.len() == PAGE).unwrap_or(page.len());
            page.truncate(whole);
            keys.truncate(whole);
            found.rows += page.len() as u64;
            note_unfit(&mut found, entity, from.other(), &page);
            note_doubled(&mut found, &mut keys);
            let last = keys.last().cloned();
            if last == after {
                return Err(no_key(entity, from));
            }
            looker.note_missing(&mut found, entity, after.as_ref(), keys).await?;
            after = last;
        }
    }
    // Asked last: whatever was written while we looked is in it.
    let backlog = primary.backlog(group, within).await?;
    found.unsettled = backlog.writes;
    found.left_behind = backlog.left_behind + stores.get(from.other()).backlog(group, within).await?.all();
    let waiting = primary.unsettled_keys(group, NAMED, within).await?;
    found.unsettled_keys = waiting.into_iter().map(|(key, _)| key).collect();
    Ok(found)
}

/// The statements of `group` that `store` would not run, or that could not be tried there, one sentence each.
///
/// # Errors
/// As [`model::Tries::wrong_statements`].
pub async fn wrong_statements(
    store: &dyn Store,
    group: &GroupName,
    within: Duration,
) -> Result<Vec<String>, StoreError> {
    let wrong = store.wrong_statements(within).await?.into_iter().filter(|wrong| wrong.group == *group);
    Ok(wrong.map(|wrong| format!("{}: {wrong}", store.side())).collect())
}

/// A row that is read, has a key in the eyes of its store, and none in ours.
fn no_key(entity: &EntityType, side: Side) -> StoreError {
    let problem = format!("a row of {} has a key that cannot be read", entity.name);
    StoreError::Misfit { side, problem, source: None }
}

fn note_unfit(found: &mut Safety, entity: &EntityType, other: Side, page: &[Record]) {
    for record in page {
        let code = match fit::record_fits(entity, other, record) {
            Err(refusal) => refusal.code,
            // What cannot be read here is written nowhere.
            Ok(()) if !record.unreadable().is_empty() => fit::UNREADABLE.to_owned(),
            Ok(()) => continue,
        };
        let Some(key) = record.key(entity) else { continue };
        *found.unfit.entry(code.clone()).or_default() += 1;
        if found.unfit_keys.len() < NAMED {
            found.unfit_keys.push((key, code));
        }
    }
}

/// How many rows of a page stand before those of its last key; none when it is the only one.
fn without_last(keys: &[EntityKey]) -> Option<usize> {
    let last = keys.last()?;
    Some(keys.iter().take_while(|key| *key != last).count()).filter(|before| *before > 0)
}

/// Counts rows that share a key, and leaves each key once: which of them a look-up finds is chance.
fn note_doubled(found: &mut Safety, keys: &mut Vec<EntityKey>) {
    for same in keys.chunk_by(|one, other| one == other).filter(|same| same.len() > 1) {
        found.note_keyless(same.len() as u64, same[..1].to_vec());
    }
    keys.dedup();
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
        after: Option<&EntityKey>,
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
        let missing = self.only(absent.clone(), self.primary, entity, true).await?;
        if missing.len() < absent.len() {
            self.note_lost(found, entity, after, &absent, &missing).await?;
        }
        if told_apart {
            found.missing += missing.len() as u64;
            let room = NAMED - found.missing_keys.len();
            found.missing_keys.extend(missing.into_iter().take(room));
        } else {
            found.undecided += missing.len() as u64;
        }
        Ok(())
    }

    /// Rows that the primary's own look-up did not find were deleted meanwhile, or stand under a key by which nobody
    /// finds them: then the page is read with them once more.
    async fn note_lost(
        &self,
        found: &mut Safety,
        entity: &EntityType,
        after: Option<&EntityKey>,
        absent: &[EntityKey],
        missing: &[EntityKey],
    ) -> Result<(), StoreError> {
        let missing: HashSet<&EntityKey> = missing.iter().collect();
        let page = self.primary.scan(entity, after, 2 * PAGE, self.within).await?;
        let there: HashSet<EntityKey> = page.iter().filter_map(|record| record.key(entity)).collect();
        let lost = absent.iter().filter(|key| !missing.contains(key) && there.contains(*key));
        let lost = self.only(lost.cloned().collect(), self.primary, entity, false).await?;
        found.note_keyless(lost.len() as u64, lost);
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

#[cfg(test)]
mod tests {
    use model::Value;

    use super::*;

    fn keys(names: &[&str]) -> Vec<EntityKey> {
        names.iter().map(|name| EntityKey::new("Shelf".into(), vec![Value::Text((*name).to_owned())])).collect()
    }

    #[test]
    fn the_rows_of_a_pages_last_key_are_left_for_the_next_page() {
        assert_eq!(without_last(&keys(&["a", "b", "b"])), Some(1));
        assert_eq!(without_last(&keys(&["a", "b"])), Some(1));
        assert_eq!(without_last(&keys(&["b", "b"])), None, "a page must have an end");
        assert_eq!(without_last(&[]), None);
    }

    #[test]
    fn every_row_that_shares_its_key_is_counted_and_each_key_is_named_once() {
        let (mut found, mut page) = (Safety::default(), keys(&["a", "b", "b", "c", "d", "d", "d"]));
        note_doubled(&mut found, &mut page);
        assert_eq!((found.keyless, found.keyless_keys.clone()), (5, keys(&["b", "d"])));
        assert_eq!(page, keys(&["a", "b", "c", "d"]));
        assert!(!found.is_safe());
    }
}
