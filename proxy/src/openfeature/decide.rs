//! What a flag comes to. Pure.

use model::control::RolloutRecord;
use model::{GroupName, Percentage, Policy, RolloutVersion, Stage};

/// What is known of a group when its flag says a percentage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Its policy.
    pub(super) policy: Policy,
    /// Whether it is on its way through the plan.
    pub(super) promoting: bool,
    /// What the flag said when somebody last lowered the group's reads, if nobody has listened to it since.
    pub(super) spent: Option<Percentage>,
}

/// Whether the flag is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The group gets what the flag says.
    Set,
    /// It has it.
    AlreadySo,
    /// Percentages are set in stage `shift` only.
    OtherStage,
    /// The plan goes first.
    UnderPromotion,
    /// The flag says what it said before the reads were lowered.
    Spent,
}

pub(super) fn decide(known: &Known, wanted: Percentage) -> Verdict {
    if known.policy.stage() != Stage::Shift {
        Verdict::OtherStage
    } else if known.promoting {
        Verdict::UnderPromotion
    } else if known.policy.reads() == wanted {
        Verdict::AlreadySo
    } else if known.spent == Some(wanted) {
        Verdict::Spent
    } else {
        Verdict::Set
    }
}

/// The rollout by which somebody else than `ours` lowered the group's reads or rolled it back, unless we changed
/// it afterwards. `history` is the group's, newest first.
pub(super) fn lowered(history: &[RolloutRecord], group: &GroupName, ours: &str) -> Option<RolloutVersion> {
    for (place, record) in history.iter().enumerate() {
        if record.author.who == ours {
            return None;
        }
        let reads = |record: &RolloutRecord| record.rollout.policy(group).reads();
        let lowers = history.get(place + 1).is_some_and(|before| reads(record) < reads(before));
        if lowers || !record.overrides.is_empty() {
            return Some(record.rollout.version);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use model::control::{Author, OverrideId};
    use model::{Epoch, Instant, Rollout};
    use serde_json::Value as Json;

    use super::*;

    fn share(percent: f64) -> Percentage {
        percent.try_into().unwrap()
    }

    fn policy(stage: Stage, reads: f64) -> Policy {
        Policy::new(stage, share(reads), Percentage::ZERO, Epoch(1)).unwrap()
    }

    #[test]
    fn a_flag_sets_reads_in_stage_shift_only_and_never_against_a_promotion_or_a_rollback() {
        let known = |stage, reads, promoting, spent: Option<f64>| Known {
            policy: policy(stage, reads),
            promoting,
            spent: spent.map(share),
        };
        let wanted = share(25.0);
        let shift = Stage::Shift;
        assert_eq!(decide(&known(shift, 0.0, false, None), wanted), Verdict::Set);
        assert_eq!(decide(&known(shift, 50.0, false, None), wanted), Verdict::Set);
        assert_eq!(decide(&known(shift, 0.0, false, Some(10.0)), wanted), Verdict::Set);
        assert_eq!(decide(&known(shift, 0.0, false, Some(25.0)), wanted), Verdict::Spent);
        assert_eq!(decide(&known(shift, 0.0, true, None), wanted), Verdict::UnderPromotion);
        assert_eq!(decide(&known(shift, 25.0, false, None), wanted), Verdict::AlreadySo);
        for stage in [Stage::Legacy, Stage::DualWrite, Stage::Shadow] {
            assert_eq!(decide(&known(stage, 0.0, false, None), wanted), Verdict::OtherStage);
        }
    }

    #[test]
    fn a_rollback_or_a_lowering_stands_until_we_have_changed_the_group_after_it() {
        let group = GroupName::new("inventory");
        let record = |version: u64, who: &str, reads: f64, rollback: bool| RolloutRecord {
            rollout: Rollout {
                version: RolloutVersion(version),
                policies: [(group.clone(), policy(Stage::Shift, reads))].into(),
            },
            at: Instant::parse("2026-01-31T08:00:00Z").unwrap(),
            author: Author { who: who.into(), origin: "desk".into(), reason: None },
            summary: String::new(),
            groups: vec![group.clone()],
            evidence: Json::Null,
            overrides: if rollback { vec![OverrideId(uuid::Uuid::nil())] } else { Vec::new() },
            approved_by: None,
        };
        let lowered = |history: &[RolloutRecord]| lowered(history, &group, "flag").map(|version| version.0);
        let (first, ours) = (record(1, "ada", 0.0, false), record(2, "flag", 25.0, false));
        assert_eq!(lowered(&[ours.clone(), first.clone()]), None);
        assert_eq!(lowered(&[record(3, "ada", 0.0, true), ours.clone(), first.clone()]), Some(3));
        assert_eq!(lowered(&[record(3, "ada", 10.0, false), ours.clone()]), Some(3));
        assert_eq!(lowered(&[record(3, "ada", 50.0, false), ours.clone()]), None, "a raise is none");
        assert_eq!(lowered(&[record(4, "ada", 5.0, false), record(3, "guard", 0.0, true), ours.clone()]), Some(3));
        assert_eq!(lowered(&[record(4, "flag", 5.0, false), record(3, "guard", 0.0, true), ours]), None);
        assert_eq!(lowered(&[record(2, "ada", 0.0, true), first]), Some(2), "also when there were no reads");
    }
}
