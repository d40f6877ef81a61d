//! The last level of drill-down: what both sides remember of the key of a sample.

use std::time::Duration;

use model::evidence::Sample;
use model::{EntityKey, EntityType, PerSide, Side};
use shadow_compare::redact::Redactor;
use shadow_compare::report::{HistoryReport, SideHistory};

use super::desk::Desk;
use super::{Stop, told};
use crate::state_dir::StateDir;

/// States that are shown.
const STATES: usize = 20;
/// Limit of each look at a side.
const WITHIN: Duration = Duration::from_secs(5);

/// The history of the key of `sample`. A side that cannot be asked is told as such, and does not hide the other.
pub(super) async fn of(desk: &Desk, sample: &Sample) -> Result<HistoryReport, Stop> {
    let root = desk.contract().root(&sample.route);
    let root = root.ok_or_else(|| Stop::No(format!("the contract has no route {} any more", sample.route)))?;
    let entity = &root.entity;
    // A list's parameters, and a key that is kept as a hash, name no record.
    let key = EntityKey::from_text(entity, &sample.difference.key);
    let hashed = entity.key().iter().any(|index| entity.field(*index).sensitive);
    let key = key.filter(|_| !hashed).ok_or_else(|| {
        let why = if hashed { "its key is sensitive and kept only as a hash" } else { "it is about a whole list" };
        Stop::No(format!("the history of sample {} cannot be looked up: {why}", sample.id))
    })?;
    let secret = match &desk.config.evidence.secret {
        Some(secret) => secret.clone(),
        None => {
            let secret = StateDir::open(&desk.config.state_dir).and_then(|state| state.hash_secret());
            secret.map_err(|error| Stop::No(error.to_string()))?
        }
    };
    let redactor = Redactor::new(&secret);
    let (legacy, modern) = tokio::join!(
        side(desk, Side::Legacy, entity, &key, &redactor),
        side(desk, Side::Modern, entity, &key, &redactor)
    );
    Ok(PerSide { legacy, modern })
}

async fn side(desk: &Desk, side: Side, entity: &EntityType, key: &EntityKey, redactor: &Redactor) -> SideHistory {
    let store = desk.side(side);
    let keys = std::slice::from_ref(key);
    let looked = async {
        let past = store.history(key, STATES, WITHIN).await?;
        let present = store.fetch(entity, keys, entity.all_fields(), WITHIN).await?;
        Ok::<_, model::StoreError>((past, present.into_iter().next().flatten()))
    };
    match looked.await {
        Ok((past, present)) => SideHistory::of(entity, &past, present.as_ref(), redactor),
        Err(error) => SideHistory::unknown(told(&error)),
    }
}
