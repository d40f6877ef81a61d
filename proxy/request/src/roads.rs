//! What the gateway asks of the rest: the three roads a root field can take, and what a request
//! carries along on them.
//!
//! The gateway knows GraphQL and nothing of sides; behind this trait there are sides and no GraphQL.

use std::sync::Arc;

use async_trait::async_trait;
use model::sql::Params;
use model::{EntityKey, FieldSet, Record, Rollout, Root, WriteId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::arguments::Arguments;
use crate::error::Fault;
use net::client::Client;

/// What one GraphQL request carries along: its rollout snapshot (one for the whole request, so that
/// all routes agree), its deadline and its headers.
#[derive(Debug)]
pub struct RequestContext {
    /// The snapshot under which the whole request is answered.
    pub rollout: Arc<Rollout>,
    /// When the client must have its answer.
    pub deadline: Instant,
    /// The value of the stick header, for routes without a key.
    pub stick: Option<String>,
    /// Whose request it is, as shares go.
    pub client: Client,
    /// The client's `Idempotency-Key`, as sent.
    pub idempotency: Option<String>,
    /// What the key is bound to besides route and arguments: of a saga's first step, the saga's beginning.
    pub bound_to: Option<String>,
    /// Writes that the client has seen acknowledged, from its version token.
    pub seen: Vec<WriteId>,
    written: Mutex<Vec<WriteId>>,
}

impl RequestContext {
    /// A context without headers.
    pub fn new(rollout: Arc<Rollout>, deadline: Instant) -> Self {
        Self {
            rollout,
            deadline,
            stick: None,
            client: Client::default(),
            idempotency: None,
            bound_to: None,
            seen: Vec::new(),
            written: Mutex::default(),
        }
    }

    /// Notes an acknowledged write, for the version token of the answer.
    pub fn note_written(&self, write: WriteId) {
        self.written.lock().push(write);
    }

    /// The writes acknowledged by this request.
    pub fn written(&self) -> Vec<WriteId> {
        self.written.lock().clone()
    }
}

/// The roads behind the gateway.
#[async_trait]
pub trait Roads: Send + Sync + 'static {
    /// Reads entities of `root`'s type by key. One slot per key, in order; `None`: no such entity.
    /// Records hold at least `fields` and the key fields.
    ///
    /// # Errors
    /// [`Fault`] when no side could answer in time. Never a partial answer.
    async fn by_keys(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        keys: Vec<EntityKey>,
        fields: FieldSet,
    ) -> Result<Vec<Option<Record>>, Fault>;

    /// Runs the list query of `root`. Records hold at least `fields` and the key fields.
    ///
    /// # Errors
    /// As `by_keys`.
    async fn list(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        params: Params,
        fields: FieldSet,
    ) -> Result<Vec<Record>, Fault>;

    /// Runs the mutation `root` with `arguments`; `response_name` scopes the idempotency key. The
    /// answer has one slot per touched entity, in the order of the contract; `None`: deleted.
    /// Returned records are whole. Calls [`RequestContext::note_written`].
    ///
    /// # Errors
    /// [`Fault`]; nothing was written, unless the code is `OUTCOME_UNKNOWN`.
    async fn write(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        arguments: &Arguments,
        response_name: &str,
    ) -> Result<Vec<Option<Record>>, Fault>;
}
