use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use adapters::memory::control::MemoryControl;
use model::control::{FiguresStore as _, Publication};
use model::evidence::{Observation, Verdict};
use model::store::Backlog;
use model::{Epoch, PerSide, Rollout, Side};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::rollout::Known;
use telemetry::tasks::Tasks;

/// Follows tokio's clock, which tests may pause.
fn clock() -> Instant {
    static BEGAN: OnceLock<Moment> = OnceLock::new();
    let began = *BEGAN.get_or_init(Moment::now);
    Instant::new(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap() + began.elapsed())
}

static BROKEN: AtomicBool = AtomicBool::new(false);

/// The same, until it breaks.
fn broken_clock() -> Instant {
    assert!(!BROKEN.load(Ordering::SeqCst), "the test breaks the guard");
    clock()
}

fn group() -> GroupName {
    "inventory".into()
}

fn rollout(version: u64, reads: f64) -> Rollout {
    let policy = Policy::new(Stage::Shift, reads.try_into().unwrap(), Percentage::FULL, Epoch(1)).unwrap();
    Rollout { version: RolloutVersion(version), policies: [(group(), policy)].into() }
}

/// A replica whose guard is looked at by hand.
struct Replica {
    parts: Parts,
    guard: Guard,
}

impl Replica {
    fn new(control: &Arc<MemoryControl>, name: &str, rollout: Rollout) -> Self {
        let contract =
            contract::load(include_str!("../../../../../schema.graphql"), "schema.graphql").unwrap().contract;
        let parts = Parts {
            replica: name.into(),
            groups: vec![group()],
            control: Arc::clone(control) as Arc<dyn ControlStore>,
            rollout: RolloutHandle::new(Known::new(rollout), None),
            figures: Recorder::new(&contract, &name.into(), clock),
            settings: GuardSettings::default(),
            clock,
        };
        let pulse = Arc::new(Pulse::new(true, parts.settings.canary));
        let guard = Guard::new(parts.clone(), Arc::default(), pulse);
        // From now on counters are emptied under this rollout.
        parts.figures.gather(parts.rollout.version());
        Self { parts, guard }
    }

    /// Clients read, comparisons are made; all of the second kind if `lies`.
    fn serve(&self, lies: bool) {
        let figures = &self.parts.figures;
        for place in 0..300 {
            figures.answered(&group(), Side::Modern, Duration::from_millis(3));
            figures.answered(&group(), Side::Legacy, Duration::from_millis(3));
            let took = Duration::from_millis(3);
            figures.paired(&group(), PerSide { legacy: took, modern: took });
            let verdict = if lies && place % 10 == 0 { Verdict::Mismatch } else { Verdict::Match };
            figures.observed(&Observation {
                route: "Query.stockLevel".into(),
                verdict,
                reason: None,
                differences: Vec::new(),
                fields: Vec::new(),
                keys: vec![format!("[\"{place}\"]")],
            });
        }
        figures.backlog(&group(), &Backlog::default());
    }

    /// Sends what was counted.
    async fn flush(&self) {
        self.parts.figures.gather(self.parts.rollout.version());
        let stop = CancellationToken::new();
        stop.cancel();
        let handle = self.parts.rollout.clone();
        let control = Arc::clone(&self.parts.control);
        self.parts.figures.clone().run(control, Arc::new(move || handle.version()), stop).await;
    }

    fn reads(&self) -> Percentage {
        self.parts.rollout.policy(&group()).reads()
    }

    fn view(&self) -> GuardView {
        self.guard.board.views().remove(0)
    }
}

async fn publish(control: &MemoryControl, rollout: Rollout, expected: Option<u64>) {
    let author = Author { who: "ada".into(), origin: "desk".into(), reason: None };
    let publication = Publication {
        expected: expected.map(RolloutVersion),
        rollout,
        author,
        summary: String::new(),
        groups: vec![group()],
        evidence: serde_json::Value::Null,
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    };
    control.publish(&publication).await.unwrap();
}

#[tokio::test]
async fn lies_are_rolled_back_once_and_what_is_raised_again_begins_anew() {
    let control = Arc::new(MemoryControl::new());
    publish(&control, rollout(7, 25.0), None).await;
    let mut replica = Replica::new(&control, "a", rollout(7, 25.0));
    replica.serve(false);
    replica.flush().await;
    replica.guard.look().await;
    assert_eq!(replica.view().state, GuardState::Well, "{}", replica.view().sentence);
    // WHEN modern lies
    replica.serve(true);
    replica.flush().await;
    replica.guard.look().await;
    // THEN reads go back, with a reason
    assert_eq!(replica.reads(), Percentage::ZERO);
    let pending = replica.parts.rollout.pending();
    assert_eq!((pending[0].author.who.as_str(), pending[0].author.origin.as_str()), ("guard", "a"));
    let reason = pending[0].author.reason.clone().unwrap();
    assert!(reason.starts_with("confirmed mismatches of inventory: "), "{reason}");
    assert_eq!(replica.view().rolled_back.unwrap().sentence, reason);
    replica.guard.look().await;
    assert_eq!(replica.parts.rollout.pending().len(), 1, "once for one rollout");
}

#[tokio::test]
async fn figures_of_before_a_change_are_not_held_against_what_came_after() {
    let control = Arc::new(MemoryControl::new());
    publish(&control, rollout(7, 25.0), None).await;
    let before = Replica::new(&control, "a", rollout(7, 25.0));
    before.serve(true);
    before.flush().await;
    publish(&control, rollout(8, 30.0), Some(7)).await;
    let mut after = Replica::new(&control, "b", rollout(8, 30.0));
    after.guard.look().await;
    assert_eq!(after.view().state, GuardState::Paused, "{}", after.view().sentence);
    assert_ne!(after.reads(), Percentage::ZERO);
    after.serve(true);
    after.flush().await;
    after.guard.look().await;
    assert_eq!(after.reads(), Percentage::ZERO);
}

#[tokio::test]
async fn while_the_control_store_is_down_a_replica_judges_by_what_it_has_seen_itself() {
    let control = Arc::new(MemoryControl::new());
    control.set_down(true);
    let mut replica = Replica::new(&control, "a", rollout(7, 25.0));
    replica.serve(true);
    replica.guard.look().await;
    assert_eq!(replica.reads(), Percentage::ZERO);
    assert!(!replica.view().whole_fleet);
    assert!(replica.guard.pulse.check(Moment::now()).is_ok(), "the canary is caught all the same");
}

#[tokio::test]
async fn replicas_name_their_rollback_alike_and_no_other_so() {
    let control = Arc::new(MemoryControl::new());
    publish(&control, rollout(7, 25.0), None).await;
    let mut ids = BTreeSet::new();
    // The last works under a later rollout that did not concern the group.
    for (name, version) in [("a", 7), ("b", 7), ("c", 8)] {
        let mut replica = Replica::new(&control, name, rollout(version, 25.0));
        replica.serve(true);
        replica.flush().await;
        replica.guard.look().await;
        ids.insert(replica.parts.rollout.pending()[0].id);
    }
    assert_eq!(ids.len(), 1);
    assert!(!ids.contains(&override_id(&group(), RolloutVersion(8))));
    assert!(!ids.contains(&override_id(&"catalog".into(), RolloutVersion(7))));
}

#[tokio::test]
async fn a_group_that_is_not_read_from_modern_is_reported_and_left_alone() {
    let control = Arc::new(MemoryControl::new());
    publish(&control, rollout(7, 0.0), None).await;
    let mut replica = Replica::new(&control, "a", rollout(7, 0.0));
    replica.serve(true);
    replica.flush().await;
    replica.guard.look().await;
    assert_eq!(replica.view().state, GuardState::Breach);
    assert!(replica.parts.rollout.pending().is_empty() && replica.view().rolled_back.is_none());
}

#[tokio::test]
async fn the_canary_is_seen_by_the_guard_and_by_nobody_else() {
    let control = Arc::new(MemoryControl::new());
    publish(&control, rollout(7, 25.0), None).await;
    let mut replica = Replica::new(&control, "a", rollout(7, 25.0));
    replica.serve(false);
    replica.guard.look().await;
    assert!(replica.guard.pulse.check(Moment::now()).is_err(), "not flushed yet: it must come by the control store");
    replica.flush().await;
    replica.guard.look().await;
    assert!(replica.guard.pulse.check(Moment::now()).is_ok());
    let told = control.figures(None, earlier(clock(), Duration::from_secs(600))).await.unwrap();
    assert!(!told.is_empty() && told.slots.keys().all(|slot| slot.group == group()), "{:?}", told.slots.keys());
    assert_eq!(replica.view().figures.verdicts.mismatches, 0);
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_figures_do_not_arrive_is_blind_and_one_that_is_stopped_hangs() {
    let control = Arc::new(MemoryControl::new());
    let replica = Replica::new(&control, "a", rollout(7, 25.0));
    let tasks = Tasks::default();
    // GIVEN a guard that looks, and nobody who flushes
    let handle = super::super::start(replica.parts.clone(), &tasks);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(handle.check().unwrap_err().contains("canary"), "{:?}", handle.check());
    // WHEN those of the next canary arrive
    tokio::time::sleep(Duration::from_secs(32)).await;
    replica.flush().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(handle.check().is_ok(), "{:?}", handle.check());
    // and those of the one after it do not
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert!(handle.check().unwrap_err().contains("blind"), "{:?}", handle.check());
    tasks.stop().cancel();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(handle.check().unwrap_err().contains("hangs"), "{:?}", handle.check());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_panics_is_seen_at_once_and_started_again() {
    let control = Arc::new(MemoryControl::new());
    let replica = Replica::new(&control, "a", rollout(7, 25.0));
    let parts = Parts { clock: broken_clock, ..replica.parts.clone() };
    let tasks = Tasks::default();
    let handle = super::super::start(parts, &tasks);
    let proves_itself = async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        replica.flush().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    proves_itself().await;
    assert!(handle.check().is_ok(), "{:?}", handle.check());
    BROKEN.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(handle.check().unwrap_err().contains("ended"), "{:?}", handle.check());
    BROKEN.store(false, Ordering::SeqCst);
    proves_itself().await;
    assert!(handle.check().is_ok(), "{:?}", handle.check());
    tasks.stop().cancel();
}
