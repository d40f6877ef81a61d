//! Whether what has overtaken a change on the secondary belongs to the primary's history.
//!
//! A change that comes too late is settled by what overtook it, but only if that is a later state of the same history.
//! After a restore, or when a type was given to a group with a lower epoch, the secondary has versions that count as newer
//! and are not: to take these for success would lose every later write of the key without a word. So the primary is
//! asked: it has that write, or has recorded one that is at least as far.
//!
//! Once each change of a write is there or proven to be overtaken, its ledger rows are carried along: from then on
//! `standing` may swear by them, and a repeat of the write is known there.
//!
//! Promise: without an answer of the primary nothing is settled. Not here: who reports what is not proven (`apply`).

use std::sync::Arc;
use std::time::Duration;

use model::{Applied, Change, Recorded, Store, StoreError};

/// Asks the primary.
pub(super) struct Proof {
    /// The other side of the door.
    pub(super) primary: Arc<dyn Store>,
}

impl Proof {
    /// Whether `applied` has something to prove. A copy at rest is overtaken by anything.
    pub(super) fn is_needed(changes: &[Change], applied: &[Applied]) -> bool {
        late(changes, applied).next().is_some()
    }

    /// The answers, with [`Applied::Overtaken`] in place of [`Applied::Stale`] where the primary has the winner.
    ///
    /// # Errors
    /// When a side does not answer: nothing is proven then.
    pub(super) async fn of(
        &self,
        secondary: &dyn Store,
        changes: &[Change],
        mut applied: Vec<Applied>,
        within: Duration,
    ) -> Result<Vec<Applied>, StoreError> {
        let late: Vec<(usize, Recorded)> = late(changes, &applied).collect();
        let keys: Vec<_> = late.iter().map(|(place, _)| changes[*place].key.clone()).collect();
        let recorded = self.primary.recorded(&keys, within).await?;
        let writes: Vec<_> = late.iter().map(|(_, winner)| winner.write).collect();
        let standing = self.primary.standing(&writes, within).await?;
        for ((place, winner), recorded) in late.into_iter().zip(recorded) {
            if let Some(proven) = winner.proven(standing.contains(&winner.write), recorded) {
                applied[place] = Applied::Overtaken(proven);
            }
        }
        if Applied::settle(&applied, changes.len())
            && let Some(other) = secondary.carry(changes, within).await?
            && let Some(first) = applied.first_mut()
        {
            *first = Applied::KeyTaken(other);
        }
        Ok(applied)
    }
}

fn late(changes: &[Change], applied: &[Applied]) -> impl Iterator<Item = (usize, Recorded)> {
    changes.iter().zip(applied).enumerate().filter_map(|(place, (change, applied))| match applied {
        Applied::Stale(winner) if !change.version.is_baseline() => Some((place, *winner)),
        Applied::Stale(_)
        | Applied::Newer
        | Applied::Unproven
        | Applied::Over(_)
        | Applied::There
        | Applied::Overtaken(_)
        | Applied::Foreign(_)
        | Applied::Altered(_)
        | Applied::NotThere
        | Applied::KeyTaken(_)
        | Applied::Barred
        | Applied::NotWhole
        | Applied::NotKnown
        | Applied::Held => None,
    })
}
