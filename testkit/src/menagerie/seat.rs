//! Where a hostile database stands.

use model::Side;

/// Where a hostile database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    /// As legacy.
    Legacy,
    /// As modern.
    Modern,
    /// As legacy, through the Oracle adapter and the stand-in for its client library: what its triggers, rules and
    /// policies do is done beneath the stand-in, as Oracle's own would be.
    Oracle,
}

impl Seat {
    /// All.
    pub const ALL: [Self; 3] = [Self::Legacy, Self::Modern, Self::Oracle];

    /// The side that it is.
    pub fn side(self) -> Side {
        match self {
            Self::Legacy | Self::Oracle => Side::Legacy,
            Self::Modern => Side::Modern,
        }
    }

    /// As files say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
            Self::Oracle => "oracle",
        }
    }

    /// The one of this name.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|seat| seat.as_str() == name)
    }
}
