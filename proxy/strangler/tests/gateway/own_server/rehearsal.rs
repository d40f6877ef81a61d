//! An operator finds an error of modern's logic before modern is the authority, in a fleet of real processes.

use serde_json::Value as Json;

use super::fleet::{Fleet, metric, storefront};
use crate::rehearsals_in_sql::with_errors;
use crate::rig::until;

const REHEARSED: &str = "strangler_rehearsals_total{route=\"Mutation.adjustStock\",outcome=\"mismatch\"}";
const COMPARED: &str = "strangler_comparisons_total{route=\"Mutation.adjustStock\",verdict=\"mismatch\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_moderns_logic_is_on_the_list_of_differences() {
    // GIVEN a contract whose mutations replay, in which modern counts wrong
    let mut fleet = Fleet::new().await;
    let contract = fleet.site.folder().join("replaying.graphql");
    std::fs::write(&contract, with_errors()).unwrap();
    fleet.site.contract = contract;
    let limits = "[writes]\nrehearsal_timeout_ms = 10000\nanswer_budget_ms = 20000\n";
    fleet.site.more.push_str(limits);
    let replica = fleet.site.start("one").await;
    // WHEN clients write, THEN the operator is shown what modern would have made of it, and by how much
    let write = "mutation { adjustStock(sku: \"ITM-008\", location: \"BER1\", delta: -2) { onHand } }";
    storefront(&replica).ask(write, &Json::Null).await.unwrap();
    let list = ["--json", "diffs", "list", "--route", "Mutation.adjustStock", "--cause", "logic", "--field", "onHand"];
    until("the difference is on record", async || {
        let told: Json = serde_json::from_str(&fleet.site.must_run(&list).await).unwrap();
        told["differences"].as_array().is_some_and(|lines| !lines.is_empty())
    })
    .await;
    let text = fleet.site.must_run(&["diffs", "report", "--route", "Mutation.adjustStock"]).await;
    assert!(text.contains("logic"), "{text}");
    assert_eq!(metric(&replica, REHEARSED).await, Some(1.0));
    assert_eq!(metric(&replica, COMPARED).await, Some(1.0));
}
