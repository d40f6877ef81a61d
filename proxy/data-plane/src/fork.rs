//! The fork in the road: the gateway's roads, led to both sides.

use std::sync::Arc;

use async_trait::async_trait;
use model::contract::WriteWork;
use model::sql::Params;
use model::{EntityKey, FieldSet, Record, Root, RootKind};
use tracing::Instrument;

use crate::read::serve::ReadRoad;
use crate::saga::SagaRoad;
use crate::write::road::WriteRoad;
use request::arguments::Arguments;
use request::error::{ClientError, Fault};
use request::roads::{RequestContext, Roads};

/// Both roads together.
pub struct Fork {
    /// Reads.
    pub read: ReadRoad,
    /// Writes.
    pub write: Arc<WriteRoad>,
    /// Writes in steps.
    pub saga: Arc<SagaRoad>,
}

#[async_trait]
impl Roads for Fork {
    async fn by_keys(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        keys: Vec<EntityKey>,
        fields: FieldSet,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let span = tracing::debug_span!("read.serve", route = %root.route);
        self.read.by_keys(context, root, keys, fields).instrument(span).await
    }

    async fn list(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        params: Params,
        fields: FieldSet,
    ) -> Result<Vec<Record>, Fault> {
        let span = tracing::debug_span!("read.serve", route = %root.route);
        self.read.list(context, root, params, fields).instrument(span).await
    }

    async fn write(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        arguments: &Arguments,
        response_name: &str,
    ) -> Result<Vec<Option<Record>>, Fault> {
        // At the edge: the steps of a saga that has begun go on.
        if self.write.unsettled.is_full(&root.group) {
            let message = "as many writes wait for the other side as may; nothing was written, try again later";
            return Err(ClientError::new("UNSETTLED_LIMIT", message).into());
        }
        if let RootKind::Write(action) = &root.kind
            && let WriteWork::Saga(plan) = &action.work
        {
            return self.saga.write(context, (root, plan), arguments, response_name).await;
        }
        self.write.write(context, root, arguments, response_name).await
    }
}
