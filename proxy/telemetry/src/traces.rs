//! Traces: one trace from the client through the gateway to both sides, for any collector that speaks OTLP.
//!
//! Spans are those of `tracing`; a layer turns them into OpenTelemetry's. Without a collector there is no layer,
//! and the spans are never made.
//!
//! *Work that outlives its request* (a shadow, a write) must not hold the request's span open: it takes a
//! [`Here`] along, and goes on in the same trace. *Work that several requests share* (a merged look-up) stands in
//! the trace of one of them and is linked to the others.
//!
//! Promise: spans tell side, route and outcome, and never keys or values.
//! Not here: sending them (`export`).

mod export;

use std::borrow::Borrow;

use axum::http::HeaderMap;
use model::{Role, RouteName, Side, Store, StoreError};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use export::{Exporting, Traces, layer};

/// A place in a trace, kept apart from its span: whoever holds it holds no span open. Nothing when nothing is traced.
#[derive(Debug, Clone, Default)]
pub struct Here(Option<SpanContext>);

/// The W3C header, read from HTTP.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

impl Here {
    /// Where the current span is.
    pub fn now() -> Self {
        Self::of(&Span::current())
    }

    fn of(span: &Span) -> Self {
        if span.is_disabled() {
            return Self(None);
        }
        let place = span.context().span().span_context().clone();
        Self(place.is_valid().then_some(place))
    }

    /// `span`, as the continuation of this place. Make it with `parent: None`, or it holds its parent open.
    pub fn continued_by(&self, span: Span) -> Span {
        if let Some(place) = &self.0
            && !span.is_disabled()
            && let Err(error) = span.set_parent(Context::new().with_remote_span_context(place.clone()))
        {
            tracing::debug!(%error, "a span begins a trace of its own");
        }
        span
    }

    fn is_sampled(&self) -> bool {
        self.0.as_ref().is_some_and(SpanContext::is_sampled)
    }
}

/// The span of one request; it goes on with the client's trace if the client sent a `traceparent`, and is
/// recorded if the client records.
pub fn request(headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(parent: None, "graphql.request", otel.kind = "server", outcome = Empty);
    if span.is_disabled() {
        return span;
    }
    let sent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let place = sent.span().span_context().clone();
    Here(place.is_valid().then_some(place)).continued_by(span)
}

/// The span of one side being asked for one request, with everything that it waits for.
pub fn ask(route: &RouteName, side: Side, role: Role) -> Span {
    let role = match role {
        Role::Primary => "primary",
        Role::Secondary => "secondary",
    };
    tracing::debug_span!("read.ask", %route, %side, role, otel.status_code = Empty, error.type = Empty)
}

/// The span of one call of a side that one request makes.
pub fn call(store: &dyn Store, operation: &'static str) -> Span {
    let (side, system) = (store.side(), store.system());
    tracing::debug_span!(
        "store.call", otel.name = operation, otel.kind = "client", %side, db.system = system,
        otel.status_code = Empty, error.type = Empty
    )
}

/// The span of one call of a side that the requests at `places` share. It stands in the trace of the first one that
/// is recorded, and is linked to the others. No span when none is traced.
pub fn shared_call<'a>(
    store: &dyn Store,
    operation: &'static str,
    places: impl Iterator<Item = &'a Here> + Clone,
) -> Span {
    let traced = || places.clone().filter(|place| place.0.is_some());
    let Some(first) = traced().find(|place| place.is_sampled()).or_else(|| traced().next()) else {
        return Span::none();
    };
    let (side, system, requests) = (store.side(), store.system(), places.clone().count());
    let span = tracing::debug_span!(
        parent: None, "store.call", otel.name = operation, otel.kind = "client", %side, db.system = system, requests,
        otel.status_code = Empty, error.type = Empty
    );
    let span = first.continued_by(span);
    for other in traced().filter(|place| place.0 != first.0) {
        span.add_link(other.0.clone().expect("only those that are traced are left"));
    }
    span
}

/// Runs a call within its span, and notes there how it ended. Of an error only its kind is told.
pub async fn within<T, E: Borrow<StoreError>>(span: Span, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let result = call.instrument(span.clone()).await;
    if let Err(error) = &result {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.borrow().kind());
    }
    result
}
