//! One moment of each side, renewed when it is lost or old: keeping one costs a side.

use std::sync::Arc;
use std::time::Duration;

use model::{PerSide, Scan, Store, StoreError};
use tokio::time::Instant;

/// How long one moment is read. An Oracle keeps what it needs for that for a quarter of an hour by default.
const KEPT: Duration = Duration::from_secs(300);

/// The moments that are read. The two are not the same moment; what changed between them is sorted out
/// by looking again.
pub(super) struct Moments<'a> {
    stores: &'a PerSide<Arc<dyn Store>>,
    within: Duration,
    taken: Option<(PerSide<Arc<dyn Scan>>, Instant)>,
    number: u32,
}

impl<'a> Moments<'a> {
    pub(super) fn new(stores: &'a PerSide<Arc<dyn Store>>, within: Duration) -> Self {
        Self { stores, within, taken: None, number: 0 }
    }

    /// The moments to read now.
    pub(super) async fn now(&mut self) -> Result<PerSide<Arc<dyn Scan>>, StoreError> {
        if let Some((moments, taken)) = &self.taken
            && taken.elapsed() < KEPT
        {
            return Ok(moments.clone());
        }
        self.taken = None;
        let taken = futures::join!(self.stores.legacy.snapshot(self.within), self.stores.modern.snapshot(self.within));
        let moments = PerSide { legacy: taken.0?, modern: taken.1? };
        self.taken = Some((moments.clone(), Instant::now()));
        self.number += 1;
        Ok(moments)
    }

    /// Which pair of moments is read: what was read under one number is of one moment.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// After an error they may be over.
    pub(super) fn lose(&mut self) {
        self.taken = None;
    }
}
