//! What a write looks at before it works: who must know whether a row existed pays for a look, others do not.

use model::FieldSet;

use crate::postgres::table::Table;

/// What is looked at before the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    None,
    /// Which touched rows exist.
    Keys,
    /// How they stand.
    Whole,
}

impl Look {
    /// The fields of `table` that it reads.
    pub(super) fn fields(self, table: Table<'_>) -> FieldSet {
        match self {
            Self::None => FieldSet::default(),
            Self::Keys => table.entity.key_fields(),
            Self::Whole => table.entity.all_fields(),
        }
    }
}
