//! From a policy and an operator's wish to the next policy. Pure.
//!
//! What the wish leaves out is filled in like this:
//! - no stage: the stage stays;
//! - no reads: they stay while the stage stays `shift`; entering `shift` begins at 0 %; every other
//!   stage has 0 %;
//! - no shadow: it stays between `shadow` and `shift`; entering either from elsewhere begins at
//!   100 %, since nothing is known yet; every other stage has none.

use model::policy::InvalidPolicy;
use model::{Percentage, Policy, Stage};
use thiserror::Error;

/// What an operator wants. What is left out is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetPolicy {
    /// The stage.
    pub stage: Option<Stage>,
    /// Share of keys that modern answers.
    pub reads: Option<Percentage>,
    /// Share of reads that are also asked of the other side.
    pub shadow: Option<Percentage>,
}

/// Why a wish cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Nothing is to be set.
    #[error("nothing to set: give --stage, --reads or --shadow")]
    Nothing,
    /// The stage changes the authority for writes.
    #[error(
        "going from stage `{from}` to `{to}` changes the authority for writes: use `strangler groups handover GROUP --to {}`", .to.primary()
    )]
    Handover {
        /// The stage that the group is in.
        from: Stage,
        /// The stage that was asked for.
        to: Stage,
    },
    /// The last stage.
    #[error(
        "stage `modern` is the point of no return: legacy has had no write since. To leave it, legacy would have to be filled anew from modern, as modern once was from legacy, which strangler does not do"
    )]
    NoReturn,
    /// The stage ends the dual write.
    #[error("stage `modern` ends the dual write: {}", before_modern(.from))]
    Alone {
        /// The stage that the group is in.
        from: Stage,
    },
    /// Stage and percentages do not go together.
    #[error(transparent)]
    Invalid(#[from] InvalidPolicy),
}

/// What has to be done first.
fn before_modern(from: &Stage) -> &'static str {
    match from {
        Stage::Reverse => "it is an order of its own, which a second person approves",
        Stage::Legacy | Stage::DualWrite | Stage::Shadow | Stage::Shift => {
            "it is entered from stage `reverse`, so use `strangler groups handover GROUP --to modern` first"
        }
        Stage::Modern => "it is there",
    }
}

/// The policy that follows `current` under the wish `set`. It may be the same one.
///
/// # Errors
/// [`Refused`] with a sentence that says what to do.
pub fn propose(current: &Policy, set: &SetPolicy) -> Result<Policy, Refused> {
    if *set == SetPolicy::default() {
        return Err(Refused::Nothing);
    }
    let stage = set.stage.unwrap_or(current.stage());
    if current.stage() == Stage::Modern {
        let reads = set.reads.unwrap_or(current.reads());
        let same = Policy::new(stage, reads, set.shadow.unwrap_or(current.shadow()), current.epoch());
        return if same.as_ref() == Ok(current) { Ok(*current) } else { Err(Refused::NoReturn) };
    }
    if stage == Stage::Modern {
        return Err(Refused::Alone { from: current.stage() });
    }
    if current.primary() != stage.primary() {
        return Err(Refused::Handover { from: current.stage(), to: stage });
    }
    // Of the stages that are left, these two can have reads on modern.
    let stays = stage == current.stage() && matches!(stage, Stage::Shift | Stage::Reverse);
    let reads = set.reads.unwrap_or(if stays { current.reads() } else { Percentage::ZERO });
    let shadow = set.shadow.unwrap_or(match (current.stage().shadows(), stage.shadows()) {
        (true, true) => current.shadow(),
        (false, true) => Percentage::FULL,
        (_, false) => Percentage::ZERO,
    });
    Ok(Policy::new(stage, reads, shadow, current.epoch())?)
}

/// One line for people: `stage shadow -> shift, reads 0 % -> 12.5 %`; `no change` when nothing differs.
pub fn describe(before: &Policy, after: &Policy) -> String {
    let mut changes = Vec::new();
    if before.stage() != after.stage() {
        changes.push(format!("stage {} -> {}", before.stage(), after.stage()));
    }
    if before.reads() != after.reads() {
        changes.push(format!("reads {} -> {}", before.reads(), after.reads()));
    }
    if before.shadow() != after.shadow() {
        changes.push(format!("shadow {} -> {}", before.shadow(), after.shadow()));
    }
    if before.primary() != after.primary() {
        changes.push(format!("primary {} -> {}", before.primary(), after.primary()));
    }
    if before.epoch() != after.epoch() {
        changes.push(format!("epoch {} -> {}", before.epoch().0, after.epoch().0));
    }
    if changes.is_empty() { "no change".to_owned() } else { changes.join(", ") }
}

#[cfg(test)]
mod tests {
    use model::Epoch;
    use proptest::prelude::*;

    use super::*;

    const ROAD: [Stage; 4] = [Stage::Legacy, Stage::DualWrite, Stage::Shadow, Stage::Shift];

    fn percent() -> impl Strategy<Value = Percentage> {
        (0..=10_000u16).prop_map(|points| Percentage::try_from(f64::from(points) / 100.0).unwrap())
    }

    fn policy() -> impl Strategy<Value = Policy> {
        (prop::sample::select(ROAD.to_vec()), percent(), percent()).prop_map(|(stage, reads, shadow)| {
            let reads = if stage == Stage::Shift { reads } else { Percentage::ZERO };
            let shadow = if stage.shadows() { shadow } else { Percentage::ZERO };
            Policy::new(stage, reads, shadow, Epoch(1)).unwrap()
        })
    }

    fn wish() -> impl Strategy<Value = SetPolicy> {
        let stage = prop::option::of(prop::sample::select(Stage::ALL.to_vec()));
        (stage, prop::option::of(percent()), prop::option::of(percent())).prop_map(|(stage, reads, shadow)| SetPolicy {
            stage,
            reads,
            shadow,
        })
    }

    proptest! {
        #[test]
        fn what_was_asked_for_is_granted_to_the_letter_or_refused(current in policy(), set in wish()) {
            if let Ok(next) = propose(&current, &set) {
                prop_assert!(set.stage.is_none_or(|stage| stage == next.stage()));
                prop_assert!(set.reads.is_none_or(|reads| reads == next.reads()));
                prop_assert!(set.shadow.is_none_or(|shadow| shadow == next.shadow()));
                prop_assert_eq!(next.epoch(), current.epoch());
                prop_assert_eq!(next.primary(), current.primary());
            }
        }

        #[test]
        fn reads_are_never_raised_unless_asked_for(current in policy(), set in wish()) {
            if let Ok(next) = propose(&current, &set) {
                prop_assert!(set.reads.is_some() || next.reads() <= current.reads());
            }
        }

        #[test]
        fn every_stage_before_the_handover_is_reached_from_every_other(current in policy(), to in prop::sample::select(ROAD.to_vec())) {
            let set = SetPolicy { stage: Some(to), ..SetPolicy::default() };
            let next = propose(&current, &set).unwrap();
            prop_assert_eq!(next.stage(), to);
            prop_assert_eq!(propose(&next, &set).unwrap(), next);
        }

        #[test]
        fn a_change_of_authority_is_refused(current in policy(), to in prop::sample::select(vec![Stage::Reverse, Stage::Modern])) {
            let set = SetPolicy { stage: Some(to), ..SetPolicy::default() };
            let refused = propose(&current, &set).unwrap_err();
            match to {
                Stage::Modern => prop_assert_eq!(refused, Refused::Alone { from: current.stage() }),
                _ => prop_assert_eq!(refused, Refused::Handover { from: current.stage(), to }),
            }
        }
    }

    #[test]
    fn while_modern_is_primary_only_the_shadow_share_is_set_and_the_way_back_is_told() {
        let reverse = Policy::new(Stage::Reverse, Percentage::FULL, percentage("5"), Epoch(2)).unwrap();
        let shadow = SetPolicy { shadow: Some(percentage("50")), ..SetPolicy::default() };
        let set = propose(&reverse, &shadow).unwrap();
        assert_eq!(
            (set.stage(), set.reads(), set.shadow(), set.epoch()),
            (Stage::Reverse, Percentage::FULL, percentage("50"), Epoch(2))
        );
        let reads = SetPolicy { reads: Some(percentage("50")), ..SetPolicy::default() };
        assert!(matches!(propose(&reverse, &reads), Err(Refused::Invalid(_))));
        let back = SetPolicy { stage: Some(Stage::Shift), ..SetPolicy::default() };
        assert!(propose(&reverse, &back).unwrap_err().to_string().contains("handover GROUP --to legacy"));
    }

    #[test]
    fn nothing_leads_out_of_modern_and_the_refusal_says_what_would_have_to_be_done() {
        let modern = Policy::new(Stage::Modern, Percentage::FULL, Percentage::ZERO, Epoch(4)).unwrap();
        for to in Stage::ALL {
            let set = SetPolicy { stage: Some(to), ..SetPolicy::default() };
            let proposed = propose(&modern, &set);
            if to == Stage::Modern {
                assert_eq!(proposed, Ok(modern));
            } else {
                assert!(proposed.unwrap_err().to_string().contains("filled anew from modern"), "{to}");
            }
        }
        let reads = SetPolicy { reads: Some(percentage("50")), ..SetPolicy::default() };
        assert_eq!(propose(&modern, &reads), Err(Refused::NoReturn));
    }

    fn percentage(text: &str) -> Percentage {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_left_out_is_filled_in_as_documented() {
        let stage = |stage| SetPolicy { stage: Some(stage), ..SetPolicy::default() };
        let shadow = propose(&Policy::initial(), &stage(Stage::Shadow)).unwrap();
        assert_eq!((shadow.reads(), shadow.shadow()), (Percentage::ZERO, Percentage::FULL));
        let tenth = propose(&shadow, &SetPolicy { shadow: Some(percentage("10")), ..SetPolicy::default() }).unwrap();
        let shift = propose(&tenth, &stage(Stage::Shift)).unwrap();
        assert_eq!((shift.reads(), shift.shadow()), (Percentage::ZERO, percentage("10")));
        let quarter = propose(&shift, &SetPolicy { reads: Some(percentage("25")), ..SetPolicy::default() }).unwrap();
        assert_eq!((quarter.reads(), quarter.shadow()), (percentage("25"), percentage("10")));
        let back = propose(&quarter, &stage(Stage::DualWrite)).unwrap();
        assert_eq!((back.reads(), back.shadow()), (Percentage::ZERO, Percentage::ZERO));
        assert_eq!(describe(&quarter, &back), "stage shift -> dual-write, reads 25 % -> 0 %, shadow 10 % -> 0 %");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let reads = SetPolicy { reads: Some(percentage("5")), ..SetPolicy::default() };
        let text = propose(&Policy::initial(), &reads).unwrap_err().to_string();
        assert!(text.contains("use stage `shift`"), "{text}");
        assert_eq!(propose(&Policy::initial(), &SetPolicy::default()), Err(Refused::Nothing));
    }
}
