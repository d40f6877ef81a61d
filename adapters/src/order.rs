//! In which order the rows of one transaction are changed: deletions first, those of children before those of their
//! parents; then what stands, parents before children. That is legal on the way wherever no rule forbids what stands at
//! the end, but for values that change places: for these each store has steps.

use std::collections::BTreeMap;

use model::{Change, EntityName};

/// How deep below its parents each type stands. A type that refers to itself, or types that refer to each other in a ring,
/// have no right order: some order.
#[derive(Debug, Default)]
pub(crate) struct Order(BTreeMap<EntityName, usize>);

/// When a change has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// A deletion: those who stand deepest come first.
    Gone(std::cmp::Reverse<usize>),
    /// A state: those who stand highest come first.
    Stands(usize),
}

impl Order {
    /// Of these types, where `references` are pairs of child and parent.
    pub(crate) fn of<'a>(types: impl Iterator<Item = &'a EntityName>, references: &[(EntityName, EntityName)]) -> Self {
        let mut depths: BTreeMap<EntityName, usize> = types.map(|name| (name.clone(), 0)).collect();
        // A ring never comes to rest: as often as there are types, and no more.
        for _ in 0..depths.len() {
            for (child, parent) in references.iter().filter(|(child, parent)| child != parent) {
                let below = depths.get(parent).map_or(0, |depth| depth + 1);
                if let Some(depth) = depths.get_mut(child) {
                    *depth = below.max(*depth);
                }
            }
        }
        Self(depths)
    }

    /// When `change` has its turn.
    pub(crate) fn turn(&self, change: &Change) -> Turn {
        let depth = self.0.get(change.key.entity()).copied().unwrap_or_default();
        match change.state {
            None => Turn::Gone(std::cmp::Reverse(depth)),
            Some(_) => Turn::Stands(depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(references: &[(&str, &str)]) -> Vec<usize> {
        let types: Vec<EntityName> = ["Address", "Country", "Customer"].map(EntityName::from).into();
        let references: Vec<_> = references.iter().map(|(child, parent)| ((*child).into(), (*parent).into())).collect();
        Order::of(types.iter(), &references).0.into_values().collect()
    }

    #[test]
    fn children_stand_below_their_parents_whatever_their_names() {
        assert_eq!(depths(&[("Address", "Customer"), ("Customer", "Country")]), [2, 0, 1]);
        assert_eq!(depths(&[("Customer", "Country"), ("Address", "Customer")]), [2, 0, 1]);
        assert_eq!(depths(&[]), [0, 0, 0]);
        assert_eq!(depths(&[("Address", "Address")]), [0, 0, 0]);
    }

    #[test]
    fn types_that_refer_to_each_other_have_some_order() {
        let ring = depths(&[("Address", "Customer"), ("Customer", "Address")]);
        assert_eq!(ring[1], 0, "who is in no ring stands where it belongs");
    }

    #[test]
    fn deletions_come_first_and_begin_with_the_children() {
        let (child, parent) = (2, 0);
        let mut turns = [
            Turn::Stands(child),
            Turn::Gone(std::cmp::Reverse(parent)),
            Turn::Stands(parent),
            Turn::Gone(std::cmp::Reverse(child)),
        ];
        turns.sort_unstable();
        let expected = [
            Turn::Gone(std::cmp::Reverse(child)),
            Turn::Gone(std::cmp::Reverse(parent)),
            Turn::Stands(parent),
            Turn::Stands(child),
        ];
        assert_eq!(turns, expected);
    }
}
