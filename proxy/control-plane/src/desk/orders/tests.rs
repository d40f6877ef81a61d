use std::time::Duration;

use adapters::Lane;
use adapters::memory::control::MemoryControl;
use model::control::{AuditStore as _, Author, ControlStore as _, OrderId, OrderStore as _, ReconciliationStore as _};
use model::{EntityName, GroupName, Stage};
use shadow_compare::Redactor;
use testkit::faults::{Call, Fault, FaultyStore};

use super::*;
use crate::desk::scene::laid;
use crate::rollout::SetPolicy;
use data_plane::reconcile::ReconcileSettings;

fn ada() -> Author {
    Author { who: "ada".into(), origin: "desk".into(), reason: Some("before the promotion".into()) }
}

fn group() -> GroupName {
    "inventory".into()
}

fn replica(desk: &Desk, name: &str) -> Orders {
    let reconciler = Reconciler {
        stores: desk.sides.clone().map(|_, lanes| Arc::clone(lanes.get(Lane::Scan))),
        control: Arc::clone(&desk.control),
        redactor: Redactor::new(b"secret"),
        today: || chrono::Utc::now().date_naive(),
        settings: ReconcileSettings { pause: Duration::ZERO, ..ReconcileSettings::default() },
    };
    Orders::new(desk.clone(), name.into(), reconciler)
}

/// A group in shadow, its desk, and modern's faults.
async fn site(stage: Stage) -> (Desk, Arc<MemoryControl>, FaultyStore) {
    let (mut desk, control) = laid(&[], stage).await;
    desk.clock = || model::Instant::new(chrono::Utc::now());
    let modern = FaultyStore::new(Arc::clone(desk.sides.modern.get(Lane::Scan)));
    let seen = modern.clone();
    desk.sides.modern = adapters::Lanes::of(move |_| Arc::new(seen.clone()));
    (desk, control, modern)
}

async fn order(desk: &Desk) -> OrderId {
    desk.order_reconcile(&group(), None, &ada()).await.unwrap().order.id
}

async fn now(control: &MemoryControl, id: OrderId) -> OrderRecord {
    control.order(id).await.unwrap().unwrap()
}

/// Waits until the order is as `wanted` says.
async fn until(control: &MemoryControl, id: OrderId, wanted: impl Fn(&OrderRecord) -> bool) -> OrderRecord {
    let wait = async {
        loop {
            let record = now(control, id).await;
            if wanted(&record) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
    match found {
        Ok(record) => record,
        Err(_) => panic!("{:?}", now(control, id).await),
    }
}

#[tokio::test]
async fn what_was_ordered_is_run_once_by_one_replica_and_says_what_it_found() {
    let (desk, control, _) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    let noted = control.newest_audit(None, None, 1).await.unwrap();
    assert_eq!(noted[0].author, ada());
    assert!(noted[0].summary().starts_with("ordered to compare the rows at rest of "), "{}", noted[0].summary());
    // WHEN two replicas look at once
    let (stop, a, b) = (CancellationToken::new(), replica(&desk, "a"), replica(&desk, "b"));
    let (left, right) = tokio::join!(a.round(&stop), b.round(&stop));
    left.unwrap();
    right.unwrap();
    // THEN each type was compared once
    let record = now(&control, id).await;
    let types: Vec<EntityName> = record.order.types.iter().map(|one| one.entity.clone()).collect();
    let runs = control.reconciliations(Some(&group()), 100).await.unwrap();
    assert_eq!((runs.len(), record.progress.done.len()), (types.len(), types.len()));
    assert!(runs.iter().all(|run| run.author == ada() && run.ended.is_some()), "{runs:?}");
    assert_eq!(record.state(), OrderState::Complete, "{record:?}");
    assert_eq!(desk.findings_of(&record).await.unwrap().len(), types.len());
    // and never again.
    a.round(&stop).await.unwrap();
    assert_eq!(control.reconciliations(Some(&group()), 100).await.unwrap().len(), types.len());
    // What is known says so, from then on.
    let known = desk.at_rest(&group()).await.unwrap();
    assert!(known.types.iter().all(|one| one.complete.is_some() && one.same_contract), "{known:?}");
}

#[tokio::test]
async fn a_second_order_is_told_who_has_ordered_the_first_and_how_far_it_is() {
    let (desk, control, modern) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    let second = desk.order_reconcile(&group(), None, &Author { who: "bob".into(), ..ada() }).await.unwrap_err();
    assert_eq!(second.code(), "ALREADY_ORDERED");
    assert!(second.to_string().contains("ada has ordered it") && second.to_string().contains("no replica"), "{second}");
    // The same while it runs, and the order answers though the table does not.
    modern.always(Call::Snapshot, Fault::Hang);
    let (stop, a) = (CancellationToken::new(), replica(&desk, "a"));
    let run = async { a.round(&stop).await.unwrap() };
    let look = async {
        let running = until(&control, id, |record| record.progress.at.is_some()).await;
        assert_eq!(running.state(), OrderState::Running);
        let second = desk.order_reconcile(&group(), None, &ada()).await.unwrap_err().to_string();
        assert!(second.contains("a is at ") && second.contains("0 of "), "{second}");
        modern.heal();
        stop.cancel();
    };
    tokio::join!(run, look);
    assert_eq!(control.newest_audit(None, None, 100).await.unwrap().len(), 2, "the first rollout, and one order");
}

#[tokio::test]
async fn a_replica_that_stops_leaves_the_order_and_the_next_goes_on_behind_what_is_done() {
    let (desk, control, modern) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    // GIVEN a replica that is through with the first type, and at the second
    modern.on(Call::Snapshot, 2, Fault::Hang);
    let (stop, a) = (CancellationToken::new(), replica(&desk, "a"));
    let run = async { a.round(&stop).await.unwrap() };
    let look = async {
        let second = |record: &OrderRecord| record.progress.done.len() == 1 && record.progress.at.is_some();
        until(&control, id, second).await;
        stop.cancel();
    };
    tokio::join!(run, look);
    modern.heal();
    let left = now(&control, id).await;
    assert_eq!((left.state(), left.progress.done.len()), (OrderState::Waiting, 1), "it is free at once: {left:?}");
    // THEN the next one compares the others, and only them
    replica(&desk, "b").round(&CancellationToken::new()).await.unwrap();
    let whole = now(&control, id).await;
    assert_eq!((whole.state(), whole.taken.map(|taken| taken.number)), (OrderState::Complete, Some(2)));
    let ended = |entity: &EntityName, runs: &[model::control::reconciliation::Reconciliation]| {
        runs.iter().filter(|run| run.entity == *entity && run.ended.is_some()).count()
    };
    let runs = control.reconciliations(Some(&group()), 100).await.unwrap();
    assert!(whole.order.types.iter().all(|one| ended(&one.entity, &runs) == 1), "{runs:?}");
}

#[tokio::test]
async fn a_replica_that_has_lost_its_order_stops_and_says_nothing_more_of_it() {
    let (desk, control, modern) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    modern.always(Call::Snapshot, Fault::Hang);
    let (never, a) = (CancellationToken::new(), replica(&desk, "a").holding(Duration::from_millis(200)));
    let run = async { a.round(&never).await.unwrap() };
    let steal = async {
        until(&control, id, |record| record.progress.at.is_some()).await;
        // GIVEN a replica that hears nothing for longer than its lease, while another takes the order
        loop {
            control.set_down(true);
            tokio::time::sleep(Duration::from_millis(250)).await;
            control.set_down(false);
            if control.take_order(id, &"b".into(), Duration::from_secs(600)).await.unwrap().is_some() {
                break;
            }
        }
    };
    // THEN its round ends by itself, without an end of the order
    tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(run, steal) }).await.unwrap();
    let record = now(&control, id).await;
    assert_eq!((record.state(), record.taken.unwrap().by), (OrderState::Running, "b".into()));
    assert!(control.reconciliations(Some(&group()), 10).await.unwrap().iter().all(|run| run.ended.is_none()));
}

#[tokio::test]
async fn a_replica_with_another_contract_leaves_the_order_and_gives_up_when_nobody_is_left() {
    let (desk, control, _) = site(Stage::Shadow).await;
    let mut placed = now(&control, order(&desk).await).await;
    assert!(takes(&desk.contract, &placed).is_ok());
    // A group that was renamed since, and a type that is compared by other columns.
    placed.order.group = "stock".into();
    let Err(Never::Here(why)) = takes(&desk.contract, &placed) else { panic!("no such group") };
    assert!(why.contains("in a group stock"), "{why}");
    placed.order.group = group();
    placed.order.types[0].mapping = "otherwise".into();
    let Err(Never::Here(why)) = takes(&desk.contract, &placed) else { panic!("another contract") };
    assert!(why.contains("compared by"), "{why}");
    // One that ends each replica which takes it is not taken for ever.
    let taken = |number| OrderRecord {
        taken: Some(model::control::Taken {
            by: "a".into(),
            at: model::Instant::new(chrono::Utc::now()),
            number,
            held: false,
        }),
        ..placed.clone()
    };
    assert!(matches!(takes(&desk.contract, &taken(MOST_TAKES)), Err(Never::Anywhere(_))));
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_group_that_no_contract_has_any_more_is_failed_and_says_so() {
    let (desk, control, _) = site(Stage::Shadow).await;
    let mut renamed = now(&control, order(&desk).await).await.order;
    renamed.id = OrderId(uuid::Uuid::from_u128(7));
    renamed.group = "stock".into();
    control.place_order(&renamed, None).await.unwrap();
    let (stop, a) = (CancellationToken::new(), replica(&desk, "a"));
    a.round(&stop).await.unwrap();
    assert_eq!(now(&control, renamed.id).await.state(), OrderState::Waiting, "somebody else may have it");
    assert_eq!(desk.strange_orders().await.unwrap().len(), 1);
    tokio::time::advance(GIVE_UP).await;
    a.round(&stop).await.unwrap();
    let record = now(&control, renamed.id).await;
    let Some((_, OrderEnd::Failed(why))) = &record.ended else { panic!("{record:?}") };
    assert!(why.contains("in a group stock") && why.contains("Order it again"), "{why}");
}

#[tokio::test]
async fn a_group_that_nothing_keeps_equal_is_neither_ordered_nor_run() {
    let (desk, control, _) = site(Stage::Legacy).await;
    let refused = desk.order_reconcile(&group(), None, &ada()).await.unwrap_err();
    assert_eq!(refused.code(), "NOT_KEPT_EQUAL");
    assert_eq!(control.open_orders().await.unwrap(), []);
    // One that was moved there after the order was placed.
    let (desk, control, _) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    let legacy = SetPolicy { stage: Some(Stage::Legacy), reads: None, shadow: None };
    desk.set(&group(), &legacy, &crate::desk::Knowing::past_everything(), &ada()).await.unwrap();
    replica(&desk, "a").round(&CancellationToken::new()).await.unwrap();
    let record = now(&control, id).await;
    assert_eq!(record.state(), OrderState::Failed);
    assert!(control.newest().await.unwrap().is_some());
}

#[tokio::test]
async fn an_order_whose_findings_could_not_be_recorded_has_not_ended() {
    let (desk, control, modern) = site(Stage::Shadow).await;
    let id = order(&desk).await;
    modern.on(Call::Snapshot, 1, Fault::Hang);
    let (stop, a) = (CancellationToken::new(), replica(&desk, "a"));
    let run = async { a.round(&stop).await };
    let outage = async {
        until(&control, id, |record| record.progress.at.is_some()).await;
        control.set_down(true);
        modern.heal();
    };
    let (ended, ()) = tokio::join!(run, outage);
    assert_eq!(ended.unwrap_err().code(), "CONTROL_STORE");
    control.set_down(false);
    let record = now(&control, id).await;
    assert!(record.state().is_open(), "{record:?}");
}
