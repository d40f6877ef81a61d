//! What becomes of writes that a side has lost and the other side still has, before it takes writes again.
//!
//! Both orders work while the side is suspended, so that no client comes between: a lost write is *brought back* as it
//! was, with its version and its idempotency key; or it is *given up*, and the other side takes this side's state. What is
//! done stays done, and whoever repeats an order goes on where it ended.
//!
//! Promise: while anything of the list is left, [`Outcome::is_whole`] is false; then nobody may raise the side. Nothing
//! that is called settled differs at any moment of a give-up that was not so before.
//! Not here: what is lost, and the raise (`raise`); the rule by which a row is somebody else's (`model::foreign`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::life::{Noted, Over};
use model::store::MAX_BATCH;
use model::{
    Applied, Change, Contract, EntityKey, EntityName, EntityType, Incarnation, Position, Recorded, Side, Store,
    StoreError, Version, WriteId,
};
use uuid::Uuid;

use super::memories::Memories;

/// Writes, or keys, of one page.
const PAGE: usize = 200;

/// How often a row is looked at that somebody goes on changing.
const TRIES: u32 = 5;

/// Why the side is suspended while an order is at work, unless it is already.
const WHY: &str = "an order decides what becomes of writes that it has lost";

/// Why a row is in the way of which nobody knows whose it is.
const UNPROVEN: &str = "no write of ours had touched it before the loss: nobody knows whether somebody else has since";

/// Why a lost write is not brought back beneath a later one: that one was made without it, and would bury it.
const LATER: &str = "this side has taken a later write since, without the lost one: that one can only be given up";

/// Why a lost write is not brought back that was made from one which is in the way.
const BEHIND: &str = "a lost write before it is in the way";

/// An order for one side.
pub struct Order<'a> {
    /// The stores.
    pub memories: &'a Memories,
    /// What is known of their types.
    pub contract: &'a Contract,
    /// The side that has lost writes.
    pub side: Side,
    /// Its life, as it was judged.
    pub of: Incarnation,
}

/// What an order came to. Keys are sorted, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that somebody else had changed, and that were overwritten.
    pub over: Vec<EntityKey>,
    /// Rows that were overwritten although nobody knows whether somebody else had changed them: we had never written them.
    pub unproven: Vec<EntityKey>,
    /// Writes that are back without their idempotency key, which another write has here.
    pub unkeyed: Vec<WriteId>,
    /// What could not be done, and why.
    pub in_the_way: Vec<(EntityKey, &'static str)>,
    /// The side is not what was judged: somebody has raised it.
    pub is_raised: bool,
}

impl Outcome {
    /// Whether nothing of the list is left.
    pub fn is_whole(&self) -> bool {
        self.in_the_way.is_empty() && !self.is_raised
    }

    fn blocked(&mut self, key: &EntityKey, applied: &Applied) {
        let why = Applied::reason(std::slice::from_ref(applied)).unwrap_or("it was not applied");
        self.in_the_way.push((key.clone(), why));
    }

    fn sorted(mut self) -> Self {
        for keys in [&mut self.over, &mut self.unproven] {
            keys.sort_unstable();
            keys.dedup();
        }
        self.in_the_way.sort_unstable();
        self.in_the_way.dedup();
        self
    }
}

impl Order<'_> {
    fn here(&self) -> &Arc<dyn Store> {
        self.memories.stores.get(self.side)
    }

    fn there(&self) -> &Arc<dyn Store> {
        self.memories.stores.get(self.side.other())
    }

    /// Writes the lost changes to the side again, as they were; `over` whose rows there.
    ///
    /// # Errors
    /// When a side does not answer, or refuses a change: what was done stays.
    pub async fn bring_back(&self, lost: &[Noted], over: Over) -> Result<Outcome, StoreError> {
        let within = self.memories.within;
        self.here().suspend(self.of, WHY, within).await?;
        let mut out = Outcome::default();
        let (order, mut barred) = self.in_order(lost).await?;
        for page in order.chunks(PAGE) {
            let mut changes = self.there().changes_of(page, within).await?;
            self.widen(&mut changes).await?;
            for call in calls(changes) {
                let call = passing(call, &mut barred, &mut out);
                self.bring_call(call, over, &mut barred, &mut out).await?;
            }
            if out.is_raised {
                break;
            }
        }
        for page in lost.chunks(PAGE) {
            if !out.is_raised {
                self.keep_bare(page, &mut out).await?;
            }
        }
        // There, too, a key belongs to the write that has it here: else that one would never settle.
        for page in out.unkeyed.chunks(PAGE) {
            self.there().free_keys(page, within).await?;
        }
        Ok(out.sorted())
    }

    /// The lost writes that changed something, the oldest state first; and the keys that this side has taken a later write
    /// of, which the other side does not know: nothing goes beneath that one.
    async fn in_order(&self, lost: &[Noted]) -> Result<(Vec<WriteId>, Barred), StoreError> {
        let (mut newest, mut barred) = (BTreeMap::new(), Barred::new());
        for page in lost.chunks(PAGE) {
            for call in calls(self.there().changes_of(&ids(page), self.memories.within).await?) {
                let keys: Vec<EntityKey> = call.iter().map(|change| change.key.clone()).collect();
                let recorded = self.here().recorded(&keys, self.memories.within).await?;
                for (change, recorded) in call.iter().zip(recorded) {
                    let version: &mut Version = newest.entry(change.write).or_insert(change.version);
                    *version = change.version.max(*version);
                    let later = recorded.filter(|known| known.write != change.write && known.version > change.version);
                    if let Some(winner) = later
                        && !self.is_known(&change.key, &winner).await?
                    {
                        barred.insert(change.key.clone(), LATER);
                    }
                }
            }
        }
        let mut order: Vec<_> = newest.into_iter().map(|(write, version)| (version, write)).collect();
        order.sort_unstable();
        Ok((order.into_iter().map(|(_, write)| write).collect(), barred))
    }

    /// Writes that changed nothing: their idempotency keys.
    async fn keep_bare(&self, page: &[Noted], out: &mut Outcome) -> Result<(), StoreError> {
        let within = self.memories.within;
        let bare = self.there().bare_of(&ids(page), within).await?;
        for call in bare.chunks(MAX_BATCH) {
            for (bare, kept) in call.iter().zip(&self.here().keep_back(self.of, call, within).await?) {
                match kept {
                    Applied::There => {}
                    Applied::KeyTaken(_) => out.unkeyed.push(bare.write),
                    Applied::Barred => out.is_raised = true,
                    other => {
                        let side = self.side;
                        let problem = format!("it answers {other:?} for a write without changes");
                        return Err(StoreError::Misfit { side, problem, source: None });
                    }
                }
            }
        }
        Ok(())
    }

    /// One call, and a second one for writes whose idempotency key another write has here: they stand without it.
    /// What is in the way of a write is in that of all that were made from it.
    async fn bring_call(
        &self,
        mut call: Vec<Change>,
        over: Over,
        barred: &mut Barred,
        out: &mut Outcome,
    ) -> Result<(), StoreError> {
        while !call.is_empty() {
            let applied = self.here().bring_back(self.of, &call, over, self.memories.within).await?;
            let mut taken = HashSet::new();
            let before = out.in_the_way.len();
            for (change, applied) in call.iter().zip(&applied) {
                match applied {
                    Applied::Newer | Applied::There | Applied::Overtaken(_) | Applied::Held => {}
                    Applied::Unproven => out.unproven.push(change.key.clone()),
                    Applied::Over(_) => out.over.push(change.key.clone()),
                    Applied::Stale(winner) => {
                        if !self.is_known(&change.key, winner).await? {
                            out.in_the_way.push((change.key.clone(), LATER));
                        }
                    }
                    Applied::KeyTaken(_) => {
                        taken.insert(change.write);
                    }
                    Applied::Barred => out.is_raised = true,
                    Applied::Foreign(_) if !self.has_number(change).await? => {
                        out.in_the_way.push((change.key.clone(), UNPROVEN));
                    }
                    Applied::Foreign(_)
                    | Applied::Altered(_)
                    | Applied::NotThere
                    | Applied::NotWhole
                    | Applied::NotKnown => out.blocked(&change.key, applied),
                }
            }
            let stopped: HashSet<&EntityKey> = out.in_the_way[before..].iter().map(|(key, _)| key).collect();
            let held = |change: &&Change| stopped.contains(&change.key);
            let writes: HashSet<WriteId> = call.iter().filter(held).map(|change| change.write).collect();
            let of_them = call.iter().filter(|change| writes.contains(&change.write));
            barred.extend(of_them.map(|change| (change.key.clone(), BEHIND)));
            out.unkeyed.extend(taken.iter().copied());
            call.retain(|change| taken.contains(&change.write));
            call.iter_mut().for_each(|change| change.idempotency = None);
        }
        Ok(())
    }

    /// Whether there is a number by which the row can be told to be somebody else's.
    async fn has_number(&self, change: &Change) -> Result<bool, StoreError> {
        let Some(entity) = self.contract.entity(change.key.entity()) else { return Ok(false) };
        let left = self.here().as_left(entity, &change.key, self.memories.within).await?;
        Ok(left.is_some() || change.base.is_some())
    }

    /// Whether the other side knows what has overtaken a lost change here.
    async fn is_known(&self, key: &EntityKey, winner: &Recorded) -> Result<bool, StoreError> {
        let (there, within) = (self.there(), self.memories.within);
        let stands = !there.standing(&[winner.write], within).await?.is_empty();
        let recorded = there.recorded(std::slice::from_ref(key), within).await?.into_iter().next().flatten();
        Ok(winner.proven(stands, recorded).is_some())
    }

    /// A state that lacks fields of its type's shape only names its key: the other side's row has them.
    async fn widen(&self, changes: &mut [Change]) -> Result<(), StoreError> {
        for change in changes {
            let Some(entity) = self.contract.entity(change.key.entity()) else { continue };
            if change.is_whole(entity) {
                continue;
            }
            let key = std::slice::from_ref(&change.key);
            let found = self.there().fetch(entity, key, entity.all_fields(), self.memories.within).await?;
            change.state = found.into_iter().next().flatten();
        }
        Ok(())
    }

    /// Gives the other side this side's rows of the lost writes' keys, and ends these writes there. Each row is stated
    /// anew, under a version that is newer than whatever was lost, and settled on both sides.
    ///
    /// # Errors
    /// As `bring_back`.
    pub async fn give_up(&self, lost: &[Noted]) -> Result<Outcome, StoreError> {
        let (here, there, within) = (self.here(), self.there(), self.memories.within);
        here.suspend(self.of, WHY, within).await?;
        let (own, other) = tokio::try_join!(here.greatest_incarnation(within), there.greatest_incarnation(within))?;
        let incarnation = Incarnation(own.max(other).max(self.of).0 + 1);
        // It remembers a later life than that of the copy; what it is to take is newer than both.
        there.brings_from(incarnation);
        let mut by_type: BTreeMap<&EntityName, Vec<EntityKey>> = BTreeMap::new();
        for key in lost.iter().flat_map(|noted| &noted.keys) {
            by_type.entry(key.entity()).or_default().push(key.clone());
        }
        let mut out = Outcome::default();
        for (name, mut keys) in by_type {
            keys.sort_unstable();
            keys.dedup();
            let Some(entity) = self.contract.entity(name) else {
                out.in_the_way.extend(keys.into_iter().map(|key| (key, "its type is not in this contract")));
                continue;
            };
            let epoch = here.fence(&entity.group, within).await?.fence.epoch;
            // Before any write that this life will take.
            let version = Version { epoch, incarnation, position: Position(0) };
            for page in keys.chunks(PAGE) {
                self.level(entity, version, page, &mut out).await?;
                if out.is_raised {
                    return Ok(out.sorted());
                }
            }
        }
        if out.is_whole() {
            // Last: until then they name what is to be levelled.
            for page in lost.chunks(PAGE) {
                there.give_up(&ids(page), within).await?;
            }
        }
        Ok(out.sorted())
    }

    /// States the rows of `keys` anew, as they are here, on both sides.
    async fn level(
        &self,
        entity: &EntityType,
        version: Version,
        keys: &[EntityKey],
        out: &mut Outcome,
    ) -> Result<(), StoreError> {
        let within = self.memories.within;
        let mut open = keys.to_vec();
        for _ in 0..TRIES {
            let rows = self.here().fetch(entity, &open, entity.all_fields(), within).await?;
            let changes: Vec<Change> = open.drain(..).zip(rows).map(|row| stated(entity, version, row)).collect();
            let applied = self.here().bring_back(self.of, &changes, Over::Nobody, within).await?;
            let mut stand = Vec::new();
            for (change, applied) in changes.into_iter().zip(&applied) {
                match applied {
                    // Somebody has changed it since it was read.
                    Applied::Foreign(_) => open.push(change.key),
                    Applied::Barred => out.is_raised = true,
                    _ if applied.is_done() => stand.push(change),
                    _ => out.blocked(&change.key, applied),
                }
            }
            for (change, applied) in stand.iter().zip(&self.there().apply_over(&stand, within).await?) {
                match applied {
                    Applied::Over(_) => out.over.push(change.key.clone()),
                    _ if applied.is_done() => {}
                    _ => out.blocked(&change.key, applied),
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        out.in_the_way.extend(open.into_iter().map(|key| (key, "somebody goes on changing it")));
        Ok(())
    }
}

/// What a row is, as a write of its own.
fn stated(entity: &EntityType, version: Version, (key, state): (EntityKey, Option<model::Record>)) -> Change {
    let base = Some(adapters::base_of(entity, state.as_ref()));
    Change { write: WriteId(Uuid::now_v7()), ordinal: 0, key, version, state, idempotency: None, base }
}

fn ids(noted: &[Noted]) -> Vec<WriteId> {
    noted.iter().map(|noted| noted.write).collect()
}

/// Keys beneath which nothing is brought back, and why.
type Barred = BTreeMap<EntityKey, &'static str>;

/// The writes of `call` none of whose keys is `barred`. The others are in the way, and so is what was made from them.
fn passing(call: Vec<Change>, barred: &mut Barred, out: &mut Outcome) -> Vec<Change> {
    let met = |change: &&Change| barred.contains_key(&change.key);
    let writes: HashSet<WriteId> = call.iter().filter(met).map(|change| change.write).collect();
    let (stopped, passing): (Vec<Change>, _) = call.into_iter().partition(|change| writes.contains(&change.write));
    for change in stopped {
        let why = *barred.entry(change.key.clone()).or_insert(BEHIND);
        // Each row is named once, by what was found first.
        if out.in_the_way.iter().all(|(key, _)| *key != change.key) {
            out.in_the_way.push((change.key, why));
        }
    }
    passing
}

/// Whole writes, the oldest state first, in calls that name each key once.
fn calls(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut writes: BTreeMap<WriteId, Vec<Change>> = BTreeMap::new();
    for change in changes {
        writes.entry(change.write).or_default().push(change);
    }
    let mut writes: Vec<Vec<Change>> = writes.into_values().collect();
    writes.sort_by_key(|write| write.iter().map(|change| change.version).max());
    let mut calls: Vec<Vec<Change>> = Vec::new();
    for write in writes {
        let fits = |call: &&mut Vec<Change>| {
            let known: HashSet<&EntityKey> = call.iter().map(|change| &change.key).collect();
            call.len() + write.len() <= MAX_BATCH && write.iter().all(|change| !known.contains(&change.key))
        };
        match calls.last_mut().filter(fits) {
            Some(call) => call.extend(write),
            None => calls.push(write),
        }
    }
    calls
}
