//! The real binary with everything around it: flags that govern it, a webhook that it tells, a collector of traces.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use serde_json::json;
use strangler::demo::seed::{ERP_TABLES, MODERN_TABLES};
use testkit::fleet::Site;
use testkit::postgres::Database;

use crate::flags::flag_file;
use crate::replica::{eventually, schema};
use crate::webhooks::{KEY, Receiver};

const TRACE: [u8; 16] = *b"one trace for us";

type Spans = Arc<Mutex<Vec<Span>>>;

async fn collector() -> (Spans, String) {
    let spans = Spans::default();
    let take = async |State(spans): State<Spans>, body: Bytes| {
        let sent = ExportTraceServiceRequest::decode(body).unwrap().resource_spans;
        let scopes = sent.into_iter().flat_map(|resource| resource.scope_spans);
        spans.lock().extend(scopes.flat_map(|scope| scope.spans));
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (spans, endpoint)
}

async fn run(database: &Database, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_webhooks_and_traces_work_in_the_real_binary() {
    // GIVEN a replica with a file of flags, a webhook and a collector
    let (legacy, modern) = (Database::fresh("erp").await, Database::fresh("shop").await);
    run(&legacy, ERP_TABLES).await;
    run(&modern, MODERN_TABLES).await;
    let ((spans, endpoint), (receiver, hook)) = (collector().await, Receiver::start(&[]).await);
    let mut site = Site::new(env!("CARGO_BIN_EXE_strangler"), legacy.url(), modern.url(), schema());
    let (flags, secret) = (site.folder().join("flags.json"), site.folder().join("secret"));
    flag_file(&flags, json!(100));
    std::fs::write(&secret, KEY).unwrap();
    site.more = format!(
        "[openfeature]\nprovider = \"flagd\"\nsource = {flags:?}\ninterval_ms = 50\npast_gates = true\n\
         [telemetry]\notlp_endpoint = \"{endpoint}\"\nsample_ratio = 0.0\n\
         [[webhooks]]\nname = \"chat\"\nurl = \"{hook}\"\nsecret_file = {secret:?}\n\
         events = [\"rollout\", \"rolled-back\"]\n"
    );
    site.must_run(&["init"]).await;
    let mut replica = site.start("a").await;
    // WHEN the group enters stage shift
    let set = ["groups", "set", "inventory", "--stage", "shift", "--reason", "flags go on from here", "--who", "ada"];
    site.must_run(&set).await;
    // THEN the flag's percentage is in force, and the webhook is told of both changes
    eventually("the flag is in force", || async {
        replica.get("/metrics").await.unwrap().1.contains("strangler_reads_modern_ratio{group=\"inventory\"} 1\n")
    })
    .await;
    eventually("the webhook is told", || async { receiver.told.lock().len() >= 2 }).await;
    let who = |place: usize| receiver.told.lock()[place]["data"]["who"].clone();
    assert_eq!((who(0), who(1)), (json!("ada"), json!("openfeature:flagd")));

    // WHEN a client that records asks
    let traceparent = format!("00-{}-00f067aa0ba902b7-01", TRACE.map(|byte| format!("{byte:02x}")).concat());
    let question = json!({ "query": "{ product(sku: \"none\") { name } }" }).to_string();
    let request = Request::post(&replica.graphql).header("content-type", "application/json");
    let request = request.header("traceparent", traceparent).body(Full::new(Bytes::from(question))).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, r#"{"data":{"product":null}}"#);
    // THEN its trace goes on to both databases, and nothing else is recorded
    let fetches = || spans.lock().iter().filter(|span| span.name == "store.fetch").count();
    eventually("both sides stand in the trace", || async { fetches() >= 2 }).await;
    assert!(spans.lock().iter().all(|span| span.trace_id == TRACE), "{:#?}", spans.lock());
    assert!(spans.lock().iter().any(|span| format!("{:?}", span.attributes).contains("postgresql")));

    // WHEN the group is rolled back
    site.must_run(&["groups", "rollback", "inventory", "--who", "ada"]).await;
    // THEN the webhook is told so, and the flag does not raise it again
    eventually("the webhook is told", || async { receiver.told.lock().len() >= 3 }).await;
    assert_eq!(receiver.types(), ["rollout", "rollout", "rolled-back"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, metrics) = replica.get("/metrics").await.unwrap();
    assert!(metrics.contains("strangler_reads_modern_ratio{group=\"inventory\"} 0\n"), "{metrics}");
    assert!(
        metrics.contains("strangler_webhook_deliveries_total{webhook=\"chat\",outcome=\"delivered\"} 3\n"),
        "{metrics}"
    );
    assert!(replica.terminate().await, "{}", site.log("a"));
}
