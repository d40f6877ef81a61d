//! What was done to a group since somebody decided something about it.
//!
//! A policy that looks as it did may have been rolled back meanwhile: what was begun before a rollback ends by it, and
//! what the group looks like says nothing of that.

use model::control::{ControlError, ControlStore, RolloutRecord};
use model::{GroupName, RolloutVersion};

/// Changes of a group that are looked through. A group that was changed more often counts as changed, and rolled back.
const LOOKED_THROUGH: usize = 200;

/// The newest change of `group` after rollout `seen`.
///
/// # Errors
/// As [`ControlStore::history`].
pub async fn changed_since(
    control: &dyn ControlStore,
    group: &GroupName,
    seen: RolloutVersion,
) -> Result<Option<RolloutRecord>, ControlError> {
    let newest = control.history(Some(group), 1).await?.into_iter().next();
    Ok(newest.filter(|record| record.rollout.version > seen))
}

/// The newest rollback of `group` after rollout `seen`.
///
/// # Errors
/// As [`ControlStore::history`].
pub async fn rolled_back_since(
    control: &dyn ControlStore,
    group: &GroupName,
    seen: RolloutVersion,
) -> Result<Option<RolloutRecord>, ControlError> {
    let history = control.history(Some(group), LOOKED_THROUGH).await?;
    let since = history.iter().take_while(|record| record.rollout.version > seen).count();
    let beyond = since == LOOKED_THROUGH;
    let mut since = history.into_iter().take(since);
    Ok(since.find(|record| beyond || !record.overrides.is_empty()))
}
