//! Processes that end: by a power cut under load, and by SIGTERM under load.

use std::time::Duration;

use model::Side;
use rustix::process::Signal;
use serde_json::json;
use strangler::demo::storefront::Storefront;
use strangler::demo::traffic::Traffic;
use testkit::fleet::free_port;

use super::fleet::{Fleet, storefront};
use crate::erp::{article, connect, patches};
use crate::rig::{WITHIN, until};

/// The seed of the traffic; another one by `STRANGLER_TEST_SEED`.
fn seed() -> u64 {
    std::env::var("STRANGLER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_no_acknowledged_write() {
    // GIVEN traffic through one replica, all reads from modern
    let seed = seed();
    println!("seed {seed}");
    let fleet = Fleet::new().await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    let group = fleet.erp.loaded.contract.groups().remove(0);
    let (graphql, admin) = (free_port().await, free_port().await);
    let mut replica = fleet.site.start_on("one", graphql, admin).await;
    let traffic = Traffic::start(&storefront(&replica), patches(8), seed, Duration::from_millis(2));
    for round in 1..=2u64 {
        let enough = 60 * round;
        let acknowledged = &traffic.tally().acknowledged;
        until("writes are acknowledged", async || acknowledged.load(std::sync::atomic::Ordering::Relaxed) > enough)
            .await;
        // WHEN it is killed while writes wait for modern
        let blocker = connect(&fleet.erp.databases.modern).await;
        blocker.batch_execute("BEGIN; LOCK TABLE stock_level IN EXCLUSIVE MODE").await.unwrap();
        until("writes are unsettled", async || {
            fleet.erp.stores.legacy.backlog(&group, WITHIN).await.unwrap().writes > 3
        })
        .await;
        replica.kill();
        blocker.batch_execute("COMMIT").await.unwrap();
        // and comes back
        replica = fleet.site.start_on("one", graphql, admin).await;
    }
    let before = traffic.tally().acknowledged.load(std::sync::atomic::Ordering::Relaxed);
    let acknowledged = &traffic.tally().acknowledged;
    until("writes go on", async || acknowledged.load(std::sync::atomic::Ordering::Relaxed) > before + 30).await;
    let tally = traffic.stop().await;
    // THEN everything settles, nothing acknowledged is lost, both sides are equal
    let expected = tally.expected.lock().clone();
    fleet.erp.audit(&expected).await;
    let complaints = tally.complaints.lock().clone();
    let ours = |complaint: &&String| !complaint.starts_with("no answer from") && *complaint != "a price was not taken";
    assert_eq!(complaints.iter().find(ours), None, "only broken connections are a customer's trouble");
    assert!(replica.terminate().await, "{}", fleet.site.log("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_every_request_under_way() {
    // GIVEN writes under way that wait for the ERP's lock
    let fleet = Fleet::new().await;
    let mut replica = fleet.site.start("one").await;
    let locker = connect(&fleet.erp.databases.legacy).await;
    locker.batch_execute("BEGIN; LOCK TABLE MOVLOG IN EXCLUSIVE MODE").await.unwrap();
    let ask = |number: usize| {
        let storefront = Storefront::new(replica.graphql.clone());
        tokio::spawn(async move {
            let query = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
            storefront.ask(query, &json!({ "s": article(number) })).await
        })
    };
    let asked: Vec<_> = (1..=6).map(ask).collect();
    let watcher = connect(&fleet.erp.databases.legacy).await;
    until("six writes wait", async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) >= 6
    })
    .await;
    // WHEN the process is told to end, and no longer takes connections
    replica.signal(Signal::TERM);
    let address = replica.graphql.trim_start_matches("http://").trim_end_matches("/graphql").to_owned();
    until("the port is closed", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    locker.batch_execute("COMMIT").await.unwrap();
    // THEN every request is answered, the process ends well, and the writes are on both sides
    for task in asked {
        let reply = task.await.unwrap().unwrap();
        assert_eq!(reply.data, json!({ "adjustStock": { "onHand": 99 } }), "{:?}", reply.errors);
    }
    assert!(replica.terminate().await, "{}", fleet.site.log("one"));
    let group = fleet.erp.loaded.contract.groups().remove(0);
    assert_eq!(fleet.erp.stores.legacy.backlog(&group, WITHIN).await.unwrap().writes, 0, "settled before it ended");
    for number in 1..=6 {
        assert_eq!(fleet.erp.on_hand(Side::Modern, &article(number)).await, 199);
    }
}
