//! Compiled documents by text and operation name, bounded by how many they are and by the bytes that they hold.
//!
//! Two generations: when the young one is full the old one is dropped and they change places. A plan
//! that is used again moves to the young one, so what clients repeat stays. No clock, no list.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use super::plan::Plan;

/// Longer documents are compiled each time: few clients send them, and a thousand of them would be
/// more than we want to keep.
const MAX_DOCUMENT_BYTES: usize = 32 * 1024;

/// The plan cache.
pub(crate) struct PlanCache {
    half: Room,
    generations: Mutex<Generations>,
}

/// What one generation may hold.
#[derive(Clone, Copy)]
struct Room {
    plans: usize,
    bytes: usize,
}

#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    plans: HashMap<Name, Kept>,
    bytes: usize,
}

#[derive(Clone)]
struct Kept {
    plan: Arc<Plan>,
    bytes: usize,
}

/// Names a document and one of its operations: a hash, so that a look-up copies no text. It is one
/// that cannot be forged, since a collision would run another client's operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name([u8; 32]);

impl Name {
    /// The name of `operation` in `document`; `None` when such a document is not kept.
    pub(crate) fn of(document: &str, operation: Option<&str>) -> Option<Self> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        // A NUL cannot stand in an operation's name that exists, so the two parts cannot be confused.
        hasher.update(operation.unwrap_or("\0").as_bytes());
        hasher.update(b"\0");
        hasher.update(document.as_bytes());
        Some(Self(*hasher.finalize().as_bytes()))
    }
}

impl PlanCache {
    /// A cache of at most `plans` plans, and at least two, which hold `bytes` together.
    pub(crate) fn new(plans: NonZeroUsize, bytes: usize) -> Self {
        let half = Room { plans: (plans.get() / 2).max(1), bytes: bytes / 2 };
        Self { half, generations: Mutex::default() }
    }

    /// The plan kept under `name`.
    pub(crate) fn get(&self, name: Name) -> Option<Arc<Plan>> {
        let mut generations = self.generations.lock();
        let found = match generations.young.plans.get(&name) {
            Some(kept) => Some(Arc::clone(&kept.plan)),
            None => generations.old.take(name).map(|kept| {
                let plan = Arc::clone(&kept.plan);
                generations.keep(name, kept, self.half);
                plan
            }),
        };
        drop(generations);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!(telemetry::PLAN_CACHE_TOTAL, "outcome" => outcome).increment(1);
        found
    }

    /// Keeps `plan`, made from a document of `text` bytes, under `name`. One that would need all the room of a
    /// generation is not kept.
    pub(crate) fn put(&self, name: Name, plan: Arc<Plan>, text: usize) {
        let bytes = plan.weight(text);
        let mut generations = self.generations.lock();
        if bytes <= self.half.bytes {
            generations.keep(name, Kept { plan, bytes }, self.half);
        }
        telemetry::plan_cache_bytes(generations.bytes());
    }

    /// The plans that are kept, and the bytes that they hold.
    pub(crate) fn held(&self) -> (usize, usize) {
        let generations = self.generations.lock();
        (generations.young.plans.len() + generations.old.plans.len(), generations.bytes())
    }
}

impl Generations {
    fn keep(&mut self, name: Name, kept: Kept, half: Room) {
        let young = &self.young;
        if young.plans.len() >= half.plans || young.bytes + kept.bytes > half.bytes {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.take(name);
        self.young.take(name);
        self.young.bytes += kept.bytes;
        self.young.plans.insert(name, kept);
    }

    fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }
}

impl Generation {
    fn take(&mut self, name: Name) -> Option<Kept> {
        let kept = self.plans.remove(&name)?;
        self.bytes -= kept.bytes;
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Name {
        Name::of(&format!("{{ a{n} }}"), None).unwrap()
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used_again() {
        let cache = PlanCache::new(NonZeroUsize::new(10).unwrap(), usize::MAX);
        for n in 0..1_000 {
            cache.put(name(n), Arc::new(Plan::empty()), 10);
            assert!(n == 0 || cache.get(name(0)).is_some(), "{n}");
            assert!(cache.held().0 <= 10);
        }
        assert!(cache.get(name(1)).is_none());
    }

    #[test]
    fn the_cache_is_bounded_by_the_bytes_that_its_plans_hold() {
        let (most, text) = (100_000, 9_000);
        let cache = PlanCache::new(NonZeroUsize::new(1_000).unwrap(), most);
        for n in 0..1_000 {
            cache.put(name(n), Arc::new(Plan::empty()), text);
            assert!(n == 0 || cache.get(name(0)).is_some(), "{n}");
            assert!(cache.held().1 <= most, "{:?}", cache.held());
        }
        assert!(cache.held().1 > most / 2);
        cache.put(name(5_000), Arc::new(Plan::empty()), most);
        assert!(cache.get(name(5_000)).is_none());
    }

    #[test]
    fn a_plan_that_is_kept_twice_counts_once() {
        let cache = PlanCache::new(NonZeroUsize::new(10).unwrap(), usize::MAX);
        cache.put(name(1), Arc::new(Plan::empty()), 10);
        let once = cache.held();
        cache.put(name(1), Arc::new(Plan::empty()), 10);
        assert_eq!(cache.held(), once);
    }

    #[test]
    fn operation_and_document_make_the_name_together() {
        assert_ne!(Name::of("ab", Some("c")), Name::of("b", Some("ca")));
        assert_ne!(Name::of("ab", Some("")), Name::of("ab", None));
        assert_eq!(Name::of(&"x".repeat(MAX_DOCUMENT_BYTES + 1), None), None);
    }
}
