//! What pages read out of the admin API's answers.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value as Json;

/// A group's settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyShape {
    pub(super) stage: String,
    pub(super) reads: f64,
    pub(super) shadow: f64,
    pub(super) primary: String,
}

impl From<model::Policy> for PolicyShape {
    fn from(policy: model::Policy) -> Self {
        Self {
            stage: policy.stage().to_string(),
            reads: policy.reads().into(),
            shadow: policy.shadow().into(),
            primary: policy.primary().to_string(),
        }
    }
}

/// The fields of [`PolicyShape`].
pub(super) const POLICY: &str = "policy { stage reads shadow primary }";

/// One condition of a promotion.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) state: GateState,
    pub(super) figure: String,
    pub(super) limit: String,
    pub(super) sentence: String,
}

/// Whether a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum GateState {
    Pass,
    Fail,
    Unknown,
    NotAsked,
}

impl GateState {
    /// A sign and words, so that nothing depends on colours.
    pub(super) fn in_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pass => ("good", "✓", "holds"),
            Self::Fail => ("bad", "✗", "does not hold"),
            Self::Unknown => ("warn", "?", "not known"),
            Self::NotAsked => ("soft", "–", "not asked for"),
        }
    }

    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Pass | Self::NotAsked)
    }
}

/// "May I promote, and if not, why not?"
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Readiness {
    pub(super) answer: String,
    pub(super) gates: Vec<Gate>,
    #[serde(default)]
    pub(super) plan: Vec<Step>,
    pub(super) promotion: Option<Promotion>,
}

/// A step of the plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) reads: f64,
    pub(super) hold_seconds: u64,
}

/// A group on its way.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Promotion {
    pub(super) at_step: Option<usize>,
    pub(super) state: String,
}

/// What was counted in a stretch of time.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub(super) at: String,
    pub(super) legacy: SideFigures,
    pub(super) modern: SideFigures,
    pub(super) mismatch_ratio: Option<f64>,
}

/// What one side did.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SideFigures {
    pub(super) p95_millis: Option<f64>,
}

/// The fields of [`Figures`].
pub(super) const FIGURES: &str = "{ at legacy { p95Millis } modern { p95Millis } mismatchRatio }";

/// What the guard of this replica makes of a group.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Guard {
    pub(super) state: String,
    pub(super) sentence: String,
    pub(super) healthy: bool,
    pub(super) health: String,
}

/// The fields of [`Guard`].
pub(super) const GUARD: &str = "guard { state sentence healthy health }";

/// What the secondary does not have.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unsettled {
    pub(super) writes: u64,
    pub(super) oldest_seconds: Option<f64>,
    pub(super) left_behind: Option<u64>,
}

/// How a group does now.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lately {
    concern: String,
    in_words: String,
}

/// The fields of [`Lately`].
pub(super) const LATELY: &str = "lately { concern inWords }";

impl Lately {
    /// Whether answers differ now; what was found before is no alarm.
    pub(super) fn is_now(&self) -> bool {
        self.concern == "now"
    }

    /// In words, with a colour for what somebody should look at.
    pub(super) fn shown(&self) -> Markup {
        let class = match self.concern.as_str() {
            "now" => "bad",
            "fading" => "warn",
            "none" => "good",
            _ => "soft",
        };
        html! { span class=(class) { (self.in_words) } }
    }
}

/// Comparisons of a route by verdict.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RouteEvidence {
    pub(super) route: String,
    #[serde(rename = "match")]
    pub(super) matches: u64,
    pub(super) excused: u64,
    pub(super) mismatch: u64,
    pub(super) inconclusive: u64,
}

impl RouteEvidence {
    /// Comparisons that say something.
    pub(super) fn conclusive(&self) -> u64 {
        self.matches + self.excused + self.mismatch
    }
}

/// A published change.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) rollout: u64,
    pub(super) at: String,
    pub(super) who: String,
    pub(super) origin: String,
    pub(super) reason: Option<String>,
    pub(super) approved_by: Option<String>,
    pub(super) summary: String,
    pub(super) evidence_in_words: String,
    #[serde(default)]
    pub(super) record: Json,
}

/// The fields of [`Change`] but the record.
pub(super) const CHANGE: &str = "rollout at who origin reason approvedBy summary evidenceInWords";

/// A replica that lives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replica {
    pub(super) id: String,
    pub(super) admin_address: String,
    pub(super) rollout: u64,
}

/// A change that waits for a second person.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Proposal {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) summary: String,
    pub(super) promotion: bool,
    pub(super) who: String,
    pub(super) reason: Option<String>,
    pub(super) expires: String,
}
