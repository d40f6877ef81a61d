//! Sagas, as the admin API shows them. No field's value is among it.

use async_graphql::SimpleObject;

use super::types::rfc3339;
use crate::saga::operate::SagaView;

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
}

impl From<SagaView> for SagaShape {
    fn from(saga: SagaView) -> Self {
        let step = |(name, state): (String, &str)| SagaStepShape { name, state: state.to_owned() };
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
