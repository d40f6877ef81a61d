//! The baseline: copies what the primary holds at rest to the secondary, page by page.
//!
//! Every row carries the version of the run, which is older than any real write: the copy fills
//! what nobody has written and never overwrites what the write road has brought. So it may run
//! while writes go on, be stopped, and be run again, as long as dual-write was on before it began.
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
    /// Rows that somebody else had changed on the secondary since an earlier copy: whoever orders another one wants
    /// the primary's state. Counted in `filled` as well.
    pub overwritten: u64,
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
    mut progress: impl FnMut(Copied) + Send,
) -> Result<Copied, BaselineError> {
    let mut copied = Copied::default();
    let stopped = |copied: Copied, source| BaselineError { entity: entity.name.to_string(), rows: copied.read, source };
    let mut pages = Pages { primary, entity, within, moment: None };
    let mut page = pages.after(None).await.map_err(|error| stopped(copied, Arc::new(error)))?;
    while let Some(last) = page.last().and_then(|record| record.key(entity)) {
        copied.read += page.len() as u64;
        let before = copied;
        let changes = changes(entity, page, run);
        // The next page is read while this one is written.
        let (next, filled) = futures::join!(pages.after(Some(&last)), fill(door, changes, &mut copied));
        filled.map_err(|error| stopped(before, error))?;
        let (name, rows) = (&entity.name, copied.overwritten - before.overwritten);
        if rows > 0 {
            tracing::warn!(entity = %name, rows, "{rows} rows of {name} had been changed past strangler since the last copy and are overwritten");
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

fn changes(entity: &EntityType, page: Vec<Record>, run: u32) -> Vec<Change> {
    let change = |record: Record| {
        let key = record.key(entity)?;
        Some(Change {
            // A write of its own for each row: nobody asks for it, but the ledger's key wants one.
            write: WriteId(Uuid::now_v7()),
            ordinal: 0,
            key,
            version: Version::baseline(run),
            state: Some(record),
            idempotency: None,
        })
    };
    page.into_iter().filter_map(change).collect()
}

/// One page; when the side refuses it as a whole, row by row.
async fn fill(door: &Arc<Door>, changes: Vec<Change>, copied: &mut Copied) -> Result<(), Arc<StoreError>> {
    let count = |applied: &[Applied], copied: &mut Copied| {
        for applied in applied {
            match applied {
                Applied::Newer => copied.filled += 1,
                Applied::Over(_) => {
                    copied.filled += 1;
                    copied.overwritten += 1;
                }
                // A copy overwrites, so nothing is held.
                Applied::Stale | Applied::Foreign(_) | Applied::Held => {}
            }
        }
    };
    match door.apply_over(changes.clone()).await {
        Ok(applied) => count(&applied, copied),
        Err(error) if matches!(*error, StoreError::Refused { .. }) => {
            for change in changes {
                let entity = change.key.entity().clone();
                match door.apply_over(vec![change]).await {
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
