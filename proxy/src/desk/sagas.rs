//! Sagas: seen by whoever may look, tried again or taken over by operators, on the record.

use adapters::Lane;
use model::SagaStatus;
use model::control::{Action, Author, Deed};
use serde_json::json;

use super::{Desk, DeskError};
use crate::saga::operate::{self, OperateError, SagaView, Stores};

impl From<OperateError> for DeskError {
    fn from(error: OperateError) -> Self {
        let message = crate::error::with_root(&error);
        match error {
            OperateError::Unknown(_) => Self::no("UNKNOWN_SAGA", message),
            OperateError::NotStuck { .. } => Self::no("NOT_STUCK", message),
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

    /// Lets replicas go on with a stuck saga.
    ///
    /// # Errors
    /// When it is not stuck, a side does not answer, or it cannot be noted.
    pub async fn retry_saga(&self, id: &str, author: &Author) -> Result<SagaView, DeskError> {
        let saga = operate::retry(&self.saga_logs(), id).await?;
        self.note_saga(Action::SagaRetried, &saga, author).await?;
        Ok(saga)
    }

    /// Takes a stuck saga over: no replica touches it again.
    ///
    /// # Errors
    /// As [`Desk::retry_saga`].
    pub async fn abandon_saga(&self, id: &str, author: &Author) -> Result<SagaView, DeskError> {
        let saga = operate::abandon(&self.saga_logs(), id).await?;
        self.note_saga(Action::SagaAbandoned, &saga, author).await?;
        Ok(saga)
    }

    async fn note_saga(&self, action: Action, saga: &SagaView, author: &Author) -> Result<(), DeskError> {
        let group = self.contract.root(&saga.row.route).map(|root| root.group.clone());
        let detail = json!({ "saga": saga.row.id, "route": saga.row.route, "steps": saga.steps });
        let deed = Deed { action, group, author: author.clone(), rollout: None, detail };
        Ok(self.control.note(&deed).await.map(|_| ())?)
    }

    fn saga_logs(&self) -> Stores {
        self.sides.clone().map(|_, lanes| std::sync::Arc::clone(lanes.get(Lane::Admin)))
    }
}
