//! What a replica knows about the rollout: the newest one it has seen, handovers that the fences have told of and that it
//! does not have yet, and rollbacks that were told directly and that the control store may not have yet. Pure.

use std::collections::BTreeMap;

use model::control::{Author, OverrideId};
use model::{Epoch, GroupName, Holder, Instant, Policy, Rollout, Side};
use serde::{Deserialize, Serialize};

use super::lineage;

/// A rollback told to replicas directly. It holds until a rollout takes it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Names it, on every replica and in the control store.
    pub id: OverrideId,
    /// The group whose reads go back to legacy.
    pub group: GroupName,
    /// Who, from where, why.
    pub author: Author,
    /// When this replica was told, by its own clock.
    pub at: Instant,
    /// The epoch under which modern was primary when this replica was told: then it changes nothing. Left out where
    /// legacy was, as older releases know nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_under: Option<Epoch>,
}

/// Who has the authority over a group, as the fences say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handed {
    to: Side,
    epoch: Epoch,
    /// Whether nobody keeps the other side equal any more. Left out where it is not so, as older releases know nothing
    /// of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    alone: bool,
}

impl From<Handed> for Holder {
    fn from(Handed { to, epoch, alone }: Handed) -> Self {
        Self { side: to, epoch, alone }
    }
}

/// The newest rollout seen, and the handovers and overrides on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    base: Rollout,
    pending: Vec<Override>,
    /// Handovers that `base` does not have.
    #[serde(default)]
    handed: BTreeMap<GroupName, Handed>,
    /// The rollouts that `base` comes from, by their hashes.
    #[serde(default)]
    past: Vec<String>,
    /// Whether a newer one was lost: until the control store tells, legacy answers all reads that it may.
    #[serde(skip)]
    doubted: bool,
}

/// What became of a rollout that the control store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It was newer and is now the base.
    Newer,
    /// We have it already.
    Same,
    /// It is older than ours, or another one under our version: the control store has forgotten.
    /// Ours stays.
    Forgetful,
}

impl Known {
    /// Begins with a rollout and no overrides.
    pub fn new(base: Rollout) -> Self {
        Self { base, pending: Vec::new(), handed: BTreeMap::new(), past: Vec::new(), doubted: false }
    }

    /// The newest rollout seen, without overrides.
    pub fn base(&self) -> &Rollout {
        &self.base
    }

    /// Whether a rollout that comes from these may follow ours: ours is among them.
    pub(super) fn leads_to(&self, lineage: &[String]) -> bool {
        lineage.contains(&lineage::hash(&self.base))
    }

    /// Whether ours comes from `other`.
    pub(super) fn comes_from(&self, other: &Rollout) -> bool {
        self.past.contains(&lineage::hash(other))
    }

    /// Whether it is not known what ours comes from.
    pub(super) fn has_no_past(&self) -> bool {
        self.past.is_empty()
    }

    /// Remembers which rollouts the newest one comes from.
    pub(super) fn remember(&mut self, lineage: &[String]) {
        self.past = lineage.iter().take(lineage::REMEMBERED).cloned().collect();
    }

    /// Says that a newer one was lost, or may have been: the safer answer is legacy's, until the control store tells.
    pub(super) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Whether a newer one may have been lost.
    pub fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// The overrides that no rollout has taken in yet, as far as we know.
    pub fn pending(&self) -> &[Override] {
        &self.pending
    }

    /// What this replica works under: the newest rollout, with every handover and override applied.
    pub fn effective(&self) -> Rollout {
        let mut rollout = self.base.clone();
        for (group, policy) in &mut rollout.policies {
            *policy = self.on_top(group, *policy);
        }
        rollout
    }

    /// The policy that `group` is under.
    pub fn policy(&self, group: &GroupName) -> Policy {
        self.on_top(group, self.base.policy(group))
    }

    fn on_top(&self, group: &GroupName, published: Policy) -> Policy {
        let handed = self.handed.get(group).map_or(published, |handed| published.following((*handed).into()));
        let rolled_back = self.doubted || self.pending.iter().any(|pending| pending.group == *group);
        if rolled_back { handed.rolled_back() } else { handed }
    }

    /// Takes in what the fences say of `group`; false when that is no news.
    pub fn hear(&mut self, group: &GroupName, holder: Holder) -> bool {
        let Holder { side: to, epoch, alone } = holder;
        let news = self.base.policies.contains_key(group) && epoch > self.policy(group).epoch();
        if news {
            self.handed.insert(group.clone(), Handed { to, epoch, alone });
        }
        news
    }

    /// Takes a rollout of the control store, unless it is older, and lets go of the overrides that
    /// it or an earlier one took in. Both in one step: between them the old percentage would return.
    pub fn adopt(&mut self, newest: Rollout, taken_in: &[OverrideId]) -> Adopted {
        let adopted = if newest.version > self.base.version {
            Adopted::Newer
        } else if newest == self.base {
            Adopted::Same
        } else {
            return Adopted::Forgetful;
        };
        self.base = newest;
        self.doubted = false;
        let base = &self.base;
        self.handed.retain(|group, handed| handed.epoch > base.policy(group).epoch());
        self.pending.retain(|pending| !taken_in.contains(&pending.id));
        adopted
    }

    /// Adds an override; false when it is there already. While modern is primary it changes nothing, and says so.
    pub fn add(&mut self, new: Override) -> bool {
        if self.pending.iter().any(|pending| pending.id == new.id) {
            return false;
        }
        let policy = self.policy(&new.group);
        let idle_under = (policy.primary() == Side::Modern).then(|| policy.epoch());
        self.pending.push(Override { idle_under, ..new });
        true
    }

    /// Who has the authority over `group` as the fences said, where the newest rollout does not say it.
    pub fn heard(&self, group: &GroupName) -> Option<Holder> {
        self.handed.get(group).map(|handed| (*handed).into())
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, Percentage, RolloutVersion, Stage};
    use uuid::Uuid;

    use super::*;

    fn rollout(version: u64, reads: f64) -> Rollout {
        let policy = Policy::new(Stage::Shift, reads.try_into().unwrap(), Percentage::FULL, Epoch(1)).unwrap();
        Rollout { version: RolloutVersion(version), policies: [("inventory".into(), policy)].into() }
    }

    fn rollback(group: &str) -> Override {
        Override {
            id: OverrideId(Uuid::new_v4()),
            group: group.into(),
            author: Author { who: "ada".into(), origin: "desk".into(), reason: None },
            at: Instant::parse("2026-01-31T08:00:00Z").unwrap(),
            idle_under: None,
        }
    }

    fn reads(known: &Known) -> f64 {
        let policy = known.effective().policy(&"inventory".into());
        assert_eq!(policy, known.policy(&"inventory".into()));
        policy.reads().into()
    }

    #[test]
    fn an_older_rollout_never_replaces_a_newer_one() {
        let mut known = Known::new(rollout(7, 25.0));
        assert_eq!(known.adopt(rollout(6, 50.0), &[]), Adopted::Forgetful);
        assert_eq!(known.adopt(rollout(7, 50.0), &[]), Adopted::Forgetful);
        assert_eq!(known.adopt(rollout(7, 25.0), &[]), Adopted::Same);
        assert!((reads(&known) - 25.0).abs() < 1e-9);
        assert_eq!(known.adopt(rollout(8, 50.0), &[]), Adopted::Newer);
        assert!((reads(&known) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_pending_override_holds_against_any_rollout_that_did_not_take_it_in() {
        let mut known = Known::new(rollout(7, 25.0));
        let rollback = rollback("inventory");
        assert!(known.add(rollback.clone()));
        assert!(!known.add(rollback.clone()));
        assert_eq!(reads(&known), 0.0);
        known.adopt(rollout(8, 50.0), &[]);
        assert_eq!(reads(&known), 0.0);
        // Taken in by 9; somebody has raised reads again in 10: that is what holds now.
        known.adopt(rollout(10, 10.0), &[rollback.id]);
        assert!((reads(&known) - 10.0).abs() < 1e-9);
        assert!(known.pending().is_empty());
    }

    #[test]
    fn a_forgetful_control_store_does_not_end_an_override() {
        let mut known = Known::new(rollout(7, 25.0));
        let rollback = rollback("inventory");
        known.add(rollback.clone());
        assert_eq!(known.adopt(rollout(3, 50.0), &[rollback.id]), Adopted::Forgetful);
        assert_eq!(reads(&known), 0.0);
    }

    #[test]
    fn a_handover_that_the_fences_tell_of_holds_until_a_rollout_has_it() {
        let mut known = Known::new(rollout(7, 25.0));
        let group = GroupName::from("inventory");
        assert!(!known.hear(&group, holder(Side::Legacy, 1)), "no news");
        assert!(!known.hear(&"nobody".into(), holder(Side::Modern, 9)));
        assert!(known.hear(&group, holder(Side::Modern, 2)));
        assert!(!known.hear(&group, holder(Side::Modern, 2)));
        assert_eq!((known.policy(&group).primary(), known.policy(&group).epoch()), (Side::Modern, Epoch(2)));
        // Somebody who had not heard of it changed a percentage meanwhile.
        known.adopt(rollout(8, 50.0), &[]);
        assert_eq!(known.effective().policy(&group).primary(), Side::Modern);
        let mut published = rollout(9, 50.0);
        for policy in published.policies.values_mut() {
            *policy = policy.handed_to(Side::Modern, Epoch(2)).handed_to(Side::Legacy, Epoch(3));
        }
        known.adopt(published.clone(), &[]);
        assert_eq!(known.effective(), published);
        assert!(!known.hear(&group, holder(Side::Modern, 2)), "old news");
    }

    #[test]
    fn the_end_of_dual_write_is_heard_and_kept_through_a_restart() {
        let mut known = Known::new(rollout(7, 25.0));
        let group = GroupName::from("inventory");
        assert!(known.hear(&group, holder(Side::Modern, 2)));
        assert!(!serde_json::to_string(&known).unwrap().contains("alone"), "an older release reads it");
        assert!(known.hear(&group, Holder { alone: true, ..holder(Side::Modern, 4) }));
        let kept: Known = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
        assert_eq!((kept.policy(&group).stage(), kept.policy(&group).epoch()), (Stage::Modern, Epoch(4)));
        assert_eq!(kept, known);
    }

    fn holder(side: Side, epoch: u32) -> Holder {
        Holder { side, epoch: Epoch(epoch), alone: false }
    }

    #[test]
    fn an_override_of_another_or_unknown_group_changes_nothing_here() {
        let mut known = Known::new(rollout(7, 25.0));
        known.add(rollback("nobody"));
        assert!((reads(&known) - 25.0).abs() < 1e-9);
    }
}
