//! Follows the control store: swaps what is newer, pushes rollbacks that it does not have, tells it
//! that this replica lives and which version it works under.
//!
//! Nothing here is needed to serve: when the control store is down, the replica goes on with what it
//! has, and the follower tries again.

use std::time::Duration;

use model::control::{ControlError, ControlStore, Heard, Replica};
use model::{ReplicaId, Rollout};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::handle::RolloutHandle;
use super::known::{Adopted, Known};
use super::lineage::{REMEMBERED, lineage};
use super::publish::{ChangeError, publish_forgotten, publish_rollback};
use super::witness::Witness;
use crate::rollout::fleet;

/// How often a replica tells that it lives. Well below [`model::control::LIVE_WITHIN`].
const HEARTBEAT: Duration = Duration::from_millis(900);
/// How soon a control store that failed is asked again.
const RETRY: Duration = Duration::from_millis(250);
/// How long a stopping replica takes to say so.
const FAREWELL: Duration = Duration::from_millis(500);

/// The task that keeps a replica's rollout up to date.
#[derive(Clone)]
pub struct Follower {
    handle: RolloutHandle,
    witness: Witness,
    replica: Replica,
    fleet: Option<fleet::Cache>,
    /// The name it goes by while another replica has its own.
    alias: Option<ReplicaId>,
    /// The run that had its state folder before.
    former: Option<Uuid>,
}

impl Follower {
    pub(super) fn new(handle: RolloutHandle, witness: Witness, replica: Replica) -> Self {
        Self { handle, witness, replica, fleet: None, alias: None, former: None }
    }

    /// Also keeps the list of live replicas in `cache`, for rollbacks while the control store is down.
    #[must_use]
    pub fn remembering(mut self, cache: fleet::Cache) -> Self {
        self.fleet = Some(cache);
        self
    }

    /// Goes on in the place of `former`, which may have been killed and stand on the list still.
    #[must_use]
    pub(super) fn succeeding(mut self, former: Option<Uuid>) -> Self {
        self.former = former;
        self
    }

    /// Follows until `stop`; then takes the replica off the list.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.round().await {
                Ok(()) => {
                    if !self.handle.set_control_up(true) {
                        tracing::info!("the control store answers");
                    }
                    self.news()
                }
                Err(error) => {
                    if self.handle.set_control_up(false) {
                        tracing::warn!(%error, "going on without the control store: {error}");
                    }
                    None
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.handle.told() => {}
                () = wait(&self.witness, pause) => {}
            }
        }
        // Best effort: a replica that is gone is dropped from the list after a while anyway.
        // Whose name is another one's takes its own off.
        let name = self.alias.as_ref().unwrap_or(&self.replica.id);
        let _ = tokio::time::timeout(FAREWELL, self.witness.control.retire(name)).await;
    }

    fn news(&self) -> Option<model::RolloutVersion> {
        Some(self.handle.version())
    }

    /// Brings both up to date, once. Returns early with an error when the control store fails.
    async fn round(&mut self) -> Result<(), ControlError> {
        let control = &self.witness.control;
        let pending: Vec<_> = self.handle.pending().iter().map(|pending| pending.id).collect();
        // Asked before the newest one is: what was taken in by then is in the newest one.
        let taken_in = if pending.is_empty() { Vec::new() } else { control.published(&pending).await? };
        match control.newest().await? {
            Some(record) => {
                let lineage = lineage_since(control.as_ref(), &self.handle.known(), &record.rollout).await?;
                let follows = lineage.as_ref().is_none_or(|lineage| self.handle.known().leads_to(lineage));
                if !follows {
                    let (ours, theirs) = (self.handle.version(), record.rollout.version);
                    telemetry::rollout_diverged();
                    tracing::error!(%ours, %theirs, "rollout {theirs} of the control store does not come from {ours}, which this replica works under: it was restored to an earlier copy; the safer of both is published");
                    self.restore(Some(&record.rollout)).await?;
                } else {
                    if let Some(lineage) = &lineage {
                        self.handle.remember(lineage);
                    }
                    let found = record.rollout.clone();
                    match self.handle.adopt(record.rollout, &taken_in).await {
                        Adopted::Newer | Adopted::Same => self.push().await?,
                        Adopted::Forgetful => self.restore(Some(&found)).await?,
                    }
                }
            }
            None => self.restore(None).await?,
        }
        self.beat().await?;
        let control = &self.witness.control;
        if let Some(cache) = &mut self.fleet {
            cache.remember(control.replicas(fleet::REMEMBERED).await?).await;
        }
        Ok(())
    }

    /// Tells that this replica lives, under a name of its own: where another one goes by ours, as after a copied state
    /// folder, nobody may take that one's word for this one.
    async fn beat(&mut self) -> Result<(), ControlError> {
        let control = &self.witness.control;
        let (rollout, saved) = (self.handle.version(), self.handle.unsaved().is_none());
        self.replica = Replica { rollout, saved, ..self.replica.clone() };
        let mut heard = control.heartbeat(&self.replica).await?;
        if let (Heard::Taken(_), Some(former)) = (&heard, self.former) {
            let succeeds = control.succeed(&self.replica.id, former).await?;
            // Once: whoever has the name from now on is another one.
            self.former = None;
            if succeeds {
                heard = control.heartbeat(&self.replica).await?;
            }
        }
        match heard {
            Heard::Noted => {
                self.handle.set_own_name(&self.replica.id);
                if let Some(name) = self.alias.take() {
                    control.retire(&name).await?;
                    self.handle.set_name_taken(None);
                }
            }
            Heard::Taken(address) => {
                let instance = self.replica.instance.simple().to_string();
                let name = ReplicaId::new(format!("{}-{}", self.replica.id, &instance[..6]));
                let beat = Replica { id: name.clone(), ..self.replica.clone() };
                control.heartbeat(&beat).await?;
                self.handle.set_own_name(&name);
                self.alias = Some(name.clone());
                self.handle.set_name_taken(Some(format!(
                    "another replica at {address} goes by the name {} too, so this one is {name}: its `state_dir` was copied, or `fleet.id` is the same on both. Stop it, delete `replica-id` in its `state_dir` or give it another `fleet.id`, and start it again",
                    self.replica.id
                )));
            }
        }
        Ok(())
    }

    /// Publishes the overrides that no rollout has taken in, and works under the result.
    async fn push(&self) -> Result<(), ControlError> {
        for told in self.handle.pending() {
            let heard = self.handle.known().heard(&told.group);
            match publish_rollback(&self.witness, &told, heard).await {
                Ok(_) => {
                    let group = &told.group;
                    tracing::info!(%group, "the rollback of group {group} is recorded in the control store");
                }
                Err(ChangeError::Control(error)) => return Err(error),
                // Waits until legacy is primary again, which `desk::honour` sees to.
                Err(ChangeError::ModernIsPrimary { .. }) => {}
                // All mean that the next round sees another newest rollout.
                Err(ChangeError::NoRollout | ChangeError::Overtaken { .. } | ChangeError::Refused(_)) => return Ok(()),
            }
        }
        let taken_in: Vec<_> = self.handle.pending().iter().map(|pending| pending.id).collect();
        if taken_in.is_empty() {
            return Ok(());
        }
        let taken_in = self.witness.control.published(&taken_in).await?;
        if let Some(record) = self.witness.control.newest().await? {
            self.handle.adopt(record.rollout, &taken_in).await;
        }
        Ok(())
    }

    async fn restore(&self, found: Option<&Rollout>) -> Result<(), ControlError> {
        let known = self.handle.known();
        let version = known.base().version;
        let overrides: Vec<_> = known.pending().iter().map(|pending| pending.id).collect();
        match publish_forgotten(self.witness.control.as_ref(), &known, found, self.replica.id.as_str()).await {
            Ok(record) => {
                let restored = record.rollout.version;
                tracing::error!(%version, %restored, "the control store had forgotten version {version}; its policies are published again as {restored}");
                self.handle.adopt(record.rollout, &overrides).await;
                Ok(())
            }
            // Another replica was faster; the next round takes what it published.
            Err(ControlError::Conflict { .. }) => Ok(()),
            Err(
                error @ (ControlError::Unreachable { .. }
                | ControlError::NoAnswer { .. }
                | ControlError::Decided
                | ControlError::Misfit { .. }),
            ) => Err(error),
        }
    }
}

/// Which rollouts `newest` comes from, back to before ours; `None` where it is not newer than ours, unless it is ours and
/// that is not known of it yet.
pub(super) async fn lineage_since(
    control: &dyn ControlStore,
    known: &Known,
    newest: &Rollout,
) -> Result<Option<Vec<String>>, ControlError> {
    let ours = known.base().version;
    let unknown = known.has_no_past() && newest == known.base();
    if newest.version <= ours && !unknown {
        return Ok(None);
    }
    let between = usize::try_from(newest.version.0.saturating_sub(ours.0)).unwrap_or(usize::MAX);
    let records = control.history(None, between.saturating_add(REMEMBERED)).await?;
    Ok(Some(lineage(&records)))
}

/// Waits for news beyond `known`, or until the next heartbeat is due; without `known`, a short while.
async fn wait(witness: &Witness, known: Option<model::RolloutVersion>) {
    let begun = Instant::now();
    let waited = match known {
        Some(_) => witness.control.wait_for_change(known, HEARTBEAT).await,
        None => Ok(false),
    };
    let failed = waited.is_err() || known.is_none();
    if failed {
        tokio::time::sleep(RETRY.saturating_sub(begun.elapsed())).await;
    }
}
