//! The example of docs/contract.md: a newcomer adds a field and a type by editing the contract alone.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value as Json, json};
use strangler::demo::seed::{ERP_TABLES, MODERN_TABLES};
use testkit::fleet::{Replica, Site};
use testkit::postgres::Database;

use super::{blocks, text};

/// The page's block behind ` ```name `.
fn block(name: &str) -> String {
    let page = text("docs/contract.md");
    let found: Vec<String> = blocks(&page).into_iter().filter(|(n, _)| n == name).map(|(_, body)| body).collect();
    assert_eq!(found.len(), 1, "blocks called `{name}`");
    found.concat()
}

async fn run(database: &Database, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();
}

async fn ask(replica: &Replica, document: &str) -> Json {
    let body = Full::new(bytes::Bytes::from(json!({ "query": document }).to_string()));
    let request = Request::post(&replica.graphql).header("content-type", "application/json").body(body).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap();
    serde_json::from_slice(&answer.to_bytes()).unwrap()
}

#[tokio::test]
async fn the_example_of_the_contracts_page_runs_as_it_stands() {
    // GIVEN the inventory's databases, changed as the page says, and the contract with its addition
    let (legacy, modern) = (Database::fresh("erp").await, Database::fresh("shop").await);
    run(&legacy, ERP_TABLES).await;
    run(&legacy, &block("sql legacy")).await;
    run(&modern, MODERN_TABLES).await;
    run(&modern, &block("sql modern")).await;
    let folder = tempfile::tempdir().unwrap();
    let contract = folder.path().join("schema.graphql");
    std::fs::write(&contract, text("schema.graphql") + &block("graphql contract")).unwrap();
    let site = Site::new(env!("CARGO_BIN_EXE_strangler"), legacy.url(), modern.url(), contract);

    // WHEN it is prepared and served as the page says, and both groups write to both sides
    site.must_run(&["init"]).await;
    site.must_run(&["check"]).await;
    let replica = site.start("a").await;
    for group in ["inventory", "purchasing"] {
        let set = ["groups", "set", group, "--stage", "dual-write", "--reason", "the page says so", "--who", "reader"];
        site.must_run(&set).await;
    }
    let written = ask(&replica, &block("graphql mutation")).await;
    assert_eq!(written["errors"], Json::Null, "{written}");

    // THEN legacy answers as the page says, and so does modern
    let expected: Json = serde_json::from_str(&block("json answer")).unwrap();
    assert_eq!(ask(&replica, &block("graphql query")).await, expected);
    for group in ["inventory", "purchasing"] {
        let shift = [
            "groups",
            "set",
            group,
            "--stage",
            "shift",
            "--reads=100",
            "--past-gates",
            "--reason=look",
            "--who",
            "reader",
        ];
        site.must_run(&shift).await;
    }
    // A replica trusts modern after its next look at the ledger; until then legacy goes on to answer.
    let by_modern =
        |line: &str| line.starts_with("strangler_request_duration_seconds_count") && line.contains("modern");
    for _ in 0..300 {
        assert_eq!(ask(&replica, &block("graphql query")).await, expected);
        let (_, metrics) = replica.get("/metrics").await.unwrap();
        if metrics.lines().any(by_modern) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("modern was never asked");
}
