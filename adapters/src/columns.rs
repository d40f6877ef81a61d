//! Which sets of columns of a type are read: few, whatever clients ask for.
//!
//! Each set makes a statement of its own, on every session of the database and, on an Oracle, in the memory that all its
//! users share. Clients can ask for `2^fields` sets. So a type has a number of sets that are read as asked; who asks for
//! another while all of them are in use is given the smallest of these that holds it, or whole rows. That costs some
//! bytes on the wire and no round trip; to prepare and give up statements in turn would cost every client one.
//!
//! A set that nobody has asked for in a while makes room for another, so a client that asks for everything once has no
//! effect that lasts.

use std::collections::HashMap;
use std::time::Duration;

use model::{EntityName, EntityType, FieldSet};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Sets of one type that are read as asked. A storefront has fewer for each of its pages.
pub(crate) const MOST: usize = 16;
/// How long a set is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(600);

/// The sets of all types of one side. Shared by clones and lanes of a store.
#[derive(Debug, Default)]
pub(crate) struct ColumnSets {
    types: Mutex<HashMap<EntityName, Vec<Known>>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    fields: FieldSet,
    asked: Instant,
}

impl ColumnSets {
    /// The set that is read where `fields` and the key are asked for: it holds them.
    pub(crate) fn rounded(&self, entity: &EntityType, fields: FieldSet) -> FieldSet {
        let fields = fields.union(entity.key_fields());
        let asked = Instant::now();
        let mut types = self.types.lock();
        if !types.contains_key(&entity.name) {
            types.insert(entity.name.clone(), Vec::new());
        }
        let Some(known) = types.get_mut(&entity.name) else { return entity.all_fields() };
        if let Some(set) = known.iter_mut().find(|set| set.fields == fields) {
            set.asked = asked;
            return fields;
        }
        if known.len() < MOST {
            known.push(Known { fields, asked });
            return fields;
        }
        if let Some(oldest) = known.iter_mut().min_by_key(|set| set.asked).filter(|set| set.asked + KEPT < asked) {
            *oldest = Known { fields, asked };
            return fields;
        }
        let holding = known.iter().map(|set| set.fields).filter(|set| set.covers(fields));
        holding.min_by_key(|set| set.iter().count()).unwrap_or_else(|| entity.all_fields())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::FieldIndex;
    use testkit::inventory::{self, product_key};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_is_asked_for_few_sets_are_read_and_each_holds_what_was_asked() {
        let contract = inventory::contract();
        let product = contract.entity(product_key("A").entity()).unwrap();
        let usual: FieldSet = product.key_fields().with(product.index("name").unwrap());
        let sets = ColumnSets::default();
        let mut read = HashSet::new();
        for bits in 0_u32..1 << product.fields.len().min(10) {
            let asked: FieldSet = (0..10).filter(|bit| bits & (1 << bit) != 0).map(FieldIndex::new).collect();
            let asked: FieldSet = asked.iter().filter(|index| index.get() < product.fields.len()).collect();
            let rounded = sets.rounded(product, asked);
            assert!(rounded.covers(asked) && product.all_fields().covers(rounded), "{asked:?} {rounded:?}");
            read.insert(rounded);
            // Who repeats what he asked for goes on to be given that and no more.
            assert_eq!(sets.rounded(product, usual), usual);
        }
        assert!(read.len() <= MOST + 1, "{}", read.len());
        // What was asked for once makes room.
        tokio::time::sleep(KEPT * 2).await;
        let other = product.key_fields().with(FieldIndex::new(product.fields.len() - 1));
        assert_eq!(sets.rounded(product, other), other);
    }
}
