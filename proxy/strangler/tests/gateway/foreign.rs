//! Somebody's script writes to modern past the proxy: it is noticed, told with both states, and not overwritten.

use std::time::Duration;

use control_plane::handover::coordinate::{Handed, NotHanded};
use data_plane::catchup::repair::{Levelled, RepairSettings, Repairer};
use model::evidence::{Cause, Observation, Verdict};
use model::{Epoch, PerSide, Percentage, Policy, Side, Stage, Store as _};
use serde_json::json;

use crate::handover::hand_over_group;
use crate::rig::{Ground, Pace, Replica, WITHIN, until};
use crate::shelves::{Shelves, key, shelf_type};

fn put(on_hand: i64) -> String {
    format!("mutation {{ put(id: \"A\", onHand: {on_hand}) {{ onHand }} }}")
}

/// A replica that has written 7 to both sides, and modern's row changed to 70 since.
async fn with_a_script(pace: &Pace) -> (Shelves, Replica) {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(&shelves.ground, pace).await;
    assert_eq!(replica.ask(&put(7)).await.text, r#"{"data":{"put":{"onHand":7}}}"#);
    shelves.ground.settled().await;
    meddle(&shelves, Side::Modern, 70);
    (shelves, replica)
}

fn told(replica: &Replica) -> Vec<Observation> {
    replica.observed.lock().clone()
}

fn repairer(shelves: &Shelves, replica: &Replica) -> Repairer {
    Repairer {
        stores: shelves.ground.stores.clone().map(|_, store| std::sync::Arc::new(store) as _),
        doors: replica.doors.clone(),
        today: || chrono::Utc::now().date_naive(),
        settings: RepairSettings::default(),
    }
}

/// Somebody's script.
fn meddle(shelves: &Shelves, side: Side, on_hand: i64) {
    let index = shelf_type(&shelves.ground.loaded).index("onHand").unwrap();
    shelves.memory.get(side).meddle(|rows| rows.get_mut(&key("A")).unwrap().set(index, on_hand.into()));
}

async fn hand_over(ground: &Ground, to: Side) -> Result<Handed, NotHanded> {
    hand_over_group(ground, &ground.group(), to, false).await
}

fn on_modern(shelves: &Shelves) -> String {
    shelves.told(Side::Modern)
}

fn policy() -> Policy {
    Policy::new(Stage::Shift, Percentage::ZERO, Percentage::ZERO, Epoch(1)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_script_has_changed_is_left_and_told_until_it_is_repaired() {
    // GIVEN a row that somebody's script has changed on modern
    let (shelves, replica) = with_a_script(&Pace::default()).await;
    // WHEN a client writes it
    assert_eq!(replica.ask(&put(8)).await.text, r#"{"data":{"put":{"onHand":8}}}"#);
    // THEN the client has its answer, the script's row stands, and the primary answers for the key
    assert!(on_modern(&shelves).starts_with("A=70 "));
    assert_eq!(replica.ask("{ shelf(id: \"A\") { onHand } }").await.text, r#"{"data":{"shelf":{"onHand":8}}}"#);
    // AND it is told once, with both states, however often the relay tries; another write goes on
    replica.ask("mutation { put(id: \"B\", onHand: 3) { onHand } }").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(on_modern(&shelves), "A=70 B=3 C=100");
    assert_eq!(shelves.ground.backlog().await, 1);
    let observed = told(&replica);
    assert_eq!(observed.len(), 1, "{observed:?}");
    assert_eq!((observed[0].route.as_str(), observed[0].verdict), ("Query.shelf", Verdict::Mismatch));
    let [difference] = &observed[0].differences[..] else { panic!("{observed:?}") };
    assert_eq!(difference.cause, Cause::ForeignWrite);
    assert_eq!(difference.field.as_ref().map(|field| field.as_str()), Some("onHand"));
    assert_eq!(difference.values, PerSide { legacy: json!(8), modern: json!(70) });
    // AND a later write of the key waits as well, and changes nothing of what was told
    replica.ask(&put(9)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((shelves.ground.backlog().await, told(&replica).len()), (2, 1));
    // WHEN it is repaired THEN both sides are equal, everything is settled, and writes go on as before
    let repairer = repairer(&shelves, &replica);
    let shelf = shelf_type(&shelves.ground.loaded);
    assert_eq!(repairer.blocked(&policy(), &shelf).await.unwrap(), (vec![key("A")], true));
    assert_eq!(repairer.level(&policy(), &shelf, &key("A")).await, Levelled::Repaired);
    shelves.ground.settled().await;
    assert_eq!(repairer.blocked(&policy(), &shelf).await.unwrap(), (Vec::new(), true));
    assert!(on_modern(&shelves).starts_with("A=9 "));
    replica.ask(&put(10)).await;
    shelves.ground.settled().await;
    assert!(on_modern(&shelves).starts_with("A=10 "));
    // AND what the repair has overwritten is on record
    let observed = told(&replica);
    assert_eq!(observed.len(), 2);
    assert_eq!(observed[1].differences[0].values, PerSide { legacy: json!(9), modern: json!(70) });
}

#[tokio::test(start_paused = true)]
async fn where_the_primary_wins_the_row_is_overwritten_and_told() {
    let (shelves, replica) = with_a_script(&Pace { primary_wins: true, ..Pace::default() }).await;
    replica.ask(&put(8)).await;
    shelves.ground.settled().await;
    assert!(on_modern(&shelves).starts_with("A=8 "));
    let observed = told(&replica);
    assert_eq!(observed.len(), 1);
    assert_eq!(observed[0].differences[0].cause, Cause::ForeignWrite);
    assert_eq!(observed[0].differences[0].values, PerSide { legacy: json!(8), modern: json!(70) });
}

#[tokio::test(start_paused = true)]
async fn a_shadow_read_names_a_row_that_a_script_has_changed() {
    let (shelves, replica) = with_a_script(&Pace::default()).await;
    shelves.ground.set(Stage::Shift, 0.0, 100.0);
    replica.ask("{ shelf(id: \"A\") { onHand } }").await;
    until("the shadow was looked at", async || !told(&replica).is_empty()).await;
    let observed = told(&replica);
    assert_eq!(observed[0].verdict, Verdict::Mismatch);
    assert_eq!(observed[0].differences[0].cause, Cause::ForeignWrite, "{observed:?}");
    // Who changed legacy past us is another matter: modern is as we left it.
    replica.observed.lock().clear();
    meddle(&shelves, Side::Modern, 7);
    meddle(&shelves, Side::Legacy, 60);
    replica.ask("{ shelf(id: \"A\") { onHand } }").await;
    until("the shadow was looked at", async || !told(&replica).is_empty()).await;
    assert_eq!(told(&replica)[0].differences[0].cause, Cause::Different);
    let store = &shelves.ground.stores.modern;
    assert_eq!(store.as_left(&shelf_type(&shelves.ground.loaded), &key("A"), WITHIN).await.unwrap(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn what_clients_wrote_before_a_handover_is_never_foreign_and_what_a_script_writes_after_it_is() {
    // GIVEN rows that clients have written and made while legacy and then modern was primary
    let shelves = Shelves::new().await;
    let ground = &shelves.ground;
    ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(ground, &Pace::default()).await;
    let put = async |id: &str, on_hand: i64| {
        let told = replica.ask(&format!("mutation {{ put(id: \"{id}\", onHand: {on_hand}) {{ onHand }} }}")).await.text;
        assert_eq!(told, format!("{{\"data\":{{\"put\":{{\"onHand\":{on_hand}}}}}}}"));
    };
    for (round, to) in [Side::Modern, Side::Legacy, Side::Modern, Side::Legacy].into_iter().enumerate() {
        let made = format!("NEW{round}");
        put("A", 10 + i64::try_from(round).unwrap()).await;
        put(&made, 1).await;
        hand_over(ground, to).await.unwrap();
        // WHEN they write them under the other one
        put("A", 20).await;
        put("B", 20).await;
        put(&made, 2).await;
        ground.settled().await;
    }
    // THEN nothing was foreign, and both sides are equal
    assert!(told(&replica).is_empty(), "{:?}", told(&replica));
    assert!(shelves.are_equal());
    // AND what a script does to legacy, secondary again, is met at once, though legacy was primary for its last write
    put("A", 30).await;
    hand_over(ground, Side::Modern).await.unwrap();
    meddle(&shelves, Side::Legacy, 300);
    put("A", 31).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(shelves.told(Side::Legacy).starts_with("A=300 "));
    let observed = told(&replica);
    assert_eq!(observed.len(), 1, "{observed:?}");
    assert_eq!(observed[0].differences[0].cause, Cause::ForeignWrite);
    assert_eq!(observed[0].differences[0].values, PerSide { legacy: json!(300), modern: json!(31) });
}

#[tokio::test(start_paused = true)]
async fn a_handover_settles_no_write_that_a_foreign_row_keeps_out() {
    // GIVEN an acknowledged write that modern does not have, since a script has changed the row there
    let (shelves, replica) = with_a_script(&Pace::default()).await;
    replica.ask(&put(8)).await;
    // WHEN the group is to be handed to modern THEN that is undone, and names the key
    let error = hand_over(&shelves.ground, Side::Modern).await.unwrap_err();
    let NotHanded::Undrained { left, .. } = error else { panic!("{error}") };
    assert_eq!((left.writes, left.keys), (1, vec![key("A")]));
    assert!(left.said.unwrap().contains("somebody else"));
    assert!(on_modern(&shelves).starts_with("A=70 "));
    // AND legacy takes writes again; after a repair the group goes
    replica.ask(&put(9)).await;
    let policy = shelves.ground.newest()().policy(&shelves.ground.group());
    let repairer = repairer(&shelves, &replica);
    let shelf = shelf_type(&shelves.ground.loaded);
    assert_eq!(repairer.level(&policy, &shelf, &key("A")).await, Levelled::Repaired);
    hand_over(&shelves.ground, Side::Modern).await.unwrap();
    assert!(on_modern(&shelves).starts_with("A=9 "));
}
