//! How a group begins: what opens a fence that was made anew, and what only a person can say.
//!
//! A fence is born closed. It may be the first of its group, or one that was lost: restored from a copy older than our
//! tables, dropped with them, or of a group that was called otherwise. Only both sides together tell, by what they
//! remember of the group's types. Where they remember nothing, legacy begins; where one side has the authority, the other
//! one's new fence is raised to its epoch; everything else is for a person, since the wrong guess makes two primaries.
//!
//! Promise: a fence is opened above every epoch that either side has ever recorded for the group's types, so that no
//! write made behind it can be older than what it overwrites.

use super::{Fence, Move, Stand};
use crate::change::Epoch;
use crate::side::{PerSide, Side};

/// What a side remembers of the types of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// The greatest epoch of a version that is recorded here; 0: none but copies of what stood at rest.
    pub epoch: Epoch,
    /// Whether the ledger has any row of them.
    pub writes: bool,
}

/// What is to be done so that a group can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing: it has begun.
    Begun,
    /// These moves, in this order.
    Moves(Vec<Move>),
    /// A person must say which side is primary.
    Person(Unclear),
}

/// Why only a person can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclear {
    /// A fence was made anew beside types that have been written under this epoch, or beside rows of a ledger.
    Anew {
        /// The greatest epoch that is remembered anywhere.
        newest: Epoch,
    },
    /// The types have been written under a greater epoch than the group has ever had: they have come from another group.
    Older {
        /// The greatest epoch of both fences.
        fences: Epoch,
        /// The greatest epoch that a type has.
        types: Epoch,
    },
    /// Both fences are closed under one epoch: the group was ended, since its types went to another one ([`ending`]).
    Ended,
}

fn greatest(fences: &PerSide<Fence>, traces: &PerSide<Traces>) -> (Epoch, Epoch) {
    (fences.legacy.epoch.max(fences.modern.epoch), traces.legacy.epoch.max(traces.modern.epoch))
}

/// What is due for a group whose fences and types are these.
pub fn beginning(fences: &PerSide<Fence>, traces: &PerSide<Traces>) -> Beginning {
    let (moved, types) = greatest(fences, traces);
    let born = Side::BOTH.map(|side| *fences.get(side) == Fence::BORN);
    if born == [false, false] {
        return if types > moved {
            Beginning::Person(Unclear::Older { fences: moved, types })
        } else if is_ended(fences) {
            Beginning::Person(Unclear::Ended)
        } else {
            Beginning::Begun
        };
    }
    let open = Side::BOTH.into_iter().find(|side| fences.get(*side).stand.takes_writes());
    if let Some(open) = open.filter(|_| types <= moved) {
        // Raised, never opened: it takes no writes, and can be told from one that nobody has looked at.
        let (side, to) = (open.other(), Fence::new(moved, Stand::Closed));
        return Beginning::Moves(vec![Move { side, from: *fences.get(side), to, takes_over: false }]);
    }
    let closed = Side::BOTH.iter().all(|side| fences.get(*side).stand == Stand::Closed);
    let remembered = types > Epoch(0) || Side::BOTH.iter().any(|side| traces.get(*side).writes);
    if closed && !remembered {
        return Beginning::Moves(opening(fences, moved, Side::Legacy, false));
    }
    Beginning::Person(Unclear::Anew { newest: moved.max(types) })
}

/// The moves by which a person makes `side` primary, whatever the fences say. The other side is closed first.
pub fn adoption(fences: &PerSide<Fence>, traces: &PerSide<Traces>, side: Side) -> Vec<Move> {
    let (moved, types) = greatest(fences, traces);
    // Where the other side took writes, those were not computed from what this one holds unsettled.
    let takes_over = fences.get(side.other()).stand.takes_writes();
    opening(fences, moved.max(types), side, takes_over)
}

/// Whether no side takes writes, and no sequence of handovers leads there: whoever knows the group opens nothing.
pub fn is_ended(fences: &PerSide<Fence>) -> bool {
    let (legacy, modern) = (fences.legacy, fences.modern);
    legacy == modern && legacy.stand == Stand::Closed && legacy != Fence::BORN
}

/// The moves that end a group whose types have gone to another one: afterwards both fences are closed under one epoch.
/// The side that takes no writes comes first: between the two moves the fences contradict each other, so that no
/// replica of a former contract takes them for a handover that it should undo.
pub fn ending(fences: &PerSide<Fence>) -> Vec<Move> {
    if is_ended(fences) {
        return Vec::new();
    }
    let epoch = Epoch(fences.legacy.epoch.max(fences.modern.epoch).0 + 1);
    let mut sides = Side::BOTH;
    sides.sort_by_key(|side| fences.get(*side).stand != Stand::Closed);
    let close = |side| Move { side, from: *fences.get(side), to: Fence::new(epoch, Stand::Closed), takes_over: false };
    sides.map(close).to_vec()
}

fn opening(fences: &PerSide<Fence>, newest: Epoch, side: Side, takes_over: bool) -> Vec<Move> {
    let epoch = Epoch(newest.0 + 1);
    let to = |side, stand, takes_over| Move { side, from: *fences.get(side), to: Fence::new(epoch, stand), takes_over };
    vec![to(side.other(), Stand::Closed, false), to(side, Stand::Open, takes_over)]
}

#[cfg(test)]
mod tests {
    use super::super::Authority;
    use super::*;

    fn fence(epoch: u32, stand: Stand) -> Fence {
        Fence::new(Epoch(epoch), stand)
    }

    fn traces(legacy: (u32, bool), modern: (u32, bool)) -> PerSide<Traces> {
        let of = |(epoch, writes)| Traces { epoch: Epoch(epoch), writes };
        PerSide { legacy: of(legacy), modern: of(modern) }
    }

    fn moved(mut fences: PerSide<Fence>, moves: &[Move]) -> PerSide<Fence> {
        for step in moves {
            assert_eq!(*fences.get(step.side), step.from);
            *fences.get_mut(step.side) = step.to;
        }
        fences
    }

    fn moves(fences: &PerSide<Fence>, traces: &PerSide<Traces>) -> Vec<Move> {
        match beginning(fences, traces) {
            Beginning::Moves(moves) => moves,
            other => panic!("{other:?}"),
        }
    }

    const NOTHING: (u32, bool) = (0, false);

    #[test]
    fn a_pair_that_remembers_nothing_begins_with_legacy_and_a_crash_between_the_moves_is_gone_on_from() {
        let born = PerSide { legacy: Fence::BORN, modern: Fence::BORN };
        assert_eq!(Authority::of(&born), Authority::Unopened);
        let fresh = traces(NOTHING, NOTHING);
        let steps = moves(&born, &fresh);
        let begun = moved(born, &steps);
        assert_eq!(Authority::of(&begun), Authority::Held { by: Side::Legacy, epoch: Epoch(1) });
        assert_eq!(beginning(&begun, &fresh), Beginning::Begun);
        let half = moved(born, &steps[..1]);
        assert_eq!(Authority::of(&half), Authority::Unopened, "nobody opens it but who has looked at both sides");
        let begun = moved(half, &moves(&half, &fresh));
        assert_eq!(Authority::of(&begun), Authority::Held { by: Side::Legacy, epoch: Epoch(2) });
    }

    #[test]
    fn a_fence_that_was_lost_is_raised_beside_an_open_one_and_never_opened() {
        for lost in Side::BOTH {
            let mut fences = PerSide { legacy: fence(4, Stand::Open), modern: fence(4, Stand::Open) };
            *fences.get_mut(lost) = Fence::BORN;
            let after = moved(fences, &moves(&fences, &traces((4, true), (4, true))));
            assert_eq!(Authority::of(&after), Authority::Held { by: lost.other(), epoch: Epoch(4) });
        }
        let fences = PerSide { legacy: Fence::BORN, modern: fence(4, Stand::Alone) };
        let after = moved(fences, &moves(&fences, &traces(NOTHING, (4, true))));
        assert_eq!(Authority::of(&after), Authority::Alone { epoch: Epoch(4) });
    }

    #[test]
    fn what_was_written_before_is_for_a_person() {
        let unclear = |fences: PerSide<Fence>, traces| matches!(beginning(&fences, &traces), Beginning::Person(_));
        let born = PerSide { legacy: Fence::BORN, modern: Fence::BORN };
        // A group that was called otherwise, or whose both sides were restored from before our tables.
        assert!(unclear(born, traces((5, true), (5, true))));
        // Only a ledger remembers.
        assert!(unclear(born, traces(NOTHING, (0, true))));
        // The side that had the authority has lost its fence; the other one's is closed or frozen.
        for stand in [Stand::Closed, Stand::Frozen] {
            assert!(unclear(PerSide { legacy: Fence::BORN, modern: fence(3, stand) }, traces((2, true), NOTHING)));
        }
        assert!(unclear(PerSide { legacy: Fence::BORN, modern: fence(3, Stand::Frozen) }, traces(NOTHING, NOTHING)));
        // A type that came from a group of greater epochs, whichever side knows.
        let young = PerSide { legacy: fence(1, Stand::Open), modern: fence(1, Stand::Closed) };
        for traces in [traces((5, true), NOTHING), traces(NOTHING, (5, true))] {
            let (fences, types) = (Epoch(1), Epoch(5));
            assert_eq!(beginning(&young, &traces), Beginning::Person(Unclear::Older { fences, types }));
        }
        assert_eq!(beginning(&young, &traces((1, true), (1, true))), Beginning::Begun);
    }

    #[test]
    fn an_ended_group_is_opened_by_nobody_but_a_person_and_is_no_hung_handover_between_the_moves() {
        let stands = Stand::ALL;
        let pairs = stands.iter().flat_map(|legacy| stands.iter().map(move |modern| (*legacy, *modern)));
        let epochs = [(2, 1), (2, 2), (1, 2), (1, 0), (0, 1)];
        for ((legacy, modern), (one, other)) in pairs.flat_map(|pair| epochs.map(|epochs| (pair, epochs))) {
            let fences = PerSide { legacy: fence(one, legacy), modern: fence(other, modern) };
            let steps = ending(&fences);
            for done in 1..=steps.len() {
                let after = moved(fences, &steps[..done]);
                let held = Side::BOTH.into_iter().any(|side| after.get(side).stand.takes_writes());
                if held || done == 2 {
                    assert!(matches!(Authority::of(&after), Authority::Broken | Authority::Unopened), "{after:?}");
                }
            }
            let ended = moved(fences, &steps);
            assert!(is_ended(&ended) && ending(&ended).is_empty(), "{ended:?}");
            assert_eq!(beginning(&ended, &traces((1, true), NOTHING)), Beginning::Person(Unclear::Ended));
            for side in Side::BOTH {
                let after = moved(ended, &adoption(&ended, &traces((9, true), NOTHING), side));
                assert_eq!(Authority::of(&after), Authority::Held { by: side, epoch: Epoch(10) });
            }
        }
        assert!(!is_ended(&PerSide { legacy: Fence::BORN, modern: Fence::BORN }));
    }

    #[test]
    fn an_adopted_side_is_opened_above_every_epoch_that_anybody_remembers_and_the_other_is_closed_first() {
        for legacy in Stand::ALL {
            for modern in Stand::ALL {
                for side in Side::BOTH {
                    let fences = PerSide { legacy: fence(3, legacy), modern: fence(2, modern) };
                    let steps = adoption(&fences, &traces((7, true), (4, true)), side);
                    assert_eq!((steps[0].side, steps[0].to.stand), (side.other(), Stand::Closed));
                    assert_eq!(steps[1].takes_over, fences.get(side.other()).stand.takes_writes());
                    let after = moved(fences, &steps);
                    assert_eq!(Authority::of(&after), Authority::Held { by: side, epoch: Epoch(8) });
                }
            }
        }
    }
}
