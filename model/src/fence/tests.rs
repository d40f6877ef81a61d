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
    let all = [Move::freeze(fences), Move::open(fences), Move::give_up(fences), Move::alone(fences)];
    all.into_iter().flatten().collect()
}

/// Every pair of fences that any moves lead to, up to this epoch.
fn reachable(most: u32) -> Vec<PerSide<Fence>> {
    later(begun(), most)
}

/// The same, from these fences.
fn later(from: PerSide<Fence>, most: u32) -> Vec<PerSide<Fence>> {
    let (mut known, mut todo) = (HashSet::new(), vec![from]);
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
        let ends = matches!(Authority::of(&fences), Authority::Alone { .. });
        assert_eq!(moves(&fences).is_empty(), ends, "{fences:?}");
        assert!(!(fences.legacy.stand.takes_writes() && fences.modern.stand.takes_writes()), "{fences:?}");
    }
}

#[test]
fn a_move_decided_on_older_fences_fails_or_is_the_one_that_is_due() {
    // Whoever saw `old`, one side after the other, and acts on `now` later: his compare-and-set must not open a side that
    // was given up or whose counterpart takes writes.
    let all = reachable(7);
    let ways: Vec<_> = all.iter().map(|from| (*from, later(*from, 7))).collect();
    for now in &all {
        let before: Vec<_> = ways.iter().filter(|(_, to)| to.contains(now)).map(|(from, _)| *from).collect();
        let legacy: HashSet<_> = before.iter().map(|seen| seen.legacy).collect();
        let modern: HashSet<_> = before.iter().map(|seen| seen.modern).collect();
        for (legacy, modern) in legacy.iter().flat_map(|legacy| modern.iter().map(move |modern| (*legacy, *modern))) {
            let old = PerSide { legacy, modern };
            for step in moves(&old).into_iter().filter(|step| *now.get(step.side) == step.from) {
                if !step.to.stand.takes_writes() {
                    continue;
                }
                let after = moved(*now, step);
                let [legacy, modern] = [after.legacy, after.modern].map(|fence| fence.stand.takes_writes());
                assert!(!legacy || !modern, "{old:?} {now:?} {step:?}");
                let due = moves(now).into_iter().find(|due| (due.side, due.to) == (step.side, step.to));
                let due = due.unwrap_or_else(|| panic!("{old:?} {now:?} {step:?}"));
                // What a side leaves behind depends on the way here, which these two share where both were seen at once.
                assert!(due == step || !before.contains(&old), "{old:?} {now:?} {step:?}");
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
fn the_end_of_dual_write_has_its_fences_and_nobody_moves_them_any_more() {
    let reverse = PerSide { legacy: fence(2, Stand::Frozen), modern: fence(2, Stand::Open) };
    let frozen = moved(reverse, Move::freeze(&reverse).unwrap());
    assert_eq!(Move::alone(&frozen), None, "legacy is barred first");
    // A coordinator who slept since then could open legacy.
    let late = Move::open(&frozen).unwrap();
    let barred = moved(frozen, Move::give_up(&frozen).unwrap());
    assert_ne!(*barred.get(Side::Legacy), late.from);
    let alone = moved(barred, Move::alone(&barred).unwrap());
    assert_eq!(Authority::of(&alone), Authority::Alone { epoch: Epoch(4) });
    let holder = Holder { side: Side::Modern, epoch: Epoch(4), alone: true };
    assert_eq!(Authority::of(&alone).holder(), Some(holder));
    assert!(moves(&alone).is_empty());
    // By a rollout of an older release.
    let alone = moved(reverse, Move::alone(&reverse).unwrap());
    assert_eq!(Authority::of(&alone), Authority::Alone { epoch: Epoch(3) });
    assert_eq!(Authority::of_one(Side::Modern, alone.modern), Some(Authority::Alone { epoch: Epoch(3) }));
    assert_eq!(Authority::of_one(Side::Legacy, alone.legacy), None);
    assert_eq!(Move::alone(&begun()), None, "legacy is never alone in this sense");
}

#[test]
fn fences_changed_by_hand_are_told() {
    let both = PerSide { legacy: fence(2, Stand::Open), modern: fence(2, Stand::Open) };
    let none = PerSide { legacy: fence(2, Stand::Closed), modern: fence(2, Stand::Closed) };
    let ahead = PerSide { legacy: fence(1, Stand::Open), modern: fence(2, Stand::Closed) };
    let beside = PerSide { legacy: fence(2, Stand::Open), modern: fence(2, Stand::Alone) };
    let raised = PerSide { legacy: fence(3, Stand::Closed), modern: fence(2, Stand::Alone) };
    let legacy = PerSide { legacy: fence(3, Stand::Alone), modern: fence(2, Stand::Closed) };
    for fences in [both, none, ahead, beside, raised, legacy] {
        assert_eq!(Authority::of(&fences), Authority::Broken, "{fences:?}");
        assert!(moves(&fences).is_empty());
    }
}

#[test]
fn stands_survive_their_text() {
    let words: BTreeSet<_> = Stand::ALL.iter().map(|stand| stand.as_str()).collect();
    assert_eq!(words.len(), Stand::ALL.len());
    assert!(Stand::ALL.iter().all(|stand| Stand::from_text(stand.as_str()) == Some(*stand)));
}
