use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use testkit::begin::Begin as _;

use adapters::memory::control::MemoryControl;
use model::control::records::{BITS_OF_AN_HOUR, days_of, hours_of};
use model::control::{
    AuditStore, BatchId, ControlStore, Figures, FiguresStore as _, Finding, Found, GroupFigures, Mark, OverrideId,
    Print, Seen, Slot, Sums,
};
use model::evidence::Verdict;
use model::{GroupName, Instant, Policy};
use uuid::Uuid;

use super::*;
use crate::desk::Knowing;
use crate::desk::scene::{desk, publish};
use crate::rollout::Override;
use crate::rollout::publish::publish_rollback;

/// Seconds since some moment, moved by the test. One for all tests of this file, which each take their own stretch.
static NOW: AtomicI64 = AtomicI64::new(1_800_000_000);

fn now() -> Instant {
    Instant::new(chrono::DateTime::from_timestamp(NOW.load(Ordering::SeqCst), 0).unwrap())
}

fn group() -> GroupName {
    "inventory".into()
}

struct Scene {
    control: Arc<MemoryControl>,
    desk: Desk,
}

impl Scene {
    async fn new() -> Self {
        let control = Arc::new(MemoryControl::new());
        publish(&control, Stage::Shadow).await;
        let desk = Desk { clock: now, ..desk(&[], &control) };
        let legacy = desk.witness.sides.clone().unwrap().legacy;
        let within = Duration::from_secs(5);
        legacy.begin_as(&desk.contract.groups(), model::Role::Primary, within).await.unwrap();
        // A row of each type: of empty tables nobody knows which share was compared.
        for entity in desk.contract.entities.values() {
            let parts = entity.key().iter().map(|index| match entity.field(*index).kind {
                model::Kind::Int => model::Value::Int(1),
                _ => "1".into(),
            });
            let parts: Vec<model::Value> = parts.collect();
            let key = model::EntityKey::new(entity.name.clone(), parts.clone());
            let names = entity.key().iter().map(|index| entity.field(*index).name.as_str());
            let command = model::Command {
                write: model::WriteId(Uuid::now_v7()),
                group: entity.group.clone(),
                epoch: model::Epoch(1),
                work: model::Work::Set(model::Record::of(entity, names.zip(parts))),
                touches: vec![key],
                must_fit: &[],
                must_exist: Vec::new(),
                idempotency: None,
            };
            legacy.execute(&command, within).await.unwrap();
            legacy.settle(&[command.write], within).await.unwrap();
        }
        Self { control, desk }
    }

    fn replica(&self, name: &str) -> Promoter {
        Promoter { desk: self.desk.clone(), origin: name.into() }
    }

    /// Every read route was compared so often, every field was; so many of the comparisons were mismatches.
    async fn evidence(&self, matches: u64, mismatches: u64) {
        let mut sums = Sums::default();
        for view in self.desk.routes(Some(&group())).into_iter().filter(|view| view.kind != "write") {
            for (verdict, count) in [(Verdict::Match, matches), (Verdict::Mismatch, mismatches)] {
                let finding = Finding { route: view.route.clone(), verdict, reason: None };
                sums.comparisons.insert(finding, Seen { count, ..Seen::once(now()) });
            }
            let mut keys = shadow_compare::KeysSeen::default();
            keys.add("[\"1\"]");
            sums.keys.insert(view.route.clone(), keys.as_bytes().to_vec());
            let entity = &self.desk.contract.root(&view.route).unwrap().entity;
            for field in &entity.fields {
                sums.fields.insert((view.route.clone(), field.name.clone()), Seen::once(now()));
            }
        }
        self.control.add_evidence(BatchId(Uuid::new_v4()), &sums).await.unwrap();
        self.records(matches, mismatches).await;
    }

    /// So many records of each type were compared, each once; so many more were wrong. By the present contract, for an hour.
    async fn records(&self, matches: u64, mismatches: u64) {
        let contract = &self.desk.contract;
        let unknown = model::PerSide { legacy: model::Incarnation(0), modern: model::Incarnation(0) };
        let print = Print::of(contract, &group()).in_lives(unknown);
        let mark = |key: u64| Mark::of("any", &key.to_string());
        let mut found = Found::of_bits(BITS_OF_AN_HOUR);
        (0..matches).for_each(|key| found.records.add(mark(key)));
        found.wrong = (0..mismatches).map(|key| mark(u64::MAX - key)).collect();
        (found.verdicts.matches, found.verdicts.mismatches) = (matches, mismatches);
        found.first = Some(Instant::new(now().to_utc() - chrono::TimeDelta::hours(1)));
        found.last = Some(now());
        let types = contract.entities.values().filter(|entity| entity.group == group());
        let mut figures = Figures::default();
        for name in types.map(|entity| hours_of(&entity.name)).chain([days_of(&group())]) {
            let slot = Slot { at: Slot::hour(now()), group: name, rollout: model::RolloutVersion(1) };
            figures
                .add(slot, &GroupFigures { found: [(print.clone(), found.clone())].into(), ..GroupFigures::default() });
        }
        self.control.add_figures(BatchId(Uuid::new_v4()), &figures).await.unwrap();
    }

    async fn policy(&self) -> Policy {
        self.control.newest().await.unwrap().unwrap().rollout.policy(&group())
    }

    async fn said(&self) -> Promotion {
        self.desk.last_promotion(&group()).await.unwrap().unwrap()
    }
}

fn ada() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("it is time".into()) }
}

#[tokio::test]
async fn a_plan_is_walked_step_by_step_by_whichever_replica_comes_first() {
    let scene = Scene::new().await;
    scene.evidence(40_000, 0).await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let (a, b) = (scene.replica("a"), scene.replica("b"));
    for expected in [1.0, 100.0] {
        let (one, two) = tokio::join!(a.round(), b.round());
        one.unwrap();
        two.unwrap();
        assert_eq!(f64::from(scene.policy().await.reads()), expected, "{}", scene.said().await.said);
        // Held: nothing moves before its time.
        a.round().await.unwrap();
        b.round().await.unwrap();
        assert_eq!(f64::from(scene.policy().await.reads()), expected);
        NOW.fetch_add(6, Ordering::SeqCst);
    }
    a.round().await.unwrap();
    assert_eq!(scene.said().await.progress, Progress::Finished);
    let record = scene.control.newest().await.unwrap().unwrap();
    assert_eq!(record.author.who, "ada");
    assert!(record.author.reason.unwrap().contains("step 2 of 2"));
    let actions: Vec<_> = scene.control.audit(0, 99).await.unwrap().iter().map(|entry| entry.action).collect();
    // Each step was published once, though two replicas tried.
    let steps = [Action::PromotionStarted, Action::Rollout, Action::Rollout, Action::PromotionFinished];
    assert_eq!(actions[1..], steps);
}

#[tokio::test]
async fn a_gate_that_closes_keeps_the_group_where_it_is_and_says_so() {
    let scene = Scene::new().await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let replica = scene.replica("a");
    replica.round().await.unwrap();
    assert_eq!(scene.policy().await.stage(), Stage::Shadow);
    assert!(scene.said().await.said.contains("waits for: mismatches"), "{}", scene.said().await.said);
    scene.evidence(40_000, 20).await;
    replica.round().await.unwrap();
    assert_eq!(scene.policy().await.stage(), Stage::Shadow);
    // A control store that is down moves nobody.
    scene.control.set_down(true);
    assert!(replica.round().await.is_err());
    scene.control.set_down(false);
    assert_eq!(scene.said().await.progress, Progress::Running);
}

#[tokio::test]
async fn a_rollback_ends_the_promotion_and_nothing_raises_reads_again() {
    let scene = Scene::new().await;
    scene.evidence(40_000, 0).await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let replica = scene.replica("a");
    replica.round().await.unwrap();
    let author = Author { who: "guard".into(), origin: "a".into(), reason: Some("a breach".into()) };
    let told = Override { id: OverrideId(Uuid::new_v4()), group: group(), author, at: now(), idle_under: None };
    publish_rollback(&scene.desk.witness, &told, None).await.unwrap();
    NOW.fetch_add(6, Ordering::SeqCst);
    for _ in 0..3 {
        replica.round().await.unwrap();
    }
    assert_eq!(scene.policy().await.reads(), Percentage::ZERO);
    assert!(matches!(&scene.said().await.progress, Progress::Stopped { why } if why.contains("0 % instead of 1 %")));
}

#[tokio::test]
async fn a_replica_that_dies_between_step_and_note_leaves_a_step_that_is_taken_once() {
    let scene = Scene::new().await;
    scene.evidence(40_000, 0).await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    // What a replica publishes before it dies.
    let dying = scene.replica("a");
    let seen = scene.control.newest().await.unwrap().unwrap().rollout.version;
    assert!(dying.take(&scene.said().await, 0, 1.0.try_into().unwrap(), seen).await.unwrap());
    let published = scene.control.newest().await.unwrap().unwrap().rollout.version;
    scene.replica("b").round().await.unwrap();
    assert_eq!(scene.said().await.at_step, Some(0));
    assert_eq!(scene.control.newest().await.unwrap().unwrap().rollout.version, published);
}

#[tokio::test]
async fn a_rollback_between_decision_and_step_is_not_undone() {
    let scene = Scene::new().await;
    scene.evidence(40_000, 0).await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let replica = scene.replica("a");
    replica.round().await.unwrap();
    // What the replica has seen when it decides; then somebody rolls back.
    let seen = scene.control.newest().await.unwrap().unwrap().rollout.version;
    let author = Author { who: "bob".into(), origin: "desk".into(), reason: None };
    let told = Override { id: OverrideId(Uuid::new_v4()), group: group(), author, at: now(), idle_under: None };
    publish_rollback(&scene.desk.witness, &told, None).await.unwrap();
    let taken = replica.take(&scene.said().await, 1, 100.0.try_into().unwrap(), seen).await.unwrap();
    assert!(!taken);
    assert_eq!(scene.policy().await.reads(), Percentage::ZERO);
}

#[tokio::test]
async fn a_rollback_before_the_first_step_ends_the_promotion_though_it_changed_no_percentage() {
    let scene = Scene::new().await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let replica = scene.replica("a");
    replica.round().await.unwrap();
    let author = Author { who: "bob".into(), origin: "desk".into(), reason: None };
    let told = Override { id: OverrideId(Uuid::new_v4()), group: group(), author, at: now(), idle_under: None };
    publish_rollback(&scene.desk.witness, &told, None).await.unwrap();
    // WHEN the gates open
    scene.evidence(40_000, 0).await;
    replica.round().await.unwrap();
    assert_eq!(scene.policy().await.reads(), Percentage::ZERO);
    assert!(
        matches!(&scene.said().await.progress, Progress::Stopped { why } if why.contains("bob rolled the group back"))
    );
}

#[tokio::test]
async fn a_group_that_was_rolled_back_and_raised_by_hand_to_the_next_step_is_left_to_the_hand() {
    let scene = Scene::new().await;
    scene.evidence(40_000, 0).await;
    scene.desk.promote(&group(), &ada()).await.unwrap();
    let replica = scene.replica("a");
    replica.round().await.unwrap();
    let author = Author { who: "bob".into(), origin: "desk".into(), reason: None };
    let told = Override { id: OverrideId(Uuid::new_v4()), group: group(), author, at: now(), idle_under: None };
    publish_rollback(&scene.desk.witness, &told, None).await.unwrap();
    let wish = SetPolicy { reads: Some(1.0.try_into().unwrap()), ..SetPolicy::default() };
    scene.desk.set(&group(), &wish, &Knowing::past_everything(), &ada()).await.unwrap();
    NOW.fetch_add(6, Ordering::SeqCst);
    replica.round().await.unwrap();
    assert_eq!(f64::from(scene.policy().await.reads()), 1.0);
    assert!(matches!(scene.said().await.progress, Progress::Stopped { .. }));
}
