//! One database is down, and comes back.

use std::time::Duration;

use adapters::local_server::LocalServer;
use model::{PerSide, Side};
use serde_json::json;
use strangler::demo::traffic::{Expected, Traffic};
use testkit::fleet::free_port;
use testkit::postgres::{Database, own_server};

use super::fleet::{Fleet, metric, reads, storefront};
use crate::erp::{article, patches};
use crate::rig::until;

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
const LOOK: &str = "query($s: ID!) { stockLevel(sku: $s, location: \"BER1\") { onHand } }";

pub(super) async fn with_a_side_of_its_own(side: Side) -> (LocalServer, Database, Fleet) {
    let server = own_server().await;
    let (own, shared) = (Database::fresh_in(&server, "own").await, Database::fresh("shared").await);
    let control = Database::fresh("control").await;
    let databases = match side {
        Side::Legacy => PerSide { legacy: own, modern: shared },
        Side::Modern => PerSide { legacy: shared, modern: own },
    };
    let fleet = Fleet::of(databases, Some(&control)).await;
    (server, control, fleet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_modern_is_down_no_client_notices_and_nothing_is_lost() {
    // GIVEN traffic with all reads from modern
    let (server, control, fleet) = with_a_side_of_its_own(Side::Modern).await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    let replica = fleet.site.start("one").await;
    let traffic = Traffic::start(&storefront(&replica), patches(4), 7, Duration::from_millis(5));
    let acknowledged = || traffic.tally().acknowledged.load(std::sync::atomic::Ordering::Relaxed);
    until("writes", async || acknowledged() > 30).await;
    let more = async |count: u64| {
        let before = acknowledged();
        until("writes go on", async || acknowledged() > before + count).await;
    };
    // WHEN modern is killed, and comes back later; and then hangs for a while
    server.kill().await.unwrap();
    more(60).await;
    server.restart().await.unwrap();
    more(30).await;
    server.pause().await.unwrap();
    more(30).await;
    server.resume().await.unwrap();
    more(30).await;
    // THEN no client saw an error, and everything is on both sides in the end
    let tally = traffic.stop().await;
    assert_eq!(*tally.complaints.lock(), Vec::<String>::new());
    let expected = tally.expected.lock().clone();
    fleet.erp.audit(&expected).await;
    drop((replica, fleet, control));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_legacy_is_down_writes_say_so_and_moderns_share_is_answered() {
    let (server, control, fleet) = with_a_side_of_its_own(Side::Legacy).await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    let replica = fleet.site.start("one").await;
    let storefront = storefront(&replica);
    let sku = json!({ "s": article(1) });
    assert_eq!(storefront.ask(ADJUST, &sku).await.unwrap().code(), None);
    fleet.erp.audit(&Expected::default()).await;
    let before = fleet.erp.checksums(Side::Modern).await;
    // WHEN legacy is killed
    server.kill().await.unwrap();
    for attempt in 0..12 {
        // THEN writes fail with a stable code, quickly once the breaker is open
        let began = tokio::time::Instant::now();
        let reply = storefront.ask(ADJUST, &sku).await.unwrap();
        let code = reply.code();
        // The very first may have been under way in a connection that broke.
        assert!(code == Some("UNAVAILABLE") || (attempt == 0 && code == Some("OUTCOME_UNKNOWN")), "{:?}", reply.errors);
        assert!(began.elapsed() < Duration::from_secs(6));
        // and reads on modern's share go on
        let read = storefront.ask(LOOK, &json!({ "s": article(2 + attempt) })).await.unwrap();
        assert_eq!(read.data, json!({ "stockLevel": { "onHand": 100 } }), "{:?}", read.errors);
    }
    assert_eq!(fleet.erp.checksums(Side::Modern).await, before, "nothing is written anywhere");
    server.restart().await.unwrap();
    until("writes work again", async || storefront.ask(ADJUST, &sku).await.unwrap().code().is_none()).await;
    fleet.erp.audit(&Expected::default()).await;
    assert_eq!(fleet.erp.on_hand(Side::Legacy, &article(1)).await, 198, "only what was acknowledged stands");
    drop((replica, fleet, control));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_control_database_is_down_replicas_start_serve_and_roll_back() {
    // GIVEN two replicas at 100 %
    let server = own_server().await;
    let control = Database::fresh_in(&server, "control").await;
    let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
    let fleet = Fleet::of(databases, Some(&control)).await;
    let (graphql, admin) = (free_port().await, free_port().await);
    let mut one = fleet.site.start_on("one", graphql, admin).await;
    let two = fleet.site.start("two").await;
    fleet.set(&["--stage", "shift", "--reads", "100"]).await;
    // WHEN the control database is killed, and a replica too
    server.kill().await.unwrap();
    one.kill();
    one = fleet.site.start_on("one", graphql, admin).await;
    // THEN it starts with its snapshot, both serve, and a rollback reaches both
    for replica in [&one, &two] {
        assert!((reads(replica).await - 1.0).abs() < 1e-9);
        let reply = storefront(replica).ask(ADJUST, &json!({ "s": article(1) })).await.unwrap();
        assert_eq!(reply.code(), None);
    }
    // The command knows the replicas from `groups set`.
    let told = fleet.site.run(&["groups", "rollback", "inventory", "--reason", "emergency"]).await;
    assert!(told.1, "{}", told.0);
    for replica in [&one, &two] {
        assert!(reads(replica).await.abs() < 1e-9);
    }
    // and the record is made when it is back
    server.restart().await.unwrap();
    until("the control store is reached", async || metric(&one, "strangler_control_store_up").await == Some(1.0)).await;
    until("the rollback is recorded", async || {
        let (shown, ok) = fleet.site.run(&["groups", "history", "inventory"]).await;
        ok && shown.contains("because: emergency")
    })
    .await;
    for replica in [&one, &two] {
        assert!(reads(replica).await.abs() < 1e-9, "still rolled back");
    }
    fleet.erp.audit(&Expected::default()).await;
    drop((one, two, fleet, control));
    server.stop().await.unwrap();
}
