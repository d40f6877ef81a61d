//! Brings finished spans to a collector, over OTLP (HTTP with protobuf).
//!
//! The queue is bounded: when the collector is slow or away, spans are dropped and counted, and no request waits.

use std::fmt;
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::ours::is_ours;
use net::outgoing::{Connector, connector};

/// Finished spans that may wait.
const QUEUE: usize = 4_096;
/// Most spans in one request to the collector.
const BATCH: usize = 512;
/// How long spans are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(500);
/// Limit of one request to the collector.
const WITHIN: Duration = Duration::from_secs(5);
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(2);
/// The collector's answer is a few bytes.
const ANSWER_BYTES: usize = 65_536;

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector: `http://collector:4318`.
    pub endpoint: Uri,
    /// What this program is called there.
    pub service_name: String,
    /// Share of the requests that are recorded, from 0 to 1, when the client has not decided.
    pub sample_ratio: f64,
}

/// Sends spans until it is ended.
pub struct Exporting {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Exporting {
    /// Sends what waits, and no more.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST, self.tasks.wait()).await.is_err() {
            tracing::warn!("the collector was not told of the last spans");
        }
    }
}

/// The layer that turns our spans into OpenTelemetry's, and the task that sends them.
///
/// # Errors
/// When the exporter cannot be made of these settings.
pub fn layer<S>(traces: &Traces) -> Result<(impl Layer<S> + use<S>, Exporting), ExporterBuildError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new())
        .with_endpoint(traces_url(&traces.endpoint))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(WITHIN)
        .build()?;
    let resource = Resource::builder_empty().with_service_name(traces.service_name.clone()).build();
    exporter.set_resource(&resource);
    let (queue, spans) = mpsc::channel(QUEUE);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Queue(queue))
        .with_sampler(Sampler::parent_based(Sampler::TraceIdRatioBased(traces.sample_ratio)))
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("strangler");
    let exporting = Exporting { stop: CancellationToken::new(), tasks: TaskTracker::new() };
    exporting.tasks.spawn(send(exporter, spans, exporting.stop.clone()));
    let ours = |metadata: &Metadata<'_>| metadata.is_span() && is_ours(metadata.target());
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    Ok((layer.with_filter(filter_fn(ours)), exporting))
}

/// The collector's place for traces, unless another path was given.
fn traces_url(endpoint: &Uri) -> String {
    match endpoint.path() {
        "" | "/" => format!("{}/v1/traces", endpoint.to_string().trim_end_matches('/')),
        _ => endpoint.to_string(),
    }
}

async fn send(exporter: SpanExporter, mut spans: mpsc::Receiver<SpanData>, stop: CancellationToken) {
    let mut away = false;
    let mut stopping = false;
    while !stopping {
        stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(GATHER) => false,
        };
        while !spans.is_empty() {
            let mut batch = Vec::new();
            spans.recv_many(&mut batch, BATCH).await;
            let count = batch.len();
            match exporter.export(batch).await {
                Ok(()) => away = false,
                Err(error) => {
                    crate::spans_dropped("not_taken", count);
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(%error, "the collector of traces takes nothing; spans are dropped until it does");
                    }
                }
            }
        }
    }
}

/// Takes finished spans, and never waits.
struct Queue(mpsc::Sender<SpanData>);

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        match self.0.try_send(span) {
            // Closed: the last spans of a process that ends.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => crate::spans_dropped("queue_full", 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Speaks HTTP to the collector.
#[derive(Debug)]
struct Collector(Client<Connector, Full<Bytes>>);

impl Collector {
    fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build(connector(WITHIN)))
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answered = async {
            let answer = self.0.request(request.map(Full::from)).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        tokio::time::timeout(WITHIN, answered).await?
    }
}
