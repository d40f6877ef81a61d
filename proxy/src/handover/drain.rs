//! Brings everything that only the frozen side has to the other one.
//!
//! Nothing new comes in behind a frozen fence, so it ends; and since newer wins, whatever another replica or relay does
//! at the same time does no harm.

use std::sync::Arc;
use std::time::Duration;

use model::{Applied, EntityKey, GroupName, Store, StoreError, WriteId};
use tokio::time::Instant;

use crate::write::apply::Door;

/// Writes taken at once.
const LIMIT: usize = 500;
/// For how long they are nobody else's. Short: whoever resumes a handover must not wait for it.
const LEASE: Duration = Duration::from_millis(500);
/// Pause between two looks when what is left is in other hands.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes whose keys are listed when they are in the way.
const LISTED: usize = 100;

/// What is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// How many writes, exactly.
    pub writes: u64,
    /// Their keys, oldest first, each once.
    pub keys: Vec<EntityKey>,
    /// Whether `keys` has all of them.
    pub every_key: bool,
    /// What the other side said of one of them.
    pub said: Option<String>,
}

impl Default for Left {
    /// Nothing.
    fn default() -> Self {
        Self { writes: 0, keys: Vec::new(), every_key: true, said: None }
    }
}

impl Left {
    /// Which keys are listed, in words.
    pub fn listed(&self) -> String {
        if self.every_key { "every key".to_owned() } else { format!("the keys of the {LISTED} oldest changes") }
    }
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
        let mut said = None;
        loop {
            match self.round().await {
                Ok(Some(refusal)) => said = Some(refusal),
                Ok(None) => {}
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => {}
            }
            match self.from.backlog(self.group, self.within).await {
                Ok(backlog) if backlog.writes == 0 => return Ok(Left::default()),
                Ok(backlog) if Instant::now() >= until => return self.left(backlog.writes, said).await,
                Err(error) if Instant::now() >= until => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What is left when the time is over. Nothing is added behind a frozen fence, so the count stays exact.
    async fn left(&self, writes: u64, said: Option<String>) -> Result<Left, StoreError> {
        let changes = self.from.unsettled_keys(self.group, LISTED + 1, self.within).await?;
        let every_key = changes.len() <= LISTED;
        let mut keys: Vec<EntityKey> = Vec::new();
        for (key, _) in changes.into_iter().take(LISTED) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Left { writes, keys, every_key, said })
    }

    /// Takes what is due, brings it over, marks it; what the other side said of one that it did not take.
    async fn round(&self) -> Result<Option<String>, StoreError> {
        let groups = std::slice::from_ref(self.group);
        let taken = self.from.lease_unsettled(groups, Duration::ZERO, LEASE, LIMIT, self.within).await?;
        let applying = taken.into_iter().filter_map(|unsettled| {
            let write = unsettled.changes.first()?.write;
            Some(async move { (write, self.door.apply(unsettled.changes).await) })
        });
        let (mut there, mut said): (Vec<WriteId>, _) = (Vec::new(), None);
        for (write, outcome) in futures::future::join_all(applying).await {
            match outcome {
                Ok(applied) if applied.iter().all(Applied::is_done) => there.push(write),
                // Settling it would lose it: it waits for a repair, or is left behind by force.
                Ok(_) => said = Some("somebody else has changed a row of it there".to_owned()),
                Err(error) => said = Some(error.to_string()),
            }
        }
        if !there.is_empty() {
            self.from.settle(&there, self.within).await?;
        }
        Ok(said)
    }
}
