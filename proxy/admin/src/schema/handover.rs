//! The shapes of handovers.

use async_graphql::{Enum, SimpleObject};
use model::{Side, Stage};

use super::plans::ProposalShape;
use super::types::PolicyShape;
use control_plane::desk::{DualWriteEnd, HandoverDone, HandoverOutcome, SetOutcome, shown_key};
use control_plane::handover::drain::Left;
use control_plane::handover::safety::Safety;

/// A side that can be primary.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primary {
    Legacy,
    Modern,
}

impl From<Primary> for Side {
    fn from(primary: Primary) -> Self {
        match primary {
            Primary::Legacy => Self::Legacy,
            Primary::Modern => Self::Modern,
        }
    }
}

/// One step of a handover.
#[derive(SimpleObject)]
struct HandoverStep {
    /// freeze, drain, open, publish, give-up, reopen, bar or alone.
    step: String,
    millis: f64,
    /// What it waited for or found.
    note: String,
}

/// Writes that were left behind by force.
#[derive(SimpleObject)]
struct LeftBehind {
    /// How many, exactly.
    writes: u64,
    /// Every key of them, each once.
    keys: Vec<String>,
    /// Those of them that changed nothing, by id: a repeat of one is done anew.
    bare: Vec<String>,
    /// What the other side said of one of them.
    said: Option<String>,
}

impl From<Left> for LeftBehind {
    fn from(left: Left) -> Self {
        let keys = left.keys.iter().map(shown_key).collect();
        let bare = left.bare.iter().map(ToString::to_string).collect();
        Self { writes: left.writes, keys, bare, said: left.said }
    }
}

/// What came of an order to hand a group over.
#[derive(SimpleObject)]
pub(super) struct HandoverShape {
    group: String,
    policy: Option<PolicyShape>,
    /// The rollout that says so; null while the control store does not take it: replicas follow the sides meanwhile.
    rollout: Option<u64>,
    /// For how long no side took writes; null when the side was primary before.
    pause_millis: Option<f64>,
    steps: Vec<HandoverStep>,
    left: LeftBehind,
    /// Where a second person is needed.
    proposal: Option<ProposalShape>,
}

impl HandoverShape {
    pub(super) fn of(group: &model::GroupName, outcome: HandoverOutcome) -> Self {
        match outcome {
            HandoverOutcome::Done(done) => Self::done(group, *done),
            HandoverOutcome::Proposed(proposed) => Self {
                group: group.to_string(),
                policy: None,
                rollout: None,
                pause_millis: None,
                steps: Vec::new(),
                left: Left::default().into(),
                proposal: match *proposed {
                    SetOutcome::Proposed(proposal) => Some((*proposal).into()),
                    SetOutcome::Published { .. } | SetOutcome::AlreadySo { .. } | SetOutcome::HandedOver { .. } => None,
                },
            },
        }
    }

    pub(super) fn done(group: &model::GroupName, done: HandoverDone) -> Self {
        let HandoverDone { handed, policy, version } = done;
        let step = |step: control_plane::handover::coordinate::Step| HandoverStep {
            step: step.name.as_str().to_owned(),
            millis: step.took.as_secs_f64() * 1_000.0,
            note: step.note,
        };
        Self {
            group: group.to_string(),
            policy: Some((&policy).into()),
            rollout: version.map(|version| version.0),
            pause_millis: handed.pause.map(|pause| pause.as_secs_f64() * 1_000.0),
            steps: handed.steps.into_iter().map(step).collect(),
            left: handed.left.into(),
            proposal: None,
        }
    }
}

/// Rows of one kind that the other side cannot hold.
#[derive(SimpleObject)]
struct Unfit {
    /// TOO_LONG, OUT_OF_RANGE, TOO_PRECISE, NO_MAPPING, BAD_CHARACTER, or UNREPRESENTABLE_VALUE of one that cannot be read.
    code: String,
    rows: u64,
}

/// What would be lost or wait if the authority changed hands now.
#[derive(SimpleObject)]
pub(super) struct SafetyShape {
    /// Whether nothing would be lost.
    safe: bool,
    /// Rows that were read.
    rows: u64,
    /// Writes that the other side does not have yet: the handover waits for them.
    unsettled: u64,
    unsettled_keys: Vec<String>,
    /// Writes that an earlier handover left behind, on either side: nobody brings them over by itself.
    left_behind: u64,
    /// Rows that only the present primary has.
    missing: u64,
    missing_keys: Vec<String>,
    /// Rows that only the present primary has, while too many writes wait to tell whether they are on their way.
    undecided: u64,
    /// Rows of the present primary that no look-up by their key finds: nothing brings them over.
    keyless: u64,
    keyless_keys: Vec<String>,
    /// Columns of the present primary that the contract leaves out and that hold something.
    left_out: Vec<String>,
    unfit: Vec<Unfit>,
    unfit_keys: Vec<String>,
    /// Statements of the group that the other side would not run, each with its place and what that side says.
    wrong_statements: Vec<String>,
}

impl From<Safety> for SafetyShape {
    fn from(safety: Safety) -> Self {
        Self {
            safe: safety.is_safe(),
            rows: safety.rows,
            unsettled: safety.unsettled,
            unsettled_keys: safety.unsettled_keys.iter().map(shown_key).collect(),
            left_behind: safety.left_behind,
            missing: safety.missing,
            missing_keys: safety.missing_keys.iter().map(shown_key).collect(),
            undecided: safety.undecided,
            keyless: safety.keyless,
            left_out: safety.left_out,
            keyless_keys: safety.keyless_keys.iter().map(shown_key).collect(),
            unfit: safety.unfit.into_iter().map(|(code, rows)| Unfit { code, rows }).collect(),
            unfit_keys: safety.unfit_keys.iter().map(|(key, code)| format!("{} {code}", shown_key(key))).collect(),
            wrong_statements: safety.wrong,
        }
    }
}

/// What the end of dual write would meet now.
#[derive(SimpleObject)]
pub(super) struct DualWriteEndShape {
    /// The stage that the group is at.
    stage: String,
    /// Whether it could be ordered now.
    possible: bool,
    /// Writes that legacy does not have yet: they are brought to it first.
    unsettled: u64,
    /// The first of their keys.
    unsettled_keys: Vec<String>,
    /// Writes that an earlier handover left behind, on either side: they are in its way.
    left_behind: u64,
}

impl From<DualWriteEnd> for DualWriteEndShape {
    fn from(end: DualWriteEnd) -> Self {
        Self {
            stage: end.stage.to_string(),
            possible: end.stage == Stage::Reverse && end.left_behind == 0,
            unsettled: end.unsettled,
            unsettled_keys: end.unsettled_keys.iter().map(shown_key).collect(),
            left_behind: end.left_behind,
        }
    }
}
