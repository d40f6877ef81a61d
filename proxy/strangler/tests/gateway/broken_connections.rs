//! Connections to real databases break at any moment of a write, COMMIT included: whoever repeats a
//! write with its key until it is acknowledged has booked it once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use model::{Side, Stage};
use serde_json::json;
use strangler::demo::traffic::Expected;
use tokio_util::sync::CancellationToken;

use crate::erp::{Erp, article, connect};
use crate::rig::{Pace, Replica, until};

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
/// What a client may be told while connections break. All of it invites to try again.
const PASSING: [&str; 3] = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"];

/// What ends connections, and what cancels the statements on them.
const TERMINATE: &str = "pg_terminate_backend(pid)";
const CANCEL: &str = "pg_cancel_backend(pid)";

/// Breaks off what runs on one side's database, all but the test's own, every `pause` until `stop`.
async fn break_off(erp: Arc<Erp>, side: Side, how: &str, pause: Duration, stop: CancellationToken) -> u64 {
    let client = connect(erp.databases.get(side)).await;
    let sql = format!(
        "SELECT count({how}) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND application_name IN ('strangler', 'oci-stand-in')"
    );
    let mut broken = 0;
    while !stop.is_cancelled() {
        broken += client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0).unsigned_abs();
        tokio::time::sleep(pause).await;
    }
    broken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_at_any_moment_lose_and_double_nothing() {
    lose_and_double_nothing(Erp::new().await, TERMINATE, Duration::from_millis(113)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_are_cancelled_at_any_moment_lose_and_double_nothing() {
    lose_and_double_nothing(Erp::new().await, CANCEL, Duration::from_millis(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_an_oracle_that_break_at_any_moment_lose_and_double_nothing() {
    // A session and a write through the stand-in take many more round trips: they must have a chance to end.
    lose_and_double_nothing(Erp::on_oracle().await, TERMINATE, Duration::from_millis(457)).await;
}

/// `pause` is odd, so that a break falls on every moment of a write sooner or later.
async fn lose_and_double_nothing(erp: Erp, how: &'static str, pause: Duration) {
    // GIVEN two databases whose connections keep breaking
    let erp = Arc::new(erp);
    let ground = erp.ground().await;
    erp.copy().await;
    ground.set(Stage::Shift, 50.0, 100.0);
    let replica = Replica::ready(&ground, &Pace::default()).await;
    let stop = CancellationToken::new();
    let breaking = Side::BOTH.map(|side| tokio::spawn(break_off(Arc::clone(&erp), side, how, pause, stop.clone())));
    // WHEN eight customers adjust two stock levels and repeat until they are told that it is done
    let customer = async |number: usize| {
        for order in 0..6 {
            let (sku, key) = (article(1 + order % 2), format!("{number}/{order}"));
            until("the order is acknowledged", async || {
                let reply = replica.ask_with(ADJUST, &json!({ "s": sku }), &[("idempotency-key", &key)]).await;
                if reply.body["errors"].is_null() {
                    return true;
                }
                assert!(PASSING.contains(&reply.code()), "{}", reply.text);
                false
            })
            .await;
        }
    };
    join_all((0..8).map(customer)).await;
    stop.cancel();
    for broken in join_all(breaking).await {
        assert!(broken.unwrap() > 0, "no connection was broken");
    }
    // THEN each was booked once, on both sides
    erp.audit(&Expected::default()).await;
    for side in Side::BOTH {
        let left = [erp.on_hand(side, &article(1)).await, erp.on_hand(side, &article(2)).await];
        assert_eq!(left, [176, 176], "{side}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_the_middle_of_a_write_is_claimed_and_the_write_is_made_anew() {
    // GIVEN a write that waits for a lock of the ERP
    let erp = Erp::new().await;
    let ground = erp.ground().await;
    erp.copy().await;
    let replica = Replica::ready(&ground, &Pace { deadline: Duration::from_secs(10), ..Pace::default() }).await;
    let (locker, watcher) = (connect(&erp.databases.legacy).await, connect(&erp.databases.legacy).await);
    locker.batch_execute("BEGIN; LOCK TABLE MOVLOG IN EXCLUSIVE MODE").await.unwrap();
    let (variables, headers) = (json!({ "s": article(1) }), []);
    let write = replica.ask_with(ADJUST, &variables, &headers);
    let meddle = async {
        // WHEN its connection is ended
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("it waits", async || watcher.query_one(end, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
        locker.batch_execute("COMMIT").await.unwrap();
    };
    let (reply, ()) = tokio::join!(write, meddle);
    // THEN the client is told that it is done, and it was booked once
    assert_eq!(reply.text, r#"{"data":{"adjustStock":{"onHand":99}}}"#);
    erp.audit(&Expected::default()).await;
    assert_eq!(erp.on_hand(Side::Modern, &article(1)).await, 199);
}
