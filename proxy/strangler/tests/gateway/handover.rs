//! Every step of a handover meets every fault, under load: one side is primary in the end, clients saw a pause and no
//! error, both sides are equal. Invariants 1, 2 and 3.
//!
//! The coordinator alone meets the faults. When it dies, either somebody runs the handover again, or nobody does and the
//! replicas undo it. Time is paused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::handover::coordinate::{Coordinator, Handed, HandoverSettings, NotHanded};
use control_plane::handover::decide::{Decide, Proposed, Undecided};
use control_plane::handover::keeper::Keeper;
use data_plane::breaker::{Breaker, BreakerSettings};
use data_plane::catchup::left_behind;
use data_plane::fences::Fences;
use data_plane::write::apply::Door;
use model::{Authority, GroupName, PerSide, Policy, Side, Stage, Store};
use parking_lot::Mutex;
use serde_json::json;
use testkit::faults::{Call, Fault, FaultyStore};
use tokio_util::sync::CancellationToken;

use crate::rig::{Ground, Pace, Replica, WITHIN, process, until};
use crate::shelves::{self, Shelves};

pub(crate) const SETTINGS: HandoverSettings = HandoverSettings {
    freeze: Duration::from_millis(500),
    limit: Duration::from_millis(800),
    within: Duration::from_millis(200),
};

/// Nobody has anything against it.
pub(crate) struct Agreed;

#[async_trait::async_trait]
impl Decide for Agreed {
    async fn decide(&self, _: &Proposed<'_>) -> Result<String, Undecided> {
        Ok("agreed".to_owned())
    }
}

/// Calls of the coordinator, in the order of a handover to modern.
const CALLS: [(&str, Side, Call, usize); 9] = [
    ("first look", Side::Legacy, Call::LookAtFence, 1),
    ("freeze", Side::Legacy, Call::MoveFence, 1),
    ("look after freeze", Side::Modern, Call::LookAtFence, 2),
    ("drain: lease", Side::Legacy, Call::LeaseUnsettled, 1),
    ("drain: apply", Side::Modern, Call::Apply, 1),
    ("drain: settle", Side::Legacy, Call::Settle, 1),
    ("drain: count", Side::Legacy, Call::Backlog, 1),
    ("open", Side::Modern, Call::MoveFence, 1),
    ("last look", Side::Modern, Call::LookAtFence, 3),
];

const FAULTS: [Fault; 7] =
    [Fault::Reject, Fault::FailAfter, Fault::Hang, Fault::Twice, Fault::Down, Fault::CrashBefore, Fault::CrashAfter];

pub(crate) fn stores(ground: &Ground) -> PerSide<Arc<dyn Store>> {
    ground.stores.clone().map(|_, store| Arc::new(store) as Arc<dyn Store>)
}

/// Runs a handover as a process of its own would.
async fn hand_over(ground: &Ground, to: Side, force: bool) -> Result<Handed, NotHanded> {
    hand_over_group(ground, &ground.group(), to, force).await
}

/// The same for one group of several.
pub(crate) async fn hand_over_group(
    ground: &Ground,
    group: &GroupName,
    to: Side,
    force: bool,
) -> Result<Handed, NotHanded> {
    let stores = stores(ground);
    let fences = Fences::new(stores.clone(), Arc::new(|_, _| {}), SETTINGS.within);
    let breaker = |_| Arc::new(Breaker::new(BreakerSettings::default()));
    let doors = Door::both(&ground.loaded.contract, &stores, breaker, SETTINGS.within, None);
    Coordinator { fences: &fences, doors: &doors, group, decide: &Agreed, settings: SETTINGS }.hand_to(to, force).await
}

/// What each replica runs beside its roads.
pub(crate) fn keep(ground: &Ground, stop: &CancellationToken) {
    let stores = stores(ground);
    let fences = Fences::new(stores, ground.hearer(), SETTINGS.within);
    let published = ground.newest();
    let published = Arc::new(move || model::Rollout::clone(&published()));
    let publish: control_plane::handover::keeper::Publish = Arc::new(|_, _| Box::pin(async { true }));
    tokio::spawn(Arc::new(Keeper { fences, published, publish, settings: SETTINGS }).run(stop.clone()));
}

/// Customers who write all the time, and what they were told.
pub(crate) struct Customers {
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) done: Arc<Mutex<u64>>,
    errors: Arc<Mutex<BTreeSet<String>>>,
}

impl Customers {
    pub(crate) fn start(replicas: &[Arc<Replica>]) -> Self {
        let (stop, done, errors) =
            (CancellationToken::new(), Arc::<Mutex<u64>>::default(), Arc::<Mutex<BTreeSet<String>>>::default());
        let tasks =
            [("A", "B"), ("B", "A"), ("B", "C"), ("C", "B")].into_iter().enumerate().map(|(place, (from, to))| {
                let replica = Arc::clone(&replicas[place % replicas.len()]);
                let (stop, done, errors) = (stop.clone(), Arc::clone(&done), Arc::clone(&errors));
                tokio::spawn(async move {
                    let query =
                        format!("mutation {{ move(from: \"{from}\", to: \"{to}\", quantity: 1) {{ onHand }} }}");
                    for number in 0.. {
                        if stop.is_cancelled() {
                            break;
                        }
                        let key = format!("{from}{to}{number}");
                        let reply = replica.ask_with(&query, &json!({}), &[("idempotency-key", key.as_str())]).await;
                        match reply.body["errors"].is_null() {
                            true => *done.lock() += 1,
                            false => drop(errors.lock().insert(reply.code().to_owned())),
                        }
                        tokio::time::sleep(Duration::from_millis(8)).await;
                    }
                })
            });
        let tasks = tasks.collect();
        Self { stop, tasks, done, errors }
    }

    pub(crate) async fn end(self) -> (u64, BTreeSet<String>) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let (done, errors) = (*self.done.lock(), self.errors.lock().clone());
        (done, errors)
    }
}

pub(crate) async fn authority(ground: &Ground) -> Authority {
    let group = ground.group();
    let fence = async |side: Side| ground.stores.get(side).fence(&group, WITHIN).await.unwrap().fence;
    Authority::of(&PerSide { legacy: fence(Side::Legacy).await, modern: fence(Side::Modern).await })
}

/// Nothing waits on either side.
async fn settled(ground: &Ground) {
    let group = ground.group();
    until("every write is settled", async || {
        let backlog = async |side: Side| ground.stores.get(side).backlog(&group, WITHIN).await.unwrap().writes;
        backlog(Side::Legacy).await + backlog(Side::Modern).await == 0
    })
    .await;
}

pub(crate) fn is_crash(fault: Fault) -> bool {
    matches!(fault, Fault::CrashBefore | Fault::CrashAfter)
}

/// One fault at one call; `resumed`: somebody runs the handover again. Who is primary in the end.
async fn one(side: Side, call: Call, nth: usize, fault: Fault, resumed: bool) -> Side {
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    ground.set(Stage::Shift, 100.0, 0.0);
    let pace = Pace { deadline: Duration::from_secs(4), ..Pace::default() };
    let replicas = [Arc::new(Replica::ready(ground, &pace).await), Arc::new(Replica::ready(ground, &pace).await)];
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    replicas.iter().for_each(|_| keep(ground, &stop));
    let customers = Customers::start(&replicas);
    tokio::time::sleep(Duration::from_millis(50)).await;
    // WHEN the coordinator meets the fault
    let faulty = ground.with_faults_of_its_own();
    faulty.stores.get(side).on(call, nth, fault);
    tokio::select! {
        outcome = hand_over(&faulty, Side::Modern, false) => match outcome {
            Ok(handed) => assert_eq!(handed.to, Side::Modern),
            Err(error) => assert!(matches!(error, NotHanded::WritersStay { .. } | NotHanded::Undone { .. } | NotHanded::Store(_)), "{error}"),
        },
        () = faulty.stores.legacy.crashed() => {}
        () = faulty.stores.modern.crashed() => {}
    }
    if resumed {
        let handed = hand_over(ground, Side::Modern, false).await.unwrap();
        assert_eq!(handed.to, Side::Modern);
    }
    // THEN one side is primary before the limit is over, and writes go on there
    until("one side is primary", async || matches!(authority(ground).await, Authority::Held { .. })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (done, errors) = customers.end().await;
    assert!(done > 40, "{done}");
    assert_eq!(errors, BTreeSet::new());
    // and both sides come to be equal, with nothing lost and nothing made
    settled(ground).await;
    assert!(shelves.are_equal(), "{} {}", shelves.told(Side::Legacy), shelves.told(Side::Modern));
    let total: i64 = shelves.told(Side::Modern).split(' ').map(|one| one[2..].parse::<i64>().unwrap()).sum();
    assert_eq!(total, 300);
    match authority(ground).await {
        Authority::Held { by, .. } => by,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_step_of_a_handover_survives_every_fault() {
    let mut table = String::new();
    for (name, side, call, nth) in CALLS {
        for fault in FAULTS {
            let left = process(one(side, call, nth, fault, false));
            // Only a crash needs somebody else.
            let then = if is_crash(fault) { process(one(side, call, nth, fault, true)) } else { left };
            assert!(!is_crash(fault) || then == Side::Modern, "{name} {fault:?}");
            table += &format!("{name:18} {:12} {left}, run again: {then}\n", format!("{fault:?}"));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_handover_there_and_back_is_a_pause_and_no_error() {
    process(async {
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        ground.set(Stage::Shift, 100.0, 0.0);
        let pace = Pace { deadline: Duration::from_secs(4), ..Pace::default() };
        let replicas = [Arc::new(Replica::ready(ground, &pace).await), Arc::new(Replica::ready(ground, &pace).await)];
        let customers = Customers::start(&replicas);
        for round in 1..=6 {
            let to = if round % 2 == 1 { Side::Modern } else { Side::Legacy };
            let handed = hand_over(ground, to, false).await.unwrap();
            assert_eq!((handed.to, handed.epoch.0), (to, 1 + round));
            let steps: Vec<_> = handed.steps.iter().map(|step| step.name.as_str()).collect();
            // Modern is opened only after a rollout says so; legacy before.
            let modern = to == Side::Modern;
            assert_eq!(
                steps,
                if modern { vec!["freeze", "drain", "publish", "open"] } else { vec!["freeze", "drain", "open"] }
            );
            assert!(handed.pause.unwrap() < Duration::from_millis(200), "{handed:?}");
            let done = *customers.done.lock();
            until("writes go on", async || *customers.done.lock() > done + 40).await;
            let policy: Policy = ground.newest()().policy(&ground.group());
            assert_eq!((policy.primary(), policy.epoch()), (to, handed.epoch));
        }
        let (_, errors) = customers.end().await;
        assert_eq!(errors, BTreeSet::new());
        settled(ground).await;
        assert!(shelves.are_equal());
    });
}

#[test]
fn what_cannot_be_brought_over_undoes_the_handover_and_is_named_unless_forced() {
    process(async {
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        ground.set(Stage::Shift, 100.0, 0.0);
        let replica = Replica::ready(ground, &Pace { relay: None, ..Pace::default() }).await;
        // GIVEN a write that modern does not take
        let stuck: &FaultyStore = &ground.stores.modern;
        stuck.always(Call::Apply, Fault::Reject);
        replica.ask("mutation { move(from: \"A\", to: \"B\", quantity: 1) { onHand } }").await;
        let error = hand_over(ground, Side::Modern, false).await.unwrap_err();
        let NotHanded::Undrained { to, left, .. } = error else { panic!("{error}") };
        assert_eq!((to, left.writes, left.keys.len()), (Side::Modern, 1, 2));
        assert!(left.said.is_some());
        assert!(matches!(authority(ground).await, Authority::Held { by: Side::Legacy, .. }));
        let reply = replica.ask("mutation { move(from: \"A\", to: \"C\", quantity: 1) { onHand } }").await;
        assert!(reply.body["errors"].is_null(), "legacy takes writes again: {}", reply.body);
        // WHEN it is forced, the group goes, and says what it left
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        for _ in 0..4 {
            keep(ground, &stop);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        // The keepers undo what is as old as the limit: the drain must leave time for a fence that is slow to move.
        let slow = ground.with_faults_of_its_own();
        slow.stores.modern.always(Call::Apply, Fault::Reject);
        slow.stores.modern.always(Call::MoveFence, Fault::Latency(Duration::from_millis(150)));
        let handed = hand_over(&slow, Side::Modern, true).await.unwrap();
        assert_eq!((handed.to, handed.left.writes), (Side::Modern, 2));
        assert_eq!(handed.left.keys.len(), 3, "each key is named once: {:?}", handed.left.keys);
    });
}

#[test]
fn what_was_left_by_force_is_never_applied_by_half_nor_settled_whoever_relays_and_whoever_has_the_authority() {
    process(async {
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        ground.set(Stage::Shift, 100.0, 0.0);
        let replica = Replica::ready(ground, &Pace::default()).await;
        let stuck: &FaultyStore = &ground.stores.modern;
        let pass = async |from: &str, to: &str| {
            let query = format!("mutation {{ move(from: \"{from}\", to: \"{to}\", quantity: 3) {{ onHand }} }}");
            assert!(replica.ask(&query).await.body["errors"].is_null());
        };
        // GIVEN a write of two keys that modern has not, and a group that is handed over by force
        stuck.always(Call::Apply, Fault::Reject);
        stuck.always(Call::ApplyOver, Fault::Reject);
        pass("A", "B").await;
        assert_eq!(hand_over(ground, Side::Modern, true).await.unwrap().left.writes, 1);
        stuck.heal();
        // WHEN modern writes one of its keys, and relays run
        pass("A", "C").await;
        let modern = async || ground.stores.modern.backlog(&ground.group(), WITHIN).await.unwrap();
        until("what modern wrote is settled", async || modern().await.writes == 0).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        // THEN no half of it is on modern, and it waits on legacy as it did
        assert_eq!(shelves.told(Side::Modern), "A=97 B=100 C=103");
        let legacy = async || ground.stores.legacy.backlog(&ground.group(), WITHIN).await.unwrap();
        assert_eq!(legacy().await.all(), 1);
        // WHEN the authority comes back to legacy, it is left behind still, and in the way of the next handover
        let back = hand_over(ground, Side::Legacy, false).await.unwrap();
        assert_eq!(back.left.writes, 0);
        pass("C", "A").await;
        until("what legacy writes is settled", async || legacy().await.writes == 0).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!((legacy().await.left_behind, shelves.told(Side::Modern)), (1, "A=100 B=100 C=100".to_owned()));
        let error = hand_over(ground, Side::Modern, false).await.unwrap_err();
        let NotHanded::Undrained { left, .. } = error else { panic!("{error}") };
        assert_eq!((left.writes, left.before), (1, 1));
        assert!(replica.unsettled.contains(&ground.group(), &shelves::key("B")), "the primary answers it");
        // WHEN somebody ends it, both sides are as the primary is, in all of its keys
        let Authority::Held { by, epoch } = authority(ground).await else { panic!("undone") };
        let (group, policy) = (ground.group(), ground.newest()().policy(&ground.group()).handed_to(by, epoch));
        let listed = left_behind::list(&stores(ground), &group, WITHIN).await.unwrap();
        assert_eq!((listed.len(), listed[0].on, listed[0].keys.len()), (1, Side::Legacy, 2));
        left_behind::end(&stores(ground), &group, &policy, &listed[0], WITHIN).await.unwrap();
        until("it is off the list and on both sides", async || legacy().await.all() == 0).await;
        assert_eq!((shelves.told(Side::Modern), shelves.are_equal()), ("A=100 B=103 C=100".to_owned(), true));
        hand_over(ground, Side::Modern, false).await.unwrap();
    });
}

#[test]
fn what_is_left_by_force_is_counted_exactly_and_every_key_is_listed() {
    process(async {
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        ground.set(Stage::Shift, 100.0, 0.0);
        let replica = Replica::ready(ground, &Pace { relay: None, ..Pace::default() }).await;
        ground.stores.modern.always(Call::Apply, Fault::Reject);
        for _ in 0..51 {
            replica.ask("mutation { move(from: \"A\", to: \"B\", quantity: 1) { onHand } }").await;
        }
        let left = hand_over(ground, Side::Modern, true).await.unwrap().left;
        // Two keys a write; each is listed once.
        assert_eq!((left.writes, left.keys.len()), (51, 2));
    });
}
