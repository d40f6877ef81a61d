//! Is it the question that the two sides take differently, and not the data?
//!
//! `char` ignores blanks at the end, and `varchar` does not; an empty text is null to Oracle; one side may compare
//! without case. Who asks for `"A-1 "` gets a row from one side only, though both hold the same. That says nothing about
//! the data, and whoever likes can ask so: such a question is left out of the evidence, never a mismatch.
//!
//! Promises: pure; a record that an argument names exactly is never excused here.
//! Not here: which answer the client is given (`proxy::read::serve`).

use model::evidence::Verdict;
use model::sql::Params;
use model::{Side, Value};

use crate::judge::{Asked, Difference, Judgement, Reason, Seen, Subject};

/// Whether both sides take every text of the question alike, as far as its blanks go.
pub fn is_canonical(asked: &Asked, params: Option<&Params>) -> bool {
    let keys = match asked {
        Asked::Keys(keys) => keys.as_slice(),
        Asked::List { .. } => &[],
    };
    let parts = keys.iter().flat_map(|key| key.parts());
    texts(parts.chain(params.into_iter().flat_map(Params::values))).iter().all(|text| is_plain(text))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.ends_with(' ')
}

/// The same judgement without the rows that only one side has because it compares texts more freely; inconclusive when
/// nothing else differs.
#[must_use]
pub fn without_spelled(mut judgement: Judgement, params: Option<&Params>) -> Judgement {
    if judgement.verdict != Verdict::Mismatch {
        return judgement;
    }
    let before = judgement.differences.len();
    judgement.differences.retain(|difference| !is_spelled(difference, params));
    if judgement.differences.len() == before {
        return judgement;
    }
    if judgement.differences.iter().all(|difference| difference.excused) {
        return Judgement::inconclusive(Reason::Spelling);
    }
    judgement
}

/// Whether an argument names the row but for case and blanks, and nothing of the row is what was asked for.
fn is_spelled(difference: &Difference, params: Option<&Params>) -> bool {
    let (Subject::Row { key }, Seen::Records(pair)) = (&difference.subject, &difference.seen) else { return false };
    let Some(row) = Side::BOTH.into_iter().find_map(|side| pair.get(side).as_ref()) else { return false };
    let asked = match params {
        Some(params) => texts(params.values()),
        None => texts(key.parts()),
    };
    let held = texts(row.iter().map(|(_, value)| value));
    asked.into_iter().any(|text| {
        let folded = fold(text);
        !held.contains(&text) && held.iter().any(|value| fold(value) == folded)
    })
}

fn fold(text: &str) -> String {
    text.trim_end_matches(' ').to_lowercase()
}

fn texts<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for value in values {
        match value {
            Value::Text(text) => found.push(text.as_str()),
            Value::List(values) => found.extend(texts(values)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) | Value::Instant(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use model::evidence::Cause;
    use model::{EntityKey, PerSide, Record};
    use proptest::prelude::*;

    use super::*;
    use crate::excuses::Excuses;
    use crate::judge::samples::{excuses, stock_level, today};
    use crate::judge::{Answer, Question, judge};

    fn row(sku: &str, on_hand: i64) -> Record {
        Record::of(&stock_level(), [("sku", sku.into()), ("onHand", on_hand.into())])
    }

    fn list(params: &Params, legacy: Vec<Record>, modern: Vec<Record>) -> Judgement {
        let entity = stock_level();
        let asked = Asked::List { ordered: false, params: model::sql::params_text(params) };
        let question = Question { fields: entity.all_fields(), entity: entity.clone(), asked };
        let none: Excuses = excuses(today());
        let found = judge(&question, &PerSide { legacy: legacy.into(), modern: modern.into() }, &none);
        without_spelled(found, Some(params))
    }

    fn asking(sku: &str) -> Params {
        [("sku".to_owned(), Value::from(sku))].into()
    }

    #[test]
    fn blanks_at_the_end_and_empty_texts_are_no_question_for_both_sides() {
        for (text, canonical) in
            [("A-1", true), (" A-1", true), ("A-1 ", false), ("", false), (" ", false), ("A\t", true)]
        {
            let asked = Asked::List { ordered: true, params: String::new() };
            assert_eq!(is_canonical(&asked, Some(&asking(text))), canonical, "{text:?}");
            let keys = Asked::Keys(vec![EntityKey::new("StockLevel".into(), vec![text.into()])]);
            assert_eq!(is_canonical(&keys, None), canonical, "{text:?}");
            let many: Params = [("skus".to_owned(), Value::List(vec!["B".into(), text.into()]))].into();
            assert_eq!(is_canonical(&asked, Some(&many)), canonical, "{text:?} in a list");
        }
    }

    #[test]
    fn a_row_that_only_one_side_finds_in_another_spelling_says_nothing() {
        let found = list(&asking("a-1"), vec![row("A-1", 5)], Vec::new());
        assert_eq!((found.verdict, found.reason), (Verdict::Inconclusive, Some(Reason::Spelling)));
        let key = EntityKey::new("StockLevel".into(), vec!["a-1".into()]);
        let entity = stock_level();
        let question = Question { fields: entity.all_fields(), entity: entity.clone(), asked: Asked::Keys(vec![key]) };
        let answers = PerSide { legacy: Answer(vec![Some(row("A-1", 5))]), modern: Answer(vec![None]) };
        let found = without_spelled(judge(&question, &answers, &excuses(today())), None);
        assert_eq!(found.reason, Some(Reason::Spelling));
    }

    #[test]
    fn what_is_really_missing_or_differs_is_not_excused_by_a_spelling() {
        // The argument names the row exactly, so modern lacks it.
        assert_eq!(list(&asking("A-1"), vec![row("A-1", 5)], Vec::new()).verdict, Verdict::Mismatch);
        // Modern's row has another case; each side finds what it holds.
        let found = list(&asking("A-1"), vec![row("A-1", 5)], vec![row("a-1", 5)]);
        assert_eq!((found.verdict, found.differences.len()), (Verdict::Mismatch, 1), "{found:?}");
        // A field that differs is a difference in whatever spelling it was asked for.
        let found = list(&asking("a-1"), vec![row("A-1", 5), row("a-1", 1)], vec![row("a-1", 2)]);
        assert_eq!(found.verdict, Verdict::Mismatch);
        assert_eq!(found.differences.iter().map(|one| one.cause).collect::<Vec<_>>(), [Cause::Different]);
    }

    proptest! {
        #[test]
        fn a_row_that_the_argument_names_exactly_is_never_left_out(sku in "[A-Za-z -]{1,6}") {
            let found = list(&asking(&sku), vec![row(&sku, 5)], Vec::new());
            prop_assert_eq!(found.verdict, Verdict::Mismatch);
        }
    }
}
