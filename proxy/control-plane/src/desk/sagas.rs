//! Sagas: seen by whoever may look, tried again or taken over by operators, on the record.

use adapters::Lane;
use model::SagaStatus;
use model::control::{Action, Author, Deed};
use model::saga::SagaCounts;
use serde_json::{Value as Json, json};

use super::{Desk, DeskError};
use data_plane::saga::operate::{self, OperateError, SagaView, Stores};

impl From<OperateError> for DeskError {
    fn from(error: OperateError) -> Self {
        let message = request::error::with_root(&error);
        match error {
            OperateError::Unknown(_) => Self::no("UNKNOWN_SAGA", message),
            OperateError::NotStuck { .. } => Self::no("NOT_STUCK", message),
            OperateError::Bereft { .. } => Self::no("NOT_KNOWN", message),
            OperateError::Overtaken(_) => Self::no("OVERTAKEN", message),
            OperateError::Unreadable(_) => Self::no("UNREADABLE", message),
            OperateError::Store(_) => Self::no("SIDE", message),
        }
    }
}

impl Desk {
    /// Up to `limit` sagas, newest first, of the status with this name or of all.
    ///
    /// # Errors
    /// When there is no such status, or a side does not answer.
    pub async fn sagas(&self, status: Option<&str>, limit: usize) -> Result<Vec<SagaView>, DeskError> {
        let known = SagaStatus::ALL.map(SagaStatus::as_str).join(", ");
        let status = status.map(|name| {
            let wrong = || DeskError::wrong("UNKNOWN_STATUS", format!("`{name}` is none of {known}"));
            SagaStatus::parse(name).ok_or_else(wrong)
        });
        Ok(operate::list(&self.saga_logs(), status.transpose()?, limit).await?)
    }

    /// One saga.
    ///
    /// # Errors
    /// When there is none, or a side does not answer.
    pub async fn saga(&self, id: &str) -> Result<SagaView, DeskError> {
        Ok(operate::show(&self.saga_logs(), id).await?)
    }

    /// How many sagas have not ended.
    ///
    /// # Errors
    /// When a side does not answer.
    pub async fn saga_counts(&self) -> Result<SagaCounts, DeskError> {
        Ok(operate::counts(&self.saga_logs()).await?)
    }

    /// Lets replicas go on with a stuck saga.
    ///
    /// # Errors
    /// When it is not stuck or cannot be noted: nothing was done. When it was changed meanwhile or its side does not
    /// answer: the record has an order that came to nothing, or, after no answer, perhaps not to nothing.
    pub async fn retry_saga(&self, id: &str, author: &Author) -> Result<SagaView, DeskError> {
        let saga = self.note_saga(Action::SagaRetried, id, author).await?;
        Ok(operate::retry(&self.saga_logs(), saga).await?)
    }

    /// Takes a stuck saga over: no replica touches it again.
    ///
    /// # Errors
    /// As [`Desk::retry_saga`].
    pub async fn abandon_saga(&self, id: &str, author: &Author) -> Result<SagaView, DeskError> {
        let saga = self.note_saga(Action::SagaAbandoned, id, author).await?;
        Ok(operate::abandon(&self.saga_logs(), saga).await?)
    }

    /// Notes an order about a stuck saga. Before it is done, since record and saga are in two databases: an order
    /// without effect can be explained, an effect without its order cannot.
    async fn note_saga(&self, action: Action, id: &str, author: &Author) -> Result<SagaView, DeskError> {
        let saga = operate::stuck(&self.saga_logs(), id).await?;
        let group = self.contract.root(&saga.row.route).map(|root| root.group.clone());
        let steps: Json = saga.steps.iter().map(|step| (step.name.clone(), Json::from(step.state))).collect();
        let detail = json!({ "saga": saga.row.id, "route": saga.row.route, "problem": saga.problem, "steps": steps });
        let deed = Deed { action, group, author: author.clone(), rollout: None, detail };
        self.control.note(&deed).await?;
        Ok(saga)
    }

    fn saga_logs(&self) -> Stores {
        self.sides.clone().map(|_, lanes| std::sync::Arc::clone(lanes.get(Lane::Admin)))
    }
}
