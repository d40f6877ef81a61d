//! A difference is traced down to its history, and excused, in a running fleet of real processes.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value as Json;
use testkit::fleet::Replica;
use tokio::time::Instant;

use super::fleet::{Fleet, metric, storefront};
use crate::erp::connect;
use crate::rig::until;

const LOOK: &str = "{ stockLevel(sku: \"ITM-008\", location: \"BER1\") { onHand } }";
const MATCHED: &str = "strangler_comparisons_total{route=\"Query.stockLevel\",verdict=\"match\"}";
const EXCUSED: &str = "strangler_comparisons_total{route=\"Query.stockLevel\",verdict=\"excused\"}";

impl Fleet {
    async fn told(&self, arguments: &[&str]) -> Json {
        let text = self.site.must_run(&[&["--json"], arguments].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// How many shadow reads of the route came to nothing.
async fn in_vain(replica: &Replica) -> f64 {
    let silent = "strangler_comparisons_total{route=\"Query.stockLevel\",verdict=\"inconclusive\"}";
    let dropped = "strangler_shadow_dropped_total{reason=\"queue_full\"}";
    metric(replica, silent).await.unwrap_or(0.0) + metric(replica, dropped).await.unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_is_traced_to_its_history_and_excused_without_a_deploy() {
    // GIVEN two writes to one key, and modern changed behind our back
    let fleet = Fleet::new().await;
    let replica = fleet.site.start("one").await;
    let shop = storefront(&replica);
    fleet.set(&["--stage", "shadow"]).await;
    for delta in [-1, -2] {
        let write =
            format!("mutation {{ adjustStock(sku: \"ITM-008\", location: \"BER1\", delta: {delta}) {{ onHand }} }}");
        shop.ask(&write, &Json::Null).await.unwrap();
    }
    let meddle = "UPDATE stock_level SET on_hand = 12345 WHERE sku = 'ITM-008' AND location = 'BER1'";
    until("both writes are settled", async || {
        fleet.told(&["groups", "show", "inventory"]).await["evidence"]["unsettled"]["writes"] == 0
    })
    .await;
    // The replica may take the key for unsettled still, and would not compare it: its own look comes a moment later.
    until("the replica compares it", async || {
        shop.ask(LOOK, &Json::Null).await.unwrap();
        let asked = Instant::now();
        let compared = async || metric(&replica, MATCHED).await.is_some_and(|count| count > 0.0);
        while !compared().await && asked.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        compared().await
    })
    .await;
    let before = in_vain(&replica).await;
    connect(&fleet.erp.databases.modern).await.batch_execute(meddle).await.unwrap();
    // WHEN it is read, THEN the way leads from the list to the history of the key on both sides
    let filter = ["--route", "Query.stockLevel", "--field", "onHand", "--cause", "foreign-write"];
    let list = [&["diffs", "list"], filter.as_slice()].concat();
    let asked = Cell::new(0);
    until("the difference is on record", async || {
        // Once, and once more for each shadow read that was dropped or said nothing.
        if f64::from(asked.get()) <= in_vain(&replica).await - before {
            asked.set(asked.get() + 1);
            shop.ask(LOOK, &Json::Null).await.unwrap();
        }
        fleet.told(&list).await["differences"].as_array().is_some_and(|lines| !lines.is_empty())
    })
    .await;
    let report = fleet.told(&[&["diffs", "report"], filter.as_slice()].concat()).await;
    let route = &report["routes"][0];
    assert_eq!(route["trend"]["points"].as_array().unwrap().last().unwrap()["mismatches"], 1, "{report:#}");
    let sample = route["differences"][0]["samples"][0]["id"].as_str().unwrap();
    let shown = fleet.told(&["diffs", "show", sample, "--history"]).await;
    let (legacy, modern) = (&shown["history"]["legacy"], &shown["history"]["modern"]);
    let on_hand = |side: &Json| -> Vec<Json> {
        side["states"].as_array().unwrap().iter().map(|state| state["record"]["onHand"].clone()).collect()
    };
    assert_eq!(on_hand(legacy), [97, 99]);
    assert_eq!(on_hand(modern), [97, 99]);
    assert_eq!((&legacy["present"]["onHand"], &modern["present"]["onHand"]), (&97.into(), &12345.into()));
    assert_eq!(modern["recorded"], legacy["states"][0]["version"]);
    assert_eq!(legacy["recorded"], legacy["states"][0]["version"]);
    // WHEN it is excused, THEN the running replica counts it so within seconds
    let until_day = (chrono::Utc::now().date_naive() + chrono::Days::new(7)).to_string();
    let excuse =
        ["diffs", "excuse", "--owner", "stock team", "--who", "tester", "--reason", "a test", "--until", &until_day];
    fleet.site.must_run(&[excuse.as_slice(), filter.as_slice()].concat()).await;
    let began = Instant::now();
    until("the replica has heard of the excuse", async || {
        shop.ask(LOOK, &Json::Null).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        metric(&replica, EXCUSED).await.is_some_and(|count| count > 0.0)
    })
    .await;
    println!("an excuse counts after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15));
}
