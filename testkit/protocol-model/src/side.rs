//! The two systems.

/// What a system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The ERP.
    Legacy,
    /// The new store.
    Modern,
}

impl Side {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Legacy, Self::Modern];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Modern,
            Self::Modern => Self::Legacy,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
