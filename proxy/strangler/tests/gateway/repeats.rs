//! A write that changed nothing is done all the same: whoever repeats it with its key is told so, on whichever side is
//! primary by then. It must not run for real over what somebody has made since.

use std::sync::Arc;

use control_plane::handover::coordinate::NotHanded;
use data_plane::catchup::left_behind;
use model::{IdempotencyKey, PerSide, Side, Stage, Store};
use serde_json::json;
use testkit::faults::{Call, Fault};

use crate::handover::hand_over_group;
use crate::rig::{Ground, Pace, Replica, WITHIN, process, until};
use crate::shelves::Shelves;

/// Clears a shelf under a key.
async fn clear(replica: &Replica, id: &str, key: &str) {
    let query = format!("mutation {{ clear(id: \"{id}\") }}");
    let reply = replica.ask_with(&query, &json!({}), &[("idempotency-key", key)]).await;
    assert_eq!(reply.text, r#"{"data":{"clear":true}}"#);
}

async fn put(replica: &Replica, id: &str) {
    let reply = replica.ask(&format!("mutation {{ put(id: \"{id}\", onHand: 5) {{ onHand }} }}")).await;
    assert_eq!(reply.text, r#"{"data":{"put":{"onHand":5}}}"#);
}

async fn hand_to(ground: &Ground, to: Side) {
    let handed = hand_over_group(ground, &ground.group(), to, false).await.unwrap();
    assert_eq!(handed.left.writes, 0);
}

async fn is_known(ground: &Ground, side: Side, key: &str) -> bool {
    let key = IdempotencyKey::new(key, "clear").unwrap();
    ground.stores.get(side).keyed(&key, WITHIN).await.unwrap().is_some()
}

async fn backlog(ground: &Ground, side: Side) -> u64 {
    ground.stores.get(side).backlog(&ground.group(), WITHIN).await.unwrap().all()
}

async fn shelves_without_relay() -> (Shelves, Replica) {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
    (shelves, replica)
}

#[test]
fn the_relay_makes_it_known_on_the_other_side_and_goes_on_trying() {
    process(async {
        let shelves = Shelves::new().await;
        let ground = &shelves.ground;
        let replica = Replica::ready(ground, &Pace::default()).await;
        // GIVEN a modern that gives way, is away, and does it without saying so
        let faults = [Fault::Reject, Fault::Down, Fault::FailAfter, Fault::Hang];
        (1..).zip(faults).for_each(|(nth, fault)| ground.stores.modern.on(Call::Keep, nth, fault));
        clear(&replica, "Z", "k").await;
        assert_eq!(backlog(ground, Side::Legacy).await, 1);
        assert!(!is_known(ground, Side::Modern, "k").await);
        // THEN it is known there in the end, beside what changed something
        put(&replica, "Y").await;
        until("all is settled", async || backlog(ground, Side::Legacy).await == 0).await;
        assert!(is_known(ground, Side::Modern, "k").await);
        assert!(ground.stores.modern.calls(Call::Keep) > faults.len());
        // Without a key nobody can repeat it.
        assert_eq!(replica.ask("mutation { clear(id: \"Z\") }").await.text, r#"{"data":{"clear":true}}"#);
        assert_eq!(backlog(ground, Side::Legacy).await, 0);
    });
}

#[test]
fn many_at_once_are_one_call_and_one_that_is_not_taken_holds_up_no_other() {
    process(async {
        let (shelves, replica) = shelves_without_relay().await;
        let ground = &shelves.ground;
        for number in 0..30 {
            clear(&replica, "Z", &format!("k{number}")).await;
        }
        // GIVEN another write of modern's own under one of the keys
        let key = Some((IdempotencyKey::new("k7", "clear").unwrap(), model::Fingerprint("another".into())));
        let version = model::Version::baseline(1);
        let write = model::WriteId(uuid::Uuid::now_v7());
        let other = model::store::Bare { write, group: ground.group(), version, idempotency: key };
        ground.stores.modern.keep(&[other], WITHIN).await.unwrap();
        let before = ground.stores.modern.calls(Call::Keep);
        // WHEN a drain brings them over
        let error = hand_over_group(ground, &ground.group(), Side::Modern, false).await.unwrap_err();
        // THEN that one is named, with what modern said of it, and the others are there
        let NotHanded::Undrained { left, .. } = error else { panic!("{error}") };
        assert_eq!((left.writes, left.bare.len(), left.keys.len()), (1, 1, 0));
        assert!(left.said.unwrap().contains("idempotency key"));
        for number in 0..30 {
            assert!(is_known(ground, Side::Modern, &format!("k{number}")).await);
        }
        let first = ground.stores.modern.calls(Call::Keep) - before;
        assert!(first < 30, "{first} calls");
    });
}

#[test]
fn a_repeat_after_a_handover_there_and_back_does_nothing() {
    process(async {
        let (shelves, replica) = shelves_without_relay().await;
        let ground = &shelves.ground;
        clear(&replica, "Z", "k").await;
        hand_to(ground, Side::Modern).await;
        // GIVEN a shelf that somebody makes on the new primary
        put(&replica, "Z").await;
        // WHEN the client repeats what it did before, which was nothing
        clear(&replica, "Z", "k").await;
        assert_eq!(shelves.told(Side::Modern), "A=100 B=100 C=100 Z=5");
        // and the same with what modern took, when legacy is primary again.
        clear(&replica, "Y", "l").await;
        hand_to(ground, Side::Legacy).await;
        put(&replica, "Y").await;
        clear(&replica, "Y", "l").await;
        clear(&replica, "Z", "k").await;
        assert_eq!(shelves.told(Side::Legacy), "A=100 B=100 C=100 Y=5 Z=5");
        // Under a key of its own it is a write like any other.
        clear(&replica, "Z", "m").await;
        assert_eq!(shelves.told(Side::Legacy), "A=100 B=100 C=100 Y=5");
    });
}

#[test]
fn what_a_forced_handover_leaves_of_it_is_named_and_can_be_ended() {
    process(async {
        let (shelves, replica) = shelves_without_relay().await;
        let ground = &shelves.ground;
        clear(&replica, "Z", "k").await;
        ground.stores.modern.always(Call::Keep, Fault::Reject);
        let handed = hand_over_group(ground, &ground.group(), Side::Modern, true).await.unwrap();
        assert_eq!((handed.left.writes, handed.left.bare.len(), handed.left.keys.len()), (1, 1, 0));
        assert!(handed.left.said.is_some());
        ground.stores.modern.heal();
        // THEN nobody brings it, and it is on the list
        let stores = || -> PerSide<Arc<dyn Store>> { ground.stores.clone().map(|_, store| Arc::new(store) as _) };
        let listed = left_behind::list(&stores(), &ground.group(), WITHIN).await.unwrap();
        assert_eq!((listed.len(), listed[0].on, listed[0].write), (1, Side::Legacy, handed.left.bare[0]));
        assert!(!is_known(ground, Side::Modern, "k").await);
        // WHEN somebody ends it, it is off the list, and nothing was written
        let policy = ground.newest()().policy(&ground.group()).handed_to(handed.to, handed.epoch);
        let executed = ground.stores.modern.calls(Call::Execute);
        left_behind::end(&stores(), &ground.group(), &policy, &listed[0], WITHIN).await.unwrap();
        assert_eq!((backlog(ground, Side::Legacy).await, ground.stores.modern.calls(Call::Execute)), (0, executed));
        // Legacy knows its repeat still, when the authority comes back.
        hand_to(ground, Side::Legacy).await;
        put(&replica, "Z").await;
        clear(&replica, "Z", "k").await;
        assert_eq!(shelves.told(Side::Legacy), "A=100 B=100 C=100 Z=5");
    });
}
