//! GraphQL over HTTP: POST and GET, batches, headers in and out.
//!
//! Our own, since the audit of the specification asks for more than async-graphql-axum gives. What
//! is refused here is refused in GraphQL's shape, with a status that proxies understand.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures::future::join_all;
use model::{IdempotencyKey, WriteId};
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::{Answer, GraphqlError};
use super::asked::{self, Asked, bad_request};
use super::compile::limit;
use super::meter::{Meter, refused};
use super::negotiate::{Media, wants_page};
use super::plan::OperationKind;
use super::visit::{Visit, fresh_request_id, newest, parse_token, write_token};
use super::{Gateway, GraphqlRequest, socket};
use net::client::Client;
use request::roads::RequestContext;
use server::Peer;
use telemetry::traces;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const VERSION: HeaderName = HeaderName::from_static("x-strangler-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The page for developers. Ours, since async-graphql's loads itself from a CDN.
const EXPLORER: &str = include_str!("explorer.html");

/// The endpoint `/graphql`: POST, GET and WebSocket.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/graphql", any(handle)).with_state(gateway)
}

/// What it is answered.
enum Answered {
    One(Answer),
    Batch(Vec<Answer>),
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    if socket::is_upgrade(request.headers()) {
        return socket::upgrade(gateway, request).await;
    }
    let page = request.method() == Method::GET && wants_page(request.headers());
    if gateway.config.development && page && request.uri().query().is_none() {
        return Html(EXPLORER).into_response();
    }
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    let media = Media::accepted(&parts.headers);
    let asked = match media {
        None => Err(not_acceptable()),
        Some(_) => asked::read(&gateway, client(&gateway, &parts), &parts, body).await,
    };
    // A client that is slow to send does not use up the time for its answer.
    let began = Instant::now();
    let span = traces::request(&parts.headers);
    let asked = asked.and_then(|(asked, meter)| Ok((asked, visit(&gateway, &parts, &request_id, meter)?)));
    let (answered, token, meter) = match asked {
        Err(refused) => (Answered::One(refused), None, None),
        Ok((asked, visit)) => {
            let answered = answer(&gateway, asked, &visit).instrument(span.clone()).await;
            (answered, new_token(&visit), Some(visit.meter))
        }
    };
    span.record("outcome", record(&answered, began));
    respond(answered, meter, media.unwrap_or(Media::Json), &request_id, token)
}

async fn answer(gateway: &Arc<Gateway>, asked: Asked, visit: &Visit) -> Answered {
    match asked {
        Asked::ToRead(request) => Answered::One(get(gateway, &request, visit).await),
        Asked::One(request) => Answered::One(gateway.answer(&request, visit.clone()).await),
        Asked::Batch(requests) => batch(gateway, &requests, visit).await,
    }
}

/// A GET may be repeated, cached and prefetched by anybody: it only reads.
async fn get(gateway: &Arc<Gateway>, request: &GraphqlRequest, visit: &Visit) -> Answer {
    match gateway.prepare(request) {
        Err(errors) => Answer::refused(errors),
        Ok(prepared) if prepared.plan.operation == OperationKind::Mutation => Answer::refused_with(
            StatusCode::METHOD_NOT_ALLOWED,
            GraphqlError::new("METHOD_NOT_ALLOWED", "use POST for mutations"),
        ),
        Ok(prepared) => match visit.meter.expect(prepared.cost) {
            Ok(()) => gateway.run(prepared, visit.clone()).await,
            Err(no_room) => refused("memory", no_room),
        },
    }
}

/// Answers a batch in its order: concurrently, unless one of it writes. What all of it costs together has the limit of a
/// single request.
async fn batch(gateway: &Arc<Gateway>, requests: &[GraphqlRequest], visit: &Visit) -> Answered {
    let mut cost: u64 = 0;
    let mut prepared = Vec::with_capacity(requests.len());
    for request in requests {
        let one = gateway.prepare(request);
        cost = cost.saturating_add(one.as_ref().map_or(0, |one| one.cost));
        let most = gateway.config.limits.complexity;
        if cost > most {
            let error = limit("COMPLEXITY_LIMIT", "fields in one batch, lists multiplied", most);
            return Answered::One(Answer::refused_with(StatusCode::BAD_REQUEST, error));
        }
        prepared.push(one);
    }
    if let Err(no_room) = visit.meter.expect(cost) {
        return Answered::One(refused("memory", no_room));
    }
    let writes = |operation| operation == OperationKind::Mutation;
    let writes = prepared.iter().flatten().any(|prepared| writes(prepared.plan.operation));
    let answers = prepared.into_iter().enumerate().map(|(index, prepared)| async move {
        match prepared {
            Ok(prepared) => gateway.run(prepared, visit.in_batch(index)).await,
            Err(errors) => Answer::refused(errors),
        }
    });
    if !writes {
        return Answered::Batch(join_all(answers).await);
    }
    let mut in_order = Vec::with_capacity(requests.len());
    for answer in answers {
        in_order.push(answer.await);
    }
    Answered::Batch(in_order)
}

fn not_acceptable() -> Answer {
    let error = GraphqlError::new("NOT_ACCEPTABLE", "accept application/graphql-response+json or application/json");
    Answer::refused_with(StatusCode::NOT_ACCEPTABLE, error)
}

/// Whose request it is.
pub(crate) fn client(gateway: &Gateway, parts: &Parts) -> Client {
    let peer = parts.extensions.get::<Peer>().map(|Peer(address)| address.ip());
    gateway.config.trusted_proxies.asked(peer, &parts.headers)
}

/// What the request carries along, from its headers.
fn visit(gateway: &Gateway, parts: &Parts, id: &Arc<str>, meter: Arc<Meter>) -> Result<Visit, Answer> {
    let headers = &parts.headers;
    let mut context = RequestContext::new((gateway.rollout)(), Instant::now() + gateway.config.deadline);
    context.stick = stick(gateway, headers);
    context.client = client(gateway, parts);
    context.seen = seen(headers)?;
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key = key.to_str().unwrap_or_default();
        IdempotencyKey::new(key, "").map_err(|error| bad_request(error.to_string()))?;
        context.idempotency = Some(key.to_owned());
    }
    Ok(Visit::new(Arc::new(context), Arc::clone(id)).counted(meter))
}

/// The stick header's value.
pub(crate) fn stick(gateway: &Gateway, headers: &HeaderMap) -> Option<String> {
    let value = headers.get(&gateway.config.stick_header)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// The writes in the version tokens.
pub(crate) fn seen(headers: &HeaderMap) -> Result<Vec<WriteId>, Answer> {
    let mut writes = Vec::new();
    for value in headers.get_all(VERSION) {
        let token = value.to_str().ok().and_then(parse_token);
        let Some(token) = token else {
            return Err(bad_request(
                "x-strangler-version is no token of ours; send back what a mutation returned, or nothing",
            ));
        };
        writes.extend(token);
    }
    Ok(newest(writes))
}

/// The client's name for its request if it is one that may stand in a log, else a fresh one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let fits = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=64).contains(&id.len()) && id.bytes().all(plain)
    };
    let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    sent.filter(fits).map_or_else(fresh_request_id, Arc::from)
}

/// The version token of the answer; `None` when nothing was written.
fn new_token(visit: &Visit) -> Option<String> {
    let written = visit.context.written();
    if written.is_empty() {
        return None;
    }
    let seen = visit.context.seen.iter().copied();
    Some(write_token(&newest(seen.chain(written))))
}

/// Counts an answer, and says how it went.
fn record(answered: &Answered, began: Instant) -> &'static str {
    let outcome = match answered {
        Answered::One(answer) => answer.outcome(),
        Answered::Batch(answers) => {
            let worse = |outcome: &str| {
                let order = ["ok", "partial", "refused", "failed"];
                order.iter().position(|known| *known == outcome)
            };
            let outcomes = answers.iter().map(Answer::outcome);
            outcomes.max_by_key(|outcome| worse(outcome)).unwrap_or("ok")
        }
    };
    metrics::counter!(telemetry::HTTP_REQUESTS_TOTAL, "outcome" => outcome).increment(1);
    metrics::histogram!(telemetry::HTTP_REQUEST_DURATION_SECONDS, "outcome" => outcome)
        .record(began.elapsed().as_secs_f64());
    outcome
}

/// The text of an answer, and what it holds until it is sent.
struct Sent {
    text: Vec<u8>,
    _held: Option<Arc<Meter>>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

fn respond(answered: Answered, meter: Option<Arc<Meter>>, media: Media, id: &str, token: Option<String>) -> Response {
    let (status, text) = write(&answered, media);
    // Only its text is left of it from here on. A client that reads slowly holds that.
    drop(answered);
    if let Some(meter) = &meter {
        meter.keep(text.capacity());
    }
    let mut response = (status, Bytes::from_owner(Sent { text, _held: meter })).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST, GET"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let texts = [(REQUEST_ID, Some(id)), (VERSION, token.as_deref())];
    for (name, text) in texts {
        if let Some(Ok(value)) = text.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
    response
}

fn write(answered: &Answered, media: Media) -> (StatusCode, Vec<u8>) {
    let mut body = Vec::with_capacity(1024);
    let status = match answered {
        Answered::One(answer) => {
            answer.write(&mut body);
            media.status(answer)
        }
        Answered::Batch(answers) => {
            body.push(b'[');
            for (index, answer) in answers.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                answer.write(&mut body);
            }
            body.push(b']');
            StatusCode::OK
        }
    };
    (status, body)
}
