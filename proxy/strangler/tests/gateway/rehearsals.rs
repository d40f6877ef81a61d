//! Mutations that replay: what modern's own operation would have done is compared, and touches nothing and nobody.

use std::time::Duration;

use data_plane::write::rehearse::RehearsalSettings;
use model::contract::{RootKind, WriteWork};
use model::evidence::{Cause, Observation, Verdict};
use model::sql::NamedSql;
use model::{Side, Stage, StoreError, Value};
use serde_json::json;
use testkit::faults::{Call, Fault};
use tokio::time::Instant;

use crate::rig::{Pace, Replica, WITHIN, not_heard_of};
use crate::shelves::{Shelves, key, shelf_type};

const MOVE: &str = "mutation { move(from: \"A\", to: \"B\", quantity: 10) { onHand } }";
const MOVED: &str = r#"{"data":{"move":[{"onHand":90},{"onHand":110}]}}"#;

/// The statement of `move` on a side: 0 takes, 1 gives.
fn statement(shelves: &Shelves, side: Side, place: usize) -> NamedSql {
    let root = shelves.ground.loaded.contract.root(&"Mutation.move".into()).unwrap();
    let RootKind::Write(action) = &root.kind else { panic!("a write") };
    let WriteWork::Statements { sql, .. } = &action.work else { panic!("statements") };
    sql.get(side)[place].sql.clone()
}

/// From now on `side` gives one too many.
fn plant_an_error(shelves: &Shelves, side: Side) {
    let on_hand = shelf_type(&shelves.ground.loaded).index("onHand").unwrap();
    shelves.memory.get(side).teach(statement(shelves, side, 1), move |rows, params| {
        let (Some(Value::Text(id)), Some(Value::Int(quantity))) = (params.get("to"), params.get("quantity")) else {
            return Ok(0);
        };
        let row = rows.get_mut(&key(id)).expect("a shelf");
        let Some(Value::Int(now)) = row.get(on_hand).cloned() else { return Ok(0) };
        row.set(on_hand, (now + quantity + 1).into());
        Ok(1)
    });
}

/// What was found, the newest last; empties the list.
fn taken(replica: &Replica) -> Vec<Observation> {
    std::mem::take(&mut *replica.observed.lock())
}

fn only(replica: &Replica) -> Observation {
    let mut observed = taken(replica);
    assert_eq!(observed.len(), 1, "{observed:?}");
    observed.remove(0)
}

/// Verdict and reason.
fn found(observation: &Observation) -> (Verdict, Option<&str>) {
    (observation.verdict, observation.reason.as_deref())
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_does_the_same_on_both_sides_is_a_match() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    for mutation in [
        MOVE,
        "mutation { put(id: \"A\", onHand: 70) { onHand } }",
        "mutation { put(id: \"NEW\", onHand: 1, note: \"n\") { onHand } }",
        "mutation { drop(id: \"C\") }",
    ] {
        assert!(replica.ask(mutation).await.body["errors"].is_null());
        let observation = only(&replica);
        assert_eq!((found(&observation), observation.differences.len()), ((Verdict::Match, None), 0), "{mutation}");
    }
    // A deletion leaves nothing that could be compared; the others are covered.
    replica.ask(MOVE).await;
    let observation = only(&replica);
    assert_eq!(observation.route.as_str(), "Mutation.move");
    assert_eq!((observation.keys.len(), observation.fields.len()), (2, 3));
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn another_result_is_evidence_of_cause_logic_and_the_state_wins() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    plant_an_error(&shelves, Side::Modern);
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    let observation = only(&replica);
    assert_eq!((observation.route.as_str(), observation.verdict), ("Mutation.move", Verdict::Mismatch));
    let [difference] = observation.differences.as_slice() else { panic!("{observation:?}") };
    assert_eq!((difference.cause, difference.excused), (Cause::Logic, false));
    assert_eq!((difference.field.as_ref().unwrap().as_str(), difference.key.as_str()), ("onHand", "[\"B\"]"));
    assert_eq!((&difference.values.legacy, &difference.values.modern), (&json!(110), &json!(111)));
    shelves.ground.settled().await;
    assert_eq!(shelves.told(Side::Modern), "A=90 B=110 C=100");
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn what_modern_would_refuse_is_a_logic_difference_that_names_the_code() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    shelves.memory.modern.teach(statement(&shelves, Side::Modern, 0), |_, _| Ok(0));
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    let observation = only(&replica);
    let [difference] = observation.differences.as_slice() else { panic!("{observation:?}") };
    assert_eq!((observation.verdict, difference.cause, &difference.field), (Verdict::Mismatch, Cause::Logic, &None));
    assert_eq!(difference.values.modern, json!({ "refused": "INSUFFICIENT_STOCK" }));
    shelves.ground.settled().await;
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_primary_is_the_clients_error_and_is_not_rehearsed() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    let refused = replica.ask("mutation { move(from: \"A\", to: \"B\", quantity: 101) { onHand } }").await;
    assert_eq!(refused.body["errors"][0]["extensions"]["code"], "INSUFFICIENT_STOCK");
    assert_eq!((taken(&replica).len(), shelves.ground.stores.modern.calls(Call::Rehearse)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_unsettled_write_is_inconclusive_on_every_replica() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    plant_an_error(&shelves, Side::Modern);
    let pace = Pace { relay: None, ..Pace::default() };
    let (writer, other) = (Replica::ready(&shelves.ground, &pace).await, Replica::ready(&shelves.ground, &pace).await);
    // GIVEN a write that modern does not have
    shelves.ground.stores.modern.always(Call::Apply, Fault::Down);
    writer.ask(MOVE).await;
    let rehearsed = shelves.ground.stores.modern.calls(Call::Rehearse);
    assert_eq!(only(&writer).verdict, Verdict::Mismatch, "the first began equal");
    // WHEN the key is written again where that is known, and where it is not
    writer.ask(MOVE).await;
    assert_eq!(found(&only(&writer)), (Verdict::Inconclusive, Some("unsettled")));
    assert_eq!(shelves.ground.stores.modern.calls(Call::Rehearse), rehearsed, "modern was not asked in vain");
    other.ask(MOVE).await;
    // THEN nobody is blamed
    assert_eq!(found(&only(&other)), (Verdict::Inconclusive, Some("unequal-before")));
}

/// From now on both sides' `move` makes the shelf that it gives to; modern's gives one too many.
fn make_shelves_on_the_way(shelves: &Shelves) {
    let entity = shelf_type(&shelves.ground.loaded);
    for (side, more) in [(Side::Legacy, 0), (Side::Modern, 1)] {
        let entity = entity.clone();
        shelves.memory.get(side).teach(statement(shelves, side, 1), move |rows, params| {
            let (Some(Value::Text(id)), Some(Value::Int(quantity))) = (params.get("to"), params.get("quantity")) else {
                return Ok(0);
            };
            rows.insert(key(id), crate::shelves::shelf(&entity, id, quantity + more));
            Ok(1)
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_came_to_be_while_we_rehearsed_blames_nobody() {
    let to_new = "mutation { move(from: \"A\", to: \"NEW\", quantity: 10) { onHand } }";
    for (overtaken, expected) in [(false, Verdict::Mismatch), (true, Verdict::Inconclusive)] {
        let shelves = Shelves::replaying(Side::Legacy).await;
        make_shelves_on_the_way(&shelves);
        let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
        // GIVEN a rehearsal of which nobody knows whether it saw what another replica's relay brings
        shelves.ground.stores.modern.on(Call::PastStates, 1, Fault::Latency(Duration::from_millis(10)));
        let entity = shelf_type(&shelves.ground.loaded);
        let relay = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if overtaken {
                let new = crate::shelves::shelf(&entity, "NEW", 10);
                shelves.memory.modern.meddle(|rows| drop(rows.insert(key("NEW"), new)));
            }
        };
        let (answer, ()) = tokio::join!(replica.ask(to_new), relay);
        assert!(answer.body["errors"].is_null(), "{}", answer.text);
        assert_eq!(only(&replica).verdict, expected);
        assert!(shelves.are_equal());
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_somebody_else_changed_on_modern_is_inconclusive() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let entity = shelf_type(&shelves.ground.loaded);
    shelves.memory.modern.meddle(|rows| {
        rows.insert(key("B"), crate::shelves::shelf(&entity, "B", 99));
    });
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    replica.ask(MOVE).await;
    assert_eq!(found(&only(&replica)), (Verdict::Inconclusive, Some("unequal-before")));
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_a_rehearsal_the_client_is_answered_and_both_sides_agree() {
    for (fault, reason, waits) in [
        (Fault::Hang, "dropped", 25),
        (Fault::FailAfter, "dropped", 0),
        (Fault::Reject, "dropped", 0),
        (Fault::Down, "side-error", 0),
        (Fault::Latency(Duration::from_secs(9)), "dropped", 25),
    ] {
        let shelves = Shelves::replaying(Side::Legacy).await;
        let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
        shelves.ground.stores.modern.always(Call::Rehearse, fault);
        let began = Instant::now();
        assert_eq!(replica.ask(MOVE).await.text, MOVED, "{fault:?}");
        assert_eq!(began.elapsed(), Duration::from_millis(waits), "{fault:?}");
        assert_eq!(found(&only(&replica)), (Verdict::Inconclusive, Some(reason)), "{fault:?}");
        // Settled within the answer, without a relay; and a rehearsal never opens a breaker.
        assert!(shelves.are_equal() && !replica.breakers.modern.is_open(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_modern_side_that_hangs_altogether_costs_no_more_than_the_answer_budget() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    shelves.ground.stores.modern.always(Call::Rehearse, Fault::Hang);
    shelves.ground.stores.modern.always(Call::Apply, Fault::Hang);
    let began = Instant::now();
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    assert_eq!(began.elapsed(), Duration::from_millis(50));
    assert!(!shelves.are_equal());
    // The relay brings it over when modern is back.
    shelves.ground.stores.modern.heal();
    shelves.ground.settled().await;
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_and_a_full_house_drop_rehearsals_and_delay_nobody() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let at_once = RehearsalSettings { at_once: 1, ..RehearsalSettings::default() };
    let replica = Replica::ready(&shelves.ground, &Pace { rehearsals: at_once, ..Pace::default() }).await;
    // GIVEN room for one, which takes its time
    shelves.ground.stores.modern.always(Call::Rehearse, Fault::Latency(Duration::from_millis(20)));
    let put = |id: &str| format!("mutation {{ put(id: \"{id}\", onHand: 1) {{ onHand }} }}");
    let (first, second) = (put("A"), put("B"));
    tokio::join!(replica.ask(&first), replica.ask(&second));
    let verdicts: Vec<_> = taken(&replica).iter().map(|seen| (seen.verdict, seen.reason.clone())).collect();
    assert_eq!(verdicts, [(Verdict::Inconclusive, Some("dropped".into())), (Verdict::Match, None)]);
    // GIVEN a breaker that is open
    not_heard_of().await;
    let calls = shelves.ground.stores.modern.calls(Call::Rehearse);
    let outage = StoreError::NoAnswer { side: Side::Modern, limit: WITHIN };
    (0..9).for_each(|_| replica.breakers.modern.note(Side::Modern, Some(&outage)));
    assert!(replica.breakers.modern.is_open());
    let began = Instant::now();
    assert!(replica.ask(&put("C")).await.body["errors"].is_null());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(found(&only(&replica)), (Verdict::Inconclusive, Some("dropped")));
    assert_eq!(shelves.ground.stores.modern.calls(Call::Rehearse), calls);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_not_rehearsed() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    plant_an_error(&shelves, Side::Modern);
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    // It stands, as a claim finds; what it began with nobody knows.
    shelves.ground.stores.legacy.on(Call::Execute, 1, Fault::FailAfter);
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    assert_eq!(found(&only(&replica)), (Verdict::Inconclusive, Some("dropped")));
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn only_stages_that_write_to_both_sides_rehearse_and_either_side_may_be_the_secondary() {
    // GIVEN stage legacy: modern is written by nobody
    let shelves = Shelves::replaying(Side::Legacy).await;
    shelves.ground.set(Stage::Legacy, 0.0, 0.0);
    let replica = Replica::start(&shelves.ground, &Pace::default());
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    assert!(taken(&replica).is_empty());
    assert_eq!(shelves.ground.stores.modern.calls(Call::Rehearse), 0);
    // GIVEN stage reverse: modern is primary, and it is legacy's own operation that is rehearsed
    let shelves = Shelves::replaying(Side::Modern).await;
    shelves.ground.set(Stage::Reverse, 100.0, 0.0);
    plant_an_error(&shelves, Side::Legacy);
    let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
    assert_eq!(replica.ask(MOVE).await.text, MOVED);
    let observation = only(&replica);
    let [difference] = observation.differences.as_slice() else { panic!("{observation:?}") };
    assert_eq!((observation.verdict, difference.cause), (Verdict::Mismatch, Cause::Logic));
    assert_eq!((&difference.values.legacy, &difference.values.modern), (&json!(111), &json!(110)));
    assert_eq!(shelves.ground.stores.modern.calls(Call::Rehearse), 0);
    assert!(shelves.are_equal());
}

#[tokio::test(start_paused = true)]
async fn many_writers_of_one_key_blame_nobody() {
    let shelves = Shelves::replaying(Side::Legacy).await;
    let pace = Pace::default();
    let replicas = [Replica::ready(&shelves.ground, &pace).await, Replica::ready(&shelves.ground, &pace).await];
    // Applies and rehearsals that take different times overtake each other.
    for nth in 1..400 {
        let time = Duration::from_millis(nth as u64 * 7 % 13);
        shelves.ground.stores.modern.on(Call::Apply, nth, Fault::Latency(time));
        shelves.ground.stores.modern.on(Call::Rehearse, nth, Fault::Latency(time * 2));
    }
    let back = "mutation { move(from: \"B\", to: \"A\", quantity: 9) { onHand } }";
    let turns = (0..200_usize).map(|turn| {
        let replica = &replicas[turn % 2];
        async move {
            tokio::time::sleep(Duration::from_millis(turn as u64 * 5 % 333)).await;
            replica.ask(if turn % 3 == 0 { back } else { MOVE }).await
        }
    });
    futures::future::join_all(turns).await;
    shelves.ground.settled().await;
    let observed: Vec<_> = replicas.iter().flat_map(taken).collect();
    assert!(observed.iter().all(|seen| seen.verdict != Verdict::Mismatch), "{observed:?}");
    assert!(observed.iter().any(|seen| seen.verdict == Verdict::Match), "some began equal");
    assert!(shelves.are_equal());
}
