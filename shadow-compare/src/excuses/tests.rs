use model::PerSide;
use model::contract::Compare;
use model::control::{Author, ExcuseId};
use model::evidence::Verdict;
use model::{EntityKey, Kind, Record, Rule};

use super::*;
use crate::judge::samples::{entity, field, record, today};
use crate::judge::{Answer, Asked, Judgement, Question, judge};

fn accepted(field: Option<&str>, cause: Cause, rule: Option<Rule>) -> AcceptedExcuse {
    let scope = ExcuseScope { route: "Query.product".into(), field: field.map(Into::into), cause, rule };
    let author = Author { who: "ada".into(), origin: "desk".into(), reason: Some("a test".into()) };
    AcceptedExcuse::new(ExcuseId(uuid::Uuid::nil()), scope, "pricing", today(), author, today()).unwrap()
}

/// A `Product` with this price.
fn product(price: &str) -> Record {
    let price = Value::Decimal(price.parse().unwrap());
    record(&product_type(), &[("sku", "A".into()), ("price", price), ("stock", 1.into())])
}

fn product_type() -> Arc<model::EntityType> {
    let fields = vec![
        field("sku", Kind::Text, Compare::default()),
        field("price", Kind::Decimal, Compare::default()),
        field("stock", Kind::Int, Compare::default()),
    ];
    entity("Product", fields, &["sku"])
}

fn question(asked: Asked) -> Question {
    Question { fields: product_type().all_fields(), entity: product_type(), asked }
}

fn keyed() -> Asked {
    Asked::Keys(vec![EntityKey::new("Product".into(), vec!["A".into()])])
}

fn compared(pair: [Option<Record>; 2], excuses: &Excuses) -> Judgement {
    let [legacy, modern] = pair.map(|record| Answer(vec![record]));
    judge(&question(keyed()), &PerSide { legacy, modern }, excuses)
}

fn verdict(pair: [Option<Record>; 2], excuses: &[AcceptedExcuse], route: &str, today: NaiveDate) -> Verdict {
    compared(pair, &Excuses::of_route(&route.into(), excuses, today)).verdict
}

#[test]
fn an_accepted_excuse_counts_until_its_last_day_and_then_the_difference_is_a_mismatch_again() {
    let pair = || [Some(product("12.35")), Some(product("12.345"))];
    let excuse = [accepted(Some("price"), Cause::Rounding, None)];
    assert_eq!(verdict(pair(), &[], "Query.product", today()), Verdict::Mismatch);
    assert_eq!(verdict(pair(), &excuse, "Query.product", today()), Verdict::Excused);
    let tomorrow = today().succ_opt().unwrap();
    assert_eq!(verdict(pair(), &excuse, "Query.product", tomorrow), Verdict::Mismatch);
}

#[test]
fn an_excuse_is_as_narrow_as_it_says() {
    let (product_route, rounding) = ("Query.product", || [Some(product("12.35")), Some(product("12.345"))]);
    for (excuse, route, excused) in [
        (accepted(Some("price"), Cause::Rounding, None), product_route, true),
        (accepted(Some("price"), Cause::Rounding, Some(Rule::Scale(2))), product_route, true),
        (accepted(Some("price"), Cause::Rounding, Some(Rule::Cut(2))), product_route, false),
        (accepted(Some("price"), Cause::Different, None), product_route, false),
        (accepted(Some("stock"), Cause::Rounding, None), product_route, false),
        (accepted(None, Cause::MissingRow, None), product_route, false),
        (accepted(Some("price"), Cause::Rounding, None), "Query.products", false),
    ] {
        let found = verdict(rounding(), std::slice::from_ref(&excuse), route, today());
        assert_eq!(found == Verdict::Excused, excused, "{} for {route}", excuse.scope);
    }
}

#[test]
fn a_row_that_one_side_lacks_is_excused_only_by_an_excuse_for_exactly_that() {
    let (missing, extra) = (|| [Some(product("1")), None], || [None, Some(product("1"))]);
    let others: Vec<_> = Cause::ALL
        .into_iter()
        .filter(|cause| !matches!(cause, Cause::MissingRow | Cause::ExtraRow | Cause::Order))
        .map(|cause| accepted(Some("price"), cause, None))
        .chain([accepted(None, Cause::Order, None), accepted(None, Cause::Stale, None)])
        .collect();
    assert_eq!(verdict(missing(), &others, "Query.product", today()), Verdict::Mismatch);
    assert_eq!(verdict(extra(), &others, "Query.product", today()), Verdict::Mismatch);
    let said = [accepted(None, Cause::MissingRow, None)];
    assert_eq!(verdict(missing(), &said, "Query.product", today()), Verdict::Excused);
    assert_eq!(verdict(extra(), &said, "Query.product", today()), Verdict::Mismatch);
}

#[test]
fn a_difference_that_turns_out_stale_is_excused_only_as_stale() {
    let pair = [Some(product("9")), Some(product("4"))];
    let past = PerSide { legacy: vec![Some(product("9")), Some(product("4"))], modern: Vec::new() };
    for (cause, excused) in [(Cause::Stale, true), (Cause::Rounding, false)] {
        let excuse = [accepted(Some("price"), cause, None)];
        let excuses = Excuses::of_route(&"Query.product".into(), &excuse, today());
        let mut judgement = compared(pair.clone(), &excuses);
        assert_eq!(judgement.verdict, Verdict::Mismatch);
        let [key] = judgement.differing_keys().try_into().unwrap();
        judgement.explain_by_past(&product_type(), &key, &past, &excuses);
        assert_eq!(judgement.differences[0].cause, Cause::Stale);
        assert_eq!(judgement.verdict == Verdict::Excused, excused);
    }
}

#[test]
fn the_order_of_a_list_can_be_excused() {
    let record = |sku: &str| Some(record(&product_type(), &[("sku", sku.into())]));
    let rows = |one: &str, other: &str| Answer(vec![record(one), record(other)]);
    let answers = PerSide { legacy: rows("A", "B"), modern: rows("B", "A") };
    let list = question(Asked::List { ordered: true, params: "{}".into() });
    let excuse = [accepted(None, Cause::Order, None)];
    let excuses = |excuse| Excuses::of_route(&"Query.product".into(), excuse, today());
    assert_eq!(judge(&list, &answers, &excuses(&[])).verdict, Verdict::Mismatch);
    assert_eq!(judge(&list, &answers, &excuses(&excuse)).verdict, Verdict::Excused);
}
