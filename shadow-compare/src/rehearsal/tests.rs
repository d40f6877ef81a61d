use model::Value;
use proptest::prelude::*;

use super::*;
use crate::judge::samples::*;

/// A level that begins with `before` and is left as `after` on either side.
fn touched(before: [Option<Record>; 2], after: [Option<Record>; 2]) -> Touched {
    let pair = |[legacy, modern]: [Option<Record>; 2]| PerSide { legacy, modern };
    let entity = stock_level();
    let key = EntityKey::new(entity.name.clone(), vec!["A".into()]);
    Touched { entity, key, before: pair(before), after: pair(after) }
}

fn on_hand(on_hand: i64) -> Option<Record> {
    Some(level("A", on_hand, "1"))
}

fn judged(touched: &[Touched], refused: Option<Side>) -> Judgement {
    let mut all = judge_rehearsal(touched, refused, &excuses(today()));
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

#[test]
fn from_one_state_to_one_state_is_a_match() {
    let judgement = judged(&[touched([on_hand(4), on_hand(4)], [on_hand(3), on_hand(3)])], None);
    assert_eq!((judgement.verdict, judgement.keys.len()), (Verdict::Match, 1));
}

#[test]
fn from_one_state_to_two_is_logic() {
    let judgement = judged(&[touched([on_hand(4), on_hand(4)], [on_hand(3), on_hand(2)])], None);
    assert_eq!(judgement.verdict, Verdict::Mismatch);
    let [difference] = judgement.differences.as_slice() else { panic!("{judgement:?}") };
    assert_eq!((difference.cause, difference.excused), (Cause::Logic, false));
    assert_eq!(difference.subject.field(), stock_level().index("onHand"));
    // A record that only one operation leaves is a difference as a whole.
    let judgement = judged(&[touched([None, None], [on_hand(3), None])], None);
    assert_eq!((judgement.differences[0].cause, judgement.differences[0].subject.field()), (Cause::Logic, None));
}

#[test]
fn what_did_not_begin_equal_says_nothing_whatever_it_came_to() {
    let unequal = Judgement::inconclusive(Reason::UnequalBefore);
    for after in [[on_hand(3), on_hand(3)], [on_hand(3), on_hand(2)], [None, on_hand(2)]] {
        assert_eq!(judged(&[touched([on_hand(4), on_hand(3)], after.clone())], None), unequal);
        assert_eq!(judged(&[touched([None, on_hand(3)], after.clone())], None), unequal);
        assert_eq!(judged(&[touched([on_hand(4), on_hand(3)], after)], Some(Side::Modern)), unequal);
    }
}

#[test]
fn equal_as_far_as_anybody_compares_may_match_and_cannot_be_blamed() {
    // The checksum is ignored by comparisons; an operation may read it all the same.
    let entity = stock_level();
    let with = |on_hand: i64, checksum: &str| {
        let mut record = level("A", on_hand, "1");
        record.set(entity.index("checksum").unwrap(), checksum.into());
        Some(record)
    };
    let before = || [with(4, "x"), with(4, "y")];
    assert_eq!(judged(&[touched(before(), [with(3, "x"), with(3, "y")])], None).verdict, Verdict::Match);
    let blamed = judged(&[touched(before(), [with(3, "x"), with(2, "y")])], None);
    assert_eq!(blamed, Judgement::inconclusive(Reason::UnequalBefore));
}

#[test]
fn a_refusal_is_one_difference_of_the_whole_record_even_of_a_deletion() {
    for left in [on_hand(3), None] {
        let other = Touched {
            key: EntityKey::new("StockLevel".into(), vec!["B".into()]),
            ..touched([None, None], [on_hand(1), None])
        };
        let judgement = judged(&[touched([on_hand(4), on_hand(4)], [left, None]), other], Some(Side::Modern));
        assert_eq!((judgement.verdict, judgement.differences.len()), (Verdict::Mismatch, 1));
        assert_eq!((judgement.differences[0].cause, judgement.differences[0].subject.field()), (Cause::Logic, None));
    }
}

#[test]
fn what_the_contract_excuses_stays_excused() {
    let price = |price: &str| Some(level("A", 4, price));
    let judgement = judged(&[touched([price("1"), price("1")], [price("2"), price("2.01")])], None);
    assert_eq!((judgement.verdict, judgement.differences[0].cause), (Verdict::Excused, Cause::Rounding));
}

#[test]
fn stamped_fields_are_not_compared() {
    let mut stamp = field("at", model::Kind::Int, model::contract::Compare::default());
    stamp.stamped = true;
    let entity = entity("Visit", vec![field("id", model::Kind::Text, Default::default()), stamp], &["id"]);
    let visit = |at: i64| Some(record(&entity, &[("id", "A".into()), ("at", Value::Int(at))]));
    let key = EntityKey::new(entity.name.clone(), vec!["A".into()]);
    let pair = |legacy, modern| PerSide { legacy: visit(legacy), modern: visit(modern) };
    let touched = Touched { entity: Arc::clone(&entity), key, before: pair(1, 2), after: pair(3, 4) };
    assert_eq!(judged(&[touched], None).verdict, Verdict::Match);
}

fn records() -> impl Strategy<Value = Option<Record>> {
    prop::option::of(
        (0_i64..3, prop::sample::select(vec!["1", "1.5", "2"])).prop_map(|(n, price)| level("A", n, price)),
    )
}

proptest! {
    #[test]
    fn nobody_is_blamed_unless_both_began_with_the_same(
        before in [records(), records()],
        after in [records(), records()],
        refuses in any::<bool>(),
    ) {
        let same = before[0] == before[1];
        let judgement = judged(&[touched(before, after)], refuses.then_some(Side::Modern));
        prop_assert!(judgement.verdict != Verdict::Mismatch || same);
    }
}
