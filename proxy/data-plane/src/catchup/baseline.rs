//! The baseline: copies what the primary holds at rest to the secondary, page by page.
//!
//! Every row carries the version of the run, which is older than any real write: the copy fills
//! what nobody has written and never overwrites what stands. A row that is equal is taken for ours from then on, one that
//! differs is counted and left. So it may run while writes go on, be stopped, and be run again, as long as dual-write was
//! on before it began.
//!
//! Deletions that happened while dual-write was off are not found here; that is reconcile's work.

use std::sync::Arc;
use std::time::Duration;

use model::store::MAX_BATCH;
use model::{Applied, Change, EntityKey, EntityType, Record, Scan, Store, StoreError, Version, WriteId};
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

use crate::write::apply::Door;

/// Rows of one page.
const PAGE: usize = MAX_BATCH;

/// How long one moment is read. An Oracle keeps what it needs for that for a quarter of an hour by default.
const MOMENT: Duration = Duration::from_secs(300);

/// What a run copied of one entity type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows read on the primary.
    pub read: u64,
    /// Rows that were new to the secondary.
    pub filled: u64,
    /// Rows that the secondary refused; named in the log.
    pub refused: u64,
    /// Rows of the primary without a usable key: nothing can copy them. Counted in `read` as well.
    pub keyless: u64,
    /// Rows for which the secondary has something newer, or a deletion.
    pub left: u64,
    /// Rows that stand on the secondary and differ, and that no write or copy of ours has put there: left as they are.
    /// `strangler reconcile` lists them, `strangler repair` levels them.
    pub differ: u64,
    /// Rows that the secondary answered for and did not take; the log says why.
    pub not_taken: u64,
}

/// The copy stopped; run it again, what was copied stays.
#[derive(Debug, Error)]
#[error("the baseline of {entity} stopped after {rows} rows")]
pub struct BaselineError {
    /// The entity type.
    pub entity: String,
    /// How many rows were copied before.
    pub rows: u64,
    /// What the side said.
    #[source]
    pub source: Arc<StoreError>,
}

/// What becomes of a row of the secondary that nobody of ours has made so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Left,
    Overwritten,
}

/// Copies every `entity` from `primary` through `door` as the `run`th baseline; `progress` is told
/// of every page.
///
/// # Errors
/// [`BaselineError`] when a side does not answer.
pub async fn copy(
    primary: &Arc<dyn Store>,
    door: &Arc<Door>,
    entity: &EntityType,
    run: u32,
    within: Duration,
    progress: impl FnMut(Copied) + Send,
) -> Result<Copied, BaselineError> {
    walk(primary, door, entity, run, within, Foreign::Left, progress).await
}

/// The same over what somebody else has made of copied rows: for whoever knows that nobody but a vandal did.
///
/// # Errors
/// As [`copy`].
pub async fn copy_over(
    primary: &Arc<dyn Store>,
    door: &Arc<Door>,
    entity: &EntityType,
    run: u32,
    within: Duration,
    progress: impl FnMut(Copied) + Send,
) -> Result<Copied, BaselineError> {
    walk(primary, door, entity, run, within, Foreign::Overwritten, progress).await
}

async fn walk(
    primary: &Arc<dyn Store>,
    door: &Arc<Door>,
    entity: &EntityType,
    run: u32,
    within: Duration,
    foreign: Foreign,
    mut progress: impl FnMut(Copied) + Send,
) -> Result<Copied, BaselineError> {
    let mut copied = Copied::default();
    let stopped = |copied: Copied, source| BaselineError { entity: entity.name.to_string(), rows: copied.read, source };
    let mut pages = Pages { primary, entity, within, moment: None };
    let mut page = pages.after(None).await.map_err(|error| stopped(copied, Arc::new(error)))?;
    let keyless = primary.keyless(entity, 1, within).await.map_err(|error| stopped(copied, Arc::new(error)))?;
    if keyless.rows > 0 {
        let (name, rows) = (&entity.name, keyless.rows);
        tracing::warn!(entity = %name, rows, "{rows} rows of {name} have no usable key and cannot be copied");
    }
    (copied.keyless, copied.read) = (keyless.rows, keyless.rows);
    let mut after = None;
    while !page.is_empty() {
        let read = page.len() as u64;
        let changes = changes(entity, page, run).ok_or_else(|| stopped(copied, Arc::new(no_key(entity, primary))))?;
        let Some(last) = changes.last().map(|change| change.key.clone()) else { break };
        if after.as_ref() == Some(&last) {
            return Err(stopped(copied, Arc::new(no_key(entity, primary))));
        }
        after = Some(last.clone());
        copied.read += read;
        let before = copied;
        // The next page is read while this one is written.
        let (next, filled) = futures::join!(pages.after(Some(&last)), fill(door, changes, foreign, &mut copied));
        filled.map_err(|error| stopped(before, error))?;
        let (name, rows) = (&entity.name, copied.differ - before.differ);
        if rows > 0 {
            tracing::warn!(entity = %name, rows, "{rows} rows of {name} stand on the other side and differ: the copy leaves them as they are, see `strangler reconcile`");
        }
        page = next.map_err(|error| stopped(copied, Arc::new(error)))?;
        progress(copied);
    }
    Ok(copied)
}

/// Pages as of one moment, so that records which were changed together are copied together. The moment
/// is renewed when it is lost or old: keeping one costs the primary.
struct Pages<'a> {
    primary: &'a Arc<dyn Store>,
    entity: &'a EntityType,
    within: Duration,
    moment: Option<(Arc<dyn Scan>, Instant)>,
}

impl Pages<'_> {
    async fn after(&mut self, last: Option<&EntityKey>) -> Result<Vec<Record>, StoreError> {
        if let Some((moment, taken)) = &self.moment
            && taken.elapsed() < MOMENT
        {
            match moment.scan(self.entity, last, PAGE, self.within).await {
                Err(StoreError::SnapshotLost { .. }) => {}
                other => return other,
            }
        }
        let (moment, _) = self.moment.insert((self.primary.snapshot(self.within).await?, Instant::now()));
        moment.scan(self.entity, last, PAGE, self.within).await
    }
}

/// A row that is read, has a key in the eyes of its store, and none in ours: the walk cannot go on behind it.
fn no_key(entity: &EntityType, primary: &Arc<dyn Store>) -> StoreError {
    let problem = format!("a row of {} has a key that cannot be read", entity.name);
    StoreError::Misfit { side: primary.side(), problem, source: None }
}

/// `None` when a row has no key.
fn changes(entity: &EntityType, page: Vec<Record>, run: u32) -> Option<Vec<Change>> {
    let change = |record: Record| {
        let key = record.key(entity).filter(|key| !key.has_null())?;
        Some(Change {
            // A write of its own for each row: nobody asks for it, but the ledger's key wants one.
            write: WriteId(Uuid::now_v7()),
            ordinal: 0,
            key,
            version: Version::baseline(run),
            state: Some(record),
            idempotency: None,
            base: None,
        })
    };
    page.into_iter().map(change).collect()
}

/// One page; when the side refuses it as a whole, row by row.
async fn fill(
    door: &Arc<Door>,
    changes: Vec<Change>,
    foreign: Foreign,
    copied: &mut Copied,
) -> Result<(), Arc<StoreError>> {
    let count = |applied: &[Applied], copied: &mut Copied| {
        for applied in applied {
            match applied {
                Applied::Newer | Applied::Over(_) => copied.filled += 1,
                Applied::Foreign(_) => copied.differ += 1,
                // Somebody has written the key since: that is what the copy must not touch.
                Applied::There | Applied::Overtaken(_) | Applied::Stale(_) => copied.left += 1,
                Applied::Altered(_)
                | Applied::NotThere
                | Applied::KeyTaken(_)
                | Applied::Barred
                | Applied::NotWhole
                | Applied::NotKnown
                | Applied::Held
                | Applied::Unproven => copied.not_taken += 1,
            }
        }
    };
    let apply = async |changes| match foreign {
        Foreign::Left => door.apply(changes).await,
        Foreign::Overwritten => door.apply_over(changes).await,
    };
    match apply(changes.clone()).await {
        Ok(applied) => count(&applied, copied),
        Err(error) if matches!(*error, StoreError::Refused { .. }) => {
            for change in changes {
                let entity = change.key.entity().clone();
                match apply(vec![change]).await {
                    Ok(applied) => count(&applied, copied),
                    Err(error) if matches!(*error, StoreError::Refused { .. }) => {
                        tracing::warn!(%entity, error = %error, "a row of {entity} does not fit the other side and was not copied");
                        copied.refused += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
