//! Sagas as the contract declares them: steps in order, each with its compensation.

use std::sync::Arc;

use super::{FieldIndex, Root};

/// A mutation in steps over several groups, each of which can be undone.
#[derive(Debug, Clone)]
pub struct SagaPlan {
    /// The steps, in order. Never empty; all but the last have an undo.
    pub steps: Vec<SagaStep>,
    /// The step whose answer the client is given.
    pub answer: usize,
}

/// One step of a saga.
#[derive(Debug, Clone)]
pub struct SagaStep {
    /// Its name, once per saga.
    pub name: String,
    /// What it does.
    pub run: SagaCall,
    /// Its compensation: what undoes it when a later step is refused.
    pub undo: Option<SagaCall>,
}

/// A mutation that a saga runs, and where its arguments come from.
#[derive(Debug, Clone)]
pub struct SagaCall {
    /// The mutation; no saga itself.
    pub root: Arc<Root>,
    /// Argument and source. An argument whose source was left out is left out too.
    pub with: Vec<(String, SagaSource)>,
}

/// Where an argument of a step comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaSource {
    /// An argument of the saga, by its path.
    Argument(Vec<String>),
    /// A field of what a step has answered: the first entity, when it answered with several.
    Answer {
        /// Which step, from 0; never a later one.
        step: usize,
        /// Which field of its entity.
        field: FieldIndex,
    },
}
