//! Dual writes, relays, baseline copies and repeats of two replicas meet on three keys, in any order
//! and with any faults: in the end both sides hold the primary's state, and every acknowledged write
//! stands on both. Invariants 1 and 2.

use std::sync::Arc;
use std::time::Duration;

use data_plane::catchup::baseline;
use model::{PerSide, Side, Store, WriteId};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::json;
use testkit::faults::{Call, Fault};
use tokio::task::JoinSet;

use crate::rig::{Ground, Pace, Replica, WITHIN, process};
use crate::shelves::{Shelves, shelf_type};

const KEYS: [&str; 3] = ["A", "B", "N"];
const REPLICAS: usize = 2;

/// Something that happens, on one replica.
#[derive(Debug, Clone)]
enum Act {
    Put(usize, i64),
    Move(usize, usize),
    Drop(usize),
    /// The same operation with the same key as the last one before it.
    Repeat,
    Baseline,
    Fault(Side, Call, usize, Fault),
    /// Nothing that it sends arrives any more, and another replica takes its place.
    Die,
}

fn act() -> impl Strategy<Value = Act> {
    let key = 0..KEYS.len();
    let fault = prop_oneof![
        Just(Fault::Reject),
        Just(Fault::FailAfter),
        Just(Fault::Hang),
        Just(Fault::Late),
        Just(Fault::Twice),
        Just(Fault::Down),
        (1..900u64).prop_map(|millis| Fault::Latency(Duration::from_millis(millis))),
    ];
    let place = prop_oneof![
        Just((Side::Legacy, Call::Execute)),
        Just((Side::Legacy, Call::Claim)),
        Just((Side::Modern, Call::Apply)),
        Just((Side::Modern, Call::Apply)),
        Just((Side::Legacy, Call::Settle)),
        Just((Side::Legacy, Call::LeaseUnsettled)),
        Just((Side::Legacy, Call::Scan)),
    ];
    prop_oneof![
        4 => (key.clone(), 0..50i64).prop_map(|(key, on_hand)| Act::Put(key, on_hand)),
        3 => (key.clone(), key.clone()).prop_map(|(from, to)| Act::Move(from, to)),
        2 => key.prop_map(Act::Drop),
        2 => Just(Act::Repeat),
        2 => Just(Act::Baseline),
        5 => (place, 1..3usize, fault).prop_map(|((side, call), nth, fault)| Act::Fault(side, call, nth, fault)),
        1 => Just(Act::Die),
    ]
}

/// Acts with the replica and the pause before each.
fn story() -> impl Strategy<Value = Vec<(usize, u64, Act)>> {
    let pause = prop_oneof![Just(0u64), 1..40u64, 100..700u64];
    prop::collection::vec((0..REPLICAS, pause, act()), 1..30)
}

/// A replica with a way to the stores of its own, so that faults and death are its alone.
struct Post {
    ground: Ground,
    replica: Arc<Replica>,
}

impl Post {
    fn open(ground: &Ground) -> Self {
        let ground = ground.with_faults_of_its_own();
        let replica = Arc::new(Replica::start(&ground, &Pace::default()));
        Self { ground, replica }
    }

    fn die(&self) {
        let calls = [Call::Execute, Call::Claim, Call::Apply, Call::Settle, Call::LeaseUnsettled, Call::Scan];
        for side in Side::BOTH {
            calls.iter().for_each(|call| self.ground.stores.get(side).always(*call, Fault::CrashBefore));
        }
    }
}

fn operation(act: &Act) -> Option<String> {
    match act {
        Act::Put(key, on_hand) => {
            Some(format!("mutation {{ put(id: \"{}\", onHand: {on_hand}) {{ onHand }} }}", KEYS[*key]))
        }
        Act::Move(from, to) => {
            let (from, to) = (KEYS[*from], KEYS[*to]);
            Some(format!("mutation {{ move(from: \"{from}\", to: \"{to}\", quantity: 1) {{ onHand }} }}"))
        }
        Act::Drop(key) => Some(format!("mutation {{ drop(id: \"{}\") }}", KEYS[*key])),
        Act::Repeat | Act::Baseline | Act::Fault(..) | Act::Die => None,
    }
}

/// Copies what stands at rest, and says whether it was done; a fault may stop it, and death stills it.
async fn copy(post: &Post, run: u32) -> bool {
    let primary: Arc<dyn Store> = Arc::new(post.ground.stores.legacy.clone());
    let entity = shelf_type(&post.ground.loaded);
    let door = Arc::clone(&post.replica.doors.modern);
    let copying = baseline::copy(&primary, &door, &entity, run, Duration::from_secs(1), |_| {});
    matches!(tokio::time::timeout(WITHIN, copying).await, Ok(Ok(_)))
}

async fn play(story: Vec<(usize, u64, Act)>) -> Result<(), TestCaseError> {
    let shelves = Shelves::only_in_legacy().await;
    let mut posts: Vec<Arc<Post>> = (0..REPLICAS).map(|_| Arc::new(Post::open(&shelves.ground))).collect();
    let acknowledged: Arc<Mutex<Vec<WriteId>>> = Arc::default();
    let mut last = None;
    let mut tasks = JoinSet::new();
    for (number, (place, pause, act)) in (1u32..).zip(story) {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let post = Arc::clone(&posts[place]);
        match act {
            Act::Put(..) | Act::Move(..) | Act::Drop(_) => {
                last = operation(&act).map(|text| (text, number.to_string()))
            }
            Act::Repeat => {}
            Act::Baseline => {
                tasks.spawn(async move {
                    copy(&post, number).await;
                });
                continue;
            }
            Act::Fault(side, call, nth, fault) => {
                post.ground.stores.get(side).on(call, nth, fault);
                continue;
            }
            Act::Die => {
                post.die();
                posts[place] = Arc::new(Post::open(&shelves.ground));
                continue;
            }
        }
        let Some((text, key)) = last.clone() else { continue };
        let acknowledged = Arc::clone(&acknowledged);
        tasks.spawn(async move {
            let (none, headers) = (json!({}), [("idempotency-key", key.as_str())]);
            let asked = post.replica.ask_with(&text, &none, &headers);
            // A dead replica never answers.
            let Ok(reply) = tokio::time::timeout(Duration::from_secs(20), asked).await else { return };
            if reply.body["errors"].is_null() {
                acknowledged.lock().push(WriteId(reply.header("x-strangler-version").parse().unwrap()));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    for post in &posts {
        post.ground.stores.legacy.heal();
        post.ground.stores.modern.heal();
    }
    shelves.ground.settled().await;
    prop_assert!(copy(&posts[0], 1_000).await, "a copy without faults is made");
    let PerSide { legacy, modern } = shelves.memory.clone().map(|_, store| store.rows());
    prop_assert_eq!(legacy, modern);
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    for side in Side::BOTH {
        let standing = shelves.ground.stores.get(side).standing(&acknowledged, WITHIN).await.unwrap();
        for write in &acknowledged {
            prop_assert!(standing.contains(write), "{} is lost on {}", write, side);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_interleaving_of_writes_relays_copies_and_repeats_converges_on_the_primary(story in story()) {
        process(play(story))?;
    }
}
