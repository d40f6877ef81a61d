//! Flags of an external provider govern percentages, within what people, guard and promotions have said.

mod after_rollback;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::begin::Begin as _;

use adapters::Lanes;
use adapters::memory::MemoryStore;
use adapters::memory::control::MemoryControl;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use control_plane::desk::{ApprovalRules, Desk, Knowing, Past};
use control_plane::openfeature::{Flags, Governor, Limits, Source};
use control_plane::promotion::{GateLimits, PromotionRules};
use control_plane::rollout::publish::publish_rollback;
use control_plane::rollout::{Override, SetPolicy};
use model::control::{Author, ControlStore, OverrideId, Progress, Promotion, Replica, RolloutRecord, Step};
use model::{Instant, PerSide, Percentage, ReplicaId, Role, Rollout, RolloutVersion, Side, Stage, Store};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::replica::{contract, desk, eventually, inventory};

const WITHIN: Duration = Duration::from_secs(5);
const WHO: &str = "openfeature:flagd";
/// How long a value must stand after a rollback.
const SETTLE: Duration = Duration::from_secs(300);
const LIMITS: Limits = Limits { settle: SETTLE, raises_per_hour: 6, past_gates: true };

/// A fleet of two replicas, of which `a` is the first, and a file of flags.
struct Site {
    control: Arc<dyn ControlStore>,
    memory: Arc<MemoryControl>,
    desk: Desk,
    folder: TempDir,
}

impl Site {
    /// The group is in stage shift at 0 %.
    async fn new(needs_second: &[Stage]) -> Self {
        let memory = Arc::new(MemoryControl::new());
        let control: Arc<dyn ControlStore> = memory.clone();
        let first = Rollout::initial([inventory()]);
        control.publish(&testkit::control_contract::publication(None, first)).await.unwrap();
        let stores = PerSide { legacy: (), modern: () }.map(|side, ()| MemoryStore::new(side, contract()));
        stores.legacy.begin_as(&contract().groups(), Role::Primary, WITHIN).await.unwrap();
        let lanes = |_: Side, store: MemoryStore| {
            let store: Arc<dyn Store> = Arc::new(store);
            Lanes::of(move |_| Arc::clone(&store))
        };
        let limits = GateLimits {
            objective: 0.9999,
            evidence: WITHIN,
            comparisons_per_route: 100,
            keys_ratio: 0.1,
            reconciled_within: None,
            unsettled_age: WITHIN,
            cdc_lag: WITHIN,
            error_rate: 0.001,
        };
        let desk = Desk {
            sides: stores.map(lanes),
            approvals: ApprovalRules {
                stages: needs_second.iter().copied().collect(),
                open_for: Duration::from_secs(3_600),
            },
            promotions: PromotionRules { steps: vec![Step { reads: share(100.0), hold: WITHIN }], limits },
            clock: now,
            ..desk(&control)
        };
        let site = Self { control, memory, desk, folder: tempfile::tempdir().unwrap() };
        site.beat(&["b", "a"]).await;
        let unguarded = Desk {
            approvals: ApprovalRules { stages: Default::default(), ..site.desk.approvals.clone() },
            ..site.desk.clone()
        };
        let shift = SetPolicy { stage: Some(Stage::Shift), ..SetPolicy::default() };
        unguarded.set(&inventory(), &shift, &Knowing::past_everything(), &author("ada")).await.unwrap();
        site
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("flags.json")
    }

    fn says(&self, value: Json) {
        flag_file(&self.file(), value);
    }

    async fn beat(&self, replicas: &[&str]) {
        for id in replicas {
            let replica = Replica {
                id: (*id).into(),
                admin_address: "127.0.0.1:1".into(),
                rollout: RolloutVersion(1),
                instance: uuid::Uuid::nil(),
                saved: true,
            };
            self.control.heartbeat(&replica).await.unwrap();
        }
    }

    /// So much later, with the same replicas.
    async fn later(&self, time: Duration) {
        tokio::time::advance(time).await;
        self.beat(&["b", "a"]).await;
    }

    async fn governor(&self, replica: &str) -> Governor {
        let flags = Flags { source: Source::File(self.file()), interval: Duration::from_millis(10), limits: LIMITS };
        Governor::new(&flags, self.desk.clone(), ReplicaId::new(replica)).await
    }

    async fn last(&self) -> RolloutRecord {
        self.control.newest().await.unwrap().unwrap()
    }

    async fn reads(&self) -> f64 {
        self.last().await.rollout.policy(&inventory()).reads().into()
    }

    async fn set(&self, reads: f64) {
        let wish = SetPolicy { reads: Some(share(reads)), ..SetPolicy::default() };
        self.desk.set(&inventory(), &wish, &Knowing::past_everything(), &author("ada")).await.unwrap();
    }

    async fn roll_back(&self, who: &str) {
        let id = OverrideId(uuid::Uuid::new_v4());
        let told = Override { id, group: inventory(), author: author(who), at: now(), idle_under: None };
        publish_rollback(&self.desk.witness, &told, None).await.unwrap();
    }
}

/// The file that a flagd would serve.
pub(crate) fn flag_file(path: &Path, value: Json) {
    let flag = json!({ "state": "ENABLED", "variants": { "now": value, "none": 0 }, "defaultVariant": "now" });
    std::fs::write(path, json!({ "flags": { "strangler.inventory.reads": flag } }).to_string()).unwrap();
}

fn share(percent: f64) -> Percentage {
    percent.try_into().unwrap()
}

fn now() -> Instant {
    Instant::new(chrono::Utc::now())
}

fn author(who: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some("a reason".into()) }
}

#[tokio::test]
async fn a_flag_that_changes_on_disk_is_published_as_an_ordinary_rollout() {
    let site = Site::new(&[]).await;
    site.says(json!(12.5));
    let (stop, governor) = (tokio_util::sync::CancellationToken::new(), site.governor("a").await);
    let governing = tokio::spawn(governor.run(stop.clone()));
    eventually("the flag is in force", || async { site.reads().await == 12.5 }).await;
    let last = site.last().await;
    assert_eq!((last.author.who.as_str(), last.author.origin.as_str()), (WHO, "a"));
    assert_eq!(last.author.reason.as_deref(), Some("flag strangler.inventory.reads says 12.5 %"));
    assert_eq!(last.summary, "set inventory: reads 0 % -> 12.5 %");
    for value in [50.0, 5.0, 0.0] {
        site.says(json!(value));
        eventually("the flag is in force", || async { site.reads().await == value }).await;
    }
    stop.cancel();
    governing.await.unwrap();
}

#[tokio::test]
async fn a_flag_that_is_missing_or_makes_no_sense_changes_nothing() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    site.says(json!(25));
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 25.0);
    let before = site.last().await.rollout.version;
    std::fs::remove_file(site.file()).unwrap();
    governor.round().await.unwrap();
    for nonsense in ["{ \"flags\": ", "{}", "{ \"flags\": {} }", "{ \"flags\": { \"strangler.inventory.reads\": 7 } }"]
    {
        std::fs::write(site.file(), nonsense).unwrap();
        governor.round().await.unwrap();
    }
    for nonsense in [json!(-1), json!(101), json!(12.345), json!("25"), json!(null), json!(true)] {
        site.says(nonsense);
        governor.round().await.unwrap();
    }
    assert_eq!(site.last().await.rollout.version, before);
    site.memory.set_down(true);
    site.says(json!(50));
    governor.round().await.unwrap_err();
    site.memory.set_down(false);
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 50.0, "and what makes sense again is heard");
}

#[tokio::test]
async fn a_change_that_was_decided_before_a_rollback_does_not_undo_it() {
    let site = Site::new(&[]).await;
    site.set(10.0).await;
    let seen = site.last().await.rollout;
    site.roll_back("guard").await;
    let wish = SetPolicy { reads: Some(share(25.0)), ..SetPolicy::default() };
    let overtaken = site.desk.set_after(&seen, &inventory(), &wish, Past::Everything, &author(WHO)).await.unwrap_err();
    assert_eq!((overtaken.code(), site.reads().await), ("OVERTAKEN", 0.0));
    let seen = site.last().await.rollout;
    site.desk.set_after(&seen, &inventory(), &wish, Past::Everything, &author(WHO)).await.unwrap();
    assert_eq!(site.reads().await, 25.0);
}

#[tokio::test]
async fn who_lowers_reads_by_hand_is_not_overruled_by_the_same_flag() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    site.says(json!(25));
    governor.round().await.unwrap();
    site.set(10.0).await;
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 10.0);
    site.says(json!(20));
    governor.round().await.unwrap();
    site.set(60.0).await;
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 20.0, "raised by hand: the flag governs");
}

#[tokio::test]
async fn a_promotion_and_every_other_stage_go_before_the_flag() {
    let site = Site::new(&[]).await;
    let mut governor = site.governor("a").await;
    site.says(json!(25));
    let running = Promotion {
        group: inventory(),
        steps: vec![Step { reads: share(100.0), hold: WITHIN }],
        at_step: None,
        since: now(),
        since_rollout: None,
        author: author("ada"),
        approved_by: None,
        progress: Progress::Running,
        said: "begins".into(),
        revision: 1,
    };
    site.control.save_promotion(&running).await.unwrap();
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 0.0);
    site.control.save_promotion(&Promotion { progress: Progress::Finished, revision: 2, ..running }).await.unwrap();
    let shadow = SetPolicy { stage: Some(Stage::Shadow), ..SetPolicy::default() };
    site.desk.set(&inventory(), &shadow, &Knowing::past_everything(), &author("ada")).await.unwrap();
    governor.round().await.unwrap();
    assert_eq!(site.last().await.rollout.policy(&inventory()).stage(), Stage::Shadow);
    let shift = SetPolicy { stage: Some(Stage::Shift), ..SetPolicy::default() };
    site.desk.set(&inventory(), &shift, &Knowing::past_everything(), &author("ada")).await.unwrap();
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 25.0);
}

#[tokio::test]
async fn where_a_second_person_is_needed_a_raise_is_proposed_once_and_a_lowering_made() {
    let site = Site::new(&[Stage::Shift]).await;
    let mut governor = site.governor("a").await;
    site.says(json!(25));
    for _ in 0..3 {
        governor.round().await.unwrap();
    }
    let open = site.desk.open_proposals().await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((site.reads().await, open[0].author.who.as_str()), (0.0, WHO));
    site.desk.approve(&open[0].id.to_string(), &Knowing::past_everything(), &author("ada")).await.unwrap();
    assert_eq!(site.reads().await, 25.0);
    governor.round().await.unwrap();

    site.says(json!(50));
    governor.round().await.unwrap();
    let open = site.desk.open_proposals().await.unwrap();
    site.desk.withdraw(&open[0].id.to_string(), &author("ada")).await.unwrap();
    for _ in 0..3 {
        governor.round().await.unwrap();
    }
    assert!(site.desk.open_proposals().await.unwrap().is_empty(), "turned down is turned down");
    site.says(json!(10));
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 10.0, "lowering asks nobody");
}

#[tokio::test(start_paused = true)]
async fn of_two_replicas_the_first_acts_and_the_other_only_looks() {
    let site = Site::new(&[]).await;
    site.says(json!(25));
    let (mut a, mut b) = (site.governor("a").await, site.governor("b").await);
    b.round().await.unwrap();
    assert_eq!(site.reads().await, 0.0);
    a.round().await.unwrap();
    assert_eq!(site.reads().await, 25.0);
    site.roll_back("ada").await;
    a.round().await.unwrap();
    b.round().await.unwrap();
    site.says(json!(30));
    // The first is gone: the other has seen what the flag said when the group was rolled back.
    site.control.retire(&"a".into()).await.unwrap();
    b.round().await.unwrap();
    tokio::time::advance(SETTLE).await;
    site.beat(&["b"]).await;
    b.round().await.unwrap();
    assert_eq!((site.reads().await, site.last().await.author.origin), (30.0, "b".to_owned()));
}

#[tokio::test]
async fn a_server_of_flags_is_asked_by_the_remote_protocol() {
    let said: Arc<Mutex<(u16, Json)>> = Arc::new(Mutex::new((200, json!({ "value": 25, "reason": "STATIC" }))));
    let answer = {
        let said = Arc::clone(&said);
        move || {
            let (status, body) = said.lock().clone();
            async move { (StatusCode::from_u16(status).unwrap(), body.to_string()) }
        }
    };
    let router = Router::new().route("/ofrep/v1/evaluate/flags/strangler.inventory.reads", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let site = Site::new(&[]).await;
    let flags = Flags { source: Source::Server(base), interval: WITHIN, limits: LIMITS };
    let mut governor = Governor::new(&flags, site.desk.clone(), "a".into()).await;
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 25.0);
    for (status, body) in [
        (404, json!({ "errorCode": "FLAG_NOT_FOUND" })),
        (500, json!({})),
        (200, json!({})),
        (200, json!({ "value": "x" })),
    ] {
        *said.lock() = (status, body);
        governor.round().await.unwrap();
        assert_eq!(site.reads().await, 25.0);
    }
    *said.lock() = (200, json!({ "value": 12.5 }));
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 12.5);
}

#[tokio::test]
async fn a_flag_raises_nothing_past_closed_gates_and_lowers_whatever_they_say() {
    let site = Site::new(&[]).await;
    site.set(50.0).await;
    let limits = Limits { past_gates: false, ..LIMITS };
    let flags = Flags { source: Source::File(site.file()), interval: Duration::from_millis(10), limits };
    let mut governor = Governor::new(&flags, site.desk.clone(), ReplicaId::new("a")).await;
    // Nothing was ever compared, so no gate holds.
    site.says(json!(75));
    for _ in 0..3 {
        governor.round().await.unwrap();
    }
    assert_eq!(site.reads().await, 50.0);
    let notices = site.desk.notices_of(&inventory());
    assert!(notices.iter().any(|notice| notice.contains("75 %") && notice.contains("past_gates")), "{notices:?}");
    // What takes traffic off modern needs no gate.
    site.says(json!(5));
    governor.round().await.unwrap();
    assert_eq!(site.reads().await, 5.0);
}
