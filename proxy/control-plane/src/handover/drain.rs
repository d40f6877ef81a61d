//! Brings everything that only the frozen side has to the other one.
//!
//! Nothing new comes in behind a frozen fence, so it ends; and since newer wins, whatever another replica does at the
//! same time does no harm. What an earlier handover left behind is not brought over: a person decides about it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::store::Backlog;
use model::{Applied, EntityKey, GroupName, Stand, Store, StoreError, WriteId};
use tokio::time::Instant;

use data_plane::write::apply::Door;

/// Writes taken at once.
const LIMIT: usize = 500;
/// For how long they are nobody else's. Short: whoever resumes a handover must not wait for it.
const LEASE: Duration = Duration::from_millis(500);
/// Pause between two looks when what is left is in other hands.
const PAUSE: Duration = Duration::from_millis(5);
/// Writes that are read at once when they are listed.
const PAGE: usize = 500;

/// What is left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// How many writes, exactly.
    pub writes: u64,
    /// Those of them that were left behind by an earlier handover already.
    pub before: u64,
    /// Their keys, each once: all of them.
    pub keys: Vec<EntityKey>,
    /// Those of them that changed nothing and have no key: all that is lost is that a repeat is known.
    pub bare: Vec<WriteId>,
    /// What the other side said of one of them.
    pub said: Option<String>,
}

/// The drain of one group.
pub struct Drain<'a> {
    /// The frozen side.
    pub from: &'a Arc<dyn Store>,
    /// The door to the other.
    pub door: &'a Arc<Door>,
    /// The group.
    pub group: &'a GroupName,
    /// Limit of one call.
    pub within: Duration,
}

impl Drain<'_> {
    /// Drains until nothing is left or `until` has come; what is left then.
    ///
    /// # Errors
    /// When the frozen side does not tell what is left.
    pub async fn run(&self, until: Instant) -> Result<Left, StoreError> {
        let mut waits = Waits::default();
        loop {
            match self.round(until).await {
                Ok(round) => waits.renew(round),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => {}
            }
            match self.from.backlog(self.group, self.within).await {
                Ok(backlog) if backlog.all() == 0 => return Ok(Left::default()),
                // What an earlier handover left behind is not waited for: nobody brings it over.
                Ok(backlog) if backlog.writes == 0 || Instant::now() >= until => {
                    return self.left(backlog, waits).await;
                }
                Err(error) if Instant::now() >= until => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What is left when the time is over. Nothing is added behind a frozen fence, so the count stays exact. Once a
    /// replica has given the authority back, the list is empty; what the last round met is named all the same.
    async fn left(&self, backlog: Backlog, waits: Waits) -> Result<Left, StoreError> {
        let (mut keys, mut bare, mut known, mut after) = (Vec::new(), Vec::new(), HashSet::new(), None);
        loop {
            // Behind a frozen fence everything that is unsettled is told.
            let page = self.from.left_behind(self.group, after, PAGE, self.within).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.write);
            bare.extend(page.iter().filter(|unsettled| unsettled.changes.is_empty()).map(|unsettled| unsettled.write));
            let changes = page.iter().flat_map(|unsettled| &unsettled.changes);
            let new = changes.map(|change| change.key.clone()).filter(|key| known.insert(key.clone()));
            keys.extend(new);
        }
        keys.extend(waits.keys.into_iter().filter(|key| known.insert(key.clone())));
        Ok(Left { writes: backlog.all(), before: backlog.left_behind, keys, bare, said: waits.said })
    }

    /// Takes what is due, brings it over, marks it; what is not there when the time is over waits.
    async fn round(&self, until: Instant) -> Result<Waits, StoreError> {
        let (group, stand) = (self.group, Stand::Frozen);
        let taken = self.from.lease_unsettled(group, stand, Duration::ZERO, LEASE, LIMIT, self.within).await?;
        let applying = taken.into_iter().map(|unsettled| {
            let write = unsettled.write;
            let keys: Vec<EntityKey> = unsettled.changes.iter().map(|change| change.key.clone()).collect();
            // A call that is not waited for goes on, and is barred if the handover is given up before it.
            let applied = tokio::time::timeout_at(until, self.door.bring(unsettled));
            async move { (write, keys, applied.await) }
        });
        let (mut there, mut waits): (Vec<WriteId>, _) = (Vec::new(), Waits::default());
        for (write, keys, outcome) in futures::future::join_all(applying).await {
            let said = match outcome {
                Ok(Ok(applied)) if Applied::settle(&applied, applied.len()) => {
                    there.push(write);
                    continue;
                }
                // Settling it would lose it: it waits for a repair, or is left behind by force.
                Ok(Ok(applied)) => Applied::reason(&applied).map(str::to_owned),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("{} gave no answer in time", self.door.side())),
            };
            waits.keys.extend(keys);
            waits.said = said.or(waits.said);
        }
        if !there.is_empty() {
            self.from.settle(&there, self.within).await?;
        }
        Ok(waits)
    }
}

/// What was not brought over, as the last round that took any met it.
#[derive(Default)]
struct Waits {
    keys: Vec<EntityKey>,
    said: Option<String>,
}

impl Waits {
    /// A round that found everything in other hands tells nothing.
    fn renew(&mut self, round: Self) {
        if !round.keys.is_empty() {
            self.keys = round.keys;
        }
        self.said = round.said.or(self.said.take());
    }
}
