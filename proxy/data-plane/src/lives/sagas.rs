//! Sagas of which a side has lost something: what its log has lost is back from the other side's copies, and what logs say
//! that may be so no more is put in doubt, before the side takes writes again.
//!
//! Promise: when a side takes writes after a loss, each saga whose beginning was lost with its log, and of which something
//! stands, is in that log again: under way, to be looked at first, or waiting for a person.
//! Not here: how a saga in doubt goes on (`saga::doubt`).

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use model::life::{Life, Noted};
use model::saga::saga_of;
use model::{Contract, IdempotencyKey, Instant, SagaId, SagaRow, SagaStatus, Side, StoreError, WriteId};

use super::memories::Memories;
use super::raise::{MARGIN, owed_since};
use crate::saga::doubt;

/// Copies, or writes, of one page.
const PAGE: usize = 500;
/// Most sagas of one status that are looked through.
const MOST: usize = 10_000;
/// How often a saga is tried to be put in doubt that replicas go on with meanwhile.
const TRIES: u32 = 20;

/// What became of sagas.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Their log had lost them: they are in it again.
    pub back: Vec<SagaId>,
    /// They are looked at before they go on.
    pub doubted: Vec<SagaId>,
    /// A person must see to them.
    pub stuck: Vec<SagaId>,
}

impl Recovered {
    /// With what another look has found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (all, more) in
            [(&mut self.back, other.back), (&mut self.doubted, other.doubted), (&mut self.stuck, other.stuck)]
        {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
        }
        self
    }
}

/// The sagas that have steps, or anything else, among the `lost` writes of `side`.
///
/// # Errors
/// When the other side does not answer.
pub async fn of_lost(memories: &Memories, side: Side, lost: &[Noted]) -> Result<HashSet<SagaId>, StoreError> {
    let writes: Vec<WriteId> = lost.iter().map(|noted| noted.write).collect();
    Ok(keys_of(memories, side, &writes).await?.into_keys().collect())
}

/// The keys of sagas under which the other side's ledger has any of `writes`, by saga.
async fn keys_of(
    memories: &Memories,
    side: Side,
    writes: &[WriteId],
) -> Result<BTreeMap<SagaId, Vec<(IdempotencyKey, WriteId)>>, StoreError> {
    let there = memories.stores.get(side.other());
    let mut found: BTreeMap<SagaId, Vec<(IdempotencyKey, WriteId)>> = BTreeMap::new();
    for page in writes.chunks(PAGE) {
        let changes = there.changes_of(page, memories.within).await?;
        let bare = there.bare_of(page, memories.within).await?;
        let changes = changes.into_iter().map(|change| (change.idempotency, change.write));
        for (idempotency, write) in changes.chain(bare.into_iter().map(|bare| (bare.idempotency, bare.write))) {
            let Some((key, _)) = idempotency else { continue };
            if let Some(saga) = saga_of(&key).and_then(SagaId::new) {
                found.entry(saga).or_default().push((key, write));
            }
        }
    }
    Ok(found)
}

/// Puts what the log of `side` has lost back into it, from the other side's copies.
///
/// # Errors
/// When a side does not answer: what was done stays, and is not done again.
pub(super) async fn bring_back(
    memories: &Memories,
    side: Side,
    life: &Life,
    given_up: &HashSet<SagaId>,
) -> Result<Recovered, StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let mut recovered = Recovered::default();
    let mut after = None;
    loop {
        let page = there.saga_copies(since(life), after.as_ref(), PAGE, memories.within).await?;
        let Some(last) = page.last().map(|row| row.id.clone()) else { return Ok(recovered) };
        after = Some(last);
        for copy in page {
            let Some((document, status)) = doubt::doubted(&copy.document, given_up.contains(&copy.id)) else {
                tracing::error!(%side, saga.id = %copy.id, "the copy of saga {} cannot be read by this release: what the log of {side} has lost of it is not back", copy.id);
                continue;
            };
            let row = SagaRow { document, status, ..copy };
            if here.restore_saga(&row, memories.within).await? {
                recovered.back.push(row.id);
            }
        }
    }
}

/// As `bring_back`, and has whatever may have lost something of a saga looked at.
///
/// # Errors
/// As `bring_back`.
pub async fn recover(
    memories: &Memories,
    side: Side,
    life: &Life,
    given_up: &HashSet<SagaId>,
) -> Result<Recovered, StoreError> {
    let mut recovered = bring_back(memories, side, life, given_up).await?;
    for log in Side::BOTH {
        for status in [SagaStatus::Running, SagaStatus::Compensating, SagaStatus::Stuck] {
            for row in memories.stores.get(log).sagas(Some(status), MOST, memories.within).await? {
                let id = row.id.clone();
                if put_in_doubt(memories, log, row, given_up.contains(&id)).await? && !recovered.back.contains(&id) {
                    recovered.doubted.push(id);
                }
            }
        }
    }
    for row in memories.stores.get(side.other()).sagas(Some(SagaStatus::Done), MOST, memories.within).await? {
        if bereave(memories, side, life, &row).await? {
            recovered.stuck.push(row.id);
        }
    }
    Ok(recovered)
}

/// Has a saga that has not ended looked at before it goes on; whether it was not to be looked at already.
async fn put_in_doubt(memories: &Memories, log: Side, mut row: SagaRow, given_up: bool) -> Result<bool, StoreError> {
    let store = memories.stores.get(log);
    for _ in 0..TRIES {
        let Some((document, status)) = doubt::doubted(&row.document, given_up) else { return Ok(false) };
        if document == row.document {
            return Ok(false);
        }
        let doubted = SagaRow { document, status, ..row.clone() };
        if store.save_saga(&doubted, std::time::Duration::ZERO, memories.within).await? {
            return Ok(true);
        }
        match store.saga(&row.id, memories.within).await? {
            Some(now) if !now.status.has_ended() => row = now,
            Some(_) | None => return Ok(false),
        }
    }
    Err(StoreError::Conflict { side: log, source: format!("saga {} goes on all the time", row.id).into() })
}

/// Has a done saga wait for a person of which a step was lost with `side`; whether it was so.
async fn bereave(memories: &Memories, side: Side, life: &Life, row: &SagaRow) -> Result<bool, StoreError> {
    let since = since(life);
    let claimed: Vec<WriteId> = doubt::claimed(&row.document)
        .into_iter()
        .filter(|(_, noted)| noted.is_some_and(|noted| noted >= since))
        .map(|(write, _)| write)
        .collect();
    if claimed.is_empty() {
        return Ok(false);
    }
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let (ours, theirs) =
        tokio::try_join!(here.standing(&claimed, memories.within), there.standing(&claimed, memories.within))?;
    let lost: Vec<WriteId> =
        claimed.into_iter().filter(|write| !ours.contains(write) && !theirs.contains(write)).collect();
    let Some(document) = doubt::bereft(&row.document, &lost).filter(|_| !lost.is_empty()) else { return Ok(false) };
    let stuck = SagaRow { document, status: SagaStatus::Stuck, ..row.clone() };
    let noted = there.save_saga(&stuck, std::time::Duration::ZERO, memories.within).await?;
    if noted {
        let id = &row.id;
        tracing::error!(%side, saga.id = %id, "saga {id} was done, and {} of its steps were lost with {side}: see `strangler sagas show {id}`", lost.len());
    }
    Ok(noted)
}

/// Puts into the log of `side` what it has lost and no copy tells: sagas of which steps stand in the other side's ledger, and
/// that no log knows. They wait for a person.
///
/// # Errors
/// When a side does not answer.
pub async fn orphans(
    memories: &Memories,
    contract: &Contract,
    side: Side,
    life: &Life,
) -> Result<Recovered, StoreError> {
    let (here, there) = (memories.stores.get(side), memories.stores.get(side.other()));
    let mut recovered = Recovered::default();
    let mut after = None;
    loop {
        let page = there.writes_since(since(life), after, PAGE, memories.within).await?;
        let Some(last) = page.last().map(|noted| noted.write) else { return Ok(recovered) };
        after = Some(last);
        let writes: Vec<WriteId> = page.iter().map(|noted| noted.write).collect();
        for (id, keys) in keys_of(memories, side, &writes).await? {
            if here.saga(&id, memories.within).await?.is_some() || there.saga(&id, memories.within).await?.is_some() {
                continue;
            }
            let Some(row) = doubt::orphan(contract, &id, &keys) else { continue };
            if here.restore_saga(&row, memories.within).await? {
                tracing::error!(%side, saga.id = %id, "the log of {side} has lost saga {id}, of which steps stand: see `strangler sagas show {id}`");
                recovered.stuck.push(id);
            }
        }
    }
}

/// From when on something may be lost.
fn since(life: &Life) -> Instant {
    let since: DateTime<Utc> = owed_since(life) - MARGIN;
    Instant::new(since)
}
