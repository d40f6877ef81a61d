//! GraphQL over HTTP: POST and GET, batches, headers in and out.
//!
//! Our own, since the audit of the specification asks for more than async-graphql-axum gives. What
//! is refused here is refused in GraphQL's shape, with a status that proxies understand.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderName, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use futures::future::join_all;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::{IdempotencyKey, WriteId};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::answer::{Answer, GraphqlError};
use super::compile::limit;
use super::negotiate::{Media, is_json, wants_page};
use super::plan::OperationKind;
use super::visit::{Visit, fresh_request_id, newest, parse_token, write_token};
use super::{Gateway, GraphqlRequest, socket};
use crate::roads::RequestContext;
use crate::serving::Peer;
use crate::telemetry;
use crate::traces;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const VERSION: HeaderName = HeaderName::from_static("x-strangler-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The page for developers. Ours, since async-graphql's loads itself from a CDN.
const EXPLORER: &str = include_str!("explorer.html");

/// The endpoint `/graphql`: POST, GET and WebSocket.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/graphql", any(handle)).with_state(gateway)
}

/// A request as it comes, in a body or a query string.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `query`")]
struct RawRequest {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Map<String, Json>>,
    extensions: Option<Map<String, Json>>,
}

/// The parameters of a GET; maps are JSON text.
#[derive(Debug, Deserialize)]
struct RawQuery {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// What a request asks for.
enum Asked {
    /// By GET.
    ToRead(GraphqlRequest),
    /// By POST.
    One(GraphqlRequest),
    Batch(Vec<GraphqlRequest>),
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
        Some(_) => read(&gateway, &parts, body).await,
    };
    // A client that is slow to send does not use up the time for its answer.
    let began = Instant::now();
    let span = traces::request(&parts.headers);
    let (answered, token) = match asked.and_then(|asked| Ok((asked, visit(&gateway, &parts, &request_id)?))) {
        Err(refused) => (Answered::One(refused), None),
        Ok((asked, visit)) => (answer(&gateway, asked, &visit).instrument(span.clone()).await, new_token(&visit)),
    };
    span.record("outcome", record(&answered, began));
    respond(&answered, media.unwrap_or(Media::Json), &request_id, token)
}

async fn read(gateway: &Gateway, parts: &Parts, body: Body) -> Result<Asked, Answer> {
    match parts.method {
        Method::GET => from_query(&parts.uri).map(Asked::ToRead),
        Method::POST => from_body(gateway, &parts.headers, body).await,
        _ => {
            let error = GraphqlError::new("METHOD_NOT_ALLOWED", "use POST, or GET for queries");
            Err(Answer::refused_with(StatusCode::METHOD_NOT_ALLOWED, error))
        }
    }
}

async fn answer(gateway: &Arc<Gateway>, asked: Asked, visit: &Visit) -> Answered {
    match asked {
        Asked::ToRead(request) => Answered::One(get(gateway, &request, visit).await),
        Asked::One(request) => Answered::One(gateway.answer(&request, visit.clone()).await),
        Asked::Batch(requests) => Answered::Batch(batch(gateway, &requests, visit).await),
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
        Ok(prepared) => gateway.run(prepared, visit.clone()).await,
    }
}

/// Answers a batch in its order: concurrently, unless one of it writes.
async fn batch(gateway: &Arc<Gateway>, requests: &[GraphqlRequest], visit: &Visit) -> Vec<Answer> {
    let prepared: Vec<_> = requests.iter().map(|request| gateway.prepare(request)).collect();
    let writes = |operation| operation == OperationKind::Mutation;
    let writes = prepared.iter().flatten().any(|prepared| writes(prepared.plan.operation));
    let answers = prepared.into_iter().enumerate().map(|(index, prepared)| async move {
        match prepared {
            Ok(prepared) => gateway.run(prepared, visit.in_batch(index)).await,
            Err(errors) => Answer::refused(errors),
        }
    });
    if !writes {
        return join_all(answers).await;
    }
    let mut in_order = Vec::with_capacity(requests.len());
    for answer in answers {
        in_order.push(answer.await);
    }
    in_order
}

fn from_query(uri: &Uri) -> Result<GraphqlRequest, Answer> {
    let Ok(Query(raw)) = Query::<RawQuery>::try_from_uri(uri) else {
        return Err(bad_request("the query string cannot be read"));
    };
    let map = |json: Option<String>, name: &str| match json {
        None => Ok(None),
        Some(json) => serde_json::from_str::<Option<Map<String, Json>>>(&json)
            .map_err(|_| bad_request(format!("`{name}` is not a JSON object"))),
    };
    let raw = RawRequest {
        query: raw.query,
        operation_name: raw.operation_name.filter(|name| !name.is_empty()),
        variables: map(raw.variables, "variables")?,
        extensions: map(raw.extensions, "extensions")?,
    };
    raw.check()
}

async fn from_body(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<Asked, Answer> {
    if !is_json(headers) {
        return Err(Answer::refused_with(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            GraphqlError::new("UNSUPPORTED_MEDIA_TYPE", "send application/json in UTF-8"),
        ));
    }
    let body = read_body(gateway, body).await?;
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    Ok(if is_batch {
        // Objects first: serde would take a list for a struct too.
        let raws: Vec<Map<String, Json>> = parse(&body)?;
        let most = gateway.config.limits.batch;
        if raws.len() > most {
            return Err(Answer::refused_with(
                StatusCode::BAD_REQUEST,
                limit("BATCH_LIMIT", "requests in one batch", most),
            ));
        }
        if raws.is_empty() {
            return Err(bad_request("the batch is empty"));
        }
        let read = |raw| serde_json::from_value(Json::Object(raw)).map_err(|error| unreadable(&error));
        let requests = raws.into_iter().map(|raw| read(raw).and_then(RawRequest::check));
        Asked::Batch(requests.collect::<Result<_, _>>()?)
    } else {
        Asked::One(parse::<RawRequest>(&body)?.check()?)
    })
}

async fn read_body(gateway: &Gateway, body: Body) -> Result<bytes::Bytes, Answer> {
    let most = gateway.config.body_bytes;
    let collected = timeout(gateway.config.body_timeout, Limited::new(body, most).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Answer::refused_with(StatusCode::PAYLOAD_TOO_LARGE, limit("BODY_LIMIT", "bytes", most)))
        }
        Ok(Err(_)) => Err(bad_request("the body broke off")),
        Err(_) => Err(Answer::refused_with(
            StatusCode::REQUEST_TIMEOUT,
            GraphqlError::new("BODY_TIMEOUT", "the body took too long to arrive"),
        )),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

/// serde names the place and what it expected, and quotes at most what the client itself sent.
fn unreadable(error: &serde_json::Error) -> Answer {
    bad_request(format!("the body is no GraphQL request: {error}"))
}

impl RawRequest {
    fn check(self) -> Result<GraphqlRequest, Answer> {
        let Some(query) = self.query else {
            let extensions = self.extensions.unwrap_or_default();
            if extensions.contains_key("persistedQuery") {
                // The words that Apollo's clients know: they send the document and ask no more.
                let code = "PERSISTED_QUERY_NOT_SUPPORTED";
                let error = GraphqlError::new(code, "PersistedQueryNotSupported");
                return Err(Answer::refused(vec![error]));
            }
            return Err(bad_request("`query` is missing"));
        };
        let extensions = self.extensions.unwrap_or_default();
        if extensions.get("idempotencyKey").is_some_and(|key| !key.is_null()) {
            return Err(bad_request(
                "extensions.idempotencyKey is for WebSockets: send it as the header Idempotency-Key",
            ));
        }
        Ok(GraphqlRequest { query, operation_name: self.operation_name, variables: self.variables.unwrap_or_default() })
    }
}

fn bad_request(message: impl Into<String>) -> Answer {
    let error = GraphqlError::new("BAD_REQUEST", message);
    Answer::refused_with(StatusCode::BAD_REQUEST, error)
}

fn not_acceptable() -> Answer {
    let error = GraphqlError::new("NOT_ACCEPTABLE", "accept application/graphql-response+json or application/json");
    Answer::refused_with(StatusCode::NOT_ACCEPTABLE, error)
}

/// What the request carries along, from its headers.
fn visit(gateway: &Gateway, parts: &Parts, id: &Arc<str>) -> Result<Visit, Answer> {
    let headers = &parts.headers;
    let mut context = RequestContext::new((gateway.rollout)(), Instant::now() + gateway.config.deadline);
    context.stick = stick(gateway, headers);
    context.address = address(&parts.extensions);
    context.seen = seen(headers)?;
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key = key.to_str().unwrap_or_default();
        IdempotencyKey::new(key, "").map_err(|error| bad_request(error.to_string()))?;
        context.idempotency = Some(key.to_owned());
    }
    Ok(Visit::new(Arc::new(context), Arc::clone(id)))
}

/// Where the connection comes from.
pub(crate) fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|Peer(address)| address.ip())
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

fn respond(answered: &Answered, media: Media, id: &str, token: Option<String>) -> Response {
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
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST, GET"));
    }
    let texts = [(REQUEST_ID, Some(id)), (VERSION, token.as_deref())];
    for (name, text) in texts {
        if let Some(Ok(value)) = text.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
    response
}
