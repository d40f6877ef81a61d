//! What both sides remember of a group: its fences, and the traces of its writes.

use std::sync::Arc;
use std::time::Duration;

use model::fence::{Fence, Traces};
use model::{Contract, Epoch, GroupName, PerSide, Side, Store, StoreError};

/// What both sides say of one group.
pub struct Seen {
    /// Their fences.
    pub fences: PerSide<Fence>,
    /// What their tables remember of it.
    pub traces: PerSide<Traces>,
}

/// Looks at `group` on both sides at once.
///
/// # Errors
/// As [`Store::fence`] and [`Store::traces`].
pub async fn see(stores: &PerSide<Arc<dyn Store>>, group: &GroupName, within: Duration) -> Result<Seen, StoreError> {
    let one = |side: Side| {
        let store = Arc::clone(stores.get(side));
        async move { Ok::<_, StoreError>((store.fence(group, within).await?.fence, store.traces(group, within).await?)) }
    };
    let (legacy, modern) = tokio::try_join!(one(Side::Legacy), one(Side::Modern))?;
    Ok(Seen {
        fences: PerSide { legacy: legacy.0, modern: modern.0 },
        traces: PerSide { legacy: legacy.1, modern: modern.1 },
    })
}

/// Whether either side remembers that groups of `contract` were ever written or handed over: then a control store
/// without a rollout is one that was lost, and not a first start.
///
/// # Errors
/// As [`Store::fence`] and [`Store::traces`].
pub async fn were_there_writes(
    contract: &Contract,
    stores: &PerSide<Arc<dyn Store>>,
    within: Duration,
) -> Result<bool, StoreError> {
    for group in contract.groups() {
        let Seen { fences, traces } = see(stores, &group, within).await?;
        let moved = Side::BOTH.into_iter().any(|side| fences.get(side).epoch > Epoch(1));
        let wrote = Side::BOTH.into_iter().any(|side| traces.get(side).writes || traces.get(side).epoch > Epoch(0));
        if moved || wrote {
            return Ok(true);
        }
    }
    Ok(false)
}
