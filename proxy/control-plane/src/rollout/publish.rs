//! Publishing: an operator's change, a rollback, a first rollout, or one that the store has forgotten.
//!
//! Each is a compare-and-swap on the newest rollout, with a record of who, from where, why, and the
//! evidence at that moment. Lost races are run again on the new newest one, unless the very policy
//! that was to be changed was changed by somebody else.

use std::collections::BTreeMap;

use model::control::{
    Approval, Author, ControlError, ControlStore, OverrideId, Publication, RolloutRecord, next_rollout,
};
use model::{GroupName, Holder, Policy, Rollout, RolloutVersion, Side};
use serde_json::{Value as Json, json};
use thiserror::Error;

use super::known::{Known, Override};
use super::lineage;
use super::propose::{Refused, SetPolicy, describe, propose};
use super::witness::Witness;

/// How often a lost race is run again.
pub(super) const ATTEMPTS: usize = 8;

/// Why a change was not made.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The wish cannot be granted; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No rollout was ever published; nothing was changed.
    #[error("there is no rollout yet: start `strangler serve`, or run `strangler init`")]
    NoRollout,
    /// Somebody else changed the same group meanwhile; nothing was changed.
    #[error("{who} changed group `{group}` meanwhile ({summary}): look at it and try again")]
    Overtaken {
        /// The group.
        group: GroupName,
        /// Who.
        who: String,
        /// What changed.
        summary: String,
    },
    /// Legacy only follows: it is no safer to answer from it. Nothing was changed.
    #[error("modern is primary of group `{group}` since rollout {version}: legacy only follows")]
    ModernIsPrimary {
        /// The group.
        group: GroupName,
        /// The rollout that says so.
        version: RolloutVersion,
    },
    /// The control store did not do it.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl ChangeError {
    pub(super) fn overtaken(group: &GroupName, by: RolloutRecord) -> Self {
        Self::Overtaken { group: group.clone(), who: by.author.who, summary: by.summary }
    }
}

/// What a second person says to a change.
#[derive(Debug, Clone, Copy)]
pub enum Consent<'a> {
    /// None is needed.
    NotNeeded,
    /// This person agreed before.
    Given(&'a str),
    /// This is agreed to by publishing it.
    Giving(&'a Approval),
}

impl<'a> Consent<'a> {
    /// The second person.
    pub fn who(self) -> Option<&'a str> {
        match self {
            Self::NotNeeded => None,
            Self::Given(who) => Some(who),
            Self::Giving(approval) => Some(&approval.by.who),
        }
    }

    /// The proposal that is approved with it.
    pub fn approves(self) -> Option<&'a Approval> {
        match self {
            Self::NotNeeded | Self::Given(_) => None,
            Self::Giving(approval) => Some(approval),
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is published under this version.
    Published {
        /// The record.
        record: Box<RolloutRecord>,
        /// The policy before.
        before: Policy,
    },
    /// Everything was so already; nothing was published.
    AlreadySo {
        /// The policy that stands.
        policy: Policy,
        /// Under this version.
        version: RolloutVersion,
    },
}

/// Publishes the first rollout. Another replica's first rollout is as good.
///
/// # Errors
/// As [`ControlStore::publish`], without `Conflict`.
pub async fn publish_initial(
    control: &dyn ControlStore,
    rollout: Rollout,
    origin: &str,
) -> Result<Rollout, ControlError> {
    let word = |(group, policy): (&GroupName, &Policy)| format!("{group} at stage {}", policy.stage());
    let summary = rollout.policies.iter().map(word).collect::<Vec<_>>().join(", ");
    let publication = Publication {
        expected: None,
        groups: rollout.policies.keys().cloned().collect(),
        rollout,
        author: own(origin, "first start"),
        summary: format!("first rollout: {summary}"),
        evidence: Json::Null,
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    };
    match control.publish(&publication).await {
        Ok(record) => Ok(record.rollout),
        Err(conflict @ ControlError::Conflict { .. }) => {
            let newest = control.newest().await?;
            newest.map(|record| record.rollout).ok_or(conflict)
        }
        Err(
            error @ (ControlError::Unreachable { .. }
            | ControlError::NoAnswer { .. }
            | ControlError::Decided
            | ControlError::Misfit { .. }),
        ) => Err(error),
    }
}

/// Publishes policies for those of `begun` that `newest` does not name, as their fences say; the newest rollout then.
///
/// # Errors
/// As [`ControlStore::publish`]; `Conflict` when somebody else published meanwhile: run it again.
pub async fn publish_new_groups(
    control: &dyn ControlStore,
    newest: Rollout,
    begun: &[(GroupName, Holder)],
    origin: &str,
) -> Result<Rollout, ControlError> {
    let new = begun.iter().filter(|(group, _)| !newest.policies.contains_key(group));
    let new = new.map(|(group, holder)| (group.clone(), Policy::initial().following(*holder)));
    let new: BTreeMap<_, _> = new.collect();
    if new.is_empty() {
        return Ok(newest);
    }
    let word = |(group, policy): (&GroupName, &Policy)| format!("{group} at stage {}", policy.stage());
    let publication = Publication {
        expected: Some(newest.version),
        rollout: next_rollout(&newest, &new),
        author: own(origin, "groups that no rollout named"),
        summary: format!("new groups: {}", new.iter().map(word).collect::<Vec<_>>().join(", ")),
        groups: new.into_keys().collect(),
        evidence: Json::Null,
        overrides: Vec::new(),
        approved_by: None,
        approves: None,
    };
    control.publish(&publication).await.map(|record| record.rollout)
}

/// Tells a control store that has forgotten rollouts (a restored backup, a new database) what this
/// replica works under, so that no percentage changes.
///
/// # Errors
/// As [`ControlStore::publish`]; `Conflict` when another replica was faster.
pub(super) async fn publish_forgotten(
    control: &dyn ControlStore,
    known: &Known,
    found: Option<&Rollout>,
    origin: &str,
) -> Result<RolloutRecord, ControlError> {
    let base = known.base();
    let effective = known.effective();
    let policies = match found {
        // What it holds is where ours comes from: it has only forgotten, and no percentage changes.
        Some(theirs) if !known.comes_from(theirs) => lineage::safer(&effective, theirs),
        Some(_) | None => effective.policies,
    };
    let found = found.map(|theirs| theirs.version);
    let version = RolloutVersion(found.map_or(base.version, |found| found.max(base.version)).0 + 1);
    let rollout = Rollout { version, policies };
    let forgot = found.map_or_else(|| "no rollout".to_owned(), |found| format!("version {found}"));
    let publication = Publication {
        expected: found,
        groups: rollout.policies.keys().cloned().collect(),
        rollout,
        author: own(origin, "the control store had forgotten rollouts that replicas work under"),
        summary: format!("restored version {} to a control store at {forgot}", base.version),
        // So that whoever works under what was lost follows this one.
        evidence: json!({ lineage::RESTORES: [lineage::hash(base)] }),
        overrides: known.pending().iter().map(|pending| pending.id).collect(),
        approved_by: None,
        approves: None,
    };
    control.publish(&publication).await
}

/// Publishes a rollback of `told.group`, unless a rollout has taken it in already. `heard`: who has the authority, as far
/// as the fences have said and the newest rollout perhaps does not.
///
/// A group that has no reads on modern is published all the same: the record is what tells replicas
/// that are late that this rollback is over, and promotions, proposals and handovers that were begun before it.
///
/// # Errors
/// [`ChangeError::NoRollout`], [`ChangeError::ModernIsPrimary`], [`ChangeError::Control`].
pub async fn publish_rollback(
    witness: &Witness,
    told: &Override,
    heard: Option<Holder>,
) -> Result<Change, ChangeError> {
    let evidence = witness.testify(&told.group).await;
    for _ in 0..ATTEMPTS {
        // In this order: what is published after `newest` makes the compare-and-swap fail.
        let newest = witness.control.newest().await?.ok_or(ChangeError::NoRollout)?.rollout;
        let taken_in = !witness.control.published(&[told.id]).await?.is_empty();
        let before = newest.policy(&told.group);
        if taken_in {
            return Ok(Change::AlreadySo { policy: before, version: newest.version });
        }
        let now =
            heard.filter(|holder| holder.epoch > before.epoch()).map_or(before, |holder| before.following(holder));
        if now.primary() == Side::Modern && told.idle_under != Some(now.epoch()) {
            let (group, version) = (told.group.clone(), newest.version);
            return Err(ChangeError::ModernIsPrimary { group, version });
        }
        let (after, consent) = (now.rolled_back(), Consent::NotNeeded);
        let change = Step { newest: &newest, group: &told.group, before, after, word: "rollback", consent };
        match change.publish(witness, &told.author, evidence.clone(), vec![told.id]).await {
            Ok(record) => return Ok(Change::Published { record: Box::new(record), before }),
            Err(ControlError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ChangeError::Control(ControlError::Conflict { expected: None, found: None }))
}

/// Publishes what an operator wants for `group`.
///
/// # Errors
/// [`ChangeError`]; nothing was changed, except after `NoAnswer` of the control store.
pub async fn publish_change(
    witness: &Witness,
    group: &GroupName,
    set: &SetPolicy,
    author: &Author,
) -> Result<Change, ChangeError> {
    publish_change_after(witness, group, set, author, Consent::NotNeeded, None).await
}

/// As [`publish_change`], but only after rollout `seen`, if one is given: whoever decided by it must not undo what
/// was published since. With a second person's `consent`, where one was needed.
///
/// # Errors
/// As [`publish_change`]; [`ChangeError::Overtaken`] when `seen` is no longer the newest.
pub async fn publish_change_after(
    witness: &Witness,
    group: &GroupName,
    set: &SetPolicy,
    author: &Author,
    consent: Consent<'_>,
    seen: Option<RolloutVersion>,
) -> Result<Change, ChangeError> {
    let evidence = witness.testify(group).await;
    let mut first_seen = None;
    for _ in 0..ATTEMPTS {
        let record = witness.control.newest().await?.ok_or(ChangeError::NoRollout)?;
        let before = record.rollout.policy(group);
        let unseen = seen.is_some_and(|seen| seen != record.rollout.version);
        if unseen || *first_seen.get_or_insert(before) != before {
            let changes = witness.control.history(Some(group), 1).await?;
            let last = changes.into_iter().next().unwrap_or(record);
            return Err(ChangeError::overtaken(group, last));
        }
        let after = propose(&before, set)?;
        if after == before {
            return Ok(Change::AlreadySo { policy: before, version: record.rollout.version });
        }
        let change = Step { newest: &record.rollout, group, before, after, word: "set", consent };
        match change.publish(witness, author, evidence.clone(), Vec::new()).await {
            Ok(record) => return Ok(Change::Published { record: Box::new(record), before }),
            Err(ControlError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ChangeError::Control(ControlError::Conflict { expected: None, found: None }))
}

/// One step of one group.
pub(super) struct Step<'a> {
    pub(super) newest: &'a Rollout,
    pub(super) group: &'a GroupName,
    pub(super) before: Policy,
    pub(super) after: Policy,
    pub(super) word: &'a str,
    pub(super) consent: Consent<'a>,
}

impl Step<'_> {
    pub(super) async fn publish(
        &self,
        witness: &Witness,
        author: &Author,
        evidence: Json,
        overrides: Vec<OverrideId>,
    ) -> Result<RolloutRecord, ControlError> {
        let changed = BTreeMap::from([(self.group.clone(), self.after)]);
        let publication = Publication {
            expected: Some(self.newest.version),
            rollout: next_rollout(self.newest, &changed),
            author: author.clone(),
            summary: format!("{} {}: {}", self.word, self.group, describe(&self.before, &self.after)),
            groups: vec![self.group.clone()],
            evidence,
            overrides,
            approved_by: self.consent.who().map(str::to_owned),
            approves: self.consent.approves().cloned(),
        };
        witness.control.publish(&publication).await
    }
}

fn own(origin: &str, reason: &str) -> Author {
    Author { who: "strangler".to_owned(), origin: origin.to_owned(), reason: Some(reason.to_owned()) }
}
