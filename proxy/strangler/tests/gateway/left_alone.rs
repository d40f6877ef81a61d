//! A side that was left alone is asked again: after a lull nobody is refused by one that is long back, and a dead one
//! is reached by one call. A side that only takes no writes is not left alone. In memory, with time paused.
//!
//! A lull is where nobody asks: sagas that were left are not looked for either, since that asks every minute.

use std::sync::Arc;
use std::time::Duration;

use data_plane::breaker::BreakerSettings;
use futures::future::join_all;
use model::{Side, Stage};
use testkit::faults::{Call, Fault};
use tokio::time::Instant;

use crate::rig::{Pace, Replica, not_heard_of};
use crate::shelves::Shelves;

const PUT: &str = "mutation { put(id: \"A\", onHand: 7) { onHand } }";
const LOOK: &str = "{ shelf(id: \"B\") { onHand } }";
const LULL: Duration = Duration::from_secs(60);

/// A replica whose breakers open after three outages.
async fn replica(shelves: &Shelves, reads: f64) -> Arc<Replica> {
    shelves.ground.set(Stage::Shift, reads, 0.0);
    let breaker = BreakerSettings { failures: 3, pause: Duration::from_secs(1) };
    Arc::new(Replica::ready(&shelves.ground, &Pace { breaker, relay: None, resumes: false, ..Pace::default() }).await)
}

/// The outage of a side, until it is left alone, and then a lull.
async fn outage_and_lull(shelves: &Shelves, replica: &Replica, side: Side) {
    shelves.ground.stores.get(side).down(true);
    not_heard_of().await;
    for _ in 0..3 {
        replica.ask(LOOK).await;
    }
    assert!(replica.breakers.get(side).is_open());
    tokio::time::sleep(LULL).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_and_a_lull_no_client_is_refused_by_a_primary_that_is_back() {
    for question in [PUT, LOOK] {
        // GIVEN a primary that was down, came back, and takes its time
        let shelves = Shelves::new().await;
        let replica = replica(&shelves, 0.0).await;
        outage_and_lull(&shelves, &replica, Side::Legacy).await;
        let legacy = &shelves.ground.stores.legacy;
        legacy.heal();
        for call in [Call::Execute, Call::Fetch] {
            legacy.always(call, Fault::Latency(Duration::from_millis(200)));
        }
        // WHEN twenty ask at once
        let began = Instant::now();
        let replies = join_all((0..20).map(|_| replica.ask(question))).await;
        // THEN one finds out, the others wait for it, and all are answered
        for reply in replies {
            assert!(reply.body["errors"].is_null(), "{}", reply.text);
        }
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        assert!(!replica.breakers.legacy.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lull_one_call_reaches_a_primary_that_is_still_down() {
    let shelves = Shelves::new().await;
    let replica = replica(&shelves, 0.0).await;
    outage_and_lull(&shelves, &replica, Side::Legacy).await;
    let legacy = &shelves.ground.stores.legacy;
    let before = legacy.calls(Call::Execute);
    for reply in join_all((0..20).map(|_| replica.ask(PUT))).await {
        assert_eq!(reply.code(), "UNAVAILABLE");
    }
    assert_eq!(legacy.calls(Call::Execute), before + 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_lull_reads_that_legacy_can_answer_do_not_wait_for_modern() {
    let shelves = Shelves::new().await;
    let replica = replica(&shelves, 100.0).await;
    outage_and_lull(&shelves, &replica, Side::Modern).await;
    let modern = &shelves.ground.stores.modern;
    modern.heal();
    modern.always(Call::Fetch, Fault::Hang);
    let before = modern.calls(Call::Fetch);
    let read = async || {
        let began = Instant::now();
        let reply = replica.ask(LOOK).await;
        assert!(reply.body["errors"].is_null(), "{}", reply.text);
        began.elapsed()
    };
    let took = join_all((0..20).map(|_| read())).await;
    assert_eq!(took.iter().filter(|took| took.is_zero()).count(), 19, "{took:?}");
    assert_eq!(modern.calls(Call::Fetch), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_primary_whose_disk_is_full_takes_no_writes_and_answers_reads() {
    let shelves = Shelves::new().await;
    let replica = replica(&shelves, 0.0).await;
    let legacy = &shelves.ground.stores.legacy;
    legacy.always(Call::Execute, Fault::DiskFull);
    for _ in 0..20 {
        assert_eq!(replica.ask(PUT).await.code(), "UNAVAILABLE");
        assert!(replica.ask(LOOK).await.body["errors"].is_null());
    }
    assert!(!replica.breakers.legacy.is_open());
    // The next write tells that there is room again.
    legacy.heal();
    assert!(replica.ask(PUT).await.body["errors"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_secondary_whose_disk_is_full_costs_no_client_anything_and_answers_reads() {
    let shelves = Shelves::new().await;
    let replica = replica(&shelves, 100.0).await;
    let modern = &shelves.ground.stores.modern;
    modern.always(Call::Apply, Fault::DiskFull);
    for _ in 0..20 {
        assert!(replica.ask(PUT).await.body["errors"].is_null());
    }
    let before = modern.calls(Call::Fetch);
    assert!(replica.ask(LOOK).await.body["errors"].is_null());
    assert_eq!(modern.calls(Call::Fetch), before + 1);
    assert_eq!(shelves.ground.backlog().await, 20);
}

#[tokio::test(start_paused = true)]
async fn a_primary_whose_commits_hang_answers_reads() {
    // GIVEN a primary that waits in vain for its standby at each commit
    let shelves = Shelves::new().await;
    let replica = replica(&shelves, 0.0).await;
    let legacy = &shelves.ground.stores.legacy;
    legacy.always(Call::Execute, Fault::Hang);
    for _ in 0..5 {
        let (written, read) = tokio::join!(replica.ask(PUT), replica.ask(LOOK));
        assert!(!written.body["errors"].is_null());
        assert!(read.body["errors"].is_null(), "{}", read.text);
        for _ in 0..3 {
            assert!(replica.ask(LOOK).await.body["errors"].is_null());
        }
    }
    // THEN no client waits for its writes any more, and reads never did
    let began = Instant::now();
    assert_eq!(replica.ask(PUT).await.code(), "UNAVAILABLE");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!replica.breakers.legacy.is_open());
    legacy.heal();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(replica.ask(PUT).await.body["errors"].is_null());
}
