//! How a replica begins: with the rollout of the control store, else with its own last one, else not.

use std::time::Duration;

use model::control::{ControlError, Replica};
use model::{Rollout, StoreError};
use thiserror::Error;
use uuid::Uuid;

use super::follow::{Follower, lineage_since};
use super::handle::RolloutHandle;
use super::known::{Adopted, Known};
use super::publish::publish_initial;
use super::snapshot::{self, SnapshotError};
use super::witness::Witness;
use data_plane::fences::were_there_writes;
use data_plane::state_dir::StateDir;

/// The file that names the run which has the state folder.
const INSTANCE: &str = "instance";

/// How long a side may take to say what it remembers, before the first rollout is published.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

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
    /// The control store is empty, and the sides are not.
    #[error(
        "the control store has no rollout, and the sides remember writes: this is no first start. Restore the control database, or start a replica that still has its state folder; if there is none, `strangler init --adopt SIDE` begins anew"
    )]
    NotFirst,
    /// The control store is empty, and a side does not tell whether it remembers anything.
    #[error("the control store has no rollout, and it is not known whether this is the first start: {0}")]
    FirstUnknown(StoreError),
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
    let told = match witness.control.newest().await {
        Ok(Some(record)) => Ok(Some(record.rollout)),
        Ok(None) if matches!(kept, Ok(None)) => first(&witness, id).await?.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    let told_newest = matches!(told, Ok(Some(_)));
    let outdated = matches!(&kept, Ok(Some(kept)) if kept.outdated);
    let kept = kept.map(|kept| kept.map(|kept| kept.known));
    let known = match (kept, told) {
        (Ok(Some(kept)), told) => {
            let follows = match &told {
                Ok(Some(newest)) => comes_after(&witness, &kept, newest).await,
                Ok(None) | Err(_) => true,
            };
            if follows { merge(kept, told) } else { kept }
        }
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
    let (instance, former) = (Uuid::new_v4(), former_run(&state));
    if let Err(error) = state.write(INSTANCE, instance.to_string().as_bytes()) {
        // A restart that follows at once is then taken for another replica, for some seconds.
        tracing::warn!(%error, "which run this is could not be written to the state folder: {error}");
    }
    let handle = RolloutHandle::new(known, Some(state));
    if !told_newest && outdated {
        handle.doubt("a newer rollout than the one on disk could not be written");
    }
    // A folder that cannot be written now may not have been when the last rollout came.
    if !handle.save().await && !told_newest {
        handle.doubt("the folder with the last rollout cannot be written");
    }
    let (rollout, saved) = (handle.version(), handle.unsaved().is_none());
    let replica = Replica { id: id.into(), admin_address, rollout, instance, saved };
    let follower = Follower::new(handle.clone(), witness, replica).succeeding(former);
    Ok((handle, follower))
}

/// Which run had this state folder before; it may have been killed, and stand on the list still.
fn former_run(state: &StateDir) -> Option<Uuid> {
    let kept = state.read(INSTANCE).ok().flatten()?;
    std::str::from_utf8(&kept).ok()?.trim().parse().ok()
}

/// Publishes the first rollout, unless the sides remember writes: then the control store was lost, and whoever begins
/// anew would give reads and writes to a side that has neither.
async fn first(witness: &Witness, origin: &str) -> Result<Result<Rollout, ControlError>, OpenError> {
    if let Some(sides) = &witness.sides {
        let wrote = were_there_writes(&witness.contract, sides, FIRST_WITHIN).await.map_err(OpenError::FirstUnknown)?;
        if wrote {
            return Err(OpenError::NotFirst);
        }
    }
    let rollout = Rollout::initial(witness.contract.groups());
    Ok(publish_initial(witness.control.as_ref(), rollout, origin).await)
}

/// Whether the control store's rollout may follow the kept one. Where it does not come from it, or nobody can tell now,
/// the kept one stays, and the follower decides.
async fn comes_after(witness: &Witness, kept: &Known, newest: &Rollout) -> bool {
    match lineage_since(witness.control.as_ref(), kept, newest).await {
        Ok(lineage) => lineage.is_none_or(|lineage| kept.leads_to(&lineage)),
        Err(_) => false,
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

#[cfg(test)]
mod tests;
