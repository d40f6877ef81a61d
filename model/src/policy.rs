//! Stages, policies and rollouts: what an operator sets and a route obeys.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::Epoch;
use crate::fence::Holder;
use crate::name::GroupName;
use crate::share::Percentage;
use crate::side::Side;

/// A named preset of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Only legacy is used.
    Legacy,
    /// Writes go to both, reads to legacy.
    DualWrite,
    /// As dual-write; a sample of reads is also asked of modern and compared.
    Shadow,
    /// As shadow; a percentage of reads is answered by modern.
    Shift,
    /// Modern is primary, legacy is kept equal.
    Reverse,
    /// Only modern is used. No way back.
    Modern,
}

impl Stage {
    /// Every stage, in the order of a migration.
    pub const ALL: [Self; 6] = [Self::Legacy, Self::DualWrite, Self::Shadow, Self::Shift, Self::Reverse, Self::Modern];

    /// The name used on the command line and in tables: `dual-write`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::DualWrite => "dual-write",
            Self::Shadow => "shadow",
            Self::Shift => "shift",
            Self::Reverse => "reverse",
            Self::Modern => "modern",
        }
    }

    /// The authority for writes.
    pub fn primary(self) -> Side {
        match self {
            Self::Legacy | Self::DualWrite | Self::Shadow | Self::Shift => Side::Legacy,
            Self::Reverse | Self::Modern => Side::Modern,
        }
    }

    /// Whether the secondary is kept equal.
    pub fn dual_writes(self) -> bool {
        match self {
            Self::DualWrite | Self::Shadow | Self::Shift | Self::Reverse => true,
            Self::Legacy | Self::Modern => false,
        }
    }

    /// Whether reads are also asked of the other side and compared.
    pub fn shadows(self) -> bool {
        match self {
            Self::Shadow | Self::Shift | Self::Reverse => true,
            Self::Legacy | Self::DualWrite | Self::Modern => false,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No stage has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no stage `{0}`: use legacy, dual-write, shadow, shift, reverse or modern")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(name: &str) -> Result<Self, UnknownStage> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name).ok_or_else(|| UnknownStage(name.to_owned()))
    }
}

/// A group's settings. Only combinations that section 4 of the design allows can exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPolicy", into = "RawPolicy")]
pub struct Policy {
    stage: Stage,
    reads: Percentage,
    shadow: Percentage,
    epoch: Epoch,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    stage: Stage,
    reads: Percentage,
    shadow: Percentage,
    epoch: Epoch,
}

/// Stage and percentages do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPolicy {
    /// Reads from modern in a stage that has none.
    #[error("stage `{stage}` answers {fixed} of reads from modern; use stage `shift` for any other percentage")]
    Reads {
        /// The stage.
        stage: Stage,
        /// What the stage fixes.
        fixed: Percentage,
    },
    /// A shadow share in a stage without shadow reads.
    #[error("stage `{stage}` has no shadow reads; leave `shadow` at 0 or use stage `shadow` or `shift`")]
    Shadow {
        /// The stage.
        stage: Stage,
    },
}

impl Policy {
    /// Puts a policy together.
    ///
    /// # Errors
    /// [`InvalidPolicy`] when the stage does not allow the percentages.
    pub fn new(stage: Stage, reads: Percentage, shadow: Percentage, epoch: Epoch) -> Result<Self, InvalidPolicy> {
        let fixed = match stage {
            Stage::Legacy | Stage::DualWrite | Stage::Shadow => Some(Percentage::ZERO),
            Stage::Shift => None,
            Stage::Reverse | Stage::Modern => Some(Percentage::FULL),
        };
        if let Some(fixed) = fixed.filter(|fixed| *fixed != reads) {
            return Err(InvalidPolicy::Reads { stage, fixed });
        }
        if !stage.shadows() && shadow != Percentage::ZERO {
            return Err(InvalidPolicy::Shadow { stage });
        }
        Ok(Self { stage, reads, shadow, epoch })
    }

    /// How every group begins: legacy alone, epoch 1.
    pub fn initial() -> Self {
        Self { stage: Stage::Legacy, reads: Percentage::ZERO, shadow: Percentage::ZERO, epoch: Epoch(1) }
    }

    /// The same policy with its reads rolled back to legacy: stage and writes stay, so that the
    /// secondary is kept equal and the evidence goes on. No effect while modern is primary.
    #[must_use]
    pub fn rolled_back(self) -> Self {
        match self.stage {
            Stage::Shift => Self { reads: Percentage::ZERO, ..self },
            Stage::Legacy | Stage::DualWrite | Stage::Shadow | Stage::Reverse | Stage::Modern => self,
        }
    }

    /// The policy after the authority has gone to `side` under `epoch`: modern answers every read while it is primary,
    /// and goes on to when the authority goes back. Handed to the side that has it (a handover that was undone), only
    /// the epoch is another.
    #[must_use]
    pub fn handed_to(self, side: Side, epoch: Epoch) -> Self {
        let (stage, reads) = match (side, self.stage) {
            (Side::Modern, Stage::Reverse | Stage::Modern) => (self.stage, self.reads),
            (Side::Modern, Stage::Legacy | Stage::DualWrite | Stage::Shadow | Stage::Shift) => {
                (Stage::Reverse, Percentage::FULL)
            }
            (Side::Legacy, Stage::Reverse | Stage::Modern) => (Stage::Shift, Percentage::FULL),
            (Side::Legacy, Stage::Legacy | Stage::DualWrite | Stage::Shadow | Stage::Shift) => (self.stage, self.reads),
        };
        Self { stage, reads, epoch, ..self }
    }

    /// The policy that follows the fences: as [`Self::handed_to`] says; and stage `modern` where modern is alone.
    #[must_use]
    pub fn following(self, holder: Holder) -> Self {
        match holder {
            Holder { alone: true, epoch, .. } => {
                Self { stage: Stage::Modern, reads: Percentage::FULL, shadow: Percentage::ZERO, epoch }
            }
            Holder { alone: false, side, epoch } => self.handed_to(side, epoch),
        }
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Share of keys that modern answers.
    pub fn reads(&self) -> Percentage {
        self.reads
    }

    /// Share of reads that are also asked of the other side.
    pub fn shadow(&self) -> Percentage {
        self.shadow
    }

    /// The epoch under which primary writes are made.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The authority for writes.
    pub fn primary(&self) -> Side {
        self.stage.primary()
    }
}

impl TryFrom<RawPolicy> for Policy {
    type Error = InvalidPolicy;

    fn try_from(raw: RawPolicy) -> Result<Self, InvalidPolicy> {
        Self::new(raw.stage, raw.reads, raw.shadow, raw.epoch)
    }
}

impl From<Policy> for RawPolicy {
    fn from(policy: Policy) -> Self {
        Self { stage: policy.stage, reads: policy.reads, shadow: policy.shadow, epoch: policy.epoch }
    }
}

/// Counts rollouts, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutVersion(pub u64);

impl fmt::Display for RolloutVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The policies of all groups at one version: an immutable snapshot, swapped whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Which snapshot.
    pub version: RolloutVersion,
    /// Every group's policy.
    pub policies: BTreeMap<GroupName, Policy>,
}

impl Rollout {
    /// The first rollout: each of `groups` at stage `legacy`.
    pub fn initial(groups: impl IntoIterator<Item = GroupName>) -> Self {
        let policies = groups.into_iter().map(|group| (group, Policy::initial())).collect();
        Self { version: RolloutVersion(1), policies }
    }

    /// The policy of `group`; a group that no rollout has named yet is at its beginning.
    pub fn policy(&self, group: &GroupName) -> Policy {
        self.policies.get(group).copied().unwrap_or_else(Policy::initial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_fix_what_the_design_fixes() {
        let policy = |stage, reads, shadow| Policy::new(stage, share(reads), share(shadow), Epoch(1));
        assert!(policy(Stage::Shift, 1_234, 500).is_ok());
        assert!(policy(Stage::Shadow, 1, 500).is_err());
        assert!(policy(Stage::DualWrite, 0, 500).is_err());
        assert!(policy(Stage::Legacy, 0, 0).is_ok());
        assert!(policy(Stage::Reverse, 9_999, 0).is_err());
        let shifted = policy(Stage::Shift, 10_000, 500).unwrap();
        assert_eq!(shifted.rolled_back(), policy(Stage::Shift, 0, 500).unwrap());
    }

    #[test]
    fn a_policy_that_was_handed_over_and_back_differs_in_nothing_but_reads_and_epoch() {
        let shift = Policy::new(Stage::Shift, share(2_500), share(500), Epoch(1)).unwrap();
        let reverse = shift.handed_to(Side::Modern, Epoch(2));
        assert_eq!(reverse, Policy::new(Stage::Reverse, Percentage::FULL, share(500), Epoch(2)).unwrap());
        let back = reverse.handed_to(Side::Legacy, Epoch(3));
        assert_eq!(back, Policy::new(Stage::Shift, Percentage::FULL, share(500), Epoch(3)).unwrap());
        assert_eq!(shift.handed_to(Side::Legacy, Epoch(3)), Policy { epoch: Epoch(3), ..shift });
        assert_eq!(reverse.handed_to(Side::Modern, Epoch(4)), Policy { epoch: Epoch(4), ..reverse });
        for stage in Stage::ALL {
            let reads = if stage.primary() == Side::Modern { Percentage::FULL } else { Percentage::ZERO };
            let policy = Policy::new(stage, reads, Percentage::ZERO, Epoch(1)).unwrap();
            for side in Side::BOTH {
                let handed = policy.handed_to(side, Epoch(2));
                assert_eq!(handed.primary(), side);
                assert!(Policy::new(handed.stage, handed.reads, handed.shadow, handed.epoch).is_ok());
                let holder = Holder { side, epoch: Epoch(2), alone: false };
                assert_eq!(policy.following(holder), handed);
            }
            let alone = policy.following(Holder { side: Side::Modern, epoch: Epoch(2), alone: true });
            assert_eq!(Ok(alone), Policy::new(Stage::Modern, Percentage::FULL, Percentage::ZERO, Epoch(2)));
        }
    }

    fn share(points: u16) -> Percentage {
        Percentage::try_from(f64::from(points) / 100.0).unwrap()
    }
}
