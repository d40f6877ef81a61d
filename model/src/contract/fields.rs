//! Places of fields in their type, and sets of them.

/// A field's place in its entity type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldIndex(u16);

impl FieldIndex {
    /// The `index`th field of a type, from 0.
    ///
    /// # Panics
    /// Beyond 65,535 fields, which the contract parser refuses.
    pub fn new(index: usize) -> Self {
        Self(u16::try_from(index).expect("the contract parser limits a type to 128 fields"))
    }

    /// The place as an index into [`EntityType::fields`](super::EntityType::fields).
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of fields of one entity type (at most 128 fields, which the contract parser ensures).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldSet(u128);

impl FieldSet {
    /// Largest count of stored fields of a type.
    pub const MAX_FIELDS: usize = 128;

    /// The set with `index` added.
    #[must_use]
    pub fn with(self, index: FieldIndex) -> Self {
        Self(self.0 | 1 << index.get())
    }

    /// The set without `index`.
    #[must_use]
    pub fn without(self, index: FieldIndex) -> Self {
        Self(self.0 & !(1 << index.get()))
    }

    /// The fields that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The fields that are in both sets.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `index` is in the set.
    pub fn contains(self, index: FieldIndex) -> bool {
        self.0 & (1 << index.get()) != 0
    }

    /// Whether no field is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every field of `other` is in this set.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The fields in order.
    pub fn iter(self) -> impl Iterator<Item = FieldIndex> {
        (0..Self::MAX_FIELDS).map(FieldIndex::new).filter(move |index| self.contains(*index))
    }
}

impl FromIterator<FieldIndex> for FieldSet {
    fn from_iter<I: IntoIterator<Item = FieldIndex>>(fields: I) -> Self {
        fields.into_iter().fold(Self::default(), Self::with)
    }
}
