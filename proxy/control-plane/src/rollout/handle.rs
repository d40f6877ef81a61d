//! The snapshot that every request is answered under, and the only ways to change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use model::control::OverrideId;
use model::{GroupName, Holder, Policy, ReplicaId, Rollout, RolloutVersion};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::known::{Adopted, Known, Override};
use super::snapshot;
use data_plane::state_dir::StateDir;

/// This replica's rollout. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct RolloutHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Rollout>,
    known: Mutex<Known>,
    /// Held while the snapshot is written, so that an older one never overwrites a newer one.
    disk: tokio::sync::Mutex<Option<StateDir>>,
    saved: AtomicBool,
    /// Why the newest state could not be written last time.
    unsaved: Mutex<Option<String>>,
    control_up: AtomicBool,
    /// That another replica goes by this one's name.
    name_taken: Mutex<Option<String>>,
    /// The name on the list of replicas, once the control store has taken it.
    own_name: Mutex<Option<ReplicaId>>,
    /// Tells the follower that there is an override to push.
    told: Notify,
}

/// What became of a rollback told to this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledBack {
    /// The policy the group is under now.
    pub policy: Policy,
    /// The newest rollout of this replica; the override stands on top of it.
    pub version: RolloutVersion,
    /// Whether it will survive a restart.
    pub saved: bool,
}

impl RolloutHandle {
    /// Begins with what is known, kept in `state` (`None`: nowhere, for tests and benchmarks).
    pub fn new(known: Known, state: Option<StateDir>) -> Self {
        let effective = known.effective();
        telemetry::rollout_swapped(&effective);
        Self(Arc::new(Inner {
            current: ArcSwap::from_pointee(effective),
            known: Mutex::new(known),
            disk: tokio::sync::Mutex::new(state),
            saved: AtomicBool::new(false),
            unsaved: Mutex::default(),
            control_up: AtomicBool::new(false),
            name_taken: Mutex::default(),
            own_name: Mutex::default(),
            told: Notify::new(),
        }))
    }

    /// A rollout that nothing changes, for tests and benchmarks.
    pub fn fixed(rollout: Rollout) -> Self {
        Self::new(Known::new(rollout), None)
    }

    /// The rollout to work under now. Take it once per request. Never waits.
    pub fn current(&self) -> Arc<Rollout> {
        self.0.current.load_full()
    }

    /// The newest version seen.
    pub fn version(&self) -> RolloutVersion {
        self.0.current.load().version
    }

    /// The overrides that the control store may not have yet.
    pub fn pending(&self) -> Vec<Override> {
        self.0.known.lock().pending().to_vec()
    }

    /// Everything known, overrides apart.
    pub fn known(&self) -> Known {
        self.0.known.lock().clone()
    }

    /// Whether the newest state is on disk.
    pub fn is_saved(&self) -> bool {
        self.0.saved.load(Ordering::Relaxed)
    }

    /// Why the newest state is not on disk and could not be written; `None` while nothing is wrong with that.
    pub fn unsaved(&self) -> Option<String> {
        self.0.unsaved.lock().clone()
    }

    /// Whether the control store answered the follower last time.
    pub fn is_control_up(&self) -> bool {
        self.0.control_up.load(Ordering::Relaxed)
    }

    /// Rolls back now: the next request is answered by legacy. Then saves, and has the follower push
    /// it. Told twice, it counts once. Needs neither the control store nor a side.
    pub async fn roll_back(&self, told: Override) -> RolledBack {
        let group = told.group.clone();
        let new = self.change(|known| known.add(told));
        if new {
            tracing::warn!(%group, "reads of group {group} rolled back to legacy by order");
        }
        let saved = self.save().await;
        self.0.told.notify_one();
        let policy = self.0.known.lock().policy(&group);
        RolledBack { policy, version: self.version(), saved }
    }

    /// Takes in what the fences say of `group`: the next write goes to the side that has the authority, whether a
    /// rollout says so or not. Is saved a moment later.
    pub fn hear(&self, group: &GroupName, holder: Holder) {
        if self.policy(group).epoch() >= holder.epoch {
            return;
        }
        if self.change(|known| known.hear(group, holder)) {
            let Holder { side, epoch, alone } = holder;
            let alone = if alone { " alone" } else { "" };
            tracing::info!(%group, "{side} has the authority over group {group}{alone}, under epoch {}", epoch.0);
            let handle = self.clone();
            tokio::spawn(async move { handle.save().await });
        }
    }

    /// Takes a rollout of the control store, unless it is older than ours.
    pub(super) async fn adopt(&self, newest: Rollout, taken_in: &[OverrideId]) -> Adopted {
        let (before, version) = (self.version(), newest.version);
        let adopted = self.change(|known| known.adopt(newest, taken_in));
        match adopted {
            Adopted::Newer => {
                tracing::info!(%version, "rollout {version} replaces {before}");
                self.save().await;
            }
            Adopted::Same if !taken_in.is_empty() || !self.is_saved() => {
                self.save().await;
            }
            Adopted::Same | Adopted::Forgetful => {}
        }
        adopted
    }

    /// Answers reads from legacy until the control store tells the newest rollout: one that came after ours may be lost.
    pub(super) fn doubt(&self, why: &str) {
        let version = self.version();
        tracing::error!(%version, "{why}: the percentages of version {version} may have been lowered since, so legacy answers all reads until the control store tells");
        self.change(Known::doubt);
    }

    /// Remembers which rollouts the newest one comes from; kept with the next save.
    pub(super) fn remember(&self, lineage: &[String]) {
        self.change(|known| known.remember(lineage));
    }

    /// That another replica goes by this one's name, and what to do; `None` while it does not.
    pub fn name_taken(&self) -> Option<String> {
        self.0.name_taken.lock().clone()
    }

    /// The name by which the list of replicas has this one: another than the configured one while another replica goes by
    /// that. `None` until the control store has told.
    pub fn own_name(&self) -> Option<ReplicaId> {
        self.0.own_name.lock().clone()
    }

    /// Whether this is the replica that the list has as `name`. Until the control store has told, it is nobody.
    pub fn goes_by(&self, name: &ReplicaId) -> bool {
        self.0.own_name.lock().as_ref() == Some(name)
    }

    pub(super) fn set_own_name(&self, name: &ReplicaId) {
        *self.0.own_name.lock() = Some(name.clone());
    }

    /// Says so in the log once.
    pub(super) fn set_name_taken(&self, why: Option<String>) {
        let is_news = {
            let mut taken = self.0.name_taken.lock();
            let news = *taken != why;
            taken.clone_from(&why);
            news
        };
        match why {
            Some(why) if is_news => tracing::error!("{why}"),
            Some(_) => {}
            None => tracing::info!("this replica goes by its own name again"),
        }
    }

    pub(super) fn set_control_up(&self, up: bool) -> bool {
        telemetry::control_store(up);
        self.0.control_up.swap(up, Ordering::Relaxed)
    }

    /// Returns when an override was told since the last time.
    pub(super) async fn told(&self) {
        self.0.told.notified().await;
    }

    /// Changes what is known and swaps the snapshot, in one step for all who look.
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.0.known.lock();
        let before = known.clone();
        let outcome = change(&mut known);
        if *known != before {
            self.0.saved.store(false, Ordering::Relaxed);
        }
        let effective = known.effective();
        if **self.0.current.load() != effective {
            telemetry::rollout_swapped(&effective);
            self.0.current.store(Arc::new(effective));
        }
        outcome
    }

    /// Writes the newest state to disk; false when that failed, which changes nothing in memory.
    pub(super) async fn save(&self) -> bool {
        let disk = self.0.disk.lock().await;
        let Some(state) = disk.clone() else { return false };
        // Taken under the lock: whoever writes last writes the newest.
        let known = self.known();
        let written_state = known.clone();
        let written = tokio::task::spawn_blocking(move || snapshot::save(&state, &known)).await;
        let why = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("writing it was broken off".to_owned()),
        };
        let saved = why.is_none();
        telemetry::rollout_saved(saved);
        let before = std::mem::replace(&mut *self.0.unsaved.lock(), why.clone());
        // Said once: it is tried again at every round.
        match (before, why) {
            (None, Some(why)) => {
                tracing::error!(
                    "the rollout could not be saved, a restart without control store would answer all reads from legacy: {why}"
                );
            }
            (Some(_), None) => tracing::info!("the rollout is saved again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        // Something may have changed while it was written; its own save comes after this one.
        let newest = self.0.known.lock();
        self.0.saved.store(saved && *newest == written_state, Ordering::Relaxed);
        saved
    }

    /// The policy that `group` is under.
    pub fn policy(&self, group: &GroupName) -> Policy {
        self.0.current.load().policy(group)
    }
}
