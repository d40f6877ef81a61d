use model::evidence::Verdict;
use proptest::prelude::*;

use super::samples::*;
use super::*;

fn keyed(skus: &[&str]) -> Question {
    let entity = stock_level();
    let key = |sku: &&str| EntityKey::new(entity.name.clone(), vec![(*sku).into()]);
    let asked = Asked::Keys(skus.iter().map(key).collect());
    Question { fields: entity.all_fields(), entity, asked }
}

fn list(ordered: bool) -> Question {
    let entity = stock_level();
    let asked = Asked::List { ordered, params: r#"{"location":"BER"}"#.into() };
    Question { fields: entity.all_fields(), entity, asked }
}

fn both(legacy: Vec<Option<Record>>, modern: Vec<Option<Record>>) -> PerSide<Answer> {
    PerSide { legacy: legacy.into(), modern: modern.into() }
}

fn rows(legacy: &[Record], modern: &[Record]) -> PerSide<Answer> {
    PerSide { legacy: legacy.to_vec().into(), modern: modern.to_vec().into() }
}

/// Field name (or `-`), cause and whether excused.
fn found(judgement: &Judgement) -> Vec<(String, Cause, bool)> {
    let entity = stock_level();
    let name = |d: &Difference| d.subject.field().map_or("-".into(), |index| entity.field(index).name.to_string());
    judgement.differences.iter().map(|d| (name(d), d.cause, d.excused)).collect()
}

#[test]
fn a_field_that_differs_is_named_with_its_cause_and_both_values() {
    let answers = both(vec![Some(level("A", 4, "1"))], vec![Some(level("A", 5, "1"))]);
    let judgement = judge(&keyed(&["A"]), &answers, &excuses(today()));
    assert_eq!(judgement.verdict, Verdict::Mismatch);
    assert_eq!(found(&judgement), [("onHand".into(), Cause::Different, false)]);
    assert_eq!(judgement.differences[0].value(Side::Legacy), Some(&Value::Int(4)));
    assert_eq!(judgement.differences[0].value(Side::Modern), Some(&Value::Int(5)));
    assert_eq!(judgement.to_string(), "mismatch, 1 differences in 1 records");
}

/// Look-ups are batched: a side may hold fields of the record that somebody else asked it for.
#[test]
fn a_difference_keeps_of_both_records_only_what_both_sides_were_asked_for() {
    let entity = stock_level();
    let fields = entity.index("onHand").into_iter().collect();
    let question = Question { fields, ..keyed(&["A"]) };
    let narrow = record(&entity, &[("sku", "A".into()), ("onHand", 5_i64.into())]);
    for answers in [
        both(vec![Some(level("A", 4, "1"))], vec![Some(narrow.clone())]),
        both(vec![Some(narrow.clone())], vec![Some(level("A", 4, "1"))]),
        both(vec![Some(level("A", 4, "1"))], vec![None]),
    ] {
        let judgement = judge(&question, &answers, &excuses(today()));
        let Seen::Records(pair) = &judgement.differences[0].seen else { panic!("{judgement:?}") };
        for kept in [&pair.legacy, &pair.modern].into_iter().flatten() {
            assert_eq!(kept.fields(), question.fields.union(entity.key_fields()), "{pair:?}");
        }
    }
}

#[test]
fn a_record_that_one_side_lacks_is_missing_or_extra_seen_from_legacy() {
    let record = || Some(level("A", 4, "1"));
    let question = keyed(&["A"]);
    let missing = judge(&question, &both(vec![record()], vec![None]), &excuses(today()));
    assert_eq!(found(&missing), [("-".into(), Cause::MissingRow, false)]);
    let extra = judge(&question, &both(vec![None], vec![record()]), &excuses(today()));
    assert_eq!(found(&extra), [("-".into(), Cause::ExtraRow, false)]);
    // A short answer is no crash: the slot is empty.
    let short = judge(&question, &both(vec![record()], Vec::new()), &excuses(today()));
    assert_eq!(found(&short), [("-".into(), Cause::MissingRow, false)]);
}

#[test]
fn where_neither_side_has_anything_nothing_was_compared_and_no_field_is_covered() {
    let nothing = Judgement::inconclusive(Reason::NothingCompared);
    let of = |question: &Question, answers: &PerSide<Answer>| judge(question, answers, &excuses(today()));
    assert_eq!(of(&keyed(&["A"]), &both(vec![None], vec![None])), nothing);
    assert_eq!(of(&keyed(&["A", "B"]), &both(vec![None, None], vec![])), nothing, "short answers");
    assert_eq!(of(&keyed(&[]), &both(vec![], vec![])), nothing);
    for ordered in [false, true] {
        assert_eq!(of(&list(ordered), &rows(&[], &[])), nothing);
    }
    assert!(nothing.fields.is_empty());
    // One record beside it is compared all the same, and it alone.
    let answers = both(vec![None, Some(level("B", 4, "1"))], vec![None, Some(level("B", 4, "1"))]);
    let judgement = of(&keyed(&["A", "B"]), &answers);
    assert_eq!((judgement.verdict, judgement.keys.len()), (Verdict::Match, 1));
}

#[test]
fn an_excuse_counts_until_its_last_day_and_never_hides_another_difference() {
    let question = keyed(&["A"]);
    let answers = both(vec![Some(level("A", 4, "1"))], vec![Some(level("A", 4, "2"))]);
    assert_eq!(judge(&question, &answers, &excuses(today())).verdict, Verdict::Excused);
    let tomorrow = today().succ_opt().unwrap();
    assert_eq!(judge(&question, &answers, &excuses(tomorrow)).verdict, Verdict::Mismatch);
    let worse = both(vec![Some(level("A", 4, "1"))], vec![Some(level("A", 5, "2"))]);
    let judgement = judge(&question, &worse, &excuses(today()));
    assert_eq!(judgement.verdict, Verdict::Mismatch);
    let expected = [("onHand".into(), Cause::Different, false), ("price".into(), Cause::Different, true)];
    assert_eq!(found(&judgement), expected);
}

#[test]
fn an_ignored_field_is_neither_compared_nor_covered() {
    let entity = stock_level();
    let with = |sum: &str| record(&entity, &[("sku", "A".into()), ("checksum", sum.into())]);
    let answers = both(vec![Some(with("x"))], vec![Some(with("y"))]);
    let judgement = judge(&keyed(&["A"]), &answers, &excuses(today()));
    assert_eq!(judgement.verdict, Verdict::Match);
    assert!(!judgement.fields.contains(entity.index("checksum").unwrap()));
    assert!(judgement.fields.contains(entity.index("onHand").unwrap()));
}

#[test]
fn lists_are_paired_by_key_and_their_order_counts_only_where_the_contract_says_so() {
    let (a, b, c) = (level("A", 1, "1"), level("B", 2, "1"), level("C", 3, "1"));
    let turned = rows(&[a.clone(), b.clone()], &[b.clone(), a.clone()]);
    assert_eq!(judge(&list(false), &turned, &excuses(today())).verdict, Verdict::Match);
    let judgement = judge(&list(true), &turned, &excuses(today()));
    assert_eq!(found(&judgement), [("-".into(), Cause::Order, false)]);
    // A missing row is not also a wrong order.
    let shorter = rows(&[a.clone(), b.clone(), c.clone()], &[a, c]);
    assert_eq!(found(&judge(&list(true), &shorter, &excuses(today()))), [("-".into(), Cause::MissingRow, false)]);
}

#[test]
fn a_key_that_stands_twice_in_one_list_is_one_extra_row() {
    let (once, twice) = (level("A", 1, "1"), level("A", 2, "1"));
    let judgement = judge(&list(false), &rows(std::slice::from_ref(&once), &[once.clone(), twice]), &excuses(today()));
    assert_eq!(found(&judgement), [("-".into(), Cause::ExtraRow, false)]);
}

#[test]
fn the_past_of_a_key_turns_its_differences_into_stale_ones_and_no_others() {
    let question = keyed(&["A", "B"]);
    let legacy = vec![Some(level("A", 9, "1")), Some(level("B", 9, "1"))];
    let modern = vec![Some(level("A", 4, "1")), Some(level("B", 4, "1"))];
    let mut judgement = judge(&question, &both(legacy, modern), &excuses(today()));
    let [key, _] = judgement.differing_keys().try_into().unwrap();
    let past = PerSide { legacy: vec![Some(level("A", 9, "1")), Some(level("A", 4, "1"))], modern: Vec::new() };
    judgement.explain_by_past(&question.entity, &key, &past, &excuses(today()));
    let expected = [("onHand".into(), Cause::Stale, false), ("onHand".into(), Cause::Different, false)];
    assert_eq!(found(&judgement), expected);
    assert_eq!(judgement.verdict, Verdict::Mismatch);
}

prop_compose! {
    /// Small alphabets, so that keys repeat and values meet.
    fn records()(sku in "[A-D]", on_hand in 0_i64..3, price in "[01](\\.[05]{1,2})?") -> Record {
        level(&sku, on_hand, &price)
    }
}

proptest! {
    #[test]
    fn an_answer_matches_itself(
        rows in prop::collection::vec(prop::option::of(records()), 0..12),
        ordered in any::<bool>(),
    ) {
        let keys = ["A", "B", "C", "D", "A", "B", "C", "D", "A", "B", "C", "D"];
        for question in [list(ordered), keyed(&keys[..rows.len()])] {
            let judgement = judge(&question, &both(rows.clone(), rows.clone()), &excuses(today()));
            let is_about_something = rows.iter().any(Option::is_some);
            let expected = if is_about_something { Verdict::Match } else { Verdict::Inconclusive };
            prop_assert_eq!(judgement.verdict, expected);
            prop_assert_eq!(judgement.differences, vec![]);
        }
    }

    #[test]
    fn swapping_the_sides_swaps_missing_and_extra_and_changes_nothing_else(
        one in prop::collection::vec(records(), 0..8),
        other in prop::collection::vec(records(), 0..8),
        ordered in any::<bool>(),
    ) {
        let there = judge(&list(ordered), &rows(&one, &other), &excuses(today()));
        let back = judge(&list(ordered), &rows(&other, &one), &excuses(today()));
        prop_assert_eq!(there.verdict, back.verdict);
        let count = |j: &Judgement, cause| j.differences.iter().filter(|d| d.cause == cause).count();
        prop_assert_eq!(count(&there, Cause::MissingRow), count(&back, Cause::ExtraRow));
        prop_assert_eq!(count(&there, Cause::ExtraRow), count(&back, Cause::MissingRow));
        prop_assert_eq!(count(&there, Cause::Order), count(&back, Cause::Order));
    }

    #[test]
    fn the_order_of_an_unordered_list_never_matters(
        list_rows in prop::collection::btree_map("[A-Z]", 0_i64..3, 1..12),
        seed in any::<prop::sample::Index>(),
    ) {
        let one: Vec<_> = list_rows.iter().map(|(sku, n)| level(sku, *n, "1")).collect();
        let mut other = one.clone();
        let by = seed.index(other.len());
        other.rotate_left(by);
        prop_assert_eq!(judge(&list(false), &rows(&one, &other), &excuses(today())).verdict, Verdict::Match);
    }
}
