//! One thing of a side does not answer, a table that somebody has locked or every commit: whoever does not need it goes on.

use std::time::Duration;

use model::Side;
use serde_json::{Value as Json, json};
use strangler::demo::traffic::Expected;
use testkit::fleet::Replica;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::fleet::{Fleet, metric, storefront};
use super::outages::with_a_side_of_its_own;
use crate::erp::{article, connect};
use crate::rig::until;

const ADJUST: &str = "mutation($s: ID!) { adjustStock(sku: $s, location: \"BER1\", delta: -1) { onHand } }";
const LOW: &str = "{ lowStock(location: \"HAM1\", below: 1000) { onHand } }";
const NAME: &str = "mutation($i: ProductInput!) { upsertProduct(input: $i) { name } }";
const LOOK: &str = "query($s: ID!) { product(sku: $s) { name } }";
const LIST: &str = "{ productList(first: 3) { sku } }";

/// Longer than a client waits, and than anything that opens a breaker.
const HELD: Duration = Duration::from_secs(6);

/// A fleet of which one waits for a second at most, and somebody who can lock tables on `side`.
async fn fleet(side: Side, reads: &str) -> (Fleet, Replica, Client) {
    let mut fleet = Fleet::new().await;
    "[writes]\napply_timeout_ms = 1000\n".clone_into(&mut fleet.site.more);
    fleet.site.environment.push(("STRANGLER__GATEWAY__DEADLINE_MS".to_owned(), "1000".to_owned()));
    fleet.set(&["--stage", "shift", "--reads", reads]).await;
    let replica = fleet.site.start("one").await;
    let dba = connect(fleet.erp.databases.get(side)).await;
    (fleet, replica, dba)
}

/// Forty clients who need the table that is locked, more than the side has connections, until the set is dropped.
fn crowd(replica: &Replica) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for number in 0..40 {
        let client = storefront(replica);
        crowd.spawn(async move {
            loop {
                let question = if number % 2 == 0 { ADJUST } else { LOW };
                // What they are told does not matter here.
                let _ = client.ask(question, &json!({ "s": article(1 + number % 9) })).await;
            }
        });
    }
    crowd
}

fn renamed(number: usize, name: &str) -> Json {
    json!({ "i": { "sku": article(number), "name": name, "unit": "EACH", "unitPrice": "1.25", "active": true } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_of_the_primary_stops_those_who_need_it_and_nobody_else() {
    let (_fleet, replica, dba) = fleet(Side::Legacy, "0").await;
    let client = storefront(&replica);
    // GIVEN a lock on stock levels, and a crowd who needs them
    dba.batch_execute("BEGIN; LOCK TABLE STKBAL IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut crowd = crowd(&replica);
    let until_when = Instant::now() + HELD;
    let mut rounds = 0;
    while Instant::now() < until_when {
        // WHEN others read and write products THEN they are answered
        for (question, variables) in
            [(LOOK, json!({ "s": article(20) })), (LIST, json!({})), (NAME, renamed(21, "new"))]
        {
            let reply = client.ask(question, &variables).await.unwrap();
            assert_eq!(reply.code(), None, "{question} in round {rounds}: {:?}", reply.errors);
        }
        rounds += 1;
        assert_eq!(metric(&replica, "strangler_breaker_open{side=\"legacy\"}").await, Some(0.0));
    }
    assert!(rounds > 5, "{rounds}");
    // AND the route itself was left alone, so that the crowd does not hold connections for nothing
    let left_alone = "strangler_route_breaker_open{side=\"legacy\",route=\"Mutation.adjustStock\"}";
    assert_eq!(metric(&replica, left_alone).await, Some(1.0));
    // WHEN the lock is gone THEN they are answered, too
    dba.batch_execute("ROLLBACK").await.unwrap();
    crowd.shutdown().await;
    let sku = json!({ "s": article(1) });
    until("stock is adjusted again", async || client.ask(ADJUST, &sku).await.unwrap().code().is_none()).await;
    until("the route is asked again", async || metric(&replica, left_alone).await == Some(0.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_of_the_secondary_keeps_its_own_writes_waiting_and_no_others() {
    let (fleet, replica, dba) = fleet(Side::Modern, "100").await;
    let client = storefront(&replica);
    dba.batch_execute("BEGIN; LOCK TABLE stock_level IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut crowd = crowd(&replica);
    let looker = connect(&fleet.erp.databases.modern).await;
    let until_when = Instant::now() + HELD;
    let mut rounds = 0;
    while Instant::now() < until_when {
        // WHEN a product is renamed meanwhile THEN modern has it, and goes on to answer for it
        let name = format!("name {rounds}");
        let reply = client.ask(NAME, &renamed(22, &name)).await.unwrap();
        assert_eq!(reply.code(), None, "{:?}", reply.errors);
        until("modern has the product", async || {
            let row = looker.query_one("SELECT name FROM product WHERE sku = $1", &[&article(22)]).await.unwrap();
            row.get::<_, String>(0) == name
        })
        .await;
        let reply = client.ask(LOOK, &json!({ "s": article(22) })).await.unwrap();
        assert_eq!(reply.data, json!({ "product": { "name": name } }), "{:?}", reply.errors);
        rounds += 1;
        assert_eq!(metric(&replica, "strangler_breaker_open{side=\"modern\"}").await, Some(0.0));
    }
    assert!(rounds > 2, "{rounds}");
    for reason in ["no_answer", "unreachable"] {
        let fell_back = format!("strangler_fallbacks_total{{route=\"Query.product\",reason=\"{reason}\"}}");
        assert_eq!(metric(&replica, &fell_back).await, None);
    }
    // WHEN the lock is gone THEN all of it reaches modern
    dba.batch_execute("ROLLBACK").await.unwrap();
    crowd.shutdown().await;
    until("all is settled", async || {
        metric(&replica, "strangler_unsettled_writes{group=\"inventory\"}").await == Some(0.0)
    })
    .await;
    for number in 1..10 {
        let on_hand = async |side: Side| fleet.erp.on_hand(side, &article(number)).await;
        assert_eq!(on_hand(Side::Legacy).await, on_hand(Side::Modern).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_waits_for_a_standby_at_each_commit_answers_reads() {
    let (server, control, fleet) = with_a_side_of_its_own(Side::Legacy).await;
    fleet.set(&["--stage", "shift", "--reads", "0"]).await;
    let replica = fleet.site.start("one").await;
    let client = storefront(&replica);
    let dba = connect(&fleet.erp.databases.legacy).await;
    let standby = async |name: &str| {
        dba.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).await.unwrap();
        dba.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    // GIVEN a standby that never answers, and a crowd who write
    standby("frozen").await;
    let mut crowd = crowd(&replica);
    let until_when = Instant::now() + HELD;
    let mut rounds = 0;
    while Instant::now() < until_when {
        // THEN everybody reads
        for (question, variables) in [(LOOK, json!({ "s": article(20) })), (LIST, json!({}))] {
            let reply = client.ask(question, &variables).await.unwrap();
            assert_eq!(reply.code(), None, "{question} in round {rounds}: {:?}", reply.errors);
        }
        rounds += 1;
        assert_eq!(metric(&replica, "strangler_breaker_open{side=\"legacy\"}").await, Some(0.0));
    }
    assert!(rounds > 5, "{rounds}");
    // WHEN the standby is given up THEN they write again, and both sides are equal in the end
    standby("").await;
    crowd.shutdown().await;
    let sku = json!({ "s": article(1) });
    until("stock is adjusted again", async || client.ask(ADJUST, &sku).await.unwrap().code().is_none()).await;
    fleet.erp.audit(&Expected::default()).await;
    drop((replica, fleet, control));
    server.stop().await.unwrap();
}
