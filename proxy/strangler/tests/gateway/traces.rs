//! One trace from the client to both sides, as a collector sees it. It tells no keys, and costs no request anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use model::Stage;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use parking_lot::Mutex;
use prost::Message;
use serde_json::json;
use telemetry::traces::{Exporting, Traces, layer};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use crate::rig::{Pace, Replica, until};
use crate::shelves::Shelves;

const LOOK: &str = "{ shelf(id: \"A\") { onHand } }";
const PUT: &str = "mutation { put(id: \"A\", onHand: 7) { onHand } }";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "11111111111111111111111111111111";
const CLIENT: &str = "b7ad6b7169203331";

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
    hangs: bool,
}

impl Collector {
    async fn start(hangs: bool) -> (Self, String) {
        let collector = Self { hangs, ..Self::default() };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, endpoint)
    }

    /// The spans called `name`, of trace `trace`.
    fn named(&self, trace: &str, name: &str) -> Vec<Span> {
        let spans = self.spans.lock();
        spans.iter().filter(|span| span.name == name && hex(&span.trace_id) == trace).cloned().collect()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) {
    if collector.hangs {
        std::future::pending::<()>().await;
    }
    for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let service = attributes.iter().find(|pair| pair.key == "service.name").unwrap();
        collector.services.lock().insert(format!("{:?}", service.value));
        collector.spans.lock().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(span: &Span, key: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key == key)?;
    match pair.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        other => Some(format!("{other:?}")),
    }
}

/// Traces what happens on this thread, until the guard is gone.
fn traced(endpoint: &str, sample_ratio: f64) -> (Exporting, DefaultGuard) {
    let traces = Traces { endpoint: endpoint.parse().unwrap(), service_name: "shop".into(), sample_ratio };
    let (layer, exporting) = layer(&traces).unwrap();
    (exporting, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
}

async fn ask(replica: &Replica, query: &str, trace: &str, flags: &str) {
    let traceparent = format!("00-{trace}-{CLIENT}-{flags}");
    let answer = replica.ask_with(query, &json!({}), &[("traceparent", &traceparent)]).await;
    assert!(answer.body["errors"].is_null(), "{}", answer.text);
}

async fn shadowing() -> (Shelves, Replica) {
    let shelves = Shelves::new().await;
    shelves.ground.set(Stage::Shift, 0.0, 100.0);
    let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
    (shelves, replica)
}

#[tokio::test]
async fn a_read_with_its_shadow_and_a_write_stand_in_the_clients_trace_on_both_sides() {
    // GIVEN nothing is recorded, unless the client records
    let (collector, endpoint) = Collector::start(false).await;
    let (exporting, _guard) = traced(&endpoint, 0.0);
    let (_shelves, replica) = shadowing().await;
    // WHEN a client that records reads and writes
    ask(&replica, LOOK, TRACE, "01").await;
    until("the shadow was looked at", async || !replica.observed.lock().is_empty()).await;
    ask(&replica, PUT, TRACE, "01").await;
    ask(&replica, LOOK, OTHER, "00").await;
    until("the last shadow was looked at", async || replica.observed.lock().len() == 2).await;
    drop(replica);
    exporting.end().await;
    // THEN both sides stand in its trace, and nothing else was recorded
    let spans = collector.spans.lock().clone();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:#?}");
    assert_eq!(*collector.services.lock(), ["Some(AnyValue { value: Some(StringValue(\"shop\")) })".into()].into());
    let requests = collector.named(TRACE, "graphql.request");
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|span| hex(&span.parent_span_id) == CLIENT && span.kind() == SpanKind::Server));
    let sides = |name: &str| -> Vec<_> {
        let named = collector.named(TRACE, name);
        named.iter().map(|span| text(span, "side").unwrap_or_else(|| text(span, "route").unwrap())).collect()
    };
    assert_eq!(sides("read.serve"), ["Query.shelf"]);
    assert_eq!(sides("read.ask"), ["legacy"]);
    assert_eq!(sides("read.shadow"), ["Query.shelf"]);
    assert_eq!(sides("store.fetch"), ["legacy", "modern"]);
    assert_eq!(sides("write.dual"), ["Mutation.put"]);
    assert_eq!(sides("store.execute"), ["legacy"]);
    assert_eq!(sides("store.apply"), ["modern"]);
    // AND every span hangs on another one of them
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    for span in &spans {
        assert!(hex(&span.parent_span_id) == CLIENT || ids.contains(&span.parent_span_id), "{span:#?}");
        let calls = span.name.starts_with("store.");
        assert_eq!(calls, span.kind() == SpanKind::Client, "{span:#?}");
        assert_eq!(calls, text(span, "db.system").is_some(), "{span:#?}");
    }
    // AND nothing but these stands in any of them
    let known = ["db.system", "error.type", "outcome", "requests", "role", "route", "side"];
    for pair in spans.iter().flat_map(|span| &span.attributes) {
        assert!(known.contains(&pair.key.as_str()), "{pair:?}");
    }
    // AND the answer did not wait for the shadow
    let shadow = &collector.named(TRACE, "read.shadow")[0];
    assert!(requests.iter().any(|request| request.end_time_unix_nano <= shadow.end_time_unix_nano));
}

#[tokio::test]
async fn a_look_up_that_two_requests_share_stands_in_one_trace_and_is_linked_to_the_other() {
    let (collector, endpoint) = Collector::start(false).await;
    let (exporting, _guard) = traced(&endpoint, 0.0);
    let shelves = Shelves::new().await;
    let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
    futures::join!(ask(&replica, LOOK, TRACE, "01"), ask(&replica, LOOK, OTHER, "01"));
    exporting.end().await;
    let (one, other) = (collector.named(TRACE, "store.fetch"), collector.named(OTHER, "store.fetch"));
    let fetched = [one, other].concat();
    assert_eq!(fetched.len(), 1, "one round trip: {fetched:#?}");
    let linked: Vec<_> = fetched[0].links.iter().map(|link| hex(&link.trace_id)).collect();
    assert_eq!(linked, [if hex(&fetched[0].trace_id) == TRACE { OTHER } else { TRACE }]);
    // Each trace tells for itself how long it waited for which side.
    for trace in [TRACE, OTHER] {
        let asked = collector.named(trace, "read.ask");
        assert_eq!(asked.len(), 1);
        assert_eq!(
            (text(&asked[0], "side").unwrap(), text(&asked[0], "role").unwrap()),
            ("legacy".into(), "primary".into())
        );
    }
}

#[tokio::test]
async fn a_collector_that_hangs_delays_nobody_and_what_it_misses_is_counted() {
    let handle = telemetry::install().unwrap();
    let (_collector, endpoint) = Collector::start(true).await;
    let (_exporting, _guard) = traced(&endpoint, 1.0);
    let shelves = Shelves::new().await;
    let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
    let dropped = || {
        let text = handle.render();
        let line = text.lines().find(|line| line.starts_with("strangler_spans_dropped_total{reason=\"queue_full\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    // Each read is limited to the client's deadline of two seconds: one that waited would fail.
    let mut reads = 0;
    while dropped() == 0 {
        for _ in 0..100 {
            assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":100}}}"#);
        }
        reads += 100;
        assert!(reads < 20_000, "nothing was dropped");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_no_error_of_the_client() {
    let handle = telemetry::install().unwrap();
    let (exporting, _guard) = traced("http://127.0.0.1:1", 1.0);
    let shelves = Shelves::new().await;
    let replica = Replica::ready(&shelves.ground, &Pace { relay: None, ..Pace::default() }).await;
    assert_eq!(replica.ask(LOOK).await.text, r#"{"data":{"shelf":{"onHand":100}}}"#);
    let counted = || handle.render().contains("strangler_spans_dropped_total{reason=\"not_taken\"}");
    tokio::time::timeout(Duration::from_secs(30), async {
        while !counted() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    exporting.end().await;
}
