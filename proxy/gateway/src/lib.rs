//! GraphQL in and out: one endpoint, as the specification has it, in front of the [`Roads`].
//!
//! *Pipeline*: text → (apollo-compiler: parse, validate) → compiled plan, cached → coerce variables,
//! check limits → fetch, level by level → complete, straight into the answer's text.
//! *Around it*: `http` (POST, GET, batches), `socket` (graphql-transport-ws), `serve` (hyper).
//!
//! Promises: a field runs once however often it is named; links of a level are one call; root
//! mutations run in order and are not cancelled when the client goes away; null bubbles as specified;
//! an error of ours shows a code, a general sentence and the request id, nothing else.
//! Not here: sides, percentages, ledgers. The gateway knows GraphQL and the [`Roads`].

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::Schema;
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};
use axum::http::StatusCode;
use futures::future::join_all;
use model::{Contract, Rollout};
use serde_json::{Map, Value as Json};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use net::budget::Budget;
use request::error::InternalError;
use request::roads::Roads;

mod answer;
mod asked;
mod cache;
mod coerce;
mod collect;
mod compile;
mod complete;
mod executor;
mod fetch;
mod heavy;
mod http;
mod introspect;
mod leaf;
mod meter;
mod negotiate;
mod plan;
mod prepare;
mod serve;
mod settings;
mod socket;
mod unique;
mod visit;
mod weight;

pub use answer::{Answer, Data, Extensions, GraphqlError, Location, Step};
pub use executor::Session;
pub use http::router;
pub use serve::serve;
pub use settings::{GatewayConfig, Limits};
pub use visit::Visit;

use cache::{Name, PlanCache};
use coerce::Coercer;
use complete::{Bubble, Completion};
use fetch::{Answers, Fetcher};
use heavy::Heavy;
use introspect::Introspector;
use plan::{Field, OperationKind, Plan, Source};
use prepare::Prepared;

/// Roads keep the deadline themselves and say which field was late. This much later we answer anyway.
const GRACE: Duration = Duration::from_millis(250);

/// Bytes that one connection may come to hold at least: the longest message of a socket, and room for it.
pub const SINGLE_CONNECTION: u64 = 320 * 1024;

/// Errors of one document that are told, at most.
const MAX_DOCUMENT_ERRORS: usize = 20;

/// Gives the rollout under which a request that begins now is answered.
pub type RolloutSource = Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>;

/// One GraphQL request, as parsed from a body, a query string or a socket message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphqlRequest {
    /// The document.
    pub query: String,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Variables as sent.
    pub variables: Map<String, Json>,
}

/// The gateway. One per process; cheap to share.
pub struct Gateway {
    schema: Valid<Schema>,
    contract: Arc<Contract>,
    roads: Arc<dyn Roads>,
    rollout: RolloutSource,
    config: GatewayConfig,
    plans: PlanCache,
    /// What bodies that have not come to their end may hold.
    bodies: Arc<Budget>,
    /// What requests may hold.
    memory: Arc<Budget>,
    /// What connections may hold of unfinished heads and messages, and their WebSockets.
    buffers: Arc<Budget>,
    /// WebSockets.
    places: Arc<Budget>,
    introspector: Introspector,
    heavy: Heavy,
    /// Mutations under way, which outlive their client's connection.
    mutations: TaskTracker,
    /// WebSockets, which outlive the HTTP connection that they were.
    sockets: TaskTracker,
    draining: CancellationToken,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway for `schema` (what clients see) and `contract` (where it lives).
    pub fn new(
        schema: Valid<Schema>,
        contract: Arc<Contract>,
        roads: Arc<dyn Roads>,
        rollout: RolloutSource,
        config: GatewayConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            introspector: Introspector::new(&schema),
            plans: PlanCache::new(config.plan_cache, config.plan_cache_bytes.get()),
            // A client's share is at least what a single request of his may have.
            bodies: Self::budget(&config, config.body_budget, 2 * config.body_bytes as u64, telemetry::body_bytes),
            memory: Self::budget(&config, config.memory_budget, config.request_bytes, telemetry::request_bytes),
            buffers: Self::budget(&config, config.connection_budget, SINGLE_CONNECTION, telemetry::connection_bytes),
            places: Self::places(&config),
            heavy: Heavy::new(),
            mutations: TaskTracker::new(),
            sockets: TaskTracker::new(),
            draining: CancellationToken::new(),
            schema,
            contract,
            roads,
            rollout,
            config,
        })
    }

    /// How it was set up.
    pub fn config(&self) -> &GatewayConfig {
        &self.config
    }

    fn budget(config: &GatewayConfig, most: NonZeroU64, single: u64, shown: fn(u64)) -> Arc<Budget> {
        Budget::new(most.get(), config.address_share.of(most.get(), single), shown)
    }

    fn places(config: &GatewayConfig) -> Arc<Budget> {
        let most = config.connections.get() as u64;
        Budget::new(most, config.address_share.of(most, 1), |_| {})
    }

    /// What unfinished bodies and what requests hold now, in bytes.
    pub fn held(&self) -> (u64, u64) {
        (self.bodies.held(), self.memory.held())
    }

    /// Answers one request.
    pub async fn answer(self: &Arc<Self>, request: &GraphqlRequest, visit: Visit) -> Answer {
        let turn = self.heavy.turn(request.query.len() > heavy::MUCH_QUERY).await;
        match turn.work(|| self.prepare(request)) {
            Ok(prepared) => match visit.meter.expect(prepared.cost) {
                Ok(()) => self.run(prepared, visit).await,
                Err(no_room) => meter::refused("memory", no_room),
            },
            Err(errors) => Answer::refused(errors),
        }
    }

    /// Everything before execution: the plan, the variables, the limits.
    fn prepare(&self, request: &GraphqlRequest) -> Result<Prepared, Vec<GraphqlError>> {
        let name = Name::of(&request.query, request.operation_name.as_deref());
        let kept = name.and_then(|name| self.plans.get(name));
        let is_new = kept.is_none();
        let plan = kept.map_or_else(|| self.compile(request).map(Arc::new), Ok)?;
        let prepared = Prepared::new(plan, &request.variables, self.coercer(), &self.config.limits)?;
        // Not before: what is refused for its cost is not kept either.
        if let Some(name) = name.filter(|_| is_new) {
            self.plans.put(name, Arc::clone(&prepared.plan), request.query.len());
        }
        Ok(prepared)
    }

    /// The compiled documents that are kept, and the bytes that they hold.
    pub fn plans_held(&self) -> (usize, usize) {
        self.plans.held()
    }

    async fn run(self: &Arc<Self>, prepared: Prepared, visit: Visit) -> Answer {
        match prepared.plan.operation {
            OperationKind::Query => self.run_query(&prepared, &visit).await,
            OperationKind::Mutation => self.run_mutation(prepared, visit).await,
        }
    }

    fn coercer(&self) -> Coercer<'_> {
        Coercer { schema: &self.schema, list: self.config.limits.list }
    }

    fn compile(&self, request: &GraphqlRequest) -> Result<Plan, Vec<GraphqlError>> {
        let document = self.parse(&request.query)?;
        let operation = document.operations.get(request.operation_name.as_deref());
        let operation = operation.map_err(|error| {
            let message = error.message().to_string();
            vec![GraphqlError::new("OPERATION_RESOLUTION_FAILURE", message)]
        })?;
        let limits = &self.config.limits;
        let plan = compile::compile(&self.schema, &self.contract, limits, &document, operation)
            .map_err(|error| vec![error])?;
        if plan.introspection.is_some() {
            self.allow_introspection(&document, operation)?;
        }
        Ok(plan)
    }

    fn parse(&self, text: &str) -> Result<Valid<ExecutableDocument>, Vec<GraphqlError>> {
        let limits = &self.config.limits;
        let mut parser = Parser::new().token_limit(limits.tokens).recursion_limit(limits.recursion);
        let ast = parser.parse_ast(text, "request.graphql").map_err(|invalid| {
            if parser.tokens_reached() >= limits.tokens {
                return vec![compile::limit("TOKEN_LIMIT", "tokens", limits.tokens)];
            }
            if parser.recursion_reached() >= limits.recursion {
                return vec![compile::limit("TOKEN_LIMIT", "nested levels", limits.recursion)];
            }
            // After the first mistake the parser only guesses.
            let mut errors = document_errors(&invalid.errors, "GRAPHQL_PARSE_FAILED");
            errors.truncate(1);
            errors
        })?;
        unique::check(&ast).map_err(|error| vec![error])?;
        ast.to_executable_validate(&self.schema)
            .map_err(|invalid| document_errors(&invalid.errors, "GRAPHQL_VALIDATION_FAILED"))
    }

    fn allow_introspection(
        &self,
        document: &Valid<ExecutableDocument>,
        operation: &apollo_compiler::executable::Operation,
    ) -> Result<(), Vec<GraphqlError>> {
        if !self.config.introspection {
            return Err(vec![GraphqlError::new(
                "INTROSPECTION_DISABLED",
                "the schema cannot be read here; `__typename` can",
            )]);
        }
        apollo_compiler::introspection::check_max_depth(document, operation)
            .map_err(|error| vec![GraphqlError::new("DEPTH_LIMIT", error.message().to_string())])
    }

    fn fetcher<'a>(&'a self, prepared: &'a Prepared, visit: &'a Visit) -> Fetcher<'a> {
        Fetcher { roads: &*self.roads, visit, prepared, fan_out: self.config.fan_out.get() }
    }

    async fn run_query(&self, prepared: &Prepared, visit: &Visit) -> Answer {
        let fetcher = self.fetcher(prepared, visit);
        let fields = prepared.plan.selection.included(&prepared.variables);
        let fields: Vec<&Field> = fields.map(|(_, field)| field).collect();
        let fetched = async {
            match fields.as_slice() {
                [only] => vec![fetch_root(&fetcher, only).await],
                all => join_all(all.iter().map(|field| fetch_root(&fetcher, field))).await,
            }
        };
        let Ok(fetched) = timeout_at(visit.context.deadline + GRACE, fetched).await else {
            let error = InternalError::DeadlineExceeded("the roads did not keep the deadline".to_owned());
            return late(&error, visit);
        };
        let turn = timeout_at(visit.context.deadline + GRACE, self.heavy.turn(prepared.cost > heavy::MANY_FIELDS));
        let Ok(turn) = turn.await else {
            let error = InternalError::DeadlineExceeded("others had large answers put together".to_owned());
            return late(&error, visit);
        };
        turn.work(|| {
            let mut completion = Completion::new(prepared, visit);
            let written = self.complete_query(&mut completion, prepared, &fields, &fetched);
            finish(completion, written)
        })
    }

    fn complete_query<'p>(
        &self,
        completion: &mut Completion<'p>,
        prepared: &'p Prepared,
        fields: &[&'p Field],
        fetched: &[Option<Answers>],
    ) -> Result<(), Bubble> {
        let asks_schema = fields.iter().any(|field| matches!(field.source, Source::Introspection));
        let mut schema = asks_schema.then(|| self.introspector.run(&self.schema, prepared));
        if let Some(schema) = &mut schema {
            completion.add_errors(schema.errors.drain(..));
        }
        completion.open();
        for (field, answers) in fields.iter().zip(fetched) {
            match (&field.source, &schema) {
                (Source::Introspection, Some(schema)) => {
                    let json = schema.field(&field.name).ok_or(Bubble)?;
                    completion.introspected(field, &json);
                }
                _ => completion.root(field, answers.as_ref())?,
            }
        }
        completion.close();
        Ok(())
    }

    /// Runs on a task of its own: a write that has begun is not dropped with its client's connection.
    async fn run_mutation(self: &Arc<Self>, prepared: Prepared, visit: Visit) -> Answer {
        let gateway = Arc::clone(self);
        let client = visit.clone();
        let task =
            self.mutations.spawn(async move { gateway.write(&prepared, &visit).await }.instrument(Span::current()));
        match timeout_at(client.context.deadline + GRACE, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => {
                tracing::error!(error = %panic, request.id = %client.request_id,
                    "a mutation panicked, request {}", client.request_id);
                late(&InternalError::OutcomeUnknown(String::new()), &client)
            }
            Err(_) => late(&InternalError::OutcomeUnknown(String::new()), &client),
        }
    }

    async fn write(&self, prepared: &Prepared, visit: &Visit) -> Answer {
        let fetcher = self.fetcher(prepared, visit);
        let mut completion = Completion::new(prepared, visit);
        completion.open();
        let mut written = Ok(());
        for (_, field) in prepared.plan.selection.included(&prepared.variables) {
            let answers = fetch_root(&fetcher, field).await;
            written = completion.root(field, answers.as_ref());
            // What comes after a null at the root would be done and never told: it is not begun.
            if written.is_err() {
                break;
            }
        }
        completion.close();
        finish(completion, written)
    }
}

async fn fetch_root(fetcher: &Fetcher<'_>, field: &Field) -> Option<Answers> {
    match &field.source {
        Source::Call(call) => Some(fetcher.root(field, call).await),
        Source::TypeName(_) | Source::Stored(..) | Source::Introspection => None,
    }
}

fn finish(completion: Completion<'_>, written: Result<(), Bubble>) -> Answer {
    let (data, errors) = match completion.finish() {
        Ok((json, errors)) => (written.map_or_else(|Bubble| Data::Null, |()| Data::Json(json)), errors),
        Err(error) => (Data::Null, vec![error]),
    };
    Answer { data, errors, status: None }
}

/// The answer when time is over and nothing is known.
fn late(error: &InternalError, visit: &Visit) -> Answer {
    let (code, request) = (error.code(), &visit.request_id);
    tracing::error!(request.id = %request, code, "request {request} was not answered in time");
    let error = GraphqlError::of_internal(error, request);
    Answer::refused_with(StatusCode::GATEWAY_TIMEOUT, error)
}

fn document_errors(errors: &DiagnosticList, code: &'static str) -> Vec<GraphqlError> {
    let errors = errors.iter().take(MAX_DOCUMENT_ERRORS);
    errors
        .map(|diagnostic| {
            let json = diagnostic.to_json();
            let place = json.locations.first().map(|start| Location { line: start.line, column: start.column });
            GraphqlError::new(code, json.message).at(place)
        })
        .collect()
}
