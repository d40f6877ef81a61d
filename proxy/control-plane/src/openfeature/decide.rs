//! What a flag comes to. Pure.

use std::time::Duration;

use model::control::RolloutRecord;
use model::{GroupName, Instant, Percentage, Policy, RolloutVersion, Stage};

use crate::spoken::spoken;

/// What is known of a group when its flag says a percentage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Its policy.
    pub(super) policy: Policy,
    /// Whether it is on its way through the plan.
    pub(super) promoting: bool,
    /// Set when somebody has lowered the group's reads, and nobody has listened to the flag since.
    pub(super) lowered: Option<Lowered>,
    /// How often the flag has raised the group, or asked to, within the last hour.
    pub(super) raised_lately: usize,
}

/// What the flag has said since somebody lowered the group's reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lowered {
    /// What it said then.
    pub(super) spent: Percentage,
    /// For how long it has said what it says now, at every look since.
    pub(super) stood: Duration,
}

/// What a flag must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a value must have stood before it raises a group that somebody has lowered or rolled back.
    pub settle: Duration,
    /// Raises of one group within an hour.
    pub raises_per_hour: usize,
    /// Whether flags raise reads though gates of the group do not hold.
    pub past_gates: bool,
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
    /// The flag says something else since, and not for long enough.
    Unsettled,
    /// It has raised the group often enough for this hour.
    TooOften,
}

impl Verdict {
    /// What a person should know of a flag that says `wanted` and is not listened to; nothing where there is nothing.
    pub(super) fn notice(self, wanted: Percentage, limits: &Limits) -> Option<String> {
        let (settle, often) = (spoken(limits.settle), limits.raises_per_hour);
        let why = match self {
            Self::Set | Self::AlreadySo | Self::OtherStage => return None,
            Self::UnderPromotion => "is not listened to while a promotion is under way".to_owned(),
            Self::Spent => {
                "is not listened to: it said so when somebody lowered the reads. Change the flag, or set the percentage by hand"
                    .to_owned()
            }
            Self::Unsettled => {
                format!("is not listened to yet: somebody has lowered the reads, so a value must stand for {settle} first")
            }
            Self::TooOften => {
                format!("is not listened to: it has raised the group {often} times within an hour. It may lower it at any time")
            }
        };
        Some(format!("The flag says {wanted} and {why}."))
    }
}

pub(super) fn decide(known: &Known, wanted: Percentage, limits: &Limits) -> Verdict {
    if known.policy.stage() != Stage::Shift {
        return Verdict::OtherStage;
    }
    if known.promoting {
        return Verdict::UnderPromotion;
    }
    let reads = known.policy.reads();
    if reads == wanted {
        return Verdict::AlreadySo;
    }
    if known.lowered.is_some_and(|lowered| lowered.spent == wanted) {
        return Verdict::Spent;
    }
    // Less of modern is safer: at once, whatever comes after it.
    if wanted < reads {
        return Verdict::Set;
    }
    if known.lowered.is_some_and(|lowered| lowered.stood < limits.settle) {
        Verdict::Unsettled
    } else if known.raised_lately >= limits.raises_per_hour {
        Verdict::TooOften
    } else {
        Verdict::Set
    }
}

/// How often `ours` has raised the group since `since`. `history` is the group's, newest first.
pub(super) fn raises(history: &[RolloutRecord], group: &GroupName, ours: &str, since: Instant) -> usize {
    let reads = |record: &RolloutRecord| record.rollout.policy(group).reads();
    let raised = |pair: &&[RolloutRecord]| {
        pair[0].author.who == ours && pair[0].at >= since && reads(&pair[0]) > reads(&pair[1])
    };
    history.windows(2).filter(raised).count()
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
    use model::{Epoch, Rollout};
    use serde_json::Value as Json;

    use super::*;

    fn share(percent: f64) -> Percentage {
        percent.try_into().unwrap()
    }

    fn policy(stage: Stage, reads: f64) -> Policy {
        Policy::new(stage, share(reads), Percentage::ZERO, Epoch(1)).unwrap()
    }

    const LIMITS: Limits = Limits { settle: Duration::from_secs(300), raises_per_hour: 3, past_gates: false };

    #[test]
    fn a_flag_sets_reads_in_stage_shift_only_and_never_against_a_promotion_or_a_rollback() {
        let known = |stage, reads, promoting, spent: Option<f64>| Known {
            policy: policy(stage, reads),
            promoting,
            lowered: spent.map(|spent| Lowered { spent: share(spent), stood: Duration::from_secs(300) }),
            raised_lately: 0,
        };
        let decide = |known: Known, wanted| decide(&known, wanted, &LIMITS);
        let wanted = share(25.0);
        let shift = Stage::Shift;
        assert_eq!(decide(known(shift, 0.0, false, None), wanted), Verdict::Set);
        assert_eq!(decide(known(shift, 50.0, false, None), wanted), Verdict::Set);
        assert_eq!(decide(known(shift, 0.0, false, Some(10.0)), wanted), Verdict::Set);
        assert_eq!(decide(known(shift, 0.0, false, Some(25.0)), wanted), Verdict::Spent);
        assert_eq!(decide(known(shift, 0.0, true, None), wanted), Verdict::UnderPromotion);
        assert_eq!(decide(known(shift, 25.0, false, None), wanted), Verdict::AlreadySo);
        for stage in [Stage::Legacy, Stage::DualWrite, Stage::Shadow] {
            assert_eq!(decide(known(stage, 0.0, false, None), wanted), Verdict::OtherStage);
        }
    }

    #[test]
    fn after_a_lowering_only_what_has_stood_raises_and_anything_lowers() {
        let known = |reads, stood, raised_lately| Known {
            policy: policy(Stage::Shift, reads),
            promoting: false,
            lowered: Some(Lowered { spent: share(25.0), stood: Duration::from_secs(stood) }),
            raised_lately,
        };
        assert_eq!(decide(&known(0.0, 299, 0), share(10.0), &LIMITS), Verdict::Unsettled);
        assert_eq!(decide(&known(0.0, 300, 0), share(10.0), &LIMITS), Verdict::Set);
        assert_eq!(decide(&known(0.0, 300, 3), share(10.0), &LIMITS), Verdict::TooOften);
        assert_eq!(decide(&known(20.0, 0, 99), share(10.0), &LIMITS), Verdict::Set, "less of modern");
        let free = Known { lowered: None, ..known(0.0, 0, 3) };
        assert_eq!(decide(&free, share(10.0), &LIMITS), Verdict::TooOften);
        assert_eq!(decide(&Known { raised_lately: 2, ..free }, share(10.0), &LIMITS), Verdict::Set);
        let said = Verdict::Unsettled.notice(share(10.0), &LIMITS).unwrap();
        assert!(said.contains("The flag says 10 %") && said.contains("must stand for 5 min"), "{said}");
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
        assert_eq!(lowered(&[record(4, "flag", 5.0, false), record(3, "guard", 0.0, true), ours.clone()]), None);
        assert_eq!(lowered(&[record(2, "ada", 0.0, true), first.clone()]), Some(2), "also when there were no reads");
        let history =
            [record(4, "flag", 25.0, false), record(3, "flag", 5.0, false), record(2, "flag", 25.0, false), first];
        let (early, late) = (Instant::parse("2026-01-31T08:00:00Z"), Instant::parse("2026-01-31T08:00:01Z"));
        assert_eq!(raises(&history, &group, "flag", early.unwrap()), 2, "lowering is free");
        assert_eq!(raises(&history, &group, "flag", late.unwrap()), 0);
    }
}
