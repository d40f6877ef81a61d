//! Proposals, promotions and gates, as the admin API shows them.

use async_graphql::{Enum, SimpleObject};
use model::control::{Decision, Progress, Promotion, Proposal};

use super::types::{PolicyShape, rfc3339};
use control_plane::promotion::{Gate, GateState};
use control_plane::rollout::describe;

/// A change that waits for a second person, or did.
#[derive(SimpleObject)]
pub(super) struct ProposalShape {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) summary: String,
    #[graphql(name = "from")]
    pub(super) before: PolicyShape,
    #[graphql(name = "to")]
    pub(super) after: PolicyShape,
    /// Whether it begins a promotion.
    pub(super) promotion: bool,
    pub(super) who: String,
    pub(super) reason: Option<String>,
    pub(super) at: String,
    pub(super) expires: String,
    /// waits, approved or withdrawn.
    pub(super) state: String,
    pub(super) decided_by: Option<String>,
}

impl From<Proposal> for ProposalShape {
    fn from(proposal: Proposal) -> Self {
        let (state, decided_by) = match proposal.decision {
            None => ("waits", None),
            Some(Decision::Approved { by, .. }) => ("approved", Some(by.who)),
            Some(Decision::Withdrawn { by }) => ("withdrawn", Some(by.who)),
        };
        Self {
            id: proposal.id.to_string(),
            group: proposal.group.to_string(),
            summary: describe(&proposal.from, &proposal.to),
            before: (&proposal.from).into(),
            after: (&proposal.to).into(),
            promotion: !proposal.steps.is_empty(),
            who: proposal.author.who,
            reason: proposal.author.reason,
            at: rfc3339(proposal.at),
            expires: rfc3339(proposal.expires),
            state: state.to_owned(),
            decided_by,
        }
    }
}

/// A step of a plan.
#[derive(SimpleObject)]
pub(super) struct StepShape {
    pub(super) reads: f64,
    pub(super) hold_seconds: u64,
}

/// A group on its way.
#[derive(SimpleObject)]
pub(super) struct PromotionShape {
    pub(super) steps: Vec<StepShape>,
    /// The step that is held, counted from 0.
    pub(super) at_step: Option<u64>,
    pub(super) since: String,
    pub(super) who: String,
    pub(super) reason: Option<String>,
    pub(super) approved_by: Option<String>,
    /// running, finished or stopped.
    pub(super) state: String,
    /// What it does or waits for.
    pub(super) said: String,
}

impl From<Promotion> for PromotionShape {
    fn from(promotion: Promotion) -> Self {
        let state = match promotion.progress {
            Progress::Running => "running",
            Progress::Finished => "finished",
            Progress::Stopped { .. } => "stopped",
        };
        Self {
            steps: promotion.steps.iter().map(step).collect(),
            at_step: promotion.at_step.map(|place| place as u64),
            since: rfc3339(promotion.since),
            who: promotion.author.who,
            reason: promotion.author.reason,
            approved_by: promotion.approved_by,
            state: state.to_owned(),
            said: promotion.said,
        }
    }
}

pub(super) fn step(step: &model::control::Step) -> StepShape {
    StepShape { reads: step.reads.into(), hold_seconds: step.hold.as_secs() }
}

/// Whether a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "GateState", remote = "GateState")]
pub(super) enum GateStateShape {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// There is too little data to say. Does not hold.
    Unknown,
    /// It is not asked for here. Holds.
    NotAsked,
}

/// One condition.
#[derive(SimpleObject)]
#[graphql(name = "Gate")]
pub(super) struct GateShape {
    /// Its name, a stable word.
    pub(super) name: &'static str,
    /// Whether it holds.
    pub(super) state: GateStateShape,
    /// What was found, as text with its unit.
    pub(super) figure: String,
    /// What is allowed, as text with its unit.
    pub(super) limit: String,
    /// The whole in a sentence, with what to do when it does not hold.
    pub(super) sentence: String,
}

pub(super) fn gate(gate: Gate) -> GateShape {
    let Gate { name, state, figure, limit, sentence } = gate;
    GateShape { name, state: state.into(), figure, limit, sentence }
}

/// "May I promote, and if not, why not?"
#[derive(SimpleObject)]
pub(super) struct Readiness {
    /// In words.
    pub(super) answer: String,
    pub(super) gates: Vec<GateShape>,
    /// The declared plan.
    pub(super) plan: Vec<StepShape>,
    pub(super) promotion: Option<PromotionShape>,
}
