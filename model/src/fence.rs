//! Fences: which side takes primary writes of a group. They are the truth about authority; a rollout only follows.
//!
//! Each side keeps one fence per group. A write proves it in its own transaction, so whoever works under an older
//! epoch is stopped by the side itself, whatever it believes. Epochs of a group only rise, and every move of a fence
//! is a compare-and-set: of two who move it from the same place, one loses and looks again.
//!
//! Not here: who moves fences, and what happens between two moves (`proxy::handover`).

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
}

impl Stand {
    /// Every stand.
    pub const ALL: [Self; 3] = [Self::Open, Self::Frozen, Self::Closed];

    /// The word in tables: `open`, `frozen` or `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
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

impl Fence {
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
                    (Stand::Open, Stand::Open) | (Stand::Frozen | Stand::Closed, Stand::Frozen | Stand::Closed) => {
                        Self::Broken
                    }
                };
            }
        };
        match (younger.stand, older.stand) {
            (_, Stand::Open) | (Stand::Open, _) => Self::Broken,
            (Stand::Frozen, Stand::Frozen | Stand::Closed) => Self::Frozen { last, epoch: younger.epoch },
            (Stand::Closed, Stand::Frozen | Stand::Closed) => {
                Self::GivenUp { back: last.other(), epoch: younger.epoch }
            }
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
}

impl Move {
    /// Takes the authority from the side that has it: its writers in flight are waited for, later ones are stopped.
    pub fn freeze(fences: &PerSide<Fence>) -> Option<Self> {
        let Authority::Held { by, epoch } = Authority::of(fences) else { return None };
        let to = Fence::new(Epoch(epoch.0 + 1), Stand::Frozen);
        Some(Self { side: by, from: *fences.get(by), to })
    }

    /// Opens the next side; only after everything of the last one was brought to it.
    pub fn open(fences: &PerSide<Fence>) -> Option<Self> {
        let (side, epoch) = match Authority::of(fences) {
            Authority::Frozen { last, epoch } => (last.other(), epoch),
            Authority::GivenUp { back, epoch } => (back, epoch),
            Authority::Held { .. } | Authority::Broken => return None,
        };
        Some(Self { side, from: *fences.get(side), to: Fence::new(epoch, Stand::Open) })
    }

    /// Gives a handover up: the side that was to be opened is raised first, so that a coordinator who slept cannot open
    /// it any more.
    pub fn give_up(fences: &PerSide<Fence>) -> Option<Self> {
        let Authority::Frozen { last, epoch } = Authority::of(fences) else { return None };
        let side = last.other();
        let to = Fence::new(Epoch(epoch.0 + 1), Stand::Closed);
        Some(Self { side, from: *fences.get(side), to })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    fn fence(epoch: u32, stand: Stand) -> Fence {
        Fence::new(Epoch(epoch), stand)
    }

    fn begun() -> PerSide<Fence> {
        PerSide { legacy: fence(1, Stand::Open), modern: fence(1, Stand::Closed) }
    }

    fn moved(mut fences: PerSide<Fence>, step: Move) -> PerSide<Fence> {
        assert_eq!(*fences.get(step.side), step.from);
        *fences.get_mut(step.side) = step.to;
        fences
    }

    fn moves(fences: &PerSide<Fence>) -> Vec<Move> {
        [Move::freeze(fences), Move::open(fences), Move::give_up(fences)].into_iter().flatten().collect()
    }

    /// Every pair of fences that any moves lead to, up to this epoch.
    fn reachable(most: u32) -> Vec<PerSide<Fence>> {
        let (mut known, mut todo) = (HashSet::new(), vec![begun()]);
        while let Some(fences) = todo.pop() {
            if known.insert((fences.legacy, fences.modern)) {
                let next = moves(&fences).into_iter().map(|step| moved(fences, step));
                todo.extend(next.filter(|next| next.legacy.epoch.0 <= most && next.modern.epoch.0 <= most));
            }
        }
        known.into_iter().map(|(legacy, modern)| PerSide { legacy, modern }).collect()
    }

    #[test]
    fn moves_never_break_the_authority_and_always_lead_on() {
        let all = reachable(9);
        assert!(all.len() > 20);
        for fences in all {
            assert_ne!(Authority::of(&fences), Authority::Broken, "{fences:?}");
            assert!(!moves(&fences).is_empty(), "{fences:?}");
        }
    }

    #[test]
    fn a_move_decided_on_older_fences_fails_or_is_the_one_that_is_due() {
        // Whoever saw `old` and acts on `now` later: his compare-and-set must not open a side that was given up or whose
        // counterpart is open.
        let all = reachable(7);
        for old in &all {
            for now in &all {
                for step in moves(old).into_iter().filter(|step| *now.get(step.side) == step.from) {
                    let raised = old.legacy.epoch <= now.legacy.epoch && old.modern.epoch <= now.modern.epoch;
                    if raised && step.to.stand == Stand::Open {
                        let after = moved(*now, step);
                        assert!(
                            after.legacy.stand != Stand::Open || after.modern.stand != Stand::Open,
                            "{old:?} {now:?}"
                        );
                        assert!(moves(now).contains(&step), "{old:?} {now:?} {step:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_handover_and_its_undoing_have_their_fences() {
        let frozen = moved(begun(), Move::freeze(&begun()).unwrap());
        assert_eq!(Authority::of(&frozen), Authority::Frozen { last: Side::Legacy, epoch: Epoch(2) });
        let open = moved(frozen, Move::open(&frozen).unwrap());
        assert_eq!(Authority::of(&open), Authority::Held { by: Side::Modern, epoch: Epoch(2) });
        let given_up = moved(frozen, Move::give_up(&frozen).unwrap());
        assert_eq!(Authority::of(&given_up), Authority::GivenUp { back: Side::Legacy, epoch: Epoch(3) });
        // A coordinator who slept since the freeze.
        assert_ne!(*given_up.get(Side::Modern), Move::open(&frozen).unwrap().from);
        let back = moved(given_up, Move::open(&given_up).unwrap());
        assert_eq!(Authority::of(&back), Authority::Held { by: Side::Legacy, epoch: Epoch(3) });
    }

    #[test]
    fn fences_changed_by_hand_are_told() {
        let both = PerSide { legacy: fence(2, Stand::Open), modern: fence(2, Stand::Open) };
        let none = PerSide { legacy: fence(2, Stand::Closed), modern: fence(2, Stand::Closed) };
        let ahead = PerSide { legacy: fence(1, Stand::Open), modern: fence(2, Stand::Closed) };
        for fences in [both, none, ahead] {
            assert_eq!(Authority::of(&fences), Authority::Broken, "{fences:?}");
            assert!(moves(&fences).is_empty());
        }
    }

    #[test]
    fn stands_survive_their_text() {
        let words: BTreeSet<_> = Stand::ALL.iter().map(|stand| stand.as_str()).collect();
        assert_eq!(words.len(), 3);
        assert!(Stand::ALL.iter().all(|stand| Stand::from_text(stand.as_str()) == Some(*stand)));
    }
}
