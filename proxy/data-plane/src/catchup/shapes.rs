//! Keeps the shapes of this replica's contract on both sides (`model::shape`), and knows what it must leave to others.
//!
//! At start it judges its contract by what is registered: what cannot run beside it is refused with what to do. A wider
//! shape is raised before the first write; on a side that is out of reach then, as soon as it answers. It is raised once:
//! whoever goes back by order is not undone by a replica that is still running.
//!
//! Promise: nothing here decides what is applied; each store proves that by itself. This only registers, and tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::shape::{Class, Difference, Remembered, judge, registered};
use model::{Contract, EntityName, GroupName, NotRead, PerSide, Rollout, Shape, Side, Store, StoreError};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks between two counts of what is left to others.
const COUNT_EVERY: u32 = 5;
/// How long one look may take at start: a side that is down must not keep a replica from serving.
const AT_START: Duration = Duration::from_secs(2);
/// Left changes that are read at once.
const MOST_LEFT: usize = 1_000;

/// What a contract cannot run beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotRunBeside(Vec<(Side, EntityName, Difference)>);

impl fmt::Display for CannotRunBeside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "this contract cannot run beside the one that is registered:")?;
        for (side, entity, difference) in &self.0 {
            writeln!(f, "  {entity}: {difference} (registered on {side})")?;
        }
        f.write_str(
            "end every replica of the other contract, wait until its writes are settled, then run `strangler init \
             --accept-contract` with this one; or leave what is registered as it is and add a new field or type beside it",
        )
    }
}

impl std::error::Error for CannotRunBeside {}

/// Keeps the shapes of one contract.
pub struct Shapes {
    contract: Arc<Contract>,
    stores: PerSide<Arc<dyn Store>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Types that are registered as this contract's, or were once: they are not raised again.
    raised: PerSide<BTreeSet<EntityName>>,
    /// What keeps this replica from bringing a type over, by type.
    behind: PerSide<BTreeMap<EntityName, Vec<Difference>>>,
    /// Whether a shape was ever shown there that this contract does not know: only then anything can be left.
    others: PerSide<bool>,
    /// What was said of a type already.
    told: BTreeSet<(Side, EntityName)>,
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shapes").field("behind", &self.behind()).finish_non_exhaustive()
    }
}

impl Shapes {
    /// The shapes of `contract` on both sides; nobody has looked yet.
    pub fn new(contract: Arc<Contract>, stores: PerSide<Arc<dyn Store>>) -> Arc<Self> {
        Arc::new(Self { contract, stores, seen: Mutex::default() })
    }

    /// Judges the contract, and raises what it adds. A side that does not answer is looked at later.
    ///
    /// # Errors
    /// [`CannotRunBeside`]: nothing was raised.
    pub async fn start(&self) -> Result<(), CannotRunBeside> {
        let mut refused = Vec::new();
        for side in Side::BOTH {
            let Ok(remembered) = self.stores.get(side).shapes(AT_START).await else { continue };
            let found = judge(&remembered, &self.contract).into_iter();
            let found = found.filter(|(_, difference)| difference.class() == Class::Refused);
            refused.extend(found.map(|(entity, difference)| (side, entity, difference)));
        }
        if !refused.is_empty() {
            return Err(CannotRunBeside(refused));
        }
        for side in Side::BOTH {
            if let Err(error) = self.look(side, AT_START).await {
                tracing::warn!(%side, %error, "the shapes of this contract are not registered on {side} yet: {error}");
            }
        }
        Ok(())
    }

    /// Looks until `stop`.
    pub async fn run(
        self: Arc<Self>,
        rollout: Arc<dyn Fn() -> Arc<Rollout> + Send + Sync>,
        within: Duration,
        stop: CancellationToken,
    ) {
        let mut looks = 0u32;
        loop {
            for side in Side::BOTH {
                if let Err(error) = self.look(side, within).await {
                    telemetry::side_error(side, &error);
                }
            }
            if looks.is_multiple_of(COUNT_EVERY) {
                for (group, policy) in &rollout().policies {
                    self.count(group, policy.primary(), within).await;
                }
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// One look at a side: raises what is to be raised, and notes what this contract does not know.
    ///
    /// # Errors
    /// As [`model::ShapeLog::shapes`].
    pub async fn look(&self, side: Side, within: Duration) -> Result<(), StoreError> {
        let store = self.stores.get(side);
        let remembered = store.shapes(within).await?;
        let mut behind = BTreeMap::new();
        for (name, entity) in &self.contract.entities {
            let own = Shape::of(entity);
            let now = registered(&remembered, name);
            let knows = now.is_none_or(|now| now.shape.as_ref().is_some_and(|shape| own.knows(shape)));
            if now.is_some_and(|now| now.id == own.id()) {
                self.seen.lock().raised.get_mut(side).insert(name.clone());
            } else if knows && !self.seen.lock().raised.get(side).contains(name) {
                // Whoever was quicker is seen by the next look.
                store.register(&own, now.map_or(0, |now| now.rank), within).await?;
            } else {
                store.remember_shape(&own, within).await?;
            }
            if !knows {
                let shape = now.and_then(|now| now.shape.as_ref());
                behind.insert(name.clone(), model::shape::differences(shape, Some(&own)));
            }
        }
        let hidden = |one: &Remembered| {
            let own = self.contract.entity(&one.entity).map(|entity| Shape::of(entity));
            !own.zip(one.shape.as_ref()).is_some_and(|(own, shape)| own.knows(shape))
        };
        *self.seen.lock().others.get_mut(side) = remembered.iter().any(hidden);
        self.note(side, behind);
        Ok(())
    }

    /// Notes what this replica must leave to others, and says so once.
    fn note(&self, side: Side, behind: BTreeMap<EntityName, Vec<Difference>>) {
        let mut seen = self.seen.lock();
        for (entity, differences) in &behind {
            if seen.told.insert((side, entity.clone())) {
                let why = said(differences);
                tracing::warn!(%side, %entity, "another contract is registered for {entity} on {side} ({why}): this replica writes it on the primary and leaves it to replicas of that contract to bring it over");
            }
        }
        seen.told.retain(|(of, entity)| *of != side || behind.contains_key(entity));
        *seen.behind.get_mut(side) = behind;
    }

    /// Counts what this replica leaves to others, and names the first.
    async fn count(&self, group: &GroupName, primary: Side, within: Duration) {
        if !*self.seen.lock().others.get(primary) {
            telemetry::left_to_newer(group, 0);
            return;
        }
        let Ok(left) = self.stores.get(primary).left_to_newer(group, MOST_LEFT, within).await else { return };
        telemetry::left_to_newer(group, u32::try_from(left.len()).unwrap_or(u32::MAX));
        if let Some(NotRead { key, write, why }) = left.first() {
            let entity = key.entity();
            tracing::info!(%group, write.id = %write, %entity, "{} changes of group {group} are left to replicas of a newer contract, the first is one of {entity} in write {write}: {why}", left.len());
        }
    }

    /// What this replica leaves to others, one sentence per type; empty when it knows all that is registered.
    pub fn behind(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let mut types: BTreeMap<&EntityName, &Vec<Difference>> = BTreeMap::new();
        for side in Side::BOTH {
            types.extend(seen.behind.get(side));
        }
        types.into_iter().map(|(entity, differences)| format!("{entity}: {}", said(differences))).collect()
    }
}

/// What differs, in one sentence.
fn said(differences: &[Difference]) -> String {
    let hidden = differences.iter().filter(|difference| difference.hides()).map(ToString::to_string);
    let hidden: Vec<_> = hidden.collect();
    if hidden.is_empty() { "its shape was written by a later release".to_owned() } else { hidden.join("; ") }
}
