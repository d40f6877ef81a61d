//! What an HTTP request asks for: read from its body or query string, within the bytes that bodies may hold.
//!
//! A body holds what has come of it, not what its head announces; a client that sends slowly is cut off after a time,
//! whichever version of HTTP it speaks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Query;
use axum::http::header::{CONTENT_ENCODING, HeaderMap};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use super::answer::{Answer, GraphqlError};
use super::compile::limit;
use super::heavy::MUCH_JSON;
use super::meter::{Meter, refused};
use super::negotiate::is_json;
use super::{Gateway, GraphqlRequest};
use net::budget::Hold;
use net::client::Client;

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
pub(crate) enum Asked {
    /// By GET.
    ToRead(GraphqlRequest),
    /// By POST.
    One(GraphqlRequest),
    /// By POST, several.
    Batch(Vec<GraphqlRequest>),
}

/// Reads a request. With it comes the meter that counts what it holds.
///
/// # Errors
/// The answer that refuses it.
pub(crate) async fn read(
    gateway: &Gateway,
    client: Client,
    parts: &Parts,
    body: Body,
) -> Result<(Asked, Arc<Meter>), Answer> {
    match parts.method {
        Method::GET => {
            let meter = meter(gateway, client, parts.uri.query().unwrap_or_default().len())?;
            Ok((Asked::ToRead(from_query(&parts.uri)?), meter))
        }
        Method::POST => {
            check_head(&parts.headers)?;
            let (body, _held) = read_body(gateway, client, body).await?;
            let meter = meter(gateway, client, body.len())?;
            let turn = gateway.heavy.turn(body.len() > MUCH_JSON).await;
            Ok((turn.work(|| from_body(gateway, &body))?, meter))
        }
        _ => {
            let error = GraphqlError::new("METHOD_NOT_ALLOWED", "use POST, or GET for queries");
            Err(Answer::refused_with(StatusCode::METHOD_NOT_ALLOWED, error))
        }
    }
}

fn meter(gateway: &Gateway, client: Client, bytes: usize) -> Result<Arc<Meter>, Answer> {
    let most = gateway.config.request_bytes;
    Meter::begin(&gateway.memory, client, most, bytes).map_err(|no_room| refused("memory", no_room))
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

/// What the headers say of a body that is not read yet.
fn check_head(headers: &HeaderMap) -> Result<(), Answer> {
    let refused = |message| {
        Answer::refused_with(StatusCode::UNSUPPORTED_MEDIA_TYPE, GraphqlError::new("UNSUPPORTED_MEDIA_TYPE", message))
    };
    if !is_json(headers) {
        return Err(refused("send application/json in UTF-8"));
    }
    let plain = |coding: &axum::http::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Err(refused("send the body as it is, without Content-Encoding: compressed bodies are not read here"));
    }
    Ok(())
}

fn from_body(gateway: &Gateway, body: &[u8]) -> Result<Asked, Answer> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    Ok(if is_batch {
        // Objects first: serde would take a list for a struct too.
        let raws: Vec<Map<String, Json>> = parse(body)?;
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
        Asked::One(parse::<RawRequest>(body)?.check()?)
    })
}

/// The whole body, and its part of the budget.
async fn read_body(gateway: &Gateway, client: Client, body: Body) -> Result<(Vec<u8>, Hold), Answer> {
    let most = gateway.config.body_bytes;
    let no_room = |no_room| refused("bodies", no_room);
    let mut hold = gateway.bodies.hold(client, 0).map_err(no_room)?;
    let mut body = Limited::new(body, most);
    let collect = async {
        let mut whole: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => Answer::refused_with(StatusCode::PAYLOAD_TOO_LARGE, limit("BODY_LIMIT", "bytes", most)),
                false => bad_request("the body broke off"),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            // As much room again as there is: so a list that grows grows.
            hold.resize(2 * (whole.len() + data.len()) as u64).map_err(no_room)?;
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    };
    let collected = timeout(gateway.config.body_timeout, collect).await;
    let whole = collected.unwrap_or_else(|_| {
        let error = GraphqlError::new("BODY_TIMEOUT", "the body took too long to arrive");
        Err(Answer::refused_with(StatusCode::REQUEST_TIMEOUT, error))
    })?;
    Ok((whole, hold))
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

/// The answer to a request that cannot be read.
pub(crate) fn bad_request(message: impl Into<String>) -> Answer {
    let error = GraphqlError::new("BAD_REQUEST", message);
    Answer::refused_with(StatusCode::BAD_REQUEST, error)
}
