//! The audit: every change that somebody made, in one chain of hashes.
//!
//! Each entry's hash covers the entry and the hash before it, so an entry that is altered, inserted or taken out
//! breaks the chain at its place. SHA-256 over canonical JSON: anybody can follow it with other tools.
//!
//! Not here: who may make a change (`proxy::admin`), what a rollout means (`proxy::rollout`).

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

mod summary;

use super::{Author, ControlError, RolloutRecord};
use crate::name::GroupName;
use crate::policy::RolloutVersion;
use crate::value::Instant;

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A rollout was published: stage or percentages of a group.
    Rollout,
    /// A change was proposed that needs a second person.
    Proposed,
    /// A proposal was approved.
    Approved,
    /// A proposal was withdrawn or turned down.
    Withdrawn,
    /// A promotion began.
    PromotionStarted,
    /// A promotion ended before its last step.
    PromotionStopped,
    /// A promotion reached its last step.
    PromotionFinished,
    /// A known difference was accepted.
    Excused,
    /// A known difference counts again.
    Unexcused,
    /// Keys were levelled by hand.
    Repaired,
    /// Somebody ordered a stuck saga to go on. Noted before it does.
    SagaRetried,
    /// Somebody took a stuck saga over by hand. Noted before no replica touches it any more.
    SagaAbandoned,
    /// Somebody let a side take writes again that had gone back or was moved. Noted before it does.
    SideRaised,
    /// The authority over a group has changed hands: how long writes waited, step by step.
    HandedOver,
    /// Somebody ordered that rows at rest be compared. Noted together with the order.
    ReconcileOrdered,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Rollout,
        Self::Proposed,
        Self::Approved,
        Self::Withdrawn,
        Self::PromotionStarted,
        Self::PromotionStopped,
        Self::PromotionFinished,
        Self::Excused,
        Self::Unexcused,
        Self::Repaired,
        Self::SagaRetried,
        Self::SagaAbandoned,
        Self::SideRaised,
        Self::HandedOver,
        Self::ReconcileOrdered,
    ];

    /// The word used in tables and on the command line: `promotion-started`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Withdrawn => "withdrawn",
            Self::PromotionStarted => "promotion-started",
            Self::PromotionStopped => "promotion-stopped",
            Self::PromotionFinished => "promotion-finished",
            Self::Excused => "excused",
            Self::Unexcused => "unexcused",
            Self::Repaired => "repaired",
            Self::SagaRetried => "saga-retried",
            Self::SagaAbandoned => "saga-abandoned",
            Self::SideRaised => "side-raised",
            Self::HandedOver => "handed-over",
            Self::ReconcileOrdered => "reconcile-ordered",
        }
    }

    /// The action with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// A hash of the chain: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditHash(pub String);

impl AuditHash {
    /// What stands before the first entry.
    pub fn beginning() -> Self {
        Self("0".repeat(64))
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody did, to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What kind.
    pub action: Action,
    /// The group it is about, if one.
    pub group: Option<GroupName>,
    /// Who, from where, why.
    pub author: Author,
    /// The rollout that came of it, if one did.
    pub rollout: Option<RolloutVersion>,
    /// What exactly, as JSON. Never holds field values.
    pub detail: Json,
}

impl Deed {
    /// The deed that a published rollout is.
    pub fn of_rollout(record: &RolloutRecord) -> Self {
        Self {
            action: Action::Rollout,
            group: match record.groups.as_slice() {
                [group] => Some(group.clone()),
                _ => None,
            },
            author: record.author.clone(),
            rollout: Some(record.rollout.version),
            detail: rollout_detail(record),
        }
    }
}

/// Everything that a rollout's row says, but for its time and its author, which stand in the entry itself.
fn rollout_detail(record: &RolloutRecord) -> Json {
    json!({
        "summary": record.summary,
        "groups": record.groups,
        "policies": record.rollout.policies,
        "evidence": record.evidence,
        "overrides": record.overrides,
        "approvedBy": record.approved_by,
    })
}

/// A noted deed. Entries are added and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its place, from 1, without gaps.
    pub place: u64,
    /// When, by the control store's clock, to the microsecond.
    pub at: Instant,
    /// What kind.
    pub action: Action,
    /// The group it is about, if one.
    pub group: Option<GroupName>,
    /// Who, from where, why.
    pub author: Author,
    /// The rollout that came of it, if one did.
    pub rollout: Option<RolloutVersion>,
    /// What exactly, as canonical JSON text.
    pub detail: String,
    /// The hash of the entry before.
    pub previous: AuditHash,
    /// The hash over all of the above.
    pub hash: AuditHash,
}

impl AuditEntry {
    /// The entry that follows `last` (place and hash) for `deed`.
    pub fn following(last: Option<(u64, &AuditHash)>, deed: &Deed, at: Instant) -> Self {
        let mut entry = Self {
            place: last.map_or(0, |(place, _)| place) + 1,
            at,
            action: deed.action,
            group: deed.group.clone(),
            author: deed.author.clone(),
            rollout: deed.rollout,
            detail: canonical(&deed.detail),
            previous: last.map_or_else(AuditHash::beginning, |(_, hash)| hash.clone()),
            hash: AuditHash::beginning(),
        };
        entry.hash = entry.computed();
        entry
    }

    /// The hash that this entry must have.
    pub fn computed(&self) -> AuditHash {
        let covered = json!([
            self.previous,
            self.place,
            self.at.to_utc().timestamp_micros(),
            self.action,
            self.group,
            [Some(&self.author.who), Some(&self.author.origin), self.author.reason.as_ref()],
            self.rollout,
            self.detail,
        ]);
        let digest = Sha256::digest(canonical(&covered).as_bytes());
        AuditHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Where the chain, or a rollout beside it, is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Tampered {
    /// An entry does not have the hash of its content.
    #[error("entry {0} was altered: its content does not have its hash")]
    Altered(u64),
    /// Entries are missing, doubled, or in another order.
    #[error("after entry {after} comes entry {found}: what stood between was taken out, or something was put in")]
    Gap {
        /// The last entry that is well.
        after: u64,
        /// The place of the next one.
        found: u64,
    },
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the entry before it: one of them was replaced")]
    Unchained(u64),
    /// The row of a rollout says something else than its entry.
    #[error("rollout {0} was altered: its row is not what was noted when it was published")]
    Rollout(RolloutVersion),
    /// A rollout was never noted, or its entry was taken out together with all that followed.
    #[error("rollout {0} stands in no entry: entries at the end were taken out, or it was put in by hand")]
    Unnoted(RolloutVersion),
    /// A rollout that was noted is gone.
    #[error("rollout {0} was noted, and its row is gone")]
    RowGone(RolloutVersion),
}

/// Checks a chain piece by piece, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    last: Option<(u64, AuditHash)>,
}

impl Verifier {
    /// Takes the next entry.
    ///
    /// # Errors
    /// [`Tampered`]: the first place that is not well.
    pub fn take(&mut self, entry: &AuditEntry) -> Result<(), Tampered> {
        let after = self.last.as_ref().map_or(0, |(place, _)| *place);
        if entry.place != after + 1 {
            return Err(Tampered::Gap { after, found: entry.place });
        }
        if entry.computed() != entry.hash {
            return Err(Tampered::Altered(entry.place));
        }
        let expected = self.last.as_ref().map_or_else(AuditHash::beginning, |(_, hash)| hash.clone());
        if entry.previous != expected {
            return Err(Tampered::Unchained(entry.place));
        }
        self.last = Some((entry.place, entry.hash.clone()));
        Ok(())
    }

    /// Place and hash of the last entry taken.
    pub fn head(&self) -> Option<(u64, &AuditHash)> {
        self.last.as_ref().map(|(place, hash)| (*place, hash))
    }
}

/// Whether the row of a rollout says what `entry` noted when it was published.
pub fn agrees(entry: &AuditEntry, record: &RolloutRecord) -> bool {
    entry.rollout == Some(record.rollout.version)
        && entry.author == record.author
        && entry.at == record.at
        && entry.detail == canonical(&rollout_detail(record))
}

/// Keeps the audit. Part of every control store.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends an entry for `deed`. A rollout's entry is appended by `publish`, in its transaction.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer` (it may stand), `Misfit`.
    async fn note(&self, deed: &Deed) -> Result<AuditEntry, ControlError>;

    /// Entries after place `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Unreachable`, `NoAnswer`, `Misfit`.
    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, ControlError>;

    /// The entries about `group` (or any) before place `before` (or the newest), newest first, at most `limit`.
    ///
    /// # Errors
    /// As `audit`.
    async fn newest_audit(
        &self,
        group: Option<&GroupName>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ControlError>;
}

/// JSON text that does not depend on the order in which an object's fields were written.
pub fn canonical(json: &Json) -> String {
    match json {
        Json::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            let field =
                |(name, value): &(&String, &Json)| format!("{}:{}", Json::from(name.as_str()), canonical(value));
            format!("{{{}}}", names.iter().map(field).collect::<Vec<_>>().join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.to_string(),
    }
}

#[cfg(test)]
mod tests;
