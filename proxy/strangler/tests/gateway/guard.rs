//! The guard over real roads: modern lies, fails or slows down, and nobody but the guard does anything.

use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use control_plane::guard::{self, GuardHandle, GuardSettings, GuardState};
use control_plane::rollout::{self, RolloutHandle, Witness};
use data_plane::state_dir::StateDir;
use model::control::{Author, ControlStore, Publication, RolloutRecord};
use model::{Epoch, GroupName, Percentage, Policy, Rollout, RolloutVersion, Stage};
use telemetry::tasks::Tasks;
use tempfile::TempDir;
use testkit::faults::{Call, Fault};
use tokio_util::sync::DropGuard;

use crate::rig::{Pace, Replica, leaping_clock, until};
use crate::shelves::{MANY, Shelves, key, name, shelf, shelf_type};

/// Three replicas with their guards, over one control store.
pub(crate) struct Fleet {
    pub(crate) shelves: Shelves,
    pub(crate) control: Arc<MemoryControl>,
    pub(crate) replicas: Vec<Guarded>,
    _folder: TempDir,
}

pub(crate) struct Guarded {
    pub(crate) replica: Replica,
    pub(crate) rollout: RolloutHandle,
    pub(crate) guard: GuardHandle,
    _stop: DropGuard,
}

impl Fleet {
    /// Modern answers everything, all of it is compared, and every guard finds that well.
    pub(crate) async fn well() -> Self {
        let shelves = Shelves::many().await;
        let control = Arc::new(MemoryControl::new());
        let folder = tempfile::tempdir().unwrap();
        publish(&control, None, &shelves.ground.group()).await;
        let mut replicas = Vec::new();
        for name in ["a", "b", "c"] {
            replicas.push(guarded(name, &shelves, &control, &folder).await);
        }
        let fleet = Self { shelves, control, replicas, _folder: folder };
        fleet.read_until("every guard is content", |guarded| state(guarded) == Some(GuardState::Well)).await;
        for guarded in &fleet.replicas {
            assert!(guarded.guard.check().is_ok(), "{:?}", guarded.guard.check());
        }
        fleet
    }

    /// Clients read each shelf, on one replica or another, until `done` is so of all of them. Every client is answered.
    pub(crate) async fn read_until(&self, what: &str, done: impl Fn(&Guarded) -> bool) {
        until(what, async || {
            for place in 0..MANY {
                let look = format!("{{ shelf(id: \"{}\") {{ onHand }} }}", name(place));
                let reply = self.replicas[place % self.replicas.len()].replica.ask(&look).await;
                assert!(reply.body["errors"].is_null(), "{}", reply.text);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.replicas.iter().all(&done)
        })
        .await;
    }

    pub(crate) async fn rolled_back(&self) {
        self.read_until("every replica is rolled back", |guarded| reads(guarded) == Percentage::ZERO).await;
    }

    /// What the control store knows of rollbacks, when every replica has handed in its own.
    pub(crate) async fn recorded(&self) -> Vec<RolloutRecord> {
        until("the rollback is recorded", async || {
            self.replicas.iter().all(|guarded| guarded.rollout.pending().is_empty())
        })
        .await;
        let history = self.control.history(Some(&self.shelves.ground.group()), 20).await.unwrap();
        history.into_iter().filter(|record| !record.overrides.is_empty()).collect()
    }

    /// So many of modern's shelves hold something else from now on.
    pub(crate) fn lie(&self, shelves: usize) {
        let entity = shelf_type(&self.shelves.ground.loaded);
        self.shelves.memory.modern.meddle(|rows| {
            rows.extend((0..shelves).map(name).map(|id| (key(&id), shelf(&entity, &id, 99))));
        });
    }
}

pub(crate) fn reads(guarded: &Guarded) -> Percentage {
    let group = guarded.guard.views().first().map(|view| view.group.clone());
    group.map_or(Percentage::FULL, |group| guarded.rollout.policy(&group).reads())
}

pub(crate) fn state(guarded: &Guarded) -> Option<GuardState> {
    guarded.guard.views().first().map(|view| view.state)
}

/// Modern answers everything from now on.
async fn publish(control: &MemoryControl, expected: Option<RolloutVersion>, group: &GroupName) {
    let policy = Policy::new(Stage::Shift, Percentage::FULL, Percentage::FULL, Epoch(1)).unwrap();
    let version = RolloutVersion(expected.map_or(1, |version| version.0 + 1));
    let publication = Publication {
        expected,
        rollout: Rollout { version, policies: [(group.clone(), policy)].into() },
        author: Author { who: "ada".into(), origin: "desk".into(), reason: Some("all of it".into()) },
        summary: "reads 100 %".into(),
        groups: vec![group.clone()],
        evidence: serde_json::Value::Null,
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    };
    control.publish(&publication).await.unwrap();
}

async fn guarded(name: &'static str, shelves: &Shelves, control: &Arc<MemoryControl>, folder: &TempDir) -> Guarded {
    let store: Arc<dyn ControlStore> = Arc::clone(control) as Arc<dyn ControlStore>;
    let contract = Arc::clone(&shelves.ground.loaded.contract);
    let witness = Witness { control: Arc::clone(&store), contract: Arc::clone(&contract), sides: None };
    let state = StateDir::open(folder.path().join(name)).unwrap();
    let (rollout, follower) = rollout::open(witness, state, name, format!("{name}:9090")).await.unwrap();
    let tasks = Tasks::default();
    let stop = tasks.stop().clone();
    tokio::spawn(follower.run(stop.clone()));
    let ground = shelves.ground.following(rollout.clone());
    let replica = Replica::ready(&ground, &Pace { name, ..Pace::default() }).await;
    let handle = rollout.clone();
    let flush = replica.figures.clone().run(Arc::clone(&store), Arc::new(move || handle.version()), stop.clone());
    tokio::spawn(flush);
    let parts = guard::Parts {
        replica: name.into(),
        groups: contract.groups(),
        control: store,
        rollout: rollout.clone(),
        figures: replica.figures.clone(),
        settings: GuardSettings::default(),
        // Slots leap with the test's time, as windows do.
        clock: leaping_clock,
    };
    let guard = guard::start(parts, &tasks);
    Guarded { replica, rollout, guard, _stop: stop.drop_guard() }
}

#[tokio::test(start_paused = true)]
async fn modern_that_begins_to_lie_is_rolled_back_by_three_guards_as_one() {
    let fleet = Fleet::well().await;
    fleet.lie(10);
    fleet.rolled_back().await;
    let recorded = fleet.recorded().await;
    assert_eq!(recorded.len(), 1, "{recorded:#?}");
    assert_eq!(recorded[0].author.who, "guard");
    let reason = recorded[0].author.reason.as_deref().unwrap();
    assert!(reason.starts_with("confirmed mismatches of "), "{reason}");
    println!("{reason}");

    // What an operator raises again although it still lies is rolled back again.
    publish(&fleet.control, Some(recorded[0].rollout.version), &fleet.shelves.ground.group()).await;
    let raised = |guarded: &Guarded| reads(guarded) == Percentage::FULL;
    until("it is raised", async || fleet.replicas.iter().any(raised)).await;
    fleet.rolled_back().await;
    assert_eq!(fleet.recorded().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_control_store_each_guard_rolls_back_and_it_is_recorded_once() {
    let fleet = Fleet::well().await;
    fleet.control.set_down(true);
    // Each sees a third of them, and of the records: too few for a share, and too many wrong.
    fleet.lie(90);
    fleet.rolled_back().await;
    for guarded in &fleet.replicas {
        assert!(guarded.guard.check().is_ok(), "{:?}", guarded.guard.check());
    }
    fleet.control.set_down(false);
    let recorded = fleet.recorded().await;
    assert_eq!(recorded.len(), 1, "{recorded:#?}");
    assert_eq!(recorded[0].author.who, "guard");
}

#[tokio::test(start_paused = true)]
async fn modern_that_fails_or_slows_down_is_rolled_back_and_no_client_notices() {
    for (fault, wanted) in
        [(Fault::Down, "errors of modern for "), (Fault::Latency(Duration::from_millis(300)), "latency of modern for ")]
    {
        let fleet = Fleet::well().await;
        fleet.shelves.ground.stores.modern.always(Call::Fetch, fault);
        fleet.rolled_back().await;
        let recorded = fleet.recorded().await;
        assert_eq!(recorded.len(), 1, "{recorded:#?}");
        let reason = recorded[0].author.reason.as_deref().unwrap();
        assert!(reason.starts_with(wanted), "{reason}");
        println!("{reason}");
    }
}
