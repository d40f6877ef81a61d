//! What the guard thinks of each group, for people and for gates.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::control::GroupFigures;
use model::{GroupName, Instant, RolloutVersion};
use parking_lot::Mutex;
use serde::Serialize;

/// What the guard makes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardState {
    /// There is nothing to guard: no read is compared or answered by modern.
    Idle,
    /// Every limit was tested and holds.
    Well,
    /// Too little is known: the guard neither rolls back nor passes.
    Paused,
    /// Something is too much.
    Breach,
}

impl GuardState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Well, Self::Paused, Self::Breach];

    /// The label used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Well => "well",
            Self::Paused => "paused",
            Self::Breach => "breach",
        }
    }
}

impl fmt::Display for GuardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the guard knows of a group at its last look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuardView {
    /// The group.
    pub group: GroupName,
    /// What the guard makes of it.
    pub state: GuardState,
    /// Why, as one sentence.
    pub sentence: String,
    /// Every breach or gap, one sentence each; empty when all is well.
    pub reasons: Vec<String>,
    /// What it looked at.
    pub figures: GroupFigures,
    /// How long that was at most.
    pub window: Duration,
    /// Windows of the baseline; deviations count from `guard.baseline_windows` on.
    pub baseline_windows: usize,
    /// Whether these are figures of all replicas; otherwise of this one alone, since the control store
    /// did not answer.
    pub whole_fleet: bool,
    /// The rollout that changed the group last: figures of before are not in it.
    pub since: RolloutVersion,
    /// When it looked.
    pub at: Instant,
    /// The guard's last rollback of the group on this replica.
    pub rolled_back: Option<Action>,
}

/// What the guard has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// When.
    pub at: Instant,
    /// Which rollout it rolled back.
    pub rollout: RolloutVersion,
    /// Why.
    pub sentence: String,
}

/// The newest view of every group.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<BTreeMap<GroupName, GuardView>>);

impl Board {
    /// Every group's view, in the order of their names.
    pub(super) fn views(&self) -> Vec<GuardView> {
        self.0.lock().values().cloned().collect()
    }

    pub(super) fn show(&self, view: GuardView) {
        self.0.lock().insert(view.group.clone(), view);
    }

    pub(super) fn rolled_back(&self, group: &GroupName) -> Option<Action> {
        self.0.lock().get(group).and_then(|view| view.rolled_back.clone())
    }
}
