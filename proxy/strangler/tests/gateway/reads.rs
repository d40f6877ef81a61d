//! The read road over both sides: read your writes, fall back, leave a dead side alone. In memory,
//! with time paused.

use std::time::Duration;

use data_plane::breaker::BreakerSettings;
use data_plane::catchup::relay::RelaySettings;
use model::{Side, Stage};
use serde_json::json;
use testkit::faults::{Call, Fault};
use tokio::time::Instant;

use crate::rig::{Pace, Replica, not_heard_of, until};
use crate::shelves::Shelves;

const PUT: &str = "mutation { put(id: \"A\", onHand: 7) { onHand } }";
const LOOK: &str = "{ shelf(id: \"A\") { onHand } }";
const LIST: &str = "{ shelfList { id onHand } }";

fn looked(on_hand: i64) -> String {
    json!({ "data": { "shelf": { "onHand": on_hand } } }).to_string()
}

/// A pace at which nobody but the writer brings writes to modern.
fn unrelayed() -> Pace {
    Pace { relay: None, ..Pace::default() }
}

#[tokio::test(start_paused = true)]
async fn the_replica_that_wrote_reads_its_write_at_once_and_the_others_within_a_second() {
    // GIVEN two replicas at 100 %, and a modern side that does not take writes
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let (writer, other) =
        (Replica::ready(&shelves.ground, &unrelayed()).await, Replica::ready(&shelves.ground, &unrelayed()).await);
    shelves.ground.stores.modern.always(Call::Apply, Fault::Hang);
    // WHEN one writes
    let began = Instant::now();
    let acknowledged = writer.ask(PUT).await;
    // THEN its client is answered within the budget and reads the new state there
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(writer.ask(LOOK).await.text, looked(7));
    // and with its token at once on the other, and there also without, soon
    let token = acknowledged.header("x-strangler-version").to_owned();
    let seen = other.ask_with(LOOK, &json!({}), &[("x-strangler-version", &token)]).await;
    assert_eq!(seen.text, looked(7));
    let list = other.ask_with(LIST, &json!({}), &[("x-strangler-version", &token)]).await;
    assert!(list.text.contains(r#""onHand":7"#), "{}", list.text);
    until("the other knows", async || other.ask(LOOK).await.text == looked(7)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // and once modern has it, modern is asked again
    shelves.ground.stores.modern.heal();
    let relay = Replica::ready(&shelves.ground, &Pace::default()).await;
    shelves.ground.settled().await;
    let asked = |side: Side| shelves.ground.stores.get(side).calls(Call::Fetch);
    for replica in [&writer, &other, &relay] {
        until("no key is pinned", async || {
            !replica.unsettled.contains(&shelves.ground.group(), &crate::shelves::key("A"))
        })
        .await;
        let before = (asked(Side::Legacy), asked(Side::Modern));
        assert_eq!(replica.ask(LOOK).await.text, looked(7));
        assert_eq!((asked(Side::Legacy), asked(Side::Modern)), (before.0, before.1 + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_on_another_replica_reads_the_first_write_at_once() {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let (first, second) =
        (Replica::ready(&shelves.ground, &unrelayed()).await, Replica::ready(&shelves.ground, &unrelayed()).await);
    shelves.ground.stores.modern.always(Call::Apply, Fault::Down);
    let key = [("idempotency-key", "one order")];
    let told = first.ask_with(PUT, &json!({}), &key).await;
    // WHEN the client did not hear it, and repeats it elsewhere
    let again = second.ask_with(PUT, &json!({}), &key).await;
    assert_eq!(again.text, told.text);
    // THEN it reads what it was told
    assert_eq!(second.ask(LOOK).await.text, looked(7));
}

#[tokio::test(start_paused = true)]
async fn lists_are_pinned_only_while_a_write_is_late() {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(&shelves.ground, &unrelayed()).await;
    let modern = &shelves.ground.stores.modern;
    let asks_modern = async || {
        let before = modern.calls(Call::List);
        let listed = replica.ask(LIST).await;
        assert!(listed.body["errors"].is_null(), "{}", listed.text);
        modern.calls(Call::List) > before
    };
    // GIVEN a write that modern takes in time
    replica.ask(PUT).await;
    assert!(asks_modern().await, "nothing is late");
    // WHEN one is late
    modern.always(Call::Apply, Fault::Hang);
    replica.ask("mutation { put(id: \"B\", onHand: 8) { onHand } }").await;
    // THEN lists show it, until modern has it
    assert!(!asks_modern().await);
    assert!(replica.ask(LIST).await.text.contains(r#""id":"B","onHand":8"#));
    modern.heal();
    let _relay = Replica::ready(&shelves.ground, &Pace::default()).await;
    shelves.ground.settled().await;
    until("lists are modern's again", async || asks_modern().await).await;
    assert!(replica.ask(LIST).await.text.contains(r#""id":"B","onHand":8"#));
}

#[tokio::test(start_paused = true)]
async fn a_failing_modern_side_costs_its_share_of_the_deadline_and_never_an_answer() {
    let handle = telemetry::install().unwrap();
    let counted = || {
        let text = handle.render();
        let lines = text.lines().filter(|line| line.starts_with("strangler_fallbacks_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    for fault in [Fault::Down, Fault::Reject, Fault::Hang, Fault::FailAfter] {
        let replica = Replica::ready(&shelves.ground, &Pace::default()).await;
        for (query, call) in [(LOOK, Call::Fetch), (LIST, Call::List)] {
            shelves.ground.stores.modern.on(call, 1, fault);
            let (began, before) = (Instant::now(), counted());
            let reply = replica.ask(query).await;
            assert!(reply.body["errors"].is_null() && reply.text.contains("100"), "{fault:?}: {}", reply.text);
            assert!(began.elapsed() <= Duration::from_millis(1_010), "{fault:?} took {:?}", began.elapsed());
            assert!(counted() > before, "{fault:?} is counted");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_side_is_left_alone_and_asked_again_when_it_is_back() {
    // GIVEN a breaker that opens after three outages
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let breaker = BreakerSettings { failures: 3, pause: Duration::from_secs(1) };
    let replica = Replica::ready(&shelves.ground, &Pace { breaker, relay: None, ..Pace::default() }).await;
    let modern = &shelves.ground.stores.modern;
    modern.down(true);
    not_heard_of().await;
    // WHEN modern is down
    for _ in 0..20 {
        assert_eq!(replica.ask(LOOK).await.text, looked(100));
    }
    // THEN it was asked three times, and once more after the pause
    assert_eq!(modern.calls(Call::Fetch), 3);
    assert!(replica.breakers.modern.is_open());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert_eq!(replica.ask(LOOK).await.text, looked(100));
    }
    assert_eq!(modern.calls(Call::Fetch), 4);
    // and when it is back it is asked as before
    modern.down(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert_eq!(replica.ask(LOOK).await.text, looked(100));
    }
    assert_eq!(modern.calls(Call::Fetch), 24);
    assert!(!replica.breakers.modern.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_token_costs_nothing_while_a_dead_side_is_left_alone() {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let breaker = BreakerSettings { failures: 3, pause: Duration::from_secs(60) };
    let replica = Replica::ready(&shelves.ground, &Pace { breaker, relay: None, ..Pace::default() }).await;
    let modern = &shelves.ground.stores.modern;
    let token = replica.ask(PUT).await.header("x-strangler-version").to_owned();
    modern.always(Call::Standing, Fault::Hang);
    modern.always(Call::Fetch, Fault::Hang);
    not_heard_of().await;
    let asked = async || {
        let began = Instant::now();
        let reply = replica.ask_with(LOOK, &json!({}), &[("x-strangler-version", &token)]).await;
        assert_eq!(reply.text, looked(7));
        began.elapsed()
    };
    // GIVEN a modern side that hangs, until its breaker opens
    while !replica.breakers.modern.is_open() {
        asked().await;
    }
    // THEN a client with a token is answered by legacy at once
    let before = modern.calls(Call::Standing);
    assert_eq!(asked().await, Duration::ZERO);
    assert_eq!(modern.calls(Call::Standing), before);
}

#[tokio::test(start_paused = true)]
async fn while_the_primary_is_down_nothing_is_written_and_what_is_known_to_be_settled_is_read() {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let relay = Some(RelaySettings::default());
    let replica = Replica::ready(&shelves.ground, &Pace { relay, ..Pace::default() }).await;
    shelves.ground.stores.legacy.down(true);
    for _ in 0..10 {
        assert_eq!(replica.ask(PUT).await.code(), "UNAVAILABLE");
        assert_eq!(replica.ask(LOOK).await.text, looked(100));
    }
    // A write that the client was told of, and modern lacks, is not papered over with an older state.
    shelves.ground.stores.legacy.down(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    shelves.ground.stores.modern.always(Call::Apply, Fault::Down);
    assert!(replica.ask(PUT).await.body["errors"].is_null());
    shelves.ground.stores.legacy.down(true);
    assert_eq!(replica.ask(LOOK).await.code(), "UNAVAILABLE");
    shelves.ground.stores.modern.heal();
    shelves.ground.stores.legacy.heal();
    shelves.ground.settled().await;
    assert_eq!(shelves.told(Side::Modern), "A=7 B=100 C=100");
}

#[tokio::test(start_paused = true)]
async fn a_version_token_that_somebody_made_up_sends_no_read_to_the_primary() {
    // GIVEN a replica at 100 %
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let replica = Replica::ready(&shelves.ground, &unrelayed()).await;
    let legacy = &shelves.ground.stores.legacy;
    let asked = || legacy.calls(Call::Fetch) + legacy.calls(Call::List);
    let before = asked();
    // WHEN reads come with ids of our own form, of writes that never were: of now, of long ago, and of times to come
    for id in [
        "01990000-0000-7000-8000-000000000001",
        "00000000-0000-7000-8000-000000000002",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ] {
        for (query, expected) in [(LOOK, "100"), (LIST, "100")] {
            let reply = replica.ask_with(query, &json!({}), &[("x-strangler-version", id)]).await;
            // THEN modern answers them as it answers any other
            assert!(reply.text.contains(expected), "{}", reply.text);
            assert_eq!(asked(), before, "{id}: {query}");
        }
    }
    // AND who repeats one waits no second time
    let began = Instant::now();
    let id = [("x-strangler-version", "01990000-0000-7000-8000-000000000001")];
    assert_eq!(replica.ask_with(LOOK, &json!({}), &id).await.text, looked(100));
    assert_eq!(began.elapsed(), Duration::ZERO);
}
