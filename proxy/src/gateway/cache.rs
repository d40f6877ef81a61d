//! Compiled documents by text and operation name, bounded.
//!
//! Two generations: when the young one is full the old one is dropped and they change places. A plan
//! that is used again moves to the young one, so what clients repeat stays. No clock, no list.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use super::plan::Plan;
use crate::telemetry;

/// Longer documents are compiled each time: few clients send them, and a thousand of them would be
/// more than we want to keep.
const MAX_DOCUMENT_BYTES: usize = 32 * 1024;

/// The plan cache.
pub(crate) struct PlanCache {
    half: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Name, Arc<Plan>>,
    old: HashMap<Name, Arc<Plan>>,
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
    /// A cache of at most `capacity` plans, and at least two.
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self { half: (capacity.get() / 2).max(1), generations: Mutex::default() }
    }

    /// The plan kept under `name`.
    pub(crate) fn get(&self, name: Name) -> Option<Arc<Plan>> {
        let mut generations = self.generations.lock();
        let found = match generations.young.get(&name) {
            Some(plan) => Some(Arc::clone(plan)),
            None => generations.old.remove(&name).inspect(|plan| {
                generations.keep(name, Arc::clone(plan), self.half);
            }),
        };
        drop(generations);
        let outcome = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!(telemetry::PLAN_CACHE_TOTAL, "outcome" => outcome).increment(1);
        found
    }

    /// Keeps `plan` under `name`.
    pub(crate) fn put(&self, name: Name, plan: Arc<Plan>) {
        self.generations.lock().keep(name, plan, self.half);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    fn keep(&mut self, name: Name, plan: Arc<Plan>, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used_again() {
        let cache = PlanCache::new(NonZeroUsize::new(10).unwrap());
        let name = |n: usize| Name::of(&format!("{{ a{n} }}"), None).unwrap();
        for n in 0..1_000 {
            cache.put(name(n), Arc::new(Plan::empty()));
            assert!(n == 0 || cache.get(name(0)).is_some(), "{n}");
            assert!(cache.len() <= 10);
        }
        assert!(cache.get(name(1)).is_none());
    }

    #[test]
    fn operation_and_document_make_the_name_together() {
        assert_ne!(Name::of("ab", Some("c")), Name::of("b", Some("ca")));
        assert_ne!(Name::of("ab", Some("")), Name::of("ab", None));
        assert_eq!(Name::of(&"x".repeat(MAX_DOCUMENT_BYTES + 1), None), None);
    }
}
