//! Rows at rest, compared by order: real replicas over real databases, ordered at the admin port.

use serde_json::{Value as Json, json};
use strangler::demo::storefront::{Reply, Storefront};
use testkit::fleet::Replica;

use super::fleet::Fleet;
use crate::erp::connect;
use crate::rig::until;

/// `strangler --admin …`: what it printed, and whether it ended with 0.
async fn ordered(fleet: &Fleet, replica: &Replica, what: &[&str]) -> (String, bool) {
    let address = format!("http://{}", replica.admin);
    fleet.site.run(&[&["--admin", &address, "--json"], what].concat()).await
}

/// What of it is JSON.
fn printed(text: &str) -> Json {
    let begin = text.find('{').unwrap_or_else(|| panic!("no JSON: {text}"));
    serde_json::Deserializer::from_str(&text[begin..]).into_iter().next().unwrap().unwrap()
}

/// Asks a replica's admin API.
async fn admin(replica: &Replica, question: &str, given: &Json) -> Reply {
    Storefront::new(format!("http://{}/api/graphql", replica.admin)).ask(question, given).await.unwrap()
}

async fn rows(fleet: &Fleet, query: &str) -> i64 {
    connect(&fleet.erp.databases.modern).await.query_one(query, &[]).await.unwrap().get(0)
}

const RUNNING: &str = "SELECT count(*) FROM strangler_reconcile_order WHERE ended_at IS NULL AND taken_by IS NOT NULL";
const ENDED_RUNS: &str = "SELECT count(*) FROM strangler_reconciliation WHERE ended_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_that_is_ordered_at_the_admin_port_ends_as_the_command_does() {
    let fleet = Fleet::new().await;
    fleet.set(&["--stage", "shadow"]).await;
    let replicas = [fleet.site.start("one").await, fleet.site.start("two").await];
    let reconcile = ["reconcile", "inventory", "--reason", "before the step"];
    // GIVEN sides that are equal
    let (told, ok) = ordered(&fleet, &replicas[0], &reconcile).await;
    assert!(ok, "{told}");
    let types = printed(&told)["types"].as_array().map(Vec::len);
    assert_eq!((&printed(&told)["complete"], &printed(&told)["drift"]), (&Json::from(true), &Json::from(0)), "{told}");
    // Two replicas, and each type was compared once.
    assert_eq!(rows(&fleet, ENDED_RUNS).await, i64::try_from(types.unwrap()).unwrap());
    // GIVEN drift
    let modern = connect(&fleet.erp.databases.modern).await;
    modern.batch_execute("UPDATE stock_level SET on_hand = 77 WHERE sku = 'ITM-003'").await.unwrap();
    let (told, ok) = ordered(&fleet, &replicas[1], &["reconcile", "--entity", "StockLevel", "--reason", "again"]).await;
    assert!(!ok && printed(&told)["drift"].as_u64() > Some(0) && printed(&told)["complete"] == true, "{told}");
    assert_eq!(printed(&told)["types"][0]["findings"]["kinds"][0]["field"], "onHand", "{told}");
    // It stands in the record, and with what the commands on the databases say.
    let history = fleet.site.must_run(&["history", "list"]).await;
    assert!(history.contains("ordered to compare the rows at rest of StockLevel"), "{history}");
    // What levels rows is refused there, says what to do, and leaves them.
    let repair = ["repair", "inventory", "--cause", "foreign-write", "--reason", "x"];
    for what in [repair.as_slice(), &["reconcile", "inventory", "--repair", "--reason", "x"]] {
        let (told, ok) = ordered(&fleet, &replicas[0], what).await;
        assert!(!ok && told.contains("on the databases themselves"), "{what:?}: {told}");
    }
    for wrong in [&["reconcile", "inventory"], &["reconcile", "inventery", "--reason", "x"] as &[&str]] {
        assert!(!ordered(&fleet, &replicas[0], wrong).await.1, "{wrong:?}");
    }
    let levelled = ["repair", "inventory", "--cause", "foreign-write", "--reason", "a test", "--who", "tester"];
    fleet.site.must_run(&levelled).await;
    assert!(ordered(&fleet, &replicas[0], &reconcile).await.1);
    // What nothing keeps equal is not compared.
    fleet.set(&["--stage", "legacy"]).await;
    let (told, ok) = ordered(&fleet, &replicas[0], &reconcile).await;
    assert!(!ok && told.contains("set stage dual-write first"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_outlives_the_replica_that_ran_it_and_a_second_one_is_told() {
    let fleet = Fleet::new().await;
    fleet.set(&["--stage", "shadow"]).await;
    let one = fleet.site.start("one").await;
    // GIVEN an order that cannot go on, since somebody has locked a table
    let locker = connect(&fleet.erp.databases.modern).await;
    locker.batch_execute("BEGIN; LOCK TABLE stock_level IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let order = "mutation { reconcile(group: \"inventory\", reason: \"a test\") { id state } }";
    let placed = admin(&one, order, &Json::Null).await;
    assert_eq!(placed.data["reconcile"]["state"], "waiting", "it answers at once: {placed:?}");
    until("a replica has it", async || rows(&fleet, RUNNING).await == 1).await;
    let second = admin(&one, order, &Json::Null).await;
    assert_eq!(second.errors[0]["extensions"]["code"], "ALREADY_ORDERED", "{second:?}");
    // WHEN that replica ends, and the lock with it
    let two = fleet.site.start("two").await;
    let mut one = one;
    assert!(one.terminate().await);
    locker.batch_execute("ROLLBACK").await.unwrap();
    // THEN the other one brings it to its end
    until("the order has ended", async || {
        let ended =
            "SELECT count(*) FROM strangler_reconcile_order WHERE outcome = '\"done\"' AND taken_by IS NOT NULL";
        rows(&fleet, ended).await == 1
    })
    .await;
    let ask = "query($id: String!) { reconcileOrder(id: $id) { state takes runs { complete } } }";
    let seen = admin(&two, ask, &json!({ "id": placed.data["reconcile"]["id"] })).await;
    let seen = &seen.data["reconcileOrder"];
    assert_eq!((&seen["state"], seen["takes"].as_u64() >= Some(2)), (&Json::from("complete"), true), "{seen}");
}
