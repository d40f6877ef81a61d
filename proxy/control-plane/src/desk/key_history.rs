//! The last level of drill-down: what both sides remember of the key of a sample.

use std::time::Duration;

use adapters::Lane;
use model::evidence::Sample;
use model::{EntityKey, EntityType, PerSide, Side};
use shadow_compare::redact::Redactor;
use shadow_compare::report::{HistoryReport, SideHistory};

use super::{Desk, DeskError};
use request::error::with_root;

/// States that are shown.
const STATES: usize = 20;
/// Limit of each look at a side.
const WITHIN: Duration = Duration::from_secs(5);

impl Desk {
    /// The history of the key of `sample`. A side that cannot be asked is told as such, and does not hide the other.
    ///
    /// # Errors
    /// When the sample names no record of the contract.
    pub async fn key_history(&self, sample: &Sample) -> Result<HistoryReport, DeskError> {
        let no = |why: String| DeskError::no("NO_HISTORY", why);
        let root = self.contract.root(&sample.route);
        let root = root.ok_or_else(|| no(format!("the contract has no route {} any more", sample.route)))?;
        let entity = &root.entity;
        // A list's parameters, and a key that is kept as a hash, name no record.
        let key = EntityKey::from_text(entity, &sample.difference.key);
        let hashed = entity.key().iter().any(|index| entity.field(*index).sensitive);
        let key = key.filter(|_| !hashed).ok_or_else(|| {
            let why = if hashed { "its key is sensitive and kept only as a hash" } else { "it is about a whole list" };
            no(format!("the history of sample {} cannot be looked up: {why}", sample.id))
        })?;
        let kept = || self.state.as_ref().and_then(|state| state.hash_secret().ok());
        let secret = self.secret.clone().or_else(kept).ok_or_else(|| {
            no("no secret for hashes of sensitive values: set `evidence.secret`, or a `state_dir` that can be used"
                .into())
        })?;
        let redactor = Redactor::new(&secret);
        let (legacy, modern) = tokio::join!(
            side(self, Side::Legacy, entity, &key, &redactor),
            side(self, Side::Modern, entity, &key, &redactor)
        );
        Ok(PerSide { legacy, modern })
    }
}

async fn side(desk: &Desk, side: Side, entity: &EntityType, key: &EntityKey, redactor: &Redactor) -> SideHistory {
    let store = desk.sides.get(side).get(Lane::Admin);
    let keys = std::slice::from_ref(key);
    let looked = async {
        let past = store.history(key, STATES, WITHIN).await?;
        let present = store.fetch(entity, keys, entity.all_fields(), WITHIN).await?;
        Ok::<_, model::StoreError>((past, present.into_iter().next().flatten()))
    };
    match looked.await {
        Ok((past, present)) => SideHistory::of(entity, &past, present.as_ref(), redactor),
        Err(error) => SideHistory::unknown(with_root(&error)),
    }
}
