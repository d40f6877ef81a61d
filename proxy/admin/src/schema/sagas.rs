//! Sagas, as the admin API shows them. No field's value is among it.

use async_graphql::SimpleObject;
use model::saga::SagaCounts;

use super::types::rfc3339;
use data_plane::saga::operate::{SagaView, StepView};

/// A mutation in steps.
#[derive(SimpleObject)]
#[graphql(name = "Saga")]
pub(super) struct SagaShape {
    pub(super) id: String,
    /// Such as Mutation.placeOrder.
    pub(super) route: String,
    /// running, compensating, stuck, done, undone or abandoned.
    pub(super) status: String,
    /// The side whose database has its log.
    pub(super) side: String,
    pub(super) began_at: String,
    pub(super) steps: Vec<SagaStepShape>,
    /// Failed attempts since the last one that came to something.
    pub(super) attempts: u32,
    /// The stable code of the last failure.
    pub(super) problem: Option<String>,
    /// The stable code of the refusal for which it is undone.
    pub(super) refused: Option<String>,
}

/// One step of a saga.
#[derive(SimpleObject)]
#[graphql(name = "SagaStep")]
pub(super) struct SagaStepShape {
    pub(super) name: String,
    /// open, refusing, refused, done or undone.
    pub(super) state: String,
    /// The stable code of its refusal.
    pub(super) refused: Option<String>,
    /// How often it was tried: to do it, to close it, to undo it.
    pub(super) attempts: u32,
    /// When last, by the clock of the replica that did.
    pub(super) tried_at: Option<String>,
}

/// How many sagas have not ended.
#[derive(SimpleObject)]
#[graphql(name = "SagaCounts")]
pub(super) struct SagaCountsShape {
    pub(super) running: u64,
    pub(super) compensating: u64,
    pub(super) stuck: u64,
}

impl From<SagaCounts> for SagaCountsShape {
    fn from(counts: SagaCounts) -> Self {
        let SagaCounts { running, compensating, stuck } = counts;
        Self { running, compensating, stuck }
    }
}

impl From<SagaView> for SagaShape {
    fn from(saga: SagaView) -> Self {
        let step = |step: StepView| SagaStepShape {
            name: step.name,
            state: step.state.to_owned(),
            refused: step.refused,
            attempts: step.attempts,
            tried_at: step.tried_at.map(rfc3339),
        };
        Self {
            id: saga.row.id.to_string(),
            route: saga.row.route.to_string(),
            status: saga.row.status.to_string(),
            side: saga.side.to_string(),
            began_at: rfc3339(saga.row.began_at),
            steps: saga.steps.into_iter().map(step).collect(),
            attempts: saga.attempts,
            problem: saga.problem,
            refused: saga.refused,
        }
    }
}
