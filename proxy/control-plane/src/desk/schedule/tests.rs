use std::sync::atomic::{AtomicI64, Ordering};

use adapters::Lane;
use adapters::memory::control::MemoryControl;
use chrono::NaiveTime;
use model::control::reconciliation::Reconciliation;
use model::control::{AuditStore as _, OrderStore as _, ReconciliationStore as _, Replica, RunId};
use model::{EntityName, PerSide, RolloutVersion, Stage};
use shadow_compare::Redactor;
use uuid::Uuid;

use super::*;
use crate::desk::orders::Orders;
use crate::desk::scene::laid;
use data_plane::reconcile::{ReconcileSettings, Reconciler};

const HOUR: Duration = Duration::from_secs(3_600);

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn newest(age: Option<Duration>, problem: Option<&str>) -> Newest {
    let findings = Findings { problem: problem.map(str::to_owned), ..Findings::default() };
    let reconciliation = Reconciliation {
        run: RunId(Uuid::nil()),
        group: "inventory".into(),
        entity: "Product".into(),
        author: Author { who: "schedule".into(), origin: "a".into(), reason: None },
        begun: at("2026-01-31T08:00:00Z"),
        ended: Some(at("2026-01-31T08:00:00Z")),
        findings: Some(findings),
    };
    Newest { reconciliation, age }
}

#[test]
fn a_type_is_due_when_its_last_run_is_too_old_and_when_nobody_knows_how_old_it_is() {
    let now = at("2026-01-31T02:31:00Z");
    let due = |when: When, age, problem| when.is_due(Some(&newest(age, problem)), now);
    let every = When::Every(24 * HOUR);
    assert!(every.is_due(None, now));
    assert!(due(every, None, None), "a clock was put back");
    assert!(due(every, Some(24 * HOUR), None));
    assert!(!due(every, Some(24 * HOUR - Duration::from_secs(1)), None));
    // What could not compare everything says nothing: it is tried again before the day is over.
    assert!(!due(every, Some(RETRY / 2), Some("modern does not answer")));
    assert!(due(every, Some(RETRY), Some("modern does not answer")));
    // At half past two; now it is one minute later.
    let daily = When::DailyAt(NaiveTime::from_hms_opt(2, 30, 0).unwrap());
    assert!(!due(daily, Some(Duration::from_secs(59)), None));
    assert!(due(daily, Some(Duration::from_secs(61)), None));
    // Before that time of the day yesterday's counts.
    let early = at("2026-01-31T02:29:00Z");
    assert!(!daily.is_due(Some(&newest(Some(23 * HOUR), None)), early));
    assert!(daily.is_due(Some(&newest(Some(24 * HOUR), None)), early));
    assert_eq!((every.to_string(), daily.to_string()), ("every 24 h".into(), "daily at 02:30 UTC".into()));
}

static NOW: AtomicI64 = AtomicI64::new(0);

fn now() -> Instant {
    Instant::new(chrono::Utc::now() + TimeDelta::seconds(NOW.load(Ordering::SeqCst)))
}

/// A replica of a fleet of `a` and `b`.
struct Fleet {
    scheduled: Scheduled,
    orders: Orders,
}

fn replica(desk: &Desk, name: &str) -> Fleet {
    let reconciler = Reconciler {
        stores: desk.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Scan))),
        control: Arc::clone(&desk.control),
        redactor: Redactor::new(b"secret"),
        today: || chrono::Utc::now().date_naive(),
        settings: ReconcileSettings { pause: Duration::ZERO, ..ReconcileSettings::default() },
    };
    let schedule = Schedule { when: When::Every(24 * HOUR), groups: BTreeSet::new(), pause: Duration::ZERO };
    Fleet {
        scheduled: Scheduled::new(desk.clone(), name.into(), schedule),
        orders: Orders::new(desk.clone(), name.into(), reconciler),
    }
}

impl Fleet {
    /// Orders what is due, and runs what is ordered.
    async fn round(&self, stop: &CancellationToken) -> Result<(), DeskError> {
        self.scheduled.round().await?;
        self.orders.round(stop).await
    }
}

async fn beat(control: &MemoryControl, names: &[&str]) {
    use model::control::ControlStore as _;
    for name in names {
        let replica = Replica {
            id: (*name).into(),
            admin_address: "127.0.0.1:1".into(),
            rollout: RolloutVersion(1),
            instance: Uuid::nil(),
            saved: true,
        };
        control.heartbeat(&replica).await.unwrap();
    }
}

#[tokio::test]
async fn rows_at_rest_are_compared_by_one_replica_and_another_goes_on_where_it_died() {
    let (desk, control) = laid(&[], Stage::Shadow).await;
    let desk = Desk { clock: now, ..desk };
    let group = GroupName::from("inventory");
    let types: Vec<EntityName> = desk
        .contract
        .entities
        .values()
        .filter(|entity| entity.group == group)
        .map(|entity| entity.name.clone())
        .collect();
    assert!(types.len() > 1);
    let stop = CancellationToken::new();
    let (a, b) = (replica(&desk, "a"), replica(&desk, "b"));
    let runs = async || control.reconciliations(None, 100).await.unwrap();
    beat(&control, &["a", "b"]).await;
    b.round(&stop).await.unwrap();
    assert_eq!(runs().await, [], "the first one by name acts");
    // GIVEN a replica that died after the first type, in the middle of the second
    let author = Author { who: "schedule".into(), origin: "a".into(), reason: None };
    let (done, begun) = (RunId(Uuid::now_v7()), RunId(Uuid::now_v7()));
    control.begin_reconciliation(done, &group, &types[0], &author).await.unwrap();
    let whole = Findings { rows: PerSide { legacy: 1, modern: 1 }, ..Findings::default() };
    control.end_reconciliation(done, &types[0], &whole).await.unwrap();
    control.begin_reconciliation(begun, &group, &types[1], &author).await.unwrap();
    {
        use model::control::ControlStore as _;
        control.retire(&"a".into()).await.unwrap();
    }
    // THEN the next one compares the rest, in its own name
    b.round(&stop).await.unwrap();
    let all = runs().await;
    let by_b: Vec<_> = all.iter().filter(|run| run.author.origin == "b").collect();
    assert_eq!(by_b.len(), types.len() - 1, "{all:?}");
    assert!(by_b.iter().all(|run| run.ended.is_some() && run.entity != types[0]));
    assert_eq!(by_b[0].author.who, "schedule");
    // An order of its own says how it went, and is on no record of what people did.
    let orders = control.orders(Some(&group), 10).await.unwrap();
    assert_eq!((orders.len(), orders[0].order.types.len()), (1, types.len() - 1));
    assert!(control.newest_audit(None, None, 10).await.unwrap().iter().all(|one| one.author.who != "schedule"));
    // and nothing is compared again before its time.
    beat(&control, &["a", "b"]).await;
    a.round(&stop).await.unwrap();
    assert_eq!(runs().await.len(), all.len());
    let said = desk.notices.of(&group);
    assert_eq!(said, ["Its rows at rest are compared every 24 h, by one replica."]);
}

#[tokio::test]
async fn an_order_that_came_to_nothing_is_not_placed_anew_every_few_seconds() {
    let (desk, control) = laid(&[], Stage::Shadow).await;
    let desk = Desk { clock: || Instant::new(chrono::Utc::now()), ..desk };
    beat(&control, &["a"]).await;
    let a = replica(&desk, "a");
    a.scheduled.round().await.unwrap();
    let open = control.open_orders().await.unwrap();
    assert_eq!(open.len(), 1);
    let end = OrderEnd::Failed("it was begun 10 times".into());
    assert!(control.end_order(open[0].order.id, 0, &open[0].progress, &end).await.unwrap());
    a.scheduled.round().await.unwrap();
    assert!(control.open_orders().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_that_nobody_keeps_equal_is_not_compared() {
    let (desk, control) = laid(&[], Stage::Legacy).await;
    beat(&control, &["a"]).await;
    replica(&desk, "a").round(&CancellationToken::new()).await.unwrap();
    assert_eq!(control.reconciliations(None, 10).await.unwrap(), []);
}
