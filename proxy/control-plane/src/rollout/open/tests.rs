//! What a replica begins with when its disk was full, and two replicas that have one name.

use std::sync::Arc;

use adapters::memory::control::MemoryControl;
use model::control::{Author, ControlStore as _, LIVE_WITHIN, OverrideId};
use model::{GroupName, Percentage, RolloutVersion, Stage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::desk::scene::{desk, publish};
use crate::desk::{Desk, Knowing};
use crate::rollout::{Override, SetPolicy};

/// A disk that is full: no file may be longer than this. For this process, which nextest gives each test.
fn full(bytes: Option<u64>) -> Signal {
    // Whoever listens is not killed by it, and is told by the write instead.
    let listens = signal(SignalKind::from_raw(25)).unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: bytes, ..getrlimit(Resource::Fsize) }).unwrap();
    listens
}

struct Site {
    control: Arc<MemoryControl>,
    desk: Desk,
    folder: tempfile::TempDir,
}

fn group() -> GroupName {
    "inventory".into()
}

impl Site {
    async fn new() -> Self {
        let control = Arc::new(MemoryControl::new());
        publish(&control, Stage::Shift).await;
        let desk = desk(&[], &control);
        Self { control, desk, folder: tempfile::tempdir().unwrap() }
    }

    async fn open(&self, folder: &str) -> (RolloutHandle, Follower) {
        let state = StateDir::open(self.folder.path().join(folder)).unwrap();
        open(self.desk.witness.clone(), state, "a", format!("{folder}:9090")).await.unwrap()
    }

    async fn set(&self, percent: f64) {
        let reads = Percentage::try_from(percent).ok();
        let author = Author { who: "ada".into(), origin: "desk".into(), reason: Some("a try".into()) };
        self.desk
            .set(&group(), &SetPolicy { reads, ..SetPolicy::default() }, &Knowing::past_everything(), &author)
            .await
            .unwrap();
    }
}

async fn works_under(handle: &RolloutHandle, percent: f64) {
    let reads = || f64::from(handle.policy(&group()).reads());
    for _ in 0..500 {
        if reads() == percent {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{percent} was not reached: {}", reads());
}

#[tokio::test]
async fn what_could_not_be_written_is_not_forgotten_by_a_restart_the_safer_percentage_is_taken() {
    let site = Site::new().await;
    site.set(50.0).await;
    let (handle, follower) = site.open("one").await;
    assert!(handle.is_saved() && handle.unsaved().is_none());
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));
    // WHEN the disk is full, and the percentage is lowered
    let _listens = full(Some(16));
    site.set(10.0).await;
    works_under(&handle, 10.0).await;
    // THEN it says so
    for _ in 0..500 {
        if handle.unsaved().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(handle.unsaved().unwrap().contains("cannot write"), "{:?}", handle.unsaved());
    let told = async || site.control.replicas(LIVE_WITHIN).await.unwrap()[0].saved;
    for _ in 0..200 {
        if !told().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!told().await, "the others know");
    stop.cancel();
    following.await.unwrap();
    drop(handle);
    // and a restart without control store does not go back to 50 %, though there is room again.
    drop(full(None));
    site.control.set_down(true);
    let (handle, follower) = site.open("one").await;
    assert_eq!((handle.policy(&group()).reads(), handle.known().is_doubted()), (Percentage::ZERO, true));
    assert_eq!(handle.version(), RolloutVersion(2), "no other rollout was made up");
    // A second restart knows no more than the first.
    drop((handle, follower));
    let (handle, follower) = site.open("one").await;
    assert_eq!(handle.policy(&group()).reads(), Percentage::ZERO);
    // WHEN the control store is back, what it says holds.
    site.control.set_down(false);
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));
    works_under(&handle, 10.0).await;
    assert!(!handle.known().is_doubted() && handle.unsaved().is_none());
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_rollback_that_no_disk_took_says_so_and_holds_after_a_restart() {
    let site = Site::new().await;
    site.set(50.0).await;
    let (handle, _) = site.open("one").await;
    site.control.set_down(true);
    let _listens = full(Some(16));
    let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
    let id = OverrideId(Uuid::new_v4());
    let told = Override { id, group: group(), author, at: (site.desk.clock)(), idle_under: None };
    assert!(!handle.roll_back(told).await.saved);
    drop(handle);
    // The disk is full still.
    let (handle, _) = site.open("one").await;
    assert_eq!(handle.policy(&group()).reads(), Percentage::ZERO);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_at_the_start_proves_no_percentage() {
    let site = Site::new().await;
    site.set(50.0).await;
    let (handle, _) = site.open("one").await;
    drop(handle);
    site.control.set_down(true);
    let _listens = full(Some(16));
    let (handle, _) = site.open("one").await;
    assert!(handle.known().is_doubted());
    assert_eq!(handle.policy(&group()).reads(), Percentage::ZERO);
    // With the control store it needs no proof.
    site.control.set_down(false);
    let (handle, _) = site.open("one").await;
    assert_eq!(f64::from(handle.policy(&group()).reads()), 50.0);
}

#[tokio::test]
async fn two_replicas_with_one_name_are_two_on_the_list_and_both_are_waited_for() {
    let site = Site::new().await;
    let (first, follows) = site.open("one").await;
    let (second, copied) = site.open("copy").await;
    let (stop_first, stop_second) = (CancellationToken::new(), CancellationToken::new());
    let following = tokio::spawn(follows.run(stop_first.clone()));
    works_under(&first, 0.0).await;
    while site.control.replicas(LIVE_WITHIN).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let copying = tokio::spawn(copied.run(stop_second.clone()));
    let listed = async || {
        let live = site.control.replicas(LIVE_WITHIN).await.unwrap();
        live.into_iter().map(|replica| (replica.id.to_string(), replica.admin_address)).collect::<Vec<_>>()
    };
    while listed().await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // THEN the copy goes by another name, and says what to do
    let list = listed().await;
    assert_eq!(list[0], ("a".to_owned(), "one:9090".to_owned()));
    assert!(list[1].0.starts_with("a-") && list[1].1 == "copy:9090", "{list:?}");
    let said = second.name_taken().unwrap();
    assert!(said.contains("one:9090") && said.contains("replica-id"), "{said}");
    assert_eq!(first.name_taken(), None);
    // What is for one replica alone is done by one of them: each knows the name that is its own.
    assert!(first.goes_by(&"a".into()) && !second.goes_by(&"a".into()));
    assert_eq!(second.own_name().map(|name| name.to_string()), Some(list[1].0.clone()));
    // and a change is acknowledged by both, or not at all.
    site.set(25.0).await;
    let version = site.control.newest().await.unwrap().unwrap().rollout.version;
    let seen = site.desk.acknowledged(version, Duration::from_secs(10)).await.unwrap();
    assert_eq!((seen.by.len(), seen.laggards.len()), (2, 0));
    // WHEN the first one goes, the other one has its name
    stop_first.cancel();
    following.await.unwrap();
    while listed().await != [("a".to_owned(), "copy:9090".to_owned())] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(second.goes_by(&"a".into()), "{:?}", second.own_name());
    assert_eq!(second.name_taken(), None);
    stop_second.cancel();
    copying.await.unwrap();
}
