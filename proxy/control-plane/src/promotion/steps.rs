//! What a promotion does next: takes a step, waits, or ends. Pure.

use std::time::Duration;

use model::control::{Promotion, Step};
use model::{Instant, Policy, Stage};

use super::gates::{Gate, closed};
use crate::spoken::spoken;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet, and why.
    Wait(String),
    /// Set reads to the step at this place.
    Take(usize, Step),
    /// The step at this place stands already: a replica that took it went away before it noted so.
    Note(usize, Step),
    /// The last step was held to its end.
    Finish,
    /// Somebody or something else changed the group.
    Stop(String),
}

/// Decides what `promotion` does next, under the group's `policy` and with its gates.
pub fn decide(promotion: &Promotion, policy: &Policy, gates: &[Gate], now: Instant) -> Next {
    let next = promotion.next();
    if let Some((place, step)) = next
        && policy.stage() == Stage::Shift
        && policy.reads() == step.reads
    {
        return Next::Note(place, step);
    }
    match (policy.stage(), promotion.step()) {
        (Stage::Shift, Some(step)) if policy.reads() != step.reads => {
            return Next::Stop(format!(
                "reads are {} instead of {}: somebody changed them",
                policy.reads(),
                step.reads
            ));
        }
        (Stage::Shadow | Stage::Shift, None) | (Stage::Shift, Some(_)) => {}
        (stage, _) => return Next::Stop(format!("the group is in stage {stage}: a promotion walks in stage shift")),
    }
    let held = (now.to_utc() - promotion.since.to_utc()).to_std().unwrap_or(Duration::ZERO);
    let hold = promotion.step().map_or(Duration::ZERO, |step| step.hold);
    if held < hold {
        let left = spoken(hold - held);
        let what = next.map_or_else(|| "it is done".to_owned(), |(_, step)| format!("{} may follow", step.reads));
        return Next::Wait(format!("holding {}: in {left} {what}", policy.reads()));
    }
    let Some((place, step)) = next else { return Next::Finish };
    match closed(gates).as_str() {
        "" => Next::Take(place, step),
        closed => Next::Wait(format!("{} waits for: {closed}", step.reads)),
    }
}

#[cfg(test)]
mod tests {
    use model::control::{Author, Progress};
    use model::{Epoch, Percentage};

    use super::super::gates::GateState;
    use super::*;

    fn share(percent: f64) -> Percentage {
        Percentage::try_from(percent).unwrap()
    }

    fn at(second: i64) -> Instant {
        Instant::new(chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap())
    }

    fn promotion(at_step: Option<usize>) -> Promotion {
        let step = |percent| Step { reads: share(percent), hold: Duration::from_secs(60) };
        Promotion {
            group: "inventory".into(),
            steps: vec![step(1.0), step(25.0), step(100.0)],
            at_step,
            since: at(0),
            since_rollout: None,
            author: Author { who: "ada".into(), origin: "desk".into(), reason: None },
            approved_by: None,
            progress: Progress::Running,
            said: String::new(),
            revision: 1,
        }
    }

    fn shift(percent: f64) -> Policy {
        Policy::new(Stage::Shift, share(percent), Percentage::FULL, Epoch(1)).unwrap()
    }

    fn gates(open: bool) -> Vec<Gate> {
        let state = if open { GateState::Pass } else { GateState::Unknown };
        vec![Gate { name: "mismatches", state, figure: String::new(), limit: String::new(), sentence: String::new() }]
    }

    #[test]
    fn a_step_is_taken_after_its_hold_and_only_through_open_gates() {
        let step = |percent| Step { reads: share(percent), hold: Duration::from_secs(60) };
        assert_eq!(decide(&promotion(None), &shift(0.0), &gates(true), at(0)), Next::Take(0, step(1.0)));
        assert_eq!(
            decide(&promotion(None), &shift(0.0), &gates(false), at(0)),
            Next::Wait("1 % waits for: mismatches".into())
        );
        let early = decide(&promotion(Some(0)), &shift(1.0), &gates(true), at(59));
        assert_eq!(early, Next::Wait("holding 1 %: in 1 s 25 % may follow".into()));
        assert_eq!(decide(&promotion(Some(0)), &shift(1.0), &gates(true), at(60)), Next::Take(1, step(25.0)));
        assert!(matches!(decide(&promotion(Some(0)), &shift(1.0), &gates(false), at(9_999)), Next::Wait(_)));
        assert!(matches!(decide(&promotion(Some(2)), &shift(100.0), &gates(true), at(59)), Next::Wait(_)));
        // The last hold needs no gates: there is no further step that they could keep from being taken.
        assert_eq!(decide(&promotion(Some(2)), &shift(100.0), &gates(false), at(60)), Next::Finish);
    }

    #[test]
    fn a_step_that_was_taken_and_not_noted_is_noted_and_not_taken_for_a_strangers() {
        let noted = decide(&promotion(Some(0)), &shift(25.0), &gates(false), at(61));
        assert!(matches!(noted, Next::Note(1, _)), "{noted:?}");
    }

    #[test]
    fn a_group_that_somebody_changed_is_left_alone() {
        let rolled_back = decide(&promotion(Some(1)), &shift(0.0), &gates(true), at(999));
        assert!(matches!(&rolled_back, Next::Stop(why) if why.contains("0 % instead of 25 %")), "{rolled_back:?}");
        let legacy = decide(&promotion(None), &Policy::initial(), &gates(true), at(0));
        assert!(matches!(&legacy, Next::Stop(why) if why.contains("stage legacy")), "{legacy:?}");
    }

    #[test]
    fn a_clock_that_goes_back_only_makes_it_wait() {
        assert!(matches!(decide(&promotion(Some(0)), &shift(1.0), &gates(true), at(-1_000)), Next::Wait(_)));
    }
}
