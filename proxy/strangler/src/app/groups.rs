//! Whether both databases are the sides that they are taken for, and every group is as old as its types, before a replica
//! starts.

use std::time::Duration;

use adapters::Lane;

use super::{Backends, StartError};
use control_plane::handover::begin::waiting;

/// How long a start waits for what both sides say of the groups. They may be down: then it goes on.
const LOOK_AT_GROUPS: Duration = Duration::from_secs(3);

/// Refuses a contract whose groups are younger than what their types have been written under: every write would be
/// older than what stands. Where a side does not tell in time, a write that is too old is refused by the side itself.
pub(super) async fn refuse_unclear(backends: &Backends) -> Result<(), StartError> {
    let (contract, stores) = (&backends.loaded.contract, backends.lane(Lane::Admin));
    match tokio::time::timeout(LOOK_AT_GROUPS, waiting(contract, &stores, LOOK_AT_GROUPS)).await {
        Ok(Ok(unclear)) if !unclear.is_empty() => Err(StartError::Waiting(unclear)),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.is_not_mine() => Err(StartError::NotMine(error)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "whether every group is as old as its types is not known, since a side does not tell: {error}");
            Ok(())
        }
        Err(_) => {
            tracing::warn!(
                "whether every group is as old as its types is not known, since a side does not tell in time"
            );
            Ok(())
        }
    }
}
