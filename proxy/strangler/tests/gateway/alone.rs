//! The end of dual write: modern takes writes alone. Legacy has everything up to that moment and nothing after it, also
//! where a replica slept through it; and whoever dies on the way leaves what leads on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::handover::coordinate::{Coordinator, Handed, NotHanded};
use control_plane::handover::keeper::Keeper;
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::fences::Fences;
use data_plane::write::apply::Door;
use model::{Authority, Epoch, Holder, PerSide, Side, Stage, Store, Value};
use parking_lot::Mutex;
use testkit::faults::{Call, Fault};
use tokio_util::sync::CancellationToken;

use crate::handover::{Agreed, Customers, SETTINGS, authority, hand_over_group, is_crash, keep, stores};
use crate::rig::{Ground, Pace, Replica, WITHIN, process, until};
use crate::shelves::{self, Shelves};

/// Ends the dual write as a process of its own would.
async fn end(ground: &Ground) -> Result<Handed, NotHanded> {
    let stores = stores(ground);
    let fences = Fences::new(stores.clone(), Arc::new(|_, _| {}), SETTINGS.within);
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    let doors = Door::both(&ground.loaded.contract, &stores, breaker, SETTINGS.within, None);
    let group = ground.group();
    Coordinator { fences: &fences, doors: &doors, group: &group, decide: &Agreed, settings: SETTINGS }
        .end_dual_write()
        .await
}

/// Shelves whose writes modern takes, at stage `reverse`.
async fn reverse() -> Shelves {
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    ground.set(Stage::Shift, 100.0, 0.0);
    let handed = hand_over_group(ground, &ground.group(), Side::Modern, false).await.unwrap();
    ground.hearer()(&ground.group(), Holder { side: handed.to, epoch: handed.epoch, alone: false });
    shelves
}

fn pace() -> Pace {
    Pace { deadline: Duration::from_secs(4), ..Pace::default() }
}

/// How a shelf stood on modern when `epoch` began.
async fn stood_before(ground: &Ground, id: &str, epoch: Epoch) -> i64 {
    let history = ground.stores.modern.history(&shelves::key(id), 100_000, WITHIN).await.unwrap();
    let newest = history.states.iter().find(|state| state.version.epoch < epoch);
    let index = shelves::shelf_type(&ground.loaded).index("onHand").unwrap();
    match newest.and_then(|state| state.state.as_ref()?.get(index)) {
        Some(Value::Int(number)) => *number,
        None => 100,
        other => panic!("{other:?}"),
    }
}

/// Legacy has what stood on modern when `epoch` began, whatever modern has by now.
async fn legacy_has_all_from_before(shelves: &Shelves, epoch: Epoch) {
    let mut then = Vec::new();
    for id in ["A", "B", "C"] {
        then.push(format!("{id}={}", stood_before(&shelves.ground, id, epoch).await));
    }
    assert_eq!(shelves.told(Side::Legacy), then.join(" "));
}

fn total(shelves: &Shelves, side: Side) -> i64 {
    shelves.told(side).split(' ').map(|one| one[2..].parse::<i64>().unwrap()).sum()
}

#[test]
fn dual_write_ends_under_load_though_a_replica_sleeps_and_legacy_has_all_and_nothing_more() {
    process(async {
        let shelves = reverse().await;
        let ground = &shelves.ground;
        let apart = ground.with_a_rollout_of_its_own();
        let awake = Arc::new(Replica::ready(ground, &pace()).await);
        let sleeper = Arc::new(Replica::ready(&apart, &pace()).await);
        let customers = Customers::start(&[awake, sleeper]);
        until("writes are made", async || *customers.done.lock() > 40).await;
        // GIVEN a replica that sends what it has begun under `reverse` only after the end
        apart.stores.modern.always(Call::Execute, Fault::Latency(Duration::from_millis(900)));
        let handed = end(ground).await.unwrap();
        assert_eq!((handed.to, handed.epoch, handed.alone), (Side::Modern, Epoch(4), true));
        let steps: Vec<_> = handed.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(steps, ["freeze", "drain", "bar", "publish", "alone"]);
        assert_eq!(authority(ground).await, Authority::Alone { epoch: Epoch(4) });
        let then = shelves.told(Side::Legacy);
        // THEN writes go on, and not one of them waits for anybody
        let done = *customers.done.lock();
        until("writes go on", async || {
            let backlog = ground.stores.modern.backlog(&ground.group(), WITHIN).await.unwrap();
            assert_eq!(backlog.all(), 0);
            *customers.done.lock() > done + 100
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (_, mut errors) = customers.end().await;
        // A shelf may run empty.
        errors.remove("INSUFFICIENT_STOCK");
        assert_eq!(errors, BTreeSet::new());
        for ground in [ground, &apart] {
            let policy = ground.newest()().policy(&ground.group());
            assert_eq!((policy.stage(), policy.epoch()), (Stage::Modern, Epoch(4)));
        }
        // and legacy is as modern was at that moment.
        assert_eq!(shelves.told(Side::Legacy), then);
        assert_eq!((total(&shelves, Side::Legacy), total(&shelves, Side::Modern)), (300, 300));
        assert!(!shelves.are_equal());
        legacy_has_all_from_before(&shelves, handed.epoch).await;
    });
}

/// Calls of whoever ends it, in order.
const CALLS: [(&str, Side, Call, usize); 8] = [
    ("freeze", Side::Modern, Call::MoveFence, 1),
    ("drain: lease", Side::Modern, Call::LeaseUnsettled, 1),
    ("drain: apply", Side::Legacy, Call::Apply, 1),
    ("drain: settle", Side::Modern, Call::Settle, 1),
    ("drain: count", Side::Modern, Call::Backlog, 1),
    ("bar", Side::Legacy, Call::MoveFence, 1),
    ("alone", Side::Modern, Call::MoveFence, 2),
    ("last look", Side::Modern, Call::LookAtFence, 4),
];

const FAULTS: [Fault; 7] =
    [Fault::Reject, Fault::FailAfter, Fault::Hang, Fault::Twice, Fault::Down, Fault::CrashBefore, Fault::CrashAfter];

async fn one(side: Side, call: Call, nth: usize, fault: Fault) {
    let shelves = reverse().await;
    let ground = &shelves.ground;
    let replica = Arc::new(Replica::ready(ground, &pace()).await);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    keep(ground, &stop);
    let customers = Customers::start(&[replica]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let faulty = ground.with_faults_of_its_own();
    faulty.stores.get(side).on(call, nth, fault);
    tokio::select! {
        outcome = end(&faulty) => match outcome {
            Ok(handed) => assert!(handed.alone),
            Err(error) => assert!(matches!(error, NotHanded::WritersStay { .. } | NotHanded::Undone { .. } | NotHanded::Store(_)), "{error}"),
        },
        () = faulty.stores.legacy.crashed() => assert!(is_crash(fault)),
        () = faulty.stores.modern.crashed() => assert!(is_crash(fault)),
    }
    // THEN modern takes writes before the limit is over, whether anybody goes on with it or not
    until("modern takes writes", async || authority(ground).await.holder().is_some()).await;
    let done = *customers.done.lock();
    until("writes go on", async || *customers.done.lock() > done + 20).await;
    // and whoever runs it again brings it to its end.
    let handed = end(ground).await.unwrap();
    assert_eq!(authority(ground).await, Authority::Alone { epoch: handed.epoch });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, errors) = customers.end().await;
    assert_eq!(errors, BTreeSet::new());
    assert_eq!(ground.stores.modern.backlog(&ground.group(), WITHIN).await.unwrap().all(), 0);
    legacy_has_all_from_before(&shelves, handed.epoch).await;
}

#[test]
fn every_step_of_the_end_of_dual_write_survives_every_fault() {
    for (name, side, call, nth) in CALLS {
        for fault in FAULTS {
            eprintln!("{name} {fault:?}");
            process(one(side, call, nth, fault));
        }
    }
}

#[test]
fn what_legacy_does_not_take_undoes_it_and_is_named() {
    process(async {
        let shelves = reverse().await;
        let ground = &shelves.ground;
        let replica = Replica::ready(ground, &Pace { relay: None, ..Pace::default() }).await;
        ground.stores.legacy.always(Call::Apply, Fault::Reject);
        replica.ask("mutation { move(from: \"A\", to: \"B\", quantity: 1) { onHand } }").await;
        let error = end(ground).await.unwrap_err();
        let NotHanded::Undrained { to, left, .. } = error else { panic!("{error}") };
        assert_eq!((to, left.writes, left.keys.len()), (Side::Legacy, 1, 2));
        assert!(matches!(authority(ground).await, Authority::Held { by: Side::Modern, .. }));
        ground.stores.legacy.heal();
        assert!(end(ground).await.unwrap().alone);
        // Nobody hands it over any more.
        let refused = hand_over_group(ground, &ground.group(), Side::Legacy, true).await.unwrap_err();
        assert!(refused.to_string().contains("filled anew from modern"), "{refused}");
        assert!(end(ground).await.unwrap().steps.is_empty(), "the same again changes nothing");
    });
}

/// A keeper, and what it publishes.
fn keeper(ground: &Ground, stop: &CancellationToken) -> Arc<Mutex<Vec<Holder>>> {
    let told: Arc<Mutex<Vec<Holder>>> = Arc::default();
    let published = ground.newest();
    let published = Arc::new(move || model::Rollout::clone(&published()));
    let (kept, hears) = (Arc::clone(&told), ground.hearer());
    let publish: control_plane::handover::keeper::Publish = Arc::new(move |group, holder| {
        kept.lock().push(holder);
        hears(&group, holder);
        Box::pin(async { true })
    });
    let fences = Fences::new(stores(ground), Arc::new(|_, _| {}), SETTINGS.within);
    tokio::spawn(Arc::new(Keeper { fences, published, publish, settings: SETTINGS }).run(stop.clone()));
    told
}

#[test]
fn an_end_that_nobody_published_is_published_by_a_replica() {
    process(async {
        let shelves = reverse().await;
        let ground = &shelves.ground;
        let handed = end(ground).await.unwrap();
        assert_eq!(ground.newest()().policy(&ground.group()).stage(), Stage::Reverse);
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let told = keeper(ground, &stop);
        until("it is published", async || !told.lock().is_empty()).await;
        assert_eq!(told.lock()[0], Holder { side: Side::Modern, epoch: handed.epoch, alone: true });
        assert_eq!(ground.newest()().policy(&ground.group()).stage(), Stage::Modern);
    });
}

#[test]
fn a_group_that_an_older_release_left_open_in_modern_comes_to_stand_alone() {
    process(async {
        // GIVEN a group in stage `modern` whose fence is open, with writes that nobody brings to legacy
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        ground.set(Stage::Shift, 100.0, 0.0);
        let handed = hand_over_group(ground, &ground.group(), Side::Modern, false).await.unwrap();
        ground.hearer()(&ground.group(), Holder { side: Side::Modern, epoch: handed.epoch, alone: true });
        let replica = Replica::start(ground, &pace());
        let pass = "mutation { move(from: \"A\", to: \"B\", quantity: 1) { onHand } }";
        assert!(replica.ask(pass).await.body["errors"].is_null());
        let backlog = async || ground.stores.modern.backlog(&ground.group(), WITHIN).await.unwrap();
        assert_eq!((backlog().await.writes, backlog().await.left_behind), (1, 0));
        // WHEN a replica of this release looks at its fence
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let told = keeper(ground, &stop);
        until("it is alone", async || authority(ground).await == Authority::Alone { epoch: Epoch(3) }).await;
        until("that is published", async || !told.lock().is_empty()).await;
        // THEN what was written before is left behind, and what is written now waits for nobody.
        for _ in 0..3 {
            assert!(replica.ask(pass).await.body["errors"].is_null());
            assert_eq!((backlog().await.writes, backlog().await.left_behind), (0, 1));
        }
        assert_eq!(shelves.told(Side::Legacy), "A=100 B=100 C=100");
        assert_eq!(ground.newest()().policy(&ground.group()).epoch(), Epoch(3));
    });
}

#[test]
fn a_replica_that_sees_only_modern_knows_that_it_is_alone() {
    process(async {
        let shelves = reverse().await;
        let ground = &shelves.ground;
        end(ground).await.unwrap();
        ground.stores.legacy.down(true);
        let stores: PerSide<Arc<dyn Store>> = stores(ground);
        let fences = Fences::new(stores, ground.hearer(), WITHIN);
        assert_eq!(fences.look(&ground.group()).await.unwrap(), Authority::Alone { epoch: Epoch(4) });
        assert_eq!(ground.newest()().policy(&ground.group()).stage(), Stage::Modern);
    });
}
