//! How far a saga has come, as its log row's document says it.

use model::contract::{Refusal, SagaPlan};
use model::{Instant, SagaStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::plan;

/// A saga's progress. Holds business data: never logged, never shown but to whoever began it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What the client asked with.
    pub arguments: Map<String, Json>,
    /// A hash of route and arguments: the same idempotency key must ask for the same thing.
    pub fingerprint: String,
    /// The steps, in order. Never empty.
    pub steps: Vec<Step>,
    /// Failed attempts since the last one that came to something.
    pub attempts: u32,
    /// How often what is at hand was tried in vain, as far as that is limited: undoing a step, or closing it late.
    #[serde(default)]
    pub refusals: u32,
    /// The stable code of the last failed attempt.
    pub problem: Option<String>,
    /// Why no replica goes on, if none does though there is something to do.
    pub halted: Option<Halt>,
    /// Made when the saga began, and part of its steps' keys: a saga that is asked for again when this one is forgotten
    /// does not find what this one has left. `None`: an older release began it.
    #[serde(default)]
    pub nonce: Option<String>,
    /// The hash of the plan that it began with.
    #[serde(default)]
    pub plan: Option<String>,
    /// Since when only replicas have met it whose contract has another plan.
    #[serde(default)]
    pub unknown_since: Option<Instant>,
}

/// Why no replica goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Halt {
    /// Somebody must act.
    Stuck,
    /// Somebody has taken it over.
    Abandoned,
    /// Its log, or a side of its steps, has gone back: first it is looked at what of it stands.
    Doubt,
    /// The same, and a person has given up what was lost of it: nothing new is done for it.
    GivenUp,
    /// Something of it was lost that nobody can bring again: what it was asked with is not known any more.
    Lost,
}

impl Halt {
    /// Whether it must be looked at what stands, before anything else is done.
    pub fn is_doubt(self) -> bool {
        match self {
            Self::Doubt | Self::GivenUp => true,
            Self::Stuck | Self::Abandoned | Self::Lost => false,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the contract.
    pub name: String,
    /// How it stands, as far as is known.
    pub state: StepState,
    /// Attempts of it that ended: to do it, to close it, to undo it.
    #[serde(default)]
    pub attempts: u32,
    /// When the last one ended, by the clock of the replica that made it.
    #[serde(default)]
    pub tried_at: Option<Instant>,
    /// Whether it is known to stand though it is `Open`: its result is still to be asked for.
    #[serde(default)]
    pub stands: bool,
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not known to stand: not begun, or under way.
    Open,
    /// An attempt was refused, or it was given up; another attempt may still be on its way.
    Refusing(Refused),
    /// It does not stand and never will.
    Refused(Refused),
    /// It stands.
    Done(StepResult),
    /// It stood, and its compensation stands too.
    Undone,
}

/// Why a step was refused: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What a step has left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// The write that stands.
    pub write: Option<Uuid>,
    /// The states of the entities it touches, in the contract's order; `None`: there is none.
    pub states: Vec<Option<Json>>,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { code: refused.code, message: refused.message }
    }
}

impl Progress {
    /// A saga of which nothing is done yet.
    pub fn begin(plan: &SagaPlan, arguments: Map<String, Json>, fingerprint: String, nonce: Uuid) -> Self {
        let step = |name: &String| Step {
            name: name.clone(),
            state: StepState::Open,
            attempts: 0,
            tried_at: None,
            stands: false,
        };
        let steps = plan.steps.iter().map(|planned| step(&planned.name)).collect();
        Self {
            arguments,
            fingerprint,
            steps,
            attempts: 0,
            refusals: 0,
            problem: None,
            halted: None,
            nonce: Some(nonce.simple().to_string()),
            plan: Some(plan::hash(plan)),
            unknown_since: None,
        }
    }

    /// Reads a log row's document; `None` when it is none.
    pub fn read(document: &str) -> Option<Self> {
        serde_json::from_str(document).ok().filter(|progress: &Self| !progress.steps.is_empty())
    }

    /// The log row's document.
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("maps with text keys become JSON")
    }

    /// Whether the steps are those of `plan`, and are asked for in the same way.
    pub fn is_of(&self, plan: &SagaPlan) -> bool {
        if let Some(began_with) = &self.plan {
            return *began_with == plan::hash(plan);
        }
        let planned = plan.steps.iter().map(|step| step.name.as_str());
        planned.eq(self.steps.iter().map(|step| step.name.as_str()))
    }

    /// Without what only unended sagas need: it may be large, and is the client's.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.arguments = Map::new();
        self
    }

    /// Why the saga is, or will be, undone.
    pub fn refused(&self) -> Option<&Refused> {
        self.steps.iter().find_map(|step| match &step.state {
            StepState::Refused(refused) | StepState::Refusing(refused) => Some(refused),
            StepState::Open | StepState::Done(_) | StepState::Undone => None,
        })
    }

    /// Lets a stuck saga go on where it stands, with as many attempts as at first. Nothing for any other.
    pub fn try_again(&mut self) {
        if self.halted == Some(Halt::Stuck) {
            (self.halted, self.unknown_since) = (None, None);
            (self.attempts, self.refusals) = (0, 0);
        }
    }

    /// Where the saga stands.
    pub fn status(&self) -> SagaStatus {
        use super::decide::{Next, next};
        match self.halted {
            Some(Halt::Stuck | Halt::Lost) => return SagaStatus::Stuck,
            Some(Halt::Abandoned) => return SagaStatus::Abandoned,
            Some(Halt::Doubt | Halt::GivenUp) | None => {}
        }
        match next(self) {
            Next::Rest(status) => status,
            Next::Look | Next::Do(_) | Next::Close(_) => SagaStatus::Running,
            Next::Undo(_) => SagaStatus::Compensating,
        }
    }
}
