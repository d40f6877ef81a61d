//! The search against histories that are right, that are wrong, and against trying everything.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn call(from: u64, to: u64, act: Act) -> Call {
    Call { from: at(from), to: Some(at(to)), after: None, act }
}

fn open(from: u64, act: Act) -> Call {
    Call { from: at(from), to: None, after: None, act }
}

fn add(by: i64, left: i64) -> Act {
    Act::Add { by, left: Some(left) }
}

fn look(saw: i64) -> Act {
    Act::Look { saw }
}

fn is_not(calls: &[Call]) -> bool {
    match check(10, calls) {
        Found::Not(_) => true,
        Found::Linearizable => false,
        Found::Undecided => panic!("{calls:?}"),
    }
}

#[test]
fn one_after_the_other_each_sees_what_the_one_before_left() {
    let history = [call(0, 1, add(-3, 7)), call(2, 3, look(7)), call(4, 5, Act::Set { to: 1 }), call(6, 7, add(2, 3))];
    assert_eq!(check(10, &history), Found::Linearizable);
    assert_eq!(check(10, &[]), Found::Linearizable);
}

#[test]
fn calls_that_overlap_may_stand_in_any_order() {
    assert_eq!(check(10, &[call(0, 9, add(-3, 5)), call(1, 8, add(-2, 8))]), Found::Linearizable);
    assert_eq!(check(10, &[call(0, 9, look(8)), call(1, 8, add(-2, 8)), call(2, 7, look(10))]), Found::Linearizable);
}

#[test]
fn a_lost_write_is_seen() {
    // The second was told 8, as if the first had never been.
    assert!(is_not(&[call(0, 1, add(-3, 7)), call(2, 3, add(-2, 8))]));
}

#[test]
fn a_doubled_write_is_seen() {
    assert!(is_not(&[call(0, 1, add(-3, 7)), call(2, 3, look(4))]));
}

#[test]
fn two_that_took_the_same_last_piece_are_seen() {
    assert!(is_not(&[call(0, 9, add(-10, 0)), call(1, 8, add(-10, 0))]));
}

#[test]
fn a_read_of_what_was_before_is_seen_and_a_wider_one_is_right() {
    let write = call(0, 1, add(-3, 7));
    assert!(is_not(&[write, call(2, 3, look(10))]));
    assert_eq!(check(10, &[write, call(0, 3, look(10))]), Found::Linearizable);
    // Once the new state was seen, the old one may not be seen any more.
    assert!(is_not(&[call(0, 9, add(-3, 7)), call(1, 2, look(7)), call(3, 4, look(10))]));
}

#[test]
fn a_refusal_is_evidence_too() {
    assert_eq!(check(10, &[call(0, 1, Act::TooFew { by: -11 })]), Found::Linearizable);
    assert!(is_not(&[call(0, 1, Act::TooFew { by: -10 })]));
    assert_eq!(check(10, &[call(0, 9, Act::TooFew { by: -10 }), call(1, 8, add(-1, 9))]), Found::Linearizable);
}

#[test]
fn an_open_write_may_happen_late_or_never() {
    let unknown = open(0, Act::Add { by: -4, left: None });
    assert_eq!(check(10, &[unknown, call(5, 6, look(10)), call(7, 8, look(6))]), Found::Linearizable);
    assert_eq!(check(10, &[unknown, call(5, 6, look(10)), call(7, 8, look(10))]), Found::Linearizable);
    // It may not be undone, nor happen before it was asked for.
    assert!(is_not(&[unknown, call(5, 6, look(6)), call(7, 8, look(10))]));
    assert!(is_not(&[open(6, Act::Add { by: -4, left: None }), call(1, 2, look(6))]));
}

#[test]
fn a_write_that_changes_nothing_now_may_be_needed_later() {
    // Found by the property below: such a write was taken for a read.
    let (first, second) = (call(0, 0, Act::Add { by: 1, left: None }), open(0, Act::Set { to: 11 }));
    let history = [first, second, call(1, 1, Act::Set { to: 0 }), call(9, 9, add(-1, 10))];
    assert_eq!(check(10, &history), Found::Linearizable);
}

#[test]
fn a_read_behind_a_write_may_show_what_came_before_another_and_not_what_came_before_it() {
    // The two writes overlap; the first was acknowledged last, and overtaken before that.
    let (own, other) = (call(0, 9, add(-3, 7)), call(1, 8, Act::Set { to: 5 }));
    let behind = |saw| Call { after: Some(0), ..call(0, 20, look(saw)) };
    assert_eq!(check(10, &[own, other, call(10, 11, look(5)), behind(7)]), Found::Linearizable);
    assert_eq!(check(10, &[own, other, call(10, 11, look(5)), behind(5)]), Found::Linearizable);
    assert!(is_not(&[own, other, call(10, 11, look(5)), behind(10)]));
}

#[test]
fn the_longest_right_beginning_is_told() {
    let wrong = call(4, 5, look(99));
    let Found::Not(stuck) = check(10, &[call(0, 1, add(-3, 7)), call(2, 3, look(7)), wrong]) else { panic!() };
    assert_eq!(stuck, Stuck { placed: 2, state: 7, call: wrong });
}

#[test]
fn a_long_history_with_wide_reads_is_searched_in_no_time() {
    let mut history = Vec::new();
    for number in 0..2_000u64 {
        let left = 10 + i64::try_from(number).unwrap() + 1;
        // Ten writers at once, and as many reads that may have seen any state since the beginning.
        history.push(call(number * 10, number * 10 + 100, add(1, left)));
        history.push(call(0, number * 10 + 101, look(left - 1)));
    }
    assert_eq!(check(10, &history), Found::Linearizable);
    history.push(call(30_000, 30_001, look(10)));
    assert!(is_not(&history));
}

/// Tries every order of every choice of open calls.
fn brute_force(state: i64, left: &[(usize, Call)]) -> bool {
    if left.iter().all(|(_, call)| call.to.is_none()) {
        return true;
    }
    (0..left.len()).any(|chosen| {
        let (_, first) = left[chosen];
        let precedes = |(number, other): &(usize, Call)| {
            other.to.is_some_and(|to| to < first.from) || first.after == Some(*number)
        };
        let Some(after) = first.act.step(state).filter(|_| !left.iter().any(precedes)) else { return false };
        let rest: Vec<_> = left.iter().enumerate().filter(|(n, _)| *n != chosen).map(|(_, call)| *call).collect();
        brute_force(after, &rest)
    })
}

fn acts() -> impl Strategy<Value = Act> {
    let number = 0..4i64;
    prop_oneof![
        (-2..3i64, proptest::option::of(number.clone())).prop_map(|(by, left)| Act::Add { by, left }),
        number.clone().prop_map(|to| Act::Set { to }),
        number.prop_map(|saw| Act::Look { saw }),
        (-3..0i64).prop_map(|by| Act::TooFew { by }),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    (0..12u64, proptest::option::weighted(0.8, 0..6u64), acts()).prop_map(|(from, lasts, act)| Call {
        from: at(from),
        to: lasts.map(|lasts| at(from + lasts)),
        after: None,
        act,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_search_finds_an_order_exactly_when_there_is_one(
        mut history in vec(calls(), 0..7),
        behind in proptest::option::of((any::<proptest::sample::Index>(), any::<proptest::sample::Index>())),
    ) {
        if let Some((later, first)) = behind.filter(|_| !history.is_empty()) {
            let (later, first) = (later.index(history.len()), first.index(history.len()));
            history[later].after = Some(first).filter(|first| *first != later);
        }
        let found = check(1, &history);
        prop_assert_ne!(&found, &Found::Undecided);
        let all: Vec<_> = history.iter().copied().enumerate().collect();
        prop_assert_eq!(found == Found::Linearizable, brute_force(1, &all));
    }
}
