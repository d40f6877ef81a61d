//! Side and role: what a system is, and what it does today.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a system *is*. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The ERP.
    Legacy,
    /// The new store.
    Modern,
}

impl Side {
    /// Both sides, legacy first.
    pub const BOTH: [Self; 2] = [Self::Legacy, Self::Modern];

    /// The side that is not this one.
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Modern,
            Self::Modern => Self::Legacy,
        }
    }

    /// The name used in metrics, config and messages: `legacy` or `modern`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a side *does today* for a group. It flips when authority is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The authority for writes.
    Primary,
    /// Kept equal to the primary.
    Secondary,
}

/// One thing for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PerSide<T> {
    /// The ERP's.
    pub legacy: T,
    /// The new store's.
    pub modern: T,
}

impl<T> PerSide<T> {
    /// The thing of `side`.
    pub fn get(&self, side: Side) -> &T {
        match side {
            Side::Legacy => &self.legacy,
            Side::Modern => &self.modern,
        }
    }

    /// The thing of `side`, to be changed.
    pub fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Legacy => &mut self.legacy,
            Side::Modern => &mut self.modern,
        }
    }

    /// The same shape with `f` applied to each side.
    pub fn map<U>(self, mut f: impl FnMut(Side, T) -> U) -> PerSide<U> {
        PerSide { legacy: f(Side::Legacy, self.legacy), modern: f(Side::Modern, self.modern) }
    }
}
