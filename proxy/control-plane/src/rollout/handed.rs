//! Publishing who has the authority over a group: before modern takes writes, and after legacy does.
//!
//! Modern takes writes only after a rollout says that it does. That rollout is a compare-and-swap: of a handover and a
//! rollback that come at once, the control store lets one through, and whoever was second knows.
//! Back to legacy the fence comes first: nothing that legacy answers is less safe.

use model::control::{Author, ControlError};
use model::{Epoch, GroupName, Holder, RolloutVersion};
use serde_json::Value as Json;

use super::publish::{ATTEMPTS, Change, ChangeError, Consent, Step};
use super::since::changed_since;
use super::witness::Witness;

/// A side has the authority over a group, or is about to.
#[derive(Debug)]
pub struct HandedOver<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// Who has it.
    pub holder: Holder,
    /// How it came to that, and what was known of the group, for the record.
    pub evidence: Json,
    /// The second person, where one was needed.
    pub consent: Consent<'a>,
}

/// What is known of a group, and how it was handed over, as one record.
pub(crate) fn with(mut known: Json, own: &Json) -> Json {
    if let (Some(known), Some(own)) = (known.as_object_mut(), own.as_object()) {
        known.extend(own.clone());
    }
    known
}

/// Publishes that the authority goes to a side which is not opened yet; a fence may be opened only after it. It had
/// epoch `was` before it was frozen, and the handover was decided by rollout `seen`. Published before, it is not again.
///
/// # Errors
/// [`ChangeError::Overtaken`] when the group was changed or rolled back since, or its fences were moved by others;
/// [`ChangeError::NoRollout`], [`ChangeError::Control`].
pub async fn publish_decision(
    witness: &Witness,
    told: &HandedOver<'_>,
    author: &Author,
    was: Epoch,
    seen: RolloutVersion,
) -> Result<Change, ChangeError> {
    for _ in 0..ATTEMPTS {
        // In this order: what is published after `newest` makes the compare-and-swap fail.
        let newest = witness.control.newest().await?.ok_or(ChangeError::NoRollout)?;
        let before = newest.rollout.policy(told.group);
        let after = before.following(told.holder);
        if after == before {
            return Ok(Change::AlreadySo { policy: before, version: newest.rollout.version });
        }
        if let Some(changed) = changed_since(witness.control.as_ref(), told.group, seen).await? {
            return Err(ChangeError::overtaken(told.group, changed));
        }
        if before.epoch() != was {
            return Err(ChangeError::overtaken(told.group, newest));
        }
        let (group, consent) = (told.group, told.consent);
        let word = if told.holder.alone { "end of dual write" } else { "handover" };
        let change = Step { newest: &newest.rollout, group, before, after, word, consent };
        match change.publish(witness, author, told.evidence.clone(), Vec::new()).await {
            Ok(record) => return Ok(Change::Published { record: Box::new(record), before }),
            Err(ControlError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ChangeError::Control(ControlError::Conflict { expected: None, found: None }))
}

/// Publishes a handover that is done: whatever else was changed meanwhile, it is so. Published before, it is not again.
///
/// # Errors
/// [`ChangeError::NoRollout`], [`ChangeError::Control`].
pub async fn publish_handover(
    witness: &Witness,
    told: &HandedOver<'_>,
    author: &Author,
) -> Result<Change, ChangeError> {
    for _ in 0..ATTEMPTS {
        let newest = witness.control.newest().await?.ok_or(ChangeError::NoRollout)?.rollout;
        let before = newest.policy(told.group);
        if before.epoch() >= told.holder.epoch {
            return Ok(Change::AlreadySo { policy: before, version: newest.version });
        }
        let after = before.following(told.holder);
        let undone = before.primary() == told.holder.side || told.evidence["handover"]["undone"] == true;
        let word = match (told.holder.alone, undone) {
            (true, _) => "end of dual write",
            (false, true) => "handover undone",
            (false, false) => "handover",
        };
        let (group, consent) = (told.group, told.consent);
        let change = Step { newest: &newest, group, before, after, word, consent };
        match change.publish(witness, author, told.evidence.clone(), Vec::new()).await {
            Ok(record) => return Ok(Change::Published { record: Box::new(record), before }),
            Err(ControlError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ChangeError::Control(ControlError::Conflict { expected: None, found: None }))
}
