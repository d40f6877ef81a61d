use model::Record;
use proptest::prelude::*;

use super::*;
use crate::judge::samples::*;

fn key(sku: &str) -> EntityKey {
    EntityKey::new("StockLevel".into(), vec![sku.into()])
}

fn keyed(skus: &[&str]) -> Question {
    let entity = stock_level();
    let asked = Asked::Keys(skus.iter().map(|sku| key(sku)).collect());
    Question { fields: entity.all_fields(), entity, asked }
}

fn list() -> Question {
    let asked = Asked::List { ordered: false, params: "{}".into() };
    Question { asked, ..keyed(&[]) }
}

fn one(on_hand: i64) -> Vec<Option<Record>> {
    vec![Some(level("A", on_hand, "1"))]
}

fn look(legacy: Vec<Option<Record>>, modern: Vec<Option<Record>>, again: Vec<Option<Record>>) -> Look {
    Look { legacy: legacy.into(), modern: modern.into(), legacy_again: again.into(), unsettled: vec![] }
}

fn begin(question: Question, legacy: Vec<Option<Record>>, modern: Vec<Option<Record>>) -> Step {
    let first = PerSide { legacy: legacy.into(), modern: modern.into() };
    Confirmation::begin(question, &first, excuses(today()), Patience::default())
}

fn next(step: Step, look: Result<Look, Reason>) -> Step {
    match step {
        Step::LookAgain { confirmation, .. } => confirmation.next(look),
        Step::Done { judgement, .. } => panic!("over already: {judgement}"),
    }
}

fn done(step: Step) -> (Judgement, u32) {
    match step {
        Step::Done { judgement, looks } => (judgement, looks),
        Step::LookAgain { after, .. } => panic!("not over, waits {after:?}"),
    }
}

fn waits(step: &Step) -> Duration {
    match step {
        Step::LookAgain { after, .. } => *after,
        Step::Done { judgement, .. } => panic!("over: {judgement}"),
    }
}

#[test]
fn a_match_and_an_excused_difference_need_no_second_look() {
    assert_eq!(done(begin(keyed(&["A"]), one(4), one(4))).1, 1);
    let modern = vec![Some(level("A", 4, "2"))];
    let (judgement, looks) = done(begin(keyed(&["A"]), one(4), modern));
    assert_eq!((judgement.verdict, looks), (Verdict::Excused, 1));
}

#[test]
fn a_difference_that_stays_while_everything_is_settled_is_a_mismatch() {
    let step = begin(keyed(&["A"]), one(4), one(5));
    assert_eq!(waits(&step), Duration::from_millis(250));
    let (judgement, looks) = done(next(step, Ok(look(one(4), one(5), one(4)))));
    assert_eq!((judgement.verdict, looks), (Verdict::Mismatch, 2));
    assert_eq!(judgement.keys, [key("A")]);
}

#[test]
fn a_difference_that_goes_away_was_lag() {
    let step = begin(keyed(&["A"]), one(4), one(5));
    let (judgement, looks) = done(next(step, Ok(look(one(5), one(5), one(5)))));
    assert_eq!((judgement.verdict, looks), (Verdict::Match, 2));
    // Modern caught up between legacy's two answers.
    let step = begin(keyed(&["A"]), one(4), one(3));
    let (judgement, _) = done(next(step, Ok(look(one(4), one(5), one(5)))));
    assert_eq!(judgement.verdict, Verdict::Match);
}

#[test]
fn an_unsettled_key_is_looked_at_again_and_in_the_end_inconclusive() {
    let mut step = begin(keyed(&["A"]), one(4), one(5));
    for wait in [500, 1000, 2000, 4000] {
        let unsettled = Look { unsettled: vec![key("A")], ..look(one(4), one(5), one(4)) };
        step = next(step, Ok(unsettled));
        assert_eq!(waits(&step), Duration::from_millis(wait));
    }
    let last = Look { unsettled: vec![key("A")], ..look(one(4), one(5), one(4)) };
    let (judgement, looks) = done(next(step, Ok(last)));
    assert_eq!(judgement, Judgement::inconclusive(Reason::Unsettled));
    assert_eq!(looks, 6);
}

#[test]
fn a_key_that_changes_at_every_look_is_never_a_mismatch() {
    let mut step = begin(keyed(&["A"]), one(0), one(-1));
    for n in 1..5 {
        step = next(step, Ok(look(one(n), one(n - 1), one(n + 1))));
    }
    let (judgement, _) = done(next(step, Ok(look(one(5), one(4), one(6)))));
    assert_eq!(judgement, Judgement::inconclusive(Reason::ChangedMeanwhile));
}

#[test]
fn a_look_that_failed_is_repeated_and_its_reason_kept() {
    let mut step = begin(keyed(&["A"]), one(4), one(5));
    for _ in 0..4 {
        step = next(step, Err(Reason::SideError));
    }
    let (judgement, _) = done(next(step.clone(), Err(Reason::TimedOut)));
    assert_eq!(judgement, Judgement::inconclusive(Reason::TimedOut));
    let (judgement, _) = done(next(step, Ok(look(one(4), one(5), one(4)))));
    assert_eq!(judgement.verdict, Verdict::Mismatch);
}

#[test]
fn a_difference_that_was_not_there_before_is_not_yet_confirmed() {
    let step = begin(keyed(&["A"]), one(4), one(5));
    let step = next(step, Ok(look(one(4), vec![None], one(4))));
    let (judgement, looks) = done(next(step, Ok(look(one(4), vec![None], one(4)))));
    assert_eq!((judgement.verdict, looks), (Verdict::Mismatch, 3));
}

#[test]
fn only_keys_that_differ_are_asked_for_again_and_the_others_stay_covered() {
    let rows = |b| vec![Some(level("A", 1, "1")), Some(level("B", b, "1"))];
    let step = begin(keyed(&["A", "B"]), rows(2), rows(3));
    let Step::LookAgain { ref confirmation, .. } = step else { panic!("{step:?}") };
    assert_eq!(confirmation.question().asked, Asked::Keys(vec![key("B")]));
    let b = |n| vec![Some(level("B", n, "1"))];
    let (judgement, _) = done(next(step, Ok(look(b(2), b(3), b(2)))));
    assert_eq!(judgement.keys, [key("A"), key("B")]);
}

#[test]
fn a_hot_key_does_not_hide_a_broken_one_and_is_not_counted_as_compared() {
    let rows = |a, b| vec![Some(level("A", a, "1")), Some(level("B", b, "1"))];
    let step = begin(keyed(&["A", "B"]), rows(1, 2), rows(0, 3));
    let hot = Look { unsettled: vec![key("A")], ..look(rows(5, 2), rows(4, 3), rows(6, 2)) };
    let (judgement, _) = done(next(step, Ok(hot)));
    assert_eq!(judgement.verdict, Verdict::Mismatch);
    assert_eq!(judgement.differing_keys(), [key("B")]);
    assert_eq!(judgement.keys, [key("B")]);
}

#[test]
fn rows_of_a_list_wait_until_the_whole_list_stands_still() {
    let (a, b) = (|| Some(level("A", 1, "1")), || Some(level("B", 2, "1")));
    let step = begin(list(), vec![a(), b()], vec![a()]);
    // Another row is on its way: B may have been pushed off the page by it.
    let pushed = Look { unsettled: vec![key("Z")], ..look(vec![a(), b()], vec![a()], vec![a(), b()]) };
    let step = next(step, Ok(pushed));
    assert_eq!(waits(&step), Duration::from_millis(500));
    let (judgement, _) = done(next(step, Ok(look(vec![a(), b()], vec![a()], vec![a(), b()]))));
    assert_eq!(judgement.verdict, Verdict::Mismatch);
    assert_eq!(judgement.keys, [key("A"), key("B")]);
}

prop_compose! {
    fn looks()(l in 0_i64..3, m in 0_i64..3, again in 0_i64..3, unsettled in any::<bool>(), failed in 0_u8..8)
        -> Result<Look, Reason> {
        if failed == 0 { return Err(Reason::SideError); }
        let unsettled = if unsettled { vec![key("A")] } else { vec![] };
        Ok(Look { unsettled, ..look(one(l), one(m), one(again)) })
    }
}

proptest! {
    #[test]
    fn it_always_ends_and_a_mismatch_was_seen_twice_and_the_second_time_at_rest(
        legacy in 0_i64..3,
        modern in 0_i64..3,
        looks in prop::collection::vec(looks(), 5),
    ) {
        let mut step = begin(keyed(&["A"]), one(legacy), one(modern));
        let mut last = None;
        for look in looks {
            let Step::LookAgain { confirmation, .. } = step else { break };
            last = look.clone().ok();
            step = confirmation.next(look);
        }
        let (judgement, looks) = done(step);
        prop_assert!(looks <= 6);
        if judgement.verdict == Verdict::Mismatch {
            let last = last.expect("a mismatch needs a second look");
            prop_assert!(last.unsettled.is_empty());
            prop_assert_eq!(&last.legacy, &last.legacy_again);
            prop_assert_ne!(last.legacy, last.modern);
        }
        prop_assert_eq!(judgement.reason.is_some(), judgement.verdict == Verdict::Inconclusive);
    }
}
