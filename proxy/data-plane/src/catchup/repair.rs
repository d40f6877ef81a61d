//! Repair: levels the secondary with the primary, key by key.
//!
//! The key is *touched* on the primary: an empty write that takes the row's lock, its position in the log
//! and its state, with a ledger row like any write's. That state goes to the secondary through the door,
//! under the rule that newer wins, and over what somebody else has made of the row: that is what a repair is ordered
//! for. So a repair may race with clients' writes and lose nothing: whichever
//! is later on the primary stays. When the secondary is out of reach, the relay finishes it.
//!
//! A row that only the secondary has becomes a deletion. The key's lock keeps our own writers away
//! meanwhile. A program that inserts just that row past strangler, and commits after the touch, is
//! found by the next reconcile; so is a repaired row that somebody's trigger changes back.
//!
//! Not here: which keys need it (`reconcile`, evidence), who ordered it (the control store has it).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use futures::StreamExt as _;
use model::control::reconciliation::RepairCount;
use model::{Applied, EntityKey, EntityType, PerSide, Policy, Record, Side, Store, StoreError};
use shadow_compare::{Answer, Asked, Excuses, Question, judge};
use tokio_util::sync::CancellationToken;

use super::touch::touch;
use crate::write::apply::Door;

/// How often both sides are looked at after a touch, the wait before the second look, which doubles.
const LOOKS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Unsettled keys that are looked through at once.
const MOST_UNSETTLED: usize = 10_000;

/// Pace and limits of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairSettings {
    /// Keys begun per second at most.
    pub per_second: u32,
    /// Keys under way at once.
    pub at_once: usize,
    /// Limit of one call.
    pub within: Duration,
}

impl Default for RepairSettings {
    fn default() -> Self {
        Self { per_second: 200, at_once: 4, within: Duration::from_secs(5) }
    }
}

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Levelled {
    /// Both sides were the same already; nothing was touched.
    Already,
    /// Neither side has such a record: there is nothing that could be level.
    NoSuchRecord,
    /// They are the same now.
    Repaired,
    /// In the primary's ledger; the relay brings it when the secondary can be reached.
    LeftToRelay,
    /// Applied, and they differ still or again.
    Differs,
    /// Not done, and why. Names rules and sides, never values.
    Refused(String),
}

/// Levels keys.
pub struct Repairer {
    /// The stores, in the lane of short steps.
    pub stores: PerSide<Arc<dyn Store>>,
    /// The doors to them.
    pub doors: PerSide<Arc<Door>>,
    /// Today's date.
    pub today: fn() -> NaiveDate,
    /// Pace and limits.
    pub settings: RepairSettings,
}

impl Repairer {
    /// Levels `keys` of `entity` under `policy`, until `stop`; `told` hears of every key.
    pub async fn level_all(
        &self,
        policy: &Policy,
        entity: &Arc<EntityType>,
        keys: &[EntityKey],
        stop: &CancellationToken,
        mut told: impl FnMut(&EntityKey, &Levelled) + Send,
    ) -> RepairCount {
        let pace = Duration::from_secs(1) / self.settings.per_second.max(1);
        let mut pace = tokio::time::interval(pace);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let paced = futures::stream::unfold((keys.iter(), pace), async |(mut keys, mut pace)| {
            let key = keys.next()?;
            stop.run_until_cancelled(pace.tick()).await?;
            Some((key, (keys, pace)))
        });
        // Those under way are brought to an end: stopping leaves no key half done.
        let levelling = paced.map(|key| async move { (key, self.level(policy, entity, key).await) });
        let mut levelled = std::pin::pin!(levelling.buffer_unordered(self.settings.at_once.max(1)));
        let mut count = RepairCount::default();
        while let Some((key, outcome)) = levelled.next().await {
            told(key, &outcome);
            match outcome {
                Levelled::Already => count.level += 1,
                Levelled::NoSuchRecord => count.absent += 1,
                Levelled::Repaired => count.repaired += 1,
                Levelled::LeftToRelay => count.left += 1,
                Levelled::Differs => count.differs += 1,
                Levelled::Refused(why) => *count.refused.entry(why).or_default() += 1,
            }
        }
        count
    }

    /// Levels one key.
    pub async fn level(&self, policy: &Policy, entity: &Arc<EntityType>, key: &EntityKey) -> Levelled {
        if !policy.stage().dual_writes() {
            return Levelled::Refused(format!("the group is in stage {}, which keeps no second side", policy.stage()));
        }
        match self.is_level(entity, key).await {
            Ok(Some(true)) => return Levelled::Already,
            Ok(None) => return Levelled::NoSuchRecord,
            Ok(Some(false)) => {}
            Err(error) => return Levelled::Refused(error.to_string()),
        }
        let store = self.stores.get(policy.primary());
        let keys = std::slice::from_ref(key);
        let changes = match touch(&**store, policy, &entity.group, keys, self.settings.within).await {
            Ok(changes) => changes,
            Err(error) => return Levelled::Refused(error.to_string()),
        };
        let Some(write) = changes.first().map(|change| change.write) else {
            return Levelled::Refused("the primary touched nothing".to_owned());
        };
        let primary = policy.primary();
        let door = self.doors.get(primary.other());
        match door.apply_over(changes).await {
            Ok(applied) if Applied::settle(&applied, applied.len()) => {}
            Ok(applied) => {
                let why = Applied::reason(&applied).unwrap_or("it was not applied");
                return Levelled::Refused(format!("{why}; it stays unsettled until the cause is mended"));
            }
            Err(error) if matches!(*error, StoreError::Refused { .. } | StoreError::Misfit { .. }) => {
                return Levelled::Refused(format!("{error}; it stays unsettled until the cause is mended"));
            }
            // Whether it was applied is not known; the ledger's row is there, and the relay brings it.
            Err(_) => return Levelled::LeftToRelay,
        }
        // Best effort: the relay finds out by itself, later.
        if let Err(error) = self.stores.get(primary).settle(&[write], self.settings.within).await {
            tracing::debug!(write.id = %write, %error, "mark of repair {write} lost, the relay will settle it");
        }
        self.is_level_soon(entity, key).await
    }

    /// The keys of `entity` whose writes are unsettled because somebody else has changed the secondary's row; and whether
    /// these are all: of very many unsettled writes only the oldest are looked through.
    ///
    /// # Errors
    /// As `Store::unsettled_keys` and `Store::as_left`.
    pub async fn blocked(&self, policy: &Policy, entity: &EntityType) -> Result<(Vec<EntityKey>, bool), StoreError> {
        let (primary, within) = (self.stores.get(policy.primary()), self.settings.within);
        let unsettled = primary.unsettled_keys(&entity.group, MOST_UNSETTLED + 1, within).await?;
        let all = unsettled.len() <= MOST_UNSETTLED;
        let of_type = unsettled.into_iter().map(|(key, _)| key).filter(|key| *key.entity() == entity.name);
        let keys: BTreeSet<EntityKey> = of_type.collect();
        let secondary = self.stores.get(policy.primary().other());
        let mut blocked = Vec::new();
        for key in keys {
            let is_blocked = match secondary.as_left(entity, &key, within).await? {
                Some(as_left) => !as_left,
                // Nothing of ours was left there: a row that stands all the same is somebody's.
                None => {
                    let keys = std::slice::from_ref(&key);
                    let found = secondary.fetch(entity, keys, entity.key_fields(), within).await?;
                    found.iter().any(Option::is_some)
                }
            };
            if is_blocked {
                blocked.push(key);
            }
        }
        Ok((blocked, all))
    }

    /// A write that comes between our two looks makes them differ; so look more than once.
    async fn is_level_soon(&self, entity: &Arc<EntityType>, key: &EntityKey) -> Levelled {
        let mut wait = FIRST_WAIT;
        for look in 1..=LOOKS {
            // Gone on both sides is level, now that both were told the same.
            if matches!(self.is_level(entity, key).await, Ok(Some(true) | None)) {
                return Levelled::Repaired;
            }
            if look < LOOKS {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        Levelled::Differs
    }

    /// Whether both sides hold the same; an excuse does not make them so. `None`: neither has such a record.
    async fn is_level(&self, entity: &Arc<EntityType>, key: &EntityKey) -> Result<Option<bool>, StoreError> {
        let question =
            Question { entity: Arc::clone(entity), fields: entity.all_fields(), asked: Asked::Keys(vec![key.clone()]) };
        let answers = PerSide {
            legacy: self.fetch(Side::Legacy, entity, key).await?,
            modern: self.fetch(Side::Modern, entity, key).await?,
        };
        let judgement = judge(&question, &answers, &Excuses::of_contract((self.today)()));
        Ok((!judgement.keys.is_empty()).then_some(judgement.differences.is_empty()))
    }

    async fn fetch(&self, side: Side, entity: &EntityType, key: &EntityKey) -> Result<Answer, StoreError> {
        let keys = std::slice::from_ref(key);
        let fetched: Vec<Option<Record>> =
            self.stores.get(side).fetch(entity, keys, entity.all_fields(), self.settings.within).await?;
        Ok(Answer::from(fetched))
    }
}
