//! How a replica begins: with the rollout of the control store, else with its own last one, else not.

use std::sync::Arc;

use model::control::{ControlError, ControlStore, Replica};
use model::{Contract, Rollout};
use thiserror::Error;

use super::follow::Follower;
use super::handle::RolloutHandle;
use super::known::{Adopted, Known};
use super::publish::publish_initial;
use super::snapshot::{self, SnapshotError};
use super::witness::Witness;
use crate::state_dir::StateDir;

/// Why a replica cannot begin. It must not guess: a percentage would change.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Neither the control store nor the disk tells.
    #[error("no rollout is known: the control store did not tell, and there is no snapshot in `state_dir`")]
    NothingKnown(#[source] ControlError),
    /// The control store does not tell and the snapshot is damaged.
    #[error("no rollout is known: the control store did not tell, and {snapshot}")]
    Damaged {
        /// What is wrong with the snapshot.
        snapshot: SnapshotError,
        /// Why the control store did not tell.
        #[source]
        control: ControlError,
    },
    /// The state folder cannot be used.
    #[error(transparent)]
    State(SnapshotError),
}

/// Finds the rollout to begin with. Where there is none at all, publishes the first one.
///
/// The control store must have its tables (`prepare`). Run the [`Follower`] as a task.
///
/// # Errors
/// [`OpenError`]; then the replica must not serve.
pub async fn open(
    witness: Witness,
    state: StateDir,
    id: &str,
    admin_address: String,
) -> Result<(RolloutHandle, Follower), OpenError> {
    let kept = match snapshot::load(&state) {
        Ok(kept) => Ok(kept),
        Err(damaged @ SnapshotError::Damaged { .. }) => Err(damaged),
        Err(error @ SnapshotError::State(_)) => return Err(OpenError::State(error)),
    };
    let told = ask(witness.control.as_ref(), &witness.contract, matches!(kept, Ok(None)), id).await;
    let known = match (kept, told) {
        (Ok(Some(kept)), told) => merge(kept, told),
        (Ok(None), Ok(Some(rollout))) => Known::new(rollout),
        (Ok(None), Err(error)) => return Err(OpenError::NothingKnown(error)),
        (Err(damaged), Ok(Some(rollout))) => {
            let aside = state.set_aside(snapshot::FILE).map_err(|error| OpenError::State(error.into()))?;
            let aside = aside.display();
            tracing::error!(error = %damaged, "{damaged}; the control store's rollout is used instead, the file is kept as {aside}");
            Known::new(rollout)
        }
        (Err(snapshot), Err(control)) => return Err(OpenError::Damaged { snapshot, control }),
        // Nothing was published because a snapshot is there, but it cannot be read: do not guess.
        (Err(damaged), Ok(None)) => return Err(OpenError::State(damaged)),
        (Ok(None), Ok(None)) => Known::new(Rollout::initial(witness.contract.groups())),
    };
    let handle = RolloutHandle::new(known, Some(state));
    handle.save().await;
    let replica = Replica { id: id.into(), admin_address, rollout: handle.version() };
    let follower = Follower::new(handle.clone(), witness, replica);
    Ok((handle, follower))
}

/// The newest rollout; when there is none and `first`, the first one, published now.
async fn ask(
    control: &dyn ControlStore,
    contract: &Arc<Contract>,
    first: bool,
    origin: &str,
) -> Result<Option<Rollout>, ControlError> {
    match control.newest().await? {
        Some(record) => Ok(Some(record.rollout)),
        None if first => publish_initial(control, contract.groups(), origin).await.map(Some),
        None => Ok(None),
    }
}

/// The kept state brought up to date. What the follower has to push or restore it does later.
fn merge(mut kept: Known, told: Result<Option<Rollout>, ControlError>) -> Known {
    let version = kept.base().version;
    match told {
        Ok(Some(newest)) => match kept.adopt(newest, &[]) {
            Adopted::Newer | Adopted::Same => {}
            Adopted::Forgetful => {
                tracing::warn!(%version, "the control store is behind version {version}, which this replica keeps");
            }
        },
        Ok(None) => tracing::warn!(%version, "the control store is empty, this replica keeps version {version}"),
        Err(error) => {
            tracing::warn!(%version, %error, "starting with version {version} from disk: {error}");
        }
    }
    kept
}
