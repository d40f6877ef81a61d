//! Fences: which side takes primary writes of a group. They are the truth about authority; a rollout only follows.
//!
//! Each side keeps one fence per group. A write proves it in its own transaction, so whoever works under an older
//! epoch is stopped by the side itself, whatever it believes. Epochs of a group only rise, and every move of a fence
//! is a compare-and-set: of two who move it from the same place, one loses and looks again.
//!
//! Not here: who moves fences, and what happens between two moves (`proxy::handover`).

mod beginning;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::change::Epoch;
use crate::side::{PerSide, Side};

/// How a side stands to primary writes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stand {
    /// It takes them.
    Open,
    /// It did until now, and may hold writes that the other side lacks.
    Frozen,
    /// It does not.
    Closed,
    /// It takes them, and nobody keeps the other side equal any more.
    Alone,
}

impl Stand {
    /// Every stand.
    pub const ALL: [Self; 4] = [Self::Open, Self::Frozen, Self::Closed, Self::Alone];

    /// The word in tables: `open`, `frozen`, `closed` or `alone`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
            Self::Alone => "alone",
        }
    }

    /// Whether the side takes primary writes. Then nothing of another primary is applied to it.
    pub fn takes_writes(self) -> bool {
        match self {
            Self::Open | Self::Alone => true,
            Self::Frozen | Self::Closed => false,
        }
    }

    /// Takes back what a table holds.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stand| stand.as_str() == text)
    }
}

/// A side's fence for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The epoch of its last move.
    pub epoch: Epoch,
    /// How it stands.
    pub stand: Stand,
}

pub use beginning::{Beginning, Traces, Unclear, adoption, beginning, ending, is_ended};

impl Fence {
    /// A fence that was made anew: nobody has ever moved it.
    pub const BORN: Self = Self { epoch: Epoch(0), stand: Stand::Closed };

    /// A fence.
    pub fn new(epoch: Epoch, stand: Stand) -> Self {
        Self { epoch, stand }
    }
}

impl fmt::Display for Fence {
    /// `frozen under epoch 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under epoch {}", self.stand.as_str(), self.epoch.0)
    }
}

/// A fence and for how long it has stood so, by the clock of its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The fence.
    pub fence: Fence,
    /// Since its last move.
    pub age: Duration,
}

/// Who takes the writes of a group: what a rollout follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The side that has the authority.
    pub side: Side,
    /// Under this epoch.
    pub epoch: Epoch,
    /// Whether nobody keeps the other side equal any more.
    pub alone: bool,
}

/// What both fences of a group say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// One side takes writes.
    Held {
        /// Which.
        by: Side,
        /// Under this epoch.
        epoch: Epoch,
    },
    /// None does: `last` did, and what only it has must be brought to the other side before that one is opened.
    Frozen {
        /// Who did.
        last: Side,
        /// Under which the next one is opened.
        epoch: Epoch,
    },
    /// None does: a handover was given up, and `back` is opened again. Nothing was written meanwhile.
    GivenUp {
        /// Who is opened.
        back: Side,
        /// Under this epoch.
        epoch: Epoch,
    },
    /// Modern takes writes, and legacy is not kept equal any more. No move leads on.
    Alone {
        /// Under this epoch.
        epoch: Epoch,
    },
    /// A fence was made anew and nobody has looked at both sides since: `strangler init` does.
    Unopened,
    /// No sequence of moves leads here: somebody has changed a fence by hand, or restored one side alone.
    Broken,
}

impl Authority {
    /// Reads both fences.
    ///
    /// The younger epoch tells who moved last. Frozen: that side had the authority. Closed: it was only raised, so that
    /// nobody who is late can open it any more, and the other side had the authority.
    pub fn of(fences: &PerSide<Fence>) -> Self {
        let (legacy, modern) = (fences.legacy, fences.modern);
        if legacy == Fence::BORN || modern == Fence::BORN {
            return Self::Unopened;
        }
        let (last, younger, older) = match legacy.epoch.cmp(&modern.epoch) {
            std::cmp::Ordering::Greater => (Side::Legacy, legacy, modern),
            std::cmp::Ordering::Less => (Side::Modern, modern, legacy),
            // Of two with one epoch, one is open, and the other was frozen or raised for it.
            std::cmp::Ordering::Equal => {
                return match (legacy.stand, modern.stand) {
                    (Stand::Open, Stand::Frozen | Stand::Closed) => {
                        Self::Held { by: Side::Legacy, epoch: legacy.epoch }
                    }
                    (Stand::Frozen | Stand::Closed, Stand::Open) => {
                        Self::Held { by: Side::Modern, epoch: modern.epoch }
                    }
                    (Stand::Frozen | Stand::Closed, Stand::Alone) => Self::Alone { epoch: modern.epoch },
                    (Stand::Open, Stand::Open | Stand::Alone)
                    | (Stand::Frozen | Stand::Closed, Stand::Frozen | Stand::Closed)
                    | (Stand::Alone, _) => Self::Broken,
                };
            }
        };
        match (younger.stand, older.stand) {
            // It needs nobody else's fence for that: whatever could have opened legacy was barred before.
            (Stand::Alone, Stand::Frozen | Stand::Closed) if last == Side::Modern => {
                Self::Alone { epoch: younger.epoch }
            }
            (_, Stand::Open | Stand::Alone) | (Stand::Open | Stand::Alone, _) => Self::Broken,
            (Stand::Frozen, Stand::Frozen | Stand::Closed) => Self::Frozen { last, epoch: younger.epoch },
            (Stand::Closed, Stand::Frozen | Stand::Closed) => {
                Self::GivenUp { back: last.other(), epoch: younger.epoch }
            }
        }
    }

    /// What one fence says by itself, while the other one cannot be seen: a side that takes writes needs no second word.
    pub fn of_one(side: Side, fence: Fence) -> Option<Self> {
        match (fence.stand, side) {
            (Stand::Open, by) => Some(Self::Held { by, epoch: fence.epoch }),
            (Stand::Alone, Side::Modern) => Some(Self::Alone { epoch: fence.epoch }),
            (Stand::Alone, Side::Legacy) | (Stand::Frozen | Stand::Closed, _) => None,
        }
    }

    /// Who takes writes; `None`: nobody, or it is not clear who.
    pub fn holder(&self) -> Option<Holder> {
        match *self {
            Self::Held { by, epoch } => Some(Holder { side: by, epoch, alone: false }),
            Self::Alone { epoch } => Some(Holder { side: Side::Modern, epoch, alone: true }),
            Self::Frozen { .. } | Self::GivenUp { .. } | Self::Unopened | Self::Broken => None,
        }
    }
}

/// One move of one fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Whose.
    pub side: Side,
    /// What it must be, or it is not moved.
    pub from: Fence,
    /// What it becomes.
    pub to: Fence,
    /// Whether what this side's ledger still holds unsettled from before is *left behind* by it. So it is where the side
    /// takes the authority over from the other one, which has taken writes since that were not computed from it; and
    /// where nobody keeps the other side equal any more.
    pub takes_over: bool,
}

impl Move {
    /// Takes the authority from the side that has it: its writers in flight are waited for, later ones are stopped.
    pub fn freeze(fences: &PerSide<Fence>) -> Option<Self> {
        let Authority::Held { by, epoch } = Authority::of(fences) else { return None };
        let to = Fence::new(Epoch(epoch.0 + 1), Stand::Frozen);
        Some(Self { side: by, from: *fences.get(by), to, takes_over: false })
    }

    /// Opens the next side; only after everything of the last one was brought to it.
    pub fn open(fences: &PerSide<Fence>) -> Option<Self> {
        let (side, epoch, takes_over) = match Authority::of(fences) {
            Authority::Frozen { last, epoch } => (last.other(), epoch, true),
            Authority::GivenUp { back, epoch } => (back, epoch, false),
            Authority::Held { .. } | Authority::Alone { .. } | Authority::Unopened | Authority::Broken => return None,
        };
        Some(Self { side, from: *fences.get(side), to: Fence::new(epoch, Stand::Open), takes_over })
    }

    /// Ends the dual write: modern takes writes alone. Where it was frozen for that, only after everything of it was
    /// brought to legacy and legacy was barred ([`Self::give_up`]): a handover to legacy may be under way that has
    /// brought over as much. Where it is open, only if a rollout says already that nobody dual-writes.
    pub fn alone(fences: &PerSide<Fence>) -> Option<Self> {
        let epoch = match Authority::of(fences) {
            Authority::GivenUp { back: Side::Modern, epoch } => epoch,
            Authority::Held { by: Side::Modern, epoch } => Epoch(epoch.0 + 1),
            Authority::GivenUp { back: Side::Legacy, .. }
            | Authority::Held { by: Side::Legacy, .. }
            | Authority::Frozen { .. }
            | Authority::Alone { .. }
            | Authority::Unopened
            | Authority::Broken => return None,
        };
        let to = Fence::new(epoch, Stand::Alone);
        Some(Self { side: Side::Modern, from: fences.modern, to, takes_over: true })
    }

    /// Gives a handover up: the side that was to be opened is raised first, so that a coordinator who slept cannot open
    /// it any more.
    pub fn give_up(fences: &PerSide<Fence>) -> Option<Self> {
        let Authority::Frozen { last, epoch } = Authority::of(fences) else { return None };
        let side = last.other();
        let to = Fence::new(Epoch(epoch.0 + 1), Stand::Closed);
        Some(Self { side, from: *fences.get(side), to, takes_over: false })
    }
}

#[cfg(test)]
mod tests;
