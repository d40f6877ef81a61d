//! Fences of one group, and what both say together: the rules of the handover, in numbers.

use crate::state::Side;

/// How a side stands to primary writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stand {
    /// It takes them.
    Open,
    /// It did until now.
    Frozen,
    /// It does not.
    Closed,
    /// It takes them, and nobody keeps the other side equal any more.
    Alone,
}

impl Stand {
    /// Whether the side takes writes.
    pub fn takes_writes(self) -> bool {
        match self {
            Self::Open | Self::Alone => true,
            Self::Frozen | Self::Closed => false,
        }
    }
}

/// A side's fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The epoch of its last move.
    pub epoch: u8,
    /// How it stands.
    pub stand: Stand,
}

impl Fence {
    /// A fence.
    pub fn new(epoch: u8, stand: Stand) -> Self {
        Self { epoch, stand }
    }

    /// Whether it lets a write of `epoch` through.
    pub fn admits(self, epoch: u8) -> bool {
        self.stand.takes_writes() && self.epoch == epoch
    }
}

/// What both fences say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// One side takes writes.
    Held(Side, u8),
    /// The side did; the other is opened under the epoch when it has everything.
    Frozen(Side, u8),
    /// A handover was given up: the side is opened again under the epoch.
    GivenUp(Side, u8),
    /// Modern takes writes, and legacy is not kept equal any more.
    Alone(u8),
    /// They do not go together: two looks at different moments, or a flaw.
    Broken,
}

impl Authority {
    /// Reads both fences, legacy's first. The younger epoch tells who moved last.
    pub fn of(fences: [Fence; 2]) -> Self {
        let [legacy, modern] = fences;
        if legacy.epoch == modern.epoch {
            return match (legacy.stand, modern.stand) {
                (Stand::Open, Stand::Frozen | Stand::Closed) => Self::Held(Side::Legacy, legacy.epoch),
                (Stand::Frozen | Stand::Closed, Stand::Open) => Self::Held(Side::Modern, modern.epoch),
                (Stand::Frozen | Stand::Closed, Stand::Alone) => Self::Alone(modern.epoch),
                (Stand::Open, Stand::Open | Stand::Alone)
                | (Stand::Frozen | Stand::Closed, Stand::Frozen | Stand::Closed)
                | (Stand::Alone, _) => Self::Broken,
            };
        }
        let last = if legacy.epoch > modern.epoch { Side::Legacy } else { Side::Modern };
        let (younger, older) = (fences[last.index()], fences[last.other().index()]);
        match (younger.stand, older.stand) {
            (Stand::Alone, Stand::Frozen | Stand::Closed) if last == Side::Modern => Self::Alone(younger.epoch),
            (_, Stand::Open | Stand::Alone) | (Stand::Open | Stand::Alone, _) => Self::Broken,
            (Stand::Frozen, Stand::Frozen | Stand::Closed) => Self::Frozen(last, younger.epoch),
            (Stand::Closed, Stand::Frozen | Stand::Closed) => Self::GivenUp(last.other(), younger.epoch),
        }
    }
}
