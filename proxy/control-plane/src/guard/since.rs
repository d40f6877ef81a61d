//! Since when each group is as it is: read from the history of rollouts.
//!
//! All replicas must agree, so that they make one rollback together: hence not by what a replica
//! happened to see, but by what is written. Only a replica that starts while the control store is down
//! has to take the rollout it starts with for the last change.

use model::control::{ControlError, ControlStore, RolloutRecord};
use model::{GroupName, Percentage, Policy, RolloutVersion};

use super::cut::Since;

/// How many changes back the beginning of a run is looked for; an older one is as good.
const LOOK_BACK: usize = 50;

/// Asks the history of `group`; `newest` is the rollout that this replica works under.
///
/// # Errors
/// As [`ControlStore::history`].
pub(super) async fn ask(
    control: &dyn ControlStore,
    group: &GroupName,
    newest: RolloutVersion,
) -> Result<Since, ControlError> {
    let history = control.history(Some(group), LOOK_BACK).await?;
    Ok(of(&history, group, newest))
}

/// From a history, newest first.
fn of(history: &[RolloutRecord], group: &GroupName, newest: RolloutVersion) -> Since {
    let known: Vec<_> = history.iter().filter(|record| record.rollout.version <= newest).collect();
    let Some(last) = known.first() else {
        return Since { change: newest, run: newest };
    };
    let kind = |policy: Policy| (policy.stage(), policy.reads() > Percentage::ZERO);
    let now = kind(last.rollout.policy(group));
    let run = known.iter().take_while(|record| kind(record.rollout.policy(group)) == now).last();
    let change = last.rollout.version;
    Since { change, run: run.map_or(change, |record| record.rollout.version) }
}

#[cfg(test)]
mod tests {
    use model::control::Author;
    use model::{Epoch, Instant, Rollout, Stage};

    use super::*;

    fn record(version: u64, stage: Stage, reads: f64) -> RolloutRecord {
        let policy = Policy::new(stage, reads.try_into().unwrap(), Percentage::ZERO, Epoch(1)).unwrap();
        RolloutRecord {
            rollout: Rollout { version: RolloutVersion(version), policies: [("inventory".into(), policy)].into() },
            at: Instant::parse("2026-01-31T08:00:00Z").unwrap(),
            author: Author { who: "ada".into(), origin: "desk".into(), reason: None },
            summary: String::new(),
            groups: vec!["inventory".into()],
            evidence: serde_json::Value::Null,
            overrides: Vec::new(),
            approved_by: None,
        }
    }

    #[test]
    fn a_run_begins_with_the_stage_or_with_the_first_read_after_a_rollback() {
        let history = [
            record(12, Stage::Shift, 25.0),
            record(9, Stage::Shift, 5.0),
            record(8, Stage::Shift, 0.0),
            record(5, Stage::Shift, 50.0),
            record(2, Stage::Shadow, 0.0),
        ];
        let since = |newest| {
            let since = of(&history, &"inventory".into(), RolloutVersion(newest));
            (since.change.0, since.run.0)
        };
        assert_eq!(since(13), (12, 9), "another group's change is none of ours");
        assert_eq!(since(11), (9, 9), "what this replica does not work under yet does not count");
        assert_eq!(since(8), (8, 8));
        assert_eq!(since(7), (5, 5));
        assert_eq!(since(1), (1, 1), "nothing is known");
    }
}
