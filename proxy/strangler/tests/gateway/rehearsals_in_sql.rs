//! Rehearsals of the contract that we ship, in real databases, with the ERP behind either adapter.

use std::sync::Arc;
use std::time::Duration;

use adapters::oracle::OracleStore;
use data_plane::write::rehearse::RehearsalSettings;
use model::evidence::{Cause, Observation, Verdict};
use model::{PerSide, Side, Store};
use serde_json::json;
use testkit::postgres::Database;

use crate::erp::Erp;
use crate::rig::{Pace, Replica};

/// The shipped contract with every `@write` replaying.
pub(crate) fn replaying() -> String {
    include_str!("../../../../schema.graphql").replace("@write(", "@write(dualWrite: replay, ")
}

/// The same, where modern forgets a column of the movement and counts wrong.
pub(crate) fn with_errors() -> String {
    let text = replaying();
    let one = "VALUES (:write_id, :sku, :location, CASE WHEN CAST(:delta AS integer) < 0 THEN 'ISSUE' ELSE 'RECEIPT' END, :delta,\n                  CURRENT_TIMESTAMP, :reason, :bookedBy)";
    assert!(text.contains(one));
    let text = text.replace(one, &one.replace(":reason,", "CAST(NULLIF(:reason, :reason) AS varchar),"));
    let two = "UPDATE stock_level SET on_hand = on_hand + :delta, updated_at";
    assert!(text.contains(two));
    text.replace(two, "UPDATE stock_level SET on_hand = on_hand + 2 * CAST(:delta AS integer), updated_at")
}

async fn erp(contract: &str) -> Erp {
    let databases = PerSide { legacy: Database::fresh("erp").await, modern: Database::fresh("shop").await };
    Erp::under(databases, contract).await
}

/// Patient enough for a busy machine: what a rehearsal finds must not depend on its speed.
fn patient() -> Pace {
    let rehearsals = RehearsalSettings { within: Duration::from_secs(10), at_once: 4 };
    let (deadline, answer_budget) = (Duration::from_secs(60), Duration::from_secs(30));
    Pace { rehearsals, deadline, answer_budget, ..Pace::default() }
}

fn adjust(sku: &str, delta: i64) -> String {
    let place = format!("sku: \"{sku}\", location: \"BER1\", delta: {delta}");
    format!("mutation {{ adjustStock({place}, reason: \"test\", bookedBy: \"ANNA\") {{ onHand }} }}")
}

fn taken(replica: &Replica) -> Vec<Observation> {
    std::mem::take(&mut *replica.observed.lock())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_modern_forgets_and_miscounts_is_found_and_never_stands() {
    let erp = erp(&with_errors()).await;
    let ground = erp.ground().await;
    erp.copy().await;
    let replica = Replica::ready(&ground, &patient()).await;
    assert!(replica.ask(&adjust("ITM-001", -3)).await.body["errors"].is_null());
    let observed = taken(&replica);
    assert_eq!((observed.len(), observed[0].verdict), (1, Verdict::Mismatch), "{observed:?}");
    let named = |difference: &model::evidence::Difference| {
        let field = difference.field.as_ref().map(|field| field.as_str().to_owned()).unwrap_or_default();
        (field, difference.cause, difference.values.legacy.clone(), difference.values.modern.clone())
    };
    let differences: Vec<_> = observed[0].differences.iter().map(named).collect();
    let logic = |field: &str, legacy, modern| (field.to_owned(), Cause::Logic, legacy, modern);
    let expected = [logic("onHand", json!(97), json!(94)), logic("reason", json!("test"), json!(null))];
    assert_eq!(differences, expected);
    assert!(!format!("{observed:?}").contains("ANNA"), "what is sensitive is hashed");
    ground.settled().await;
    assert_eq!(erp.on_hand(Side::Modern, "ITM-001").await, 197);
    assert_eq!(erp.on_hand(Side::Legacy, "ITM-001").await, 197);
}

/// Many writers on two hot articles: concurrency is never taken for logic.
async fn hot_articles(erp: &Erp) {
    let ground = erp.ground().await;
    erp.copy().await;
    let pace = patient();
    let replicas = [Replica::ready(&ground, &pace).await, Replica::ready(&ground, &pace).await];
    let writers = (0..6_usize).map(|writer| {
        let replica = &replicas[writer % 2];
        async move {
            for turn in 0..25_usize {
                // One that is hot for all, and one that a single replica writes now and then.
                let sku = if turn % 3 > 0 { "ITM-001" } else { ["ITM-002", "ITM-003"][writer % 2] };
                let answer = replica.ask(&adjust(sku, if turn % 2 == 0 { 1 } else { -1 })).await;
                assert!(answer.body["errors"].is_null(), "{}", answer.text);
            }
        }
    });
    futures::future::join_all(writers).await;
    for number in 0..10 {
        assert!(replicas[0].ask(&adjust(&format!("ITM-{:03}", 10 + number), -1)).await.body["errors"].is_null());
    }
    ground.settled().await;
    let observed: Vec<_> = replicas.iter().flat_map(taken).collect();
    let count = |verdict| observed.iter().filter(|seen| seen.verdict == verdict).count();
    let blamed: Vec<_> = observed.iter().filter(|seen| seen.verdict == Verdict::Mismatch).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
    assert_eq!(observed.len(), 160);
    assert!(count(Verdict::Match) >= 10, "those that nobody disturbs are compared: {observed:?}");
    for sku in ["ITM-001", "ITM-002", "ITM-003", "ITM-012"] {
        assert_eq!(erp.on_hand(Side::Legacy, sku).await, erp.on_hand(Side::Modern, sku).await, "{sku}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_of_hot_articles_blame_nobody() {
    hot_articles(&erp(&replaying()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_of_hot_articles_blame_nobody_over_an_oracle() {
    let mut erp = erp(&replaying()).await;
    let settings = testkit::oracle::settings_over(&erp.databases.legacy);
    let store = OracleStore::connect(Side::Legacy, Arc::clone(&erp.loaded.contract), &settings).unwrap();
    erp.stores.legacy = Arc::new(store) as Arc<dyn Store>;
    hot_articles(&erp).await;
}
