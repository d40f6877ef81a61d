//! The pipeline as an `async_graphql::Executor`, so that async-graphql's WebSocket protocol can
//! serve it. The only module that turns our answers into async-graphql's types.
//!
//! async-graphql never executes a client's operation: it carries requests in and answers out.

use std::sync::Arc;

use async_graphql::{Executor, PathSegment, Pos, Request, Response, ServerError, Value};
use axum::http::HeaderMap;
use futures::stream::{self, BoxStream, StreamExt};
use model::WriteId;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::{Answer, Data, GraphqlError, Step};
use super::heavy::MUCH_JSON;
use super::meter::{self, Meter};
use super::visit::{Visit, fresh_request_id, newest, write_token};
use super::{Gateway, GraphqlRequest, weight};
use net::client::Client;
use request::roads::RequestContext;
use telemetry::traces;

/// One client's connection: its stick value, and the writes that it has seen acknowledged, so that
/// it reads its own writes without a token.
#[derive(Debug, Clone)]
pub struct Session(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gateway: Arc<Gateway>,
    client: Client,
    stick: Option<String>,
    seen: Mutex<Vec<WriteId>>,
    operations: Arc<Semaphore>,
}

impl Session {
    /// A session that begins with `seen` from the version token of its first request.
    pub fn new(gateway: Arc<Gateway>, client: Client, stick: Option<String>, seen: Vec<WriteId>) -> Self {
        let operations = gateway.config.socket_operations.get();
        Self(Arc::new(Shared {
            gateway,
            client,
            stick,
            seen: Mutex::new(seen),
            operations: Arc::new(Semaphore::new(operations)),
        }))
    }

    /// Waits until no operation is under way, and lets no further one begin.
    pub(crate) async fn finish(&self) {
        let all = self.0.gateway.config.socket_operations.get();
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        // An error means that the semaphore is closed, which is what we want.
        let _ = self.0.operations.acquire_many(all).await.is_ok();
        self.0.operations.close();
    }

    fn visit(&self, request: &Request) -> Result<Visit, GraphqlError> {
        let gateway = &self.0.gateway;
        let deadline = Instant::now() + gateway.config.deadline;
        let mut context = RequestContext::new((gateway.rollout)(), deadline);
        context.stick.clone_from(&self.0.stick);
        context.client = self.0.client;
        context.seen.clone_from(&self.0.seen.lock());
        // Sockets have no headers per operation: the key comes in the request's extensions.
        context.idempotency = match request.extensions.get("idempotencyKey") {
            Some(Value::String(key)) => Some(key.clone()),
            Some(Value::Null) | None => None,
            // Who sends one wants to be safe when it repeats: without the key it would write twice.
            Some(_) => {
                return Err(GraphqlError::new("BAD_IDEMPOTENCY_KEY", "extensions.idempotencyKey is a string"));
            }
        };
        Ok(Visit::new(Arc::new(context), fresh_request_id()))
    }

    /// Counts what came, at once: it may wait long for its turn.
    fn begin(&self, request: Request) -> Result<(GraphqlRequest, Visit), Answer> {
        let visit = self.visit(&request).map_err(|error| Answer::refused(vec![error]))?;
        let variables = match request.variables.into_value().into_json() {
            Ok(Json::Object(variables)) => variables,
            _ => serde_json::Map::new(),
        };
        let bytes = request.query.len() + variables.values().map(weight::json).sum::<usize>();
        let gateway = &self.0.gateway;
        let meter = Meter::begin(&gateway.memory, self.0.client, gateway.config.request_bytes, bytes)
            .map_err(|no_room| meter::refused("memory", no_room))?;
        let request = GraphqlRequest { query: request.query, operation_name: request.operation_name, variables };
        Ok((request, visit.counted(meter)))
    }

    async fn answer(&self, request: GraphqlRequest, visit: Visit) -> Response {
        let context = Arc::clone(&visit.context);
        let span = traces::request(&HeaderMap::new());
        let answer = self.0.gateway.answer(&request, visit).instrument(span).await;
        let is_much = matches!(&answer.data, Data::Json(json) if json.len() > MUCH_JSON);
        let mut response = self.0.gateway.heavy.turn(is_much).await.work(|| response(&answer));
        let written = context.written();
        if !written.is_empty() {
            let mut seen = self.0.seen.lock();
            *seen = newest(seen.drain(..).chain(written));
            response = response.extension("version", write_token(&seen).into());
        }
        response
    }
}

impl Executor for Session {
    async fn execute(&self, request: Request) -> Response {
        match self.begin(request) {
            Ok((request, visit)) => self.answer(request, visit).await,
            Err(refused) => response(&refused),
        }
    }

    fn execute_stream(
        &self,
        request: Request,
        _session_data: Option<Arc<async_graphql::Data>>,
    ) -> BoxStream<'static, Response> {
        let session = self.clone();
        let Ok(permit) = Arc::clone(&self.0.operations).try_acquire_owned() else {
            let error = GraphqlError::new(
                "TOO_MANY_OPERATIONS",
                "too many operations at once on this connection; wait for some to complete",
            );
            let refused = response(&Answer::refused(vec![error]));
            return stream::iter([refused]).boxed();
        };
        let (request, visit) = match self.begin(request) {
            Ok(begun) => begun,
            Err(refused) => return stream::iter([response(&refused)]).boxed(),
        };
        let meter = Arc::clone(&visit.meter);
        let answer = stream::once(async move { session.answer(request, visit).await });
        // Both are given back when the stream is dropped, which is after its answer was sent: a client that reads slowly
        // holds its answer.
        answer
            .map(move |response| {
                let _held = (&permit, &meter);
                response
            })
            .boxed()
    }
}

fn response(answer: &Answer) -> Response {
    let data = match &answer.data {
        Data::Absent | Data::Null => Value::Null,
        Data::Json(json) => serde_json::from_slice(json).unwrap_or_default(),
    };
    let mut response = Response::new(data);
    response.errors = answer.errors.iter().map(server_error).collect();
    response
}

fn server_error(error: &GraphqlError) -> ServerError {
    let mut shown = ServerError::new(error.message.clone(), None);
    let position = |place: &super::answer::Location| Pos { line: place.line, column: place.column };
    shown.locations = error.locations.iter().map(position).collect();
    let segment = |step: &Step| match step {
        Step::Key(name) => PathSegment::Field(name.to_string()),
        Step::Index(index) => PathSegment::Index(*index),
    };
    shown.path = error.path.iter().map(segment).collect();
    let extensions = shown.extensions.get_or_insert_default();
    extensions.set("code", error.extensions.code.as_ref());
    if let Some(id) = &error.extensions.request_id {
        extensions.set("requestId", id.as_ref());
    }
    shown
}
