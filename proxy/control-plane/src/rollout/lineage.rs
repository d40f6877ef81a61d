//! Which rollouts a rollout comes from. A version is only a number: a control store that was restored to an earlier copy
//! counts on from there, and gives the numbers again that replicas work under already.
//!
//! A replica follows a newer rollout only if its own is among those it comes from. Where it is not, both are merged to the
//! safer of each, which raises no percentage, and what was lost is named in the record. Pure.

use std::collections::BTreeMap;

use model::control::RolloutRecord;
use model::{GroupName, Policy, Rollout, Stage};

/// The rollouts that are remembered as those that the newest one comes from.
pub(super) const REMEMBERED: usize = 256;

/// Names a rollout by what it says.
pub(super) fn hash(rollout: &Rollout) -> String {
    let text = serde_json::to_vec(rollout).expect("a map with text keys is JSON");
    blake3::hash(&text).to_hex().to_string()
}

/// Where a record says which rollouts it takes in that the control store had lost.
pub(super) const RESTORES: &str = "restores";

/// The hashes of `records`, and of what they took in.
pub(super) fn lineage(records: &[RolloutRecord]) -> Vec<String> {
    let own = records.iter().map(|record| hash(&record.rollout));
    let taken_in = records.iter().filter_map(|record| record.evidence[RESTORES].as_array()).flatten();
    own.chain(taken_in.filter_map(|hash| hash.as_str().map(str::to_owned))).collect()
}

/// Of two histories, for each group the policy that asks less of modern.
pub(super) fn safer(ours: &Rollout, theirs: &Rollout) -> BTreeMap<GroupName, Policy> {
    let mut policies = theirs.policies.clone();
    for (group, own) in &ours.policies {
        let merged = theirs.policies.get(group).map_or(*own, |other| safer_policy(own, other));
        policies.insert(group.clone(), merged);
    }
    policies
}

fn safer_policy(ours: &Policy, theirs: &Policy) -> Policy {
    // Epochs are the fences' own: whoever has seen more handovers knows who is primary.
    if theirs.epoch() > ours.epoch() {
        return *theirs;
    }
    // The stage stays ours: one that no longer dual-writes is not safer.
    if theirs.epoch() == ours.epoch() && theirs.reads() < ours.reads() && ours.stage() == Stage::Shift {
        let lower = Policy::new(Stage::Shift, theirs.reads(), ours.shadow(), ours.epoch());
        return lower.unwrap_or_else(|_| ours.rolled_back());
    }
    *ours
}

#[cfg(test)]
mod tests {
    use model::{Epoch, Percentage, RolloutVersion};

    use super::*;

    fn policy(stage: Stage, reads: f64, epoch: u32) -> Policy {
        Policy::new(stage, reads.try_into().unwrap(), Percentage::ZERO, Epoch(epoch)).unwrap()
    }

    fn rollout(policy: Policy) -> Rollout {
        Rollout { version: RolloutVersion(4), policies: [("inventory".into(), policy)].into() }
    }

    #[test]
    fn of_two_histories_the_one_that_asks_less_of_modern_holds_and_no_dual_write_ends() {
        let (full, none) = (policy(Stage::Shift, 100.0, 1), policy(Stage::Shift, 0.0, 1));
        let merged = |ours, theirs| safer(&rollout(ours), &rollout(theirs))[&GroupName::from("inventory")];
        assert_eq!(merged(none, full), none);
        assert_eq!(merged(full, none), none);
        // A copy from before the migration began would end dual-write.
        assert_eq!(merged(full, policy(Stage::Legacy, 0.0, 1)), none);
        // A handover that one of them has not heard of.
        let reverse = policy(Stage::Reverse, 100.0, 2);
        assert_eq!(merged(reverse, none), reverse);
        assert_eq!(merged(full, reverse), reverse);
        assert_eq!(merged(reverse, reverse), reverse);
        // A group that only one of them has is kept.
        let both =
            safer(&rollout(none), &Rollout { version: RolloutVersion(9), policies: [("new".into(), full)].into() });
        assert_eq!(both.len(), 2);
    }
}
