//! What a side has to be for an apply.

use model::Incarnation;
use model::life::Over;

/// Which side takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// A secondary: the fence of the group is not open, the side is not suspended, and it remembers nothing later of the
    /// other side than this, as which the other one was last read.
    Secondary(Incarnation),
    /// One that has gone back: it is suspended, and of this incarnation. Its fences may stand as they will, since nobody
    /// can write there; who raises it waits for us. What is brought was lost here, from whatever instance it is read.
    GoneBack(Incarnation, Over),
}

impl Gate {
    /// The incarnation that the side's bookkeeping is compared with.
    pub(crate) fn incarnation(self) -> Incarnation {
        match self {
            Self::Secondary(incarnation) | Self::GoneBack(incarnation, _) => incarnation,
        }
    }

    /// Whether a write that came too late is known here all the same.
    pub(crate) fn carries_late(self) -> bool {
        matches!(self, Self::GoneBack(..))
    }

    /// Whether rows of which nobody knows whose they are stay as they are.
    pub(crate) fn leaves_unproven(self) -> bool {
        matches!(self, Self::GoneBack(_, Over::Nobody))
    }
}
