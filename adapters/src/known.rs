//! What this replica's contract knows of the shapes that a side remembers, and what may be applied under that:
//! `model::shape` says why. The same for every engine; how a side is asked is each adapter's `shapes`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::shape::{Remembered, registered};
use model::{Applied, Change, Contract, EntityName, Recorded, Shape, ShapeId, WriteId};
use parking_lot::Mutex;

use crate::order::Order;

/// The shapes of one side as this replica saw them last. Shared by clones and lanes of a store.
pub(crate) struct Known {
    contract: Arc<Contract>,
    newest: Mutex<Arc<Picture>>,
    order: Mutex<Option<Arc<Order>>>,
}

impl Known {
    /// Nothing is remembered as far as we know: only one's own shapes are known.
    pub(crate) fn new(contract: Arc<Contract>) -> Arc<Self> {
        let newest = Mutex::new(Arc::new(Picture::of(&contract, &[])));
        Arc::new(Self { contract, newest, order: Mutex::default() })
    }

    /// In which order tables are changed, once the catalogue was asked.
    pub(crate) fn order(&self) -> Option<Arc<Order>> {
        self.order.lock().clone()
    }

    /// Takes in what the catalogue says.
    pub(crate) fn ordered(&self, order: Order) -> Arc<Order> {
        let order = Arc::new(order);
        *self.order.lock() = Some(Arc::clone(&order));
        order
    }

    /// A rule was met that the order does not know: the catalogue may have changed.
    pub(crate) fn forget_order(&self) {
        *self.order.lock() = None;
    }

    /// What was seen last.
    pub(crate) fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.newest.lock())
    }

    /// Takes in what the side remembers.
    pub(crate) fn saw(&self, remembered: &[Remembered]) -> Arc<Picture> {
        let picture = Arc::new(Picture::of(&self.contract, remembered));
        *self.newest.lock() = Arc::clone(&picture);
        picture
    }
}

/// What is known of each type.
pub(crate) struct Picture {
    types: BTreeMap<EntityName, OfType>,
}

struct OfType {
    /// Shapes whose states this contract can read, its own among them.
    readable: Vec<ShapeId>,
    /// Shapes that lack nothing of this contract's, its own among them.
    covering: Vec<ShapeId>,
    /// Whether the registered shape is one that this contract knows; where there is none there is nothing to know.
    applies: bool,
}

/// What may become of the changes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They may be applied.
    Apply,
    /// One of them only names its key.
    NotWhole,
    /// One of them is not for this replica.
    NotKnown,
}

impl Picture {
    fn of(contract: &Contract, remembered: &[Remembered]) -> Self {
        let of_type = |(name, entity): (&EntityName, &Arc<model::EntityType>)| {
            let own = Shape::of(entity);
            let others = || {
                let of_type = remembered.iter().filter(|one| one.entity == *name && one.id != own.id());
                of_type.filter_map(|one| Some((one.id, one.shape.as_ref()?)))
            };
            let with_own = |ids: Vec<ShapeId>| [vec![own.id()], ids].concat();
            let readable = with_own(others().filter(|(_, shape)| own.knows(shape)).map(|(id, _)| id).collect());
            let covering = with_own(others().filter(|(_, shape)| shape.knows(&own)).map(|(id, _)| id).collect());
            let applies = registered(remembered, name).is_none_or(|one| readable.contains(&one.id));
            (name.clone(), OfType { readable, covering, applies })
        };
        Self { types: contract.entities.iter().map(of_type).collect() }
    }

    /// The types whose states may be applied by this replica.
    pub(crate) fn applied(&self) -> impl Iterator<Item = &EntityName> {
        self.types.iter().filter(|(_, of_type)| of_type.applies).map(|(name, _)| name)
    }

    /// Whether another shape is registered for a type than this contract knows.
    pub(crate) fn is_behind(&self, entity: &EntityName) -> bool {
        self.types.get(entity).is_some_and(|of_type| !of_type.applies)
    }

    /// Every shape whose states this contract can read.
    pub(crate) fn readable(&self) -> Vec<i64> {
        self.types.values().flat_map(|of_type| &of_type.readable).map(|id| id.get()).collect()
    }

    /// The shapes of a type whose states this contract can read.
    pub(crate) fn readable_of(&self, entity: &EntityName) -> &[ShapeId] {
        self.types.get(entity).map_or(&[], |of_type| &of_type.readable)
    }

    /// Whether a state that was written in `shape` lacks nothing that this contract has. A row that says no shape, or
    /// one that nobody remembers, is not known to be whole.
    fn covers(&self, entity: &EntityName, shape: Option<i64>) -> bool {
        let of_type = self.types.get(entity);
        of_type.zip(shape).is_some_and(|(of_type, shape)| of_type.covering.contains(&ShapeId::kept(shape)))
    }

    /// What may become of each change: a write has one fate.
    pub(crate) fn fates(&self, contract: &Contract, changes: &[Change]) -> Vec<Fate> {
        let of_one = |change: &Change| {
            let applies = self.types.get(change.key.entity()).is_some_and(|of_type| of_type.applies);
            match contract.entity(change.key.entity()) {
                Some(entity) if applies && change.unknown_to(contract).is_none() => {
                    if change.is_whole(entity) {
                        Fate::Apply
                    } else {
                        Fate::NotWhole
                    }
                }
                Some(_) | None => Fate::NotKnown,
            }
        };
        let own: Vec<_> = changes.iter().map(of_one).collect();
        let with =
            |fate| changes.iter().zip(&own).filter(move |(_, own)| **own == fate).map(|(change, _)| change.write);
        let (unknown, parts): (HashSet<WriteId>, HashSet<WriteId>) =
            (with(Fate::NotKnown).collect(), with(Fate::NotWhole).collect());
        let of_write = |change: &Change| match (unknown.contains(&change.write), parts.contains(&change.write)) {
            (true, _) => Fate::NotKnown,
            (false, true) => Fate::NotWhole,
            (false, false) => Fate::Apply,
        };
        changes.iter().map(of_write).collect()
    }
}

/// What stands on a side in the place of a change, and the shape that it was written in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winner {
    pub(crate) recorded: Recorded,
    pub(crate) shape: Option<i64>,
}

impl Picture {
    /// Whether `winner` holds all that a change of `entity` with this version could bring.
    pub(crate) fn is_won(&self, change: &Change, winner: Option<Winner>) -> bool {
        let newer = |winner: Winner| winner.recorded.version >= change.version;
        winner.is_some_and(|winner| newer(winner) && self.covers(change.key.entity(), winner.shape))
    }

    /// What is said of changes that were not applied since something newer stands: of a write that lost to a narrower
    /// state nothing is done. `winner` tells of each place.
    pub(crate) fn judge_stale(
        &self,
        changes: &[Change],
        mut applied: Vec<Applied>,
        winner: impl Fn(usize) -> Option<Winner>,
    ) -> Vec<Applied> {
        for (place, slot) in applied.iter_mut().enumerate() {
            if matches!(slot, Applied::Stale(_)) && !self.is_won(&changes[place], winner(place)) {
                *slot = Applied::NotWhole;
            }
        }
        applied
    }

    /// What is said of writes with states that are not whole: where something newer and whole stands in the place of each,
    /// they have come too late; else their keys are to be looked up again.
    pub(crate) fn beneath(&self, parts: &[Change], winners: &[Option<Winner>]) -> Vec<Applied> {
        let pairs = || parts.iter().zip(winners.iter().copied());
        let open = pairs().filter(|(change, winner)| !self.is_won(change, *winner));
        let open: HashSet<WriteId> = open.map(|(change, _)| change.write).collect();
        let slot = |(change, winner): (&Change, Option<Winner>)| match winner.filter(|_| !open.contains(&change.write))
        {
            Some(winner) => Applied::Stale(winner.recorded),
            None => Applied::NotWhole,
        };
        pairs().map(slot).collect()
    }
}
