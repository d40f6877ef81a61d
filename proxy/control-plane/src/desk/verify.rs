//! Is the record what it was? Follows the audit's chain, and holds every rollout against its entry.

use std::collections::BTreeMap;

use model::RolloutVersion;
use model::control::audit::{Verifier, agrees};
use model::control::{AuditHash, Tampered};

use super::{Desk, DeskError};

/// Entries that are read at once.
const PAGE: usize = 500;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries that were looked at.
    pub entries: u64,
    /// Rollouts that were held against their entries.
    pub rollouts: u64,
    /// Place and hash of the last good entry: note it elsewhere to find out later whether the end was cut off.
    pub head: Option<(u64, AuditHash)>,
    /// The first place that is not well.
    pub tampered: Option<Tampered>,
}

impl Desk {
    /// Verifies the whole audit.
    ///
    /// # Errors
    /// When the control store does not tell.
    pub async fn verify(&self) -> Result<Verified, DeskError> {
        // Asked first: what is published afterwards has an entry that we need not expect.
        let mut rows: BTreeMap<RolloutVersion, _> = BTreeMap::new();
        for record in self.control.history(None, usize::MAX >> 1).await? {
            rows.insert(record.rollout.version, record);
        }
        let newest = rows.keys().next_back().copied();
        let (mut verifier, mut entries, mut rollouts) = (Verifier::default(), 0, 0);
        let (mut tampered, mut first_noted) = (None, None);
        'chain: loop {
            // Places begin with 1.
            let after = verifier.head().map_or(0, |(place, _)| place);
            let page = self.control.audit(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for entry in &page {
                if let Err(found) = verifier.take(entry) {
                    tampered = Some(found);
                    break 'chain;
                }
                entries += 1;
                let Some(version) = entry.rollout.filter(|_| entry.action == model::control::Action::Rollout) else {
                    continue;
                };
                first_noted.get_or_insert(version);
                rollouts += 1;
                tampered = match rows.remove(&version) {
                    Some(row) if agrees(entry, &row) => None,
                    Some(_) => Some(Tampered::Rollout(version)),
                    None if newest.is_some_and(|newest| version <= newest) => Some(Tampered::RowGone(version)),
                    None => None,
                };
                if tampered.is_some() {
                    break 'chain;
                }
            }
        }
        if tampered.is_none() {
            // Rollouts from before there was an audit have no entry, and come before all that have one.
            let unnoted = rows.keys().find(|version| first_noted.is_none_or(|first| **version > first));
            // An audit without any entry beside rollouts was emptied: publishing notes each.
            tampered = unnoted.copied().map(Tampered::Unnoted);
        }
        let head = verifier.head().map(|(place, hash)| (place, hash.clone()));
        Ok(Verified { entries, rollouts, head, tampered })
    }
}
