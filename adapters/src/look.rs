//! What a write looks at before it works: who must know whether a row existed pays for a look, others do not.

use model::{Command, EntityType, FieldSet};

/// What is looked at before the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing.
    None,
    /// Which touched rows exist.
    Keys,
    /// How they stand.
    Whole,
}

impl Look {
    /// What `command` is begun with.
    pub(crate) fn of(command: &Command) -> Self {
        if command.looks_first() { Self::Keys } else { Self::None }
    }

    /// The fields of `entity` that it reads.
    pub(crate) fn fields(self, entity: &EntityType) -> FieldSet {
        match self {
            Self::None => FieldSet::default(),
            Self::Keys => entity.key_fields(),
            Self::Whole => entity.all_fields(),
        }
    }
}
